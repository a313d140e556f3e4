"""How fast 3x3 convolutions in groups are, by the width of a group and the size of what they see.

Forward, and the gradients of the input and of the weight, each by itself, beside the same convolution made
dense (one group): where dense is no slower although it multiplies far more, the groups cost more than they
save. Widths are the multiple of g next to that of a typical RegNet's stage. The result is
results/groups-DEVICE.json; with a GPU it takes some minutes, on a CPU it measures a few of the cells.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import torch
from regnetc_runtime.chance import generator
from regnetc_runtime.device import pick
from regnetc_runtime.files import write
from speed_cell import why
from speed_parent import text
from speed_timing import in_turns, quartiles, significant, warm_up
from torch import Tensor

WIDTHS = {56: 96, 28: 192, 14: 432, 7: 1008}  # of a typical stage, by its pixels
GROUPS = (8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 120, 128, 168, 232, 264)
WAYS = {
    "bf16 channels_last": (torch.bfloat16, torch.channels_last),
    "bf16": (torch.bfloat16, torch.contiguous_format),
    "float32 channels_last": (torch.float32, torch.channels_last),
    "float32": (torch.float32, torch.contiguous_format),
}
BATCH, SECONDS = 256, 0.15
ON_A_CPU: dict[str, Any] = {"groups": (8, 24, 56), "pixels": (14, 7), "batch": 4}
ON_A_CPU_WAYS = ("float32", "float32 channels_last")
MASKS = {"input gradient": [True, False, False], "weight gradient": [False, True, False]}


def passes(
    x: Tensor, weight: Tensor, above: Tensor, groups: int
) -> dict[str, Callable[[], object]]:
    """The forward pass and both gradients of a convolution with stride 1; `above` is its output's gradient."""
    settings: tuple[Any, ...] = ([1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    aten = torch.ops.aten

    def gradient(mask: list[bool]) -> Callable[[], object]:
        return lambda: aten.convolution_backward(above, x, weight, None, *settings, mask)

    found: dict[str, Callable[[], object]] = {name: gradient(mask) for name, mask in MASKS.items()}
    return {"forward": lambda: aten.convolution(x, weight, None, *settings), **found}


def cell(g: int, pixels: int, way: str, batch: int, device: torch.device) -> dict[str, Any]:
    """Times, arithmetic and traffic of a convolution in groups, and how much faster it is than dense."""
    width = max(1, round(WIDTHS[pixels] / g)) * g
    dtype, layout = WAYS[way]
    rng = generator("benchmark", "groups", g, pixels)

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng).to(device, dtype, memory_format=layout)

    x, above = made(batch, width, pixels, pixels), made(batch, width, pixels, pixels)
    grouped = passes(x, made(width, g, 3, 3), above, width // g)
    dense = passes(x, made(width, width, 3, 3), above, 1)
    row: dict[str, Any] = {"g": g, "pixels": pixels, "width": width, "way": way, "batch": batch}
    macs = batch * pixels * pixels * width * g * 9
    moved = (2 * x.numel() + width * g * 9) * x.element_size()
    for name in grouped:
        runs = {"grouped": grouped[name], "dense": dense[name]}
        typical = {n: warm_up(run, device, SECONDS) for n, run in runs.items()}
        timed = in_turns(runs, typical, device, SECONDS)
        ms = timed["grouped"].median
        pairs = zip(timed["dense"].ms, timed["grouped"].ms, strict=True)
        first, median, third = quartiles([d / s for d, s in pairs])
        row[name] = {
            "ms": significant(ms),
            "dense_ms": significant(timed["dense"].median),
            "dense_over_grouped": significant(median),
            "quartiles": [significant(first), significant(third)],
            "tflops": significant(2 * macs / ms / 1e9),
            "gb_per_s": significant(moved / ms / 1e6),
        }
    return row


def grid(device_type: str) -> list[tuple[int, int, str, int]]:
    """All cells in an order without an order, so that time that runs out leaves holes, not an edge."""
    gpu = device_type == "cuda"
    few = None if gpu else ON_A_CPU
    found = [
        (g, pixels, way, few["batch"] if few else BATCH)
        for way in (WAYS if gpu else ON_A_CPU_WAYS)
        for pixels in (few["pixels"] if few else WIDTHS)
        for g in (few["groups"] if few else GROUPS)
    ]
    random.Random(0).shuffle(found)  # a generator of its own
    return sorted(found, key=lambda c: list(WAYS).index(c[2]) // 2)


def swept(device: torch.device, deadline: float, save: Callable[[list[Any]], None]) -> None:
    rows: list[dict[str, Any]] = []
    for g, pixels, way, batch in grid(device.type):
        row = {"g": g, "pixels": pixels, "way": way, "batch": batch}
        if time.monotonic() > deadline:
            rows.append(row | {"status": "skipped", "why": "there was no time left"})
            continue
        try:
            rows.append(cell(g, pixels, way, batch, device) | {"status": "measured"})
        except torch.OutOfMemoryError:
            rows.append(row | {"status": "out of memory"})
        except RuntimeError as e:
            rows.append(row | {"status": "failed", "why": why(e)})
        save(rows)
    save(rows)


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="of all of it (default: 8)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("-o", "--out", type=Path, help="default: results/groups-DEVICE.json")
    options = parser.parse_args()
    device = pick(options.device)
    torch.backends.cudnn.benchmark = True
    path = options.out or machine.ROOT / f"benchmarks/results/groups-{device.type}.json"
    result: dict[str, Any] = {
        "benchmark": "groups",
        "conditions": machine.conditions(device.type),
        "reduced": None if device.type == "cuda" else f"on a CPU: {ON_A_CPU}",
    }

    def save(rows: list[Any]) -> None:
        result["load_at_the_end"] = machine.load_average()
        write(path, text({**result, "cells": rows}).encode())

    swept(device, started + 60 * options.minutes, save)
    print(path)


if __name__ == "__main__":
    main()
