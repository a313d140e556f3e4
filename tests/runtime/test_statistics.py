"""Running statistics over chunks, precise ones, and the average of weights, against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from regnetc_runtime.training.average import Average
from regnetc_runtime.training.statistics import RunningStatistics, precise
from torch import Tensor, nn


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))


def chunks(n: int, size: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(size, 3, 8, 8, generator=generator) * (k + 1) for k in range(n)]


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


def tracked(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, int]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    return norm.running_mean.clone(), norm.running_var.clone(), int(norm.num_batches_tracked)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_step_moves_by_the_mean_over_its_chunks(count: int) -> None:
    module = net().train()
    statistics = RunningStatistics(module)
    for _ in range(2):
        before = [tracked(m) for m in norms(module)]
        statistics.begin()
        seen = []
        for k, images in enumerate(chunks(count)):
            x = module[0](images).detach() if isinstance(module, nn.Sequential) else images
            seen.append((x.mean((0, 2, 3)), x.transpose(0, 1).flatten(1).var(1)))
            module(images)
            statistics.end_chunk(k == count - 1)
        statistics.end()
        mean, var, times = tracked(norms(module)[0])
        old_mean, old_var, old_times = before[0]
        assert torch.allclose(
            mean, 0.9 * old_mean + 0.1 * torch.stack([m for m, _ in seen]).mean(0), atol=1e-6
        )
        assert torch.allclose(
            var, 0.9 * old_var + 0.1 * torch.stack([v for _, v in seen]).mean(0), rtol=1e-5
        )
        assert times == old_times + 1


def test_a_step_can_be_undone() -> None:
    module = net().train()
    statistics = RunningStatistics(module)
    before = [tracked(m)[:2] for m in norms(module)]
    statistics.begin()
    module(chunks(1)[0])
    statistics.undo()
    for (mean, var), norm in zip(before, norms(module), strict=True):
        assert torch.equal(mean, tracked(norm)[0])
        assert torch.equal(var, tracked(norm)[1])


def test_precise_statistics_are_means_over_batches() -> None:
    module = net().train()
    batches = chunks(7)
    precise(module, iter(batches))
    first = module[0] if isinstance(module, nn.Sequential) else module
    with torch.no_grad():
        values = [first(b).numpy().astype(np.float64) for b in batches]
    mean = np.mean([v.mean((0, 2, 3)) for v in values], axis=0)
    var = np.mean([v.transpose(1, 0, 2, 3).reshape(4, -1).var(1, ddof=1) for v in values], axis=0)
    found_mean, found_var, times = tracked(norms(module)[0])
    assert found_mean.numpy() == pytest.approx(mean, rel=1e-5, abs=1e-6)
    assert found_var.numpy() == pytest.approx(var, rel=1e-5)
    assert times == 0
    assert [m.momentum for m in norms(module)] == [0.1, 0.1]
    assert module.training


def test_precise_statistics_that_fail_leave_the_module_as_it_was() -> None:
    module = net().train()
    with pytest.raises(RuntimeError):
        precise(module, iter([*chunks(1), torch.zeros(1, 2, 3, 3)]))
    assert [m.momentum for m in norms(module)] == [0.1, 0.1]
    assert tracked(norms(module)[0])[2] == 0


@pytest.mark.parametrize("every", [1, 3])
def test_the_average_against_a_loop(every: int) -> None:
    module = net()
    average = Average(module, 0.8, every)
    names = dict([*module.named_parameters(), *module.named_buffers()])
    kept = {n: t.detach().double().clone() for n, t in names.items() if t.is_floating_point()}
    assert set(average.averages) == set(kept)
    assert not any("num_batches" in n for n in kept)
    for step in range(1, 10):
        with torch.no_grad():
            for t in module.state_dict().values():
                if t.is_floating_point():
                    t.add_(torch.full_like(t, 0.1 * step))
        warm = step > 3
        average.update(step, warm=warm)
        for n, value in kept.items():
            now = module.state_dict()[n].double()
            if not warm:
                kept[n] = now.clone()
            elif step % every == 0:
                kept[n] = 0.8 * value + 0.2 * now
    for n, expected in kept.items():
        assert torch.allclose(average.averages[n].double(), expected, atol=1e-5), n


def test_the_average_is_in_place_for_a_while() -> None:
    module = net()
    average = Average(module, 0.5, 1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(1)
    weights = {n: t.clone() for n, t in module.state_dict().items()}
    averages = {n: t.clone() for n, t in average.averages.items()}
    with average.in_place():
        assert all(torch.equal(module.state_dict()[n], t) for n, t in averages.items())
        norms(module)[0].reset_running_stats()
        mean = norms(module)[0].running_mean
        assert mean is not None
        mean.fill_(7)
    assert all(torch.equal(module.state_dict()[n], t) for n, t in weights.items())
    assert average.averages["1.running_mean"].eq(7).all()
