"""The learning rate of every step."""

from __future__ import annotations

import math

from .recipe import Recipe


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """The rate of a step, counted from 0, where an epoch has `steps` steps.

    Time is counted in epochs: t = step / steps, or whole epochs with `by = epoch`. During the warm-up
    the factor rises on a line from `start` to 1. What follows is
    `cosine`: floor + (1 - floor) (1 + cos(pi s)) / 2 and `linear`: 1 - (1 - floor) s, where s goes from
    0 to 1 between the end of the warm-up and that of the training; with `begins = start`, between the
    beginning and the end of the training, and the warm-up is multiplied onto that, as pycls does;
    `step`: factor^n after the n-th of the epochs `at`; `exponential`: factor^floor(t / every);
    `constant`: 1. The last three count epochs from the beginning of the training.
    """
    schedule = recipe.schedule
    t = float(step // steps) if schedule.word("by") == "epoch" else step / steps
    warmup, start = schedule.number("warmup"), schedule.number("start")
    rising = start + (1 - start) * t / warmup if t < warmup else 1.0
    if t < warmup and schedule.arguments.get("begins") == "warmup":
        return recipe.lr * rising
    return recipe.lr * rising * _shape(t, recipe)


def _shape(t: float, recipe: Recipe) -> float:
    """What the schedule multiplies the rate by at t epochs, the warm-up apart."""
    schedule = recipe.schedule
    match schedule.name:
        case "cosine" | "linear":
            begin = schedule.number("warmup") if schedule.word("begins") == "warmup" else 0.0
            s = (t - begin) / (recipe.epochs - begin) if recipe.epochs > begin else 1.0
            fallen = (1 - math.cos(math.pi * s)) / 2 if schedule.name == "cosine" else s
            return 1 - (1 - schedule.number("floor")) * fallen
        case "step":
            passed = sum(t >= epoch for epoch in schedule.numbers("at"))
            return schedule.number("factor") ** passed
        case "exponential":
            return schedule.number("factor") ** math.floor(t / schedule.number("every"))
        case _:
            return 1.0
