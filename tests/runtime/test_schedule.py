"""Learning rates against torch's schedulers and against pycls's rule."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from regnetc_runtime.training.recipe import Call, Recipe
from regnetc_runtime.training.schedule import learning_rate
from torch.optim import lr_scheduler

EPOCHS, STEPS, RATE = 12, 7, 0.4
CURVE: dict[str, Any] = {"floor": 0.0, "begins": "warmup"}


def recipe(name: str, *, batch: int = 64, rule: Call | None = None, **arguments: Any) -> Recipe:
    said = {"warmup": 0.0, "start": 0.0, "by": "step", **arguments}
    return Recipe(
        name="x", data="digits", epochs=EPOCHS, batch=batch, batch_rule=rule,
        optimizer=Call("sgd", {"lr": RATE}), schedule=Call(name, said),
    )  # fmt: skip


def ours(said: Recipe) -> list[float]:
    return [learning_rate(step, STEPS, said) for step in range(EPOCHS * STEPS)]


def theirs(make: Any, times: int) -> list[float]:
    """The rates of torch's scheduler, stepped `times` times."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=RATE)
    scheduler = make(optimizer)
    rates = []
    for _ in range(times):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def with_warmup(after: Any, warmup: int, start: float) -> Any:
    def make(o: Any) -> Any:
        first = lr_scheduler.LinearLR(o, start_factor=start, total_iters=warmup)
        return lr_scheduler.SequentialLR(o, [first, after(o)], milestones=[warmup])

    return make


@pytest.mark.parametrize("warmup", [1, 3])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_after_a_warmup(warmup: int, floor: float) -> None:
    said = recipe("cosine", warmup=float(warmup), start=0.1, floor=floor, begins="warmup")
    rest = (EPOCHS - warmup) * STEPS

    def cosine(o: Any) -> Any:
        return lr_scheduler.CosineAnnealingLR(o, T_max=rest, eta_min=floor * RATE)

    expected = theirs(with_warmup(cosine, warmup * STEPS, 0.1), EPOCHS * STEPS)
    assert ours(said) == pytest.approx(expected, rel=1e-9)


def test_cosine_by_epoch() -> None:
    said = recipe("cosine", by="epoch", **CURVE)
    expected = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=EPOCHS), EPOCHS)
    assert ours(said) == pytest.approx([e for e in expected for _ in range(STEPS)], rel=1e-9)


@pytest.mark.parametrize("by", ["step", "epoch"])
def test_pycls_multiplies_the_warmup_onto_the_cosine(by: str) -> None:
    warmup, factor = 5, 0.1
    said = recipe("cosine", warmup=5.0, start=factor, floor=0.0, begins="start", by=by)
    expected = []
    for step in range(EPOCHS * STEPS):
        epoch = step // STEPS if by == "epoch" else step / STEPS
        rate = 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS)) * RATE
        if epoch < warmup:
            alpha = epoch / warmup
            rate *= factor * (1 - alpha) + alpha
        expected.append(rate)
    assert ours(said) == pytest.approx(expected, rel=1e-12)


def test_linear() -> None:
    said = recipe("linear", **{**CURVE, "floor": 0.2})
    expected = theirs(
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=EPOCHS * STEPS), EPOCHS * STEPS
    )
    assert ours(said) == pytest.approx(expected, rel=1e-9)


def test_steps() -> None:
    said = recipe("step", at=(4.0, 9.0), factor=0.1, by="epoch")
    expected = theirs(lambda o: lr_scheduler.MultiStepLR(o, [4, 9], gamma=0.1), EPOCHS)
    assert ours(said) == pytest.approx([e for e in expected for _ in range(STEPS)], rel=1e-9)


def test_exponential() -> None:
    said = recipe("exponential", factor=0.9, every=1.0, by="epoch")
    expected = theirs(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9), EPOCHS)
    assert ours(said) == pytest.approx([e for e in expected for _ in range(STEPS)], rel=1e-9)
    slower = recipe("exponential", factor=0.9, every=2.5, by="epoch")
    assert ours(slower)[5 * STEPS] == pytest.approx(RATE * 0.9**2)


def test_constant_after_a_warmup() -> None:
    rates = ours(recipe("constant", warmup=2.0, start=0.5))
    assert rates[0] == pytest.approx(RATE / 2)
    assert rates[STEPS] == pytest.approx(RATE * 0.75)
    assert set(rates[2 * STEPS :]) == {RATE}


@pytest.mark.parametrize(("name", "times"), [("linear", 4.0), ("sqrt", 2.0)])
def test_batch_rules(name: str, times: float) -> None:
    said = recipe("constant", batch=256, rule=Call(name, {"per": 64}))
    assert said.lr == pytest.approx(RATE * times)
    assert ours(said)[0] == pytest.approx(RATE * times)
