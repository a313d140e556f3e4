from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from regnetc_runtime import weights
from regnetc_runtime.data import digits
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation.accuracy import evaluate
from regnetc_runtime.load import build, load
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.train import Epoch, Recipe, Trained, distort, learning_rate, train
from torch import nn

CPU = torch.device("cpu")
SHORT = Recipe(epochs=2)


def run(net: nn.Module, path: Path, recipe: Recipe = SHORT) -> Trained:
    seen: list[Epoch] = []
    found = train(net, 1, 32, "digits", recipe, CPU, path, name="Digits", on_epoch=seen.append)
    assert tuple(seen) == found.history
    return found


def test_from_a_fresh_network_to_one_that_reads(code: bytes, path: Path) -> None:
    net = build(load(code, "digits.py"))
    found = run(net, path, Recipe(epochs=6))
    assert [e.number for e in found.history] == [1, 2, 3, 4, 5, 6]
    assert found.history[-1].loss < found.history[0].loss
    assert found.history[-1].eta_s == 0 < found.history[0].eta_s
    assert not found.interrupted

    saved = weights.read(path)
    assert saved.digest == found.digest
    assert saved.meta["name"] == "Digits"
    assert json.loads(saved.meta["recipe"]) == dataclasses.asdict(Recipe(epochs=6))
    other = build(load(code, "digits.py"), seed=3)
    weights.load_into(other, saved)
    preprocess = Preprocess.from_json(saved.meta["preprocess"])
    test = digits.load(preprocess.crop).test
    accuracy = evaluate(other, test.batches(64), preprocess, CPU, Precision(), data="digits")
    assert accuracy.images == 359
    assert accuracy.top1 > 95
    assert evaluate(net, test.batches(64), preprocess, CPU, Precision(), data="").loss == (
        accuracy.loss
    )


def test_the_same_seed_gives_the_same_bits(code: bytes, tmp_path: Path) -> None:
    digests = set()
    for i in range(2):
        torch.manual_seed(i)
        net = build(load(code, "digits.py"), seed=1)
        digests.add(run(net, tmp_path / str(i), dataclasses.replace(SHORT, seed=1)).digest)
    assert len(digests) == 1
    assert torch.get_num_threads() == 1


def test_ctrl_c_keeps_what_there_is(net: nn.Module, path: Path) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    recipe = Recipe(epochs=30)
    found = train(net, 1, 32, "digits", recipe, CPU, path, name="x", on_epoch=stop)
    assert found.interrupted
    assert len(found.history) == 2
    saved = weights.read(path)
    assert saved.meta["epoch"] == "2"
    assert all(torch.equal(t, saved.tensors[k]) for k, t in net.state_dict().items())


def test_ctrl_c_before_there_is_anything(
    net: nn.Module, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.SGD, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        run(net, path)
    assert not path.exists()


def test_a_loss_that_grows_without_bound(net: nn.Module, path: Path) -> None:
    with pytest.raises(Problem) as e:
        run(net, path, Recipe(epochs=1, lr=1000, warmup=0))
    assert e.value.name in ("diverged", "not-finite")
    assert not path.exists()


def test_what_cannot_be_trained(net: nn.Module, code: bytes, path: Path) -> None:
    hundred = build(load(code, "digits.py"), classes=100)
    for broken, channels, data, where, problem in [
        (net, 1, "imagenet\x1b", path, "not-trainable"),
        (hundred, 1, "digits", path, "class-count"),
        (net, 3, "digits", path, "wrong-input"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)), 3, "digits", path, "wrong-input"),
        (net, 1, "digits", path.parent / "none" / "x", "cannot-write"),
    ]:
        with pytest.raises(Problem) as e:
            train(broken, channels, 32, data, SHORT, CPU, where, name="x", on_epoch=print)
        assert e.value.name == problem


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch": 1},
        {"lr": math.nan},
        {"lr": -1.0},
        {"momentum": 1.5},
        {"seed": -1},
        {"threads": 0},
        {"shift": math.inf},
        {"zoom": 1.0},
    ],
)
def test_recipes_out_of_bounds(change: dict[str, float]) -> None:
    with pytest.raises(Problem) as e:
        dataclasses.replace(SHORT, **change)  # type: ignore[arg-type]
    assert e.value.name == "bad-recipe"


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = Recipe(lr=2.0, warmup=0.1)
    rates = [learning_rate(i, 100, recipe) for i in range(100)]
    assert rates[:10] == pytest.approx([0.2 * i for i in range(1, 11)])
    assert rates[10] == 2
    assert rates[55] == pytest.approx(1)
    assert 0 < rates[99] < 0.001
    assert learning_rate(0, 100, Recipe(lr=2.0, warmup=0)) == 2
    assert learning_rate(99, 100, Recipe(lr=2.0, warmup=1)) == 2
    assert learning_rate(0, 1, recipe) == 2


def test_distorting() -> None:
    images = torch.rand(4, 1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    still = Recipe(shift=0, turn=0, zoom=0)
    assert torch.allclose(distort(images, still, generator), images, atol=1e-5)
    dot = torch.zeros(200, 1, 17, 17)
    dot[:, :, 8, 8] = 1
    moved = distort(dot, Recipe(shift=3, turn=0, zoom=0), generator)
    mass = moved.sum((1, 2))
    centres = (mass * torch.arange(17.0)).sum(1) / mass.sum(1)
    assert 5 < centres.min() < 5.5
    assert 10.5 < centres.max() < 11
    assert torch.allclose(moved.sum((1, 2, 3)), torch.ones(200), atol=1e-4)
    turned = distort(images[:1].expand(8, -1, -1, -1), Recipe(), generator)
    assert len({float(t.sum()) for t in turned}) == 8
