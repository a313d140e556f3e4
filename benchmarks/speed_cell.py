"""A cell of a table of speeds (a task, a way to run, a batch, some networks) to what it measured."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import machine
import speed_timing as timing
import torch
from regnetc_runtime.problems import printable
from speed_timing import Timed, significant
from speed_ways import WAYS, Run, Task, runner
from torch import nn


@dataclass(frozen=True, slots=True)
class Cell:
    """What to measure: each side's batch, which is halved up to `halvings` times where memory is short."""

    task: Task
    way: str
    batch: dict[str, int]
    halvings: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"task": self.task, "way": self.way, "batch": self.batch, "halvings": self.halvings}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the networks that are compared, on the CPU, and the side of its images in pixels."""

    net: nn.Module
    image: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A side that is warm."""

    run: Run
    typical_ms: float
    prepare_s: float
    peak_memory_bytes: int | None


def measure(
    cell: Cell, sides: Mapping[str, Side], ratios: list[list[str]], device: torch.device, seconds: float
) -> dict[str, Any]:  # fmt: skip
    """The cell's row of the result; `seconds` go to timing, what comes before takes its own.

    `status` is `measured`, `out of memory` or `failed`; the latter has a reason in `why`.
    """
    start = time.monotonic()
    row: dict[str, Any] = {"task": cell.task, "way": cell.way, "status": "out of memory"}
    short = []
    for halving in range(cell.halvings + 1):
        batch = {name: max(1, n >> halving) for name, n in cell.batch.items() if name in sides}
        row["batch"] = batch
        try:
            row |= _measured(cell, batch, sides, ratios, device, seconds)
            break
        except (RuntimeError, MemoryError) as e:
            if not _memory(e):
                row |= {"status": "failed", "why": why(e)}
                break
            short.append(batch)
        except Exception as e:
            row |= {"status": "failed", "why": why(e)}
            break
        finally:
            _clear(cell, device)
    if short:
        row["too_large"] = short
    return row | {"seconds": round(time.monotonic() - start, 2)}


def _measured(
    cell: Cell, batch: dict[str, int], sides: Mapping[str, Side], ratios: list[list[str]],
    device: torch.device, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    way = WAYS[cell.way]
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = way.tf32
    ready = {
        name: _ready(cell, side, batch[name], device, seconds / 3)
        for name, side in sides.items()
        if name in batch
    }
    timed = timing.in_turns(
        {name: r.run for name, r in ready.items()},
        {name: r.typical_ms for name, r in ready.items()},
        device,
        seconds,
    )
    found = {
        "status": "measured",
        "rounds": len(next(iter(timed.values())).ms),
        "sides": {n: _side(batch[n], timed[n], ready[n]) for n in ready},
        "ratios": {
            f"{a}/{b}": ratio(batch, timed, ready, a, b)
            for a, b in ratios
            if a in ready and b in ready
        },
    }
    if device.type == "cuda" and cell.task == "training":
        found["gpu_state"] = _state_under_load(next(iter(ready.values())))
    return found


def _ready(cell: Cell, side: Side, batch: int, device: torch.device, seconds: float) -> Ready:
    start, way, gpu = time.monotonic(), WAYS[cell.way], device.type == "cuda"
    before = torch.cuda.memory_allocated() if gpu else 0
    run = runner(side.net, cell.task, way, batch, side.image, device)
    typical = timing.warm_up(run, device, seconds)
    peak = None
    if gpu:
        torch.cuda.synchronize()
        if not way.graph:  # whose memory was taken when it was captured
            torch.cuda.reset_peak_memory_stats()
            run()
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    return Ready(run, typical, time.monotonic() - start, peak)


def _side(batch: int, timed: Timed, ready: Ready) -> dict[str, Any]:
    first, median, third = timing.quartiles(timed.ms)
    return {
        "images_per_s": significant(batch * 1e3 / median),
        "ms": significant(median),
        "ms_quartiles": [significant(first), significant(third)],
        "ms_of_rounds": [significant(ms) for ms in timed.ms],
        "runs_per_round": timed.runs_per_round,
        "peak_memory_bytes": ready.peak_memory_bytes,
        "prepare_s": round(ready.prepare_s, 2),
    }


def ratio(
    batch: Mapping[str, int], timed: Mapping[str, Timed], ready: Mapping[str, Ready], a: str, b: str
) -> dict[str, Any]:
    """Images/s of `a` over those of `b`: the median and the quartiles of the rounds' own ratios.

    `memory` is the peak of `a` over that of `b`, None on a CPU.
    """
    pairs = zip(timed[a].ms, timed[b].ms, strict=True)
    rounds = [(batch[a] / x) / (batch[b] / y) for x, y in pairs]
    first, median, third = timing.quartiles(rounds)
    mine, other = ready[a].peak_memory_bytes, ready[b].peak_memory_bytes
    return {
        "speed": significant(median),
        "quartiles": [significant(first), significant(third)],
        "memory": significant(mine / other) if mine and other else None,
    }


def _state_under_load(ready: Ready) -> dict[str, str] | None:
    """Clocks and power while about half a second of work waits in the queue."""
    for _ in range(max(1, min(500, int(500 / ready.typical_ms)))):
        ready.run()
    state = machine.gpu_state()
    torch.cuda.synchronize()
    return state


def _memory(e: BaseException) -> bool:
    """On a CPU the allocator's RuntimeError has no type of its own."""
    return isinstance(e, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(e)


def why(e: BaseException) -> str:
    """An error as one line."""
    return f"{type(e).__name__}: {printable(str(e).strip())}"


def _clear(cell: Cell, device: torch.device) -> None:
    """Leave nothing of a cell behind: no compiled code, no memory."""
    if WAYS[cell.way].compiled is not None:
        torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
