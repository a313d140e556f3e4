"""What is measured of ours, and works to images per second: on one core, in turns, in processor time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from regnetc_runtime.augment.images import Prepare, prepare_for
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.data.decode import decode
from regnetc_runtime.training.recipe import Call, Recipe

Work = Callable[[Any, int], object]  # with a file and its number

SIDE = 224
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
ROUNDS = 7
PLAIN = Recipe(
    "crop and flip", "imagenet", 1, 64, Call("sgd", {"lr": 0.1}), Call("constant", {}),
    scale=SCALE, ratio=RATIO, flip=0.5,
)  # fmt: skip


def prepared(recipe: Recipe) -> Prepare:
    found = prepare_for(recipe, SIDE, 3, 0)
    assert found is not None
    return found


def ours(recipe: Recipe) -> Work:
    prepare = prepared(recipe)
    return lambda data, k: prepare(decode(data, "x", 3), numpy_generator(0, "image", 0, k))


def rates(works: dict[str, Work], files: list[Any], first: str = "ours") -> dict[str, Any]:
    """Images/s of each on one core, medians of rounds taken in turns, and `first` over each."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(ROUNDS + 1):
        for name, work in works.items():
            start = time.process_time()
            for k, data in enumerate(files):
                work(data, turn * len(files) + k)
            if turn:
                seconds[name].append(time.process_time() - start)
    per_s = {name: len(files) / statistics.median(s) for name, s in seconds.items()}
    return {
        name: {"images_per_s": round(n), f"{first}_over_it": round(per_s[first] / n, 2)}
        for name, n in per_s.items()
    }


def compared(found: dict[str, float]) -> dict[str, Any]:
    return {
        name: {"images_per_s": round(n), "ours_over_it": round(found["ours"] / n, 2)}
        for name, n in found.items()
    }


def seconds(work: Callable[[int], object], device: torch.device) -> float:
    times = []
    for k in range(ROUNDS + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter() if device.type == "cuda" else time.process_time()
        work(k)
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter() if device.type == "cuda" else time.process_time()
        times.append(now - start)
    return statistics.median(times[2:])
