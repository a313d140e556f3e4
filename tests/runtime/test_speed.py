from __future__ import annotations

import pytest
import torch
from regnetc_runtime.device import Precision
from regnetc_runtime.problems import Problem
from regnetc_runtime.speed import _warm_up, measure
from torch import nn

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", [Precision(), Precision("bf16", channels_last=True)])
def test_a_measurement(net: nn.Module, precision: Precision) -> None:
    net.train()
    seen: list[int] = []
    speed = measure(
        net, 1, 32, 4, CPU, precision, budget_s=0.1, progress=lambda n, of, text: seen.append(n)
    )
    assert (speed.batch, speed.dtype, speed.layout) == (4, precision.dtype, precision.layout)
    assert seen == list(range(1, speed.repeats + 1))
    assert speed.repeats >= 5
    assert 1 <= speed.warmup <= 20
    assert 0 < speed.median_ms < 1000
    assert speed.iqr_ms >= 0
    assert speed.images_per_s == pytest.approx(4000 / speed.median_ms)
    assert speed.peak_memory_bytes is None
    assert all(m.training for m in net.modules())
    net(torch.zeros(2, 1, 32, 32)).sum().backward()  # the weights are still trainable


def test_five_repeats_even_without_time(net: nn.Module) -> None:
    speed = measure(net, 1, 32, 1, CPU, Precision(), budget_s=0)
    assert speed.repeats == 5
    assert speed.warmup == 1


@pytest.mark.parametrize(
    ("times", "runs"), [([9, 5, 1, 1, 1, 7], 5), ([1, 2] * 20, 20), ([3, 3.1, 3.2], 3)]
)
def test_warming_up_ends_when_times_agree(times: list[float], runs: int) -> None:
    given = iter(times)
    assert _warm_up(lambda: next(given), float("inf")) == runs


@pytest.mark.parametrize("batch", [0, -1, 10**9])
def test_a_batch_of_no_size(net: nn.Module, batch: int) -> None:
    with pytest.raises(Problem) as e:
        measure(net, 1, 32, batch, CPU, Precision())
    assert e.value.name == "wrong-use"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_measurement_on_a_gpu(net: nn.Module) -> None:
    speed = measure(net, 1, 32, 4, torch.device("cuda"), Precision("bf16"), budget_s=0.5)
    assert speed.peak_memory_bytes
    assert speed.images_per_s > 0
