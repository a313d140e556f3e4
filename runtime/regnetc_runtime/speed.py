"""A network to its latency and throughput on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from .device import Precision, describe
from .limits import BATCH, TIMED_RUNS
from .modes import enough_memory, evaluating
from .problems import Problem
from .progress import Progress, silent

WARMUP_RUNS = 20  # at most; cuDNN's search and the caches are through long before
STEADY = 0.1  # three runs in a row within this of each other end the warm-up
LEAST_REPEATS = 5
BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast batches of `batch` images go through, from the input on the device to the logits.

    Times are those of one batch in milliseconds; `iqr_ms` is the spread of the middle half of the
    repeats. `peak_memory_bytes` is what torch allocated on a GPU, None on a CPU.
    """

    batch: int
    dtype: str
    layout: str
    device: str
    warmup: int
    repeats: int
    median_ms: float
    iqr_ms: float
    images_per_s: float
    peak_memory_bytes: int | None


def measure(
    net: nn.Module,
    channels: int,
    image: int,
    batch: int,
    device: torch.device,
    precision: Precision,
    *,
    budget_s: float | None = None,
    progress: Progress = silent,
) -> Speed:
    """Time the network in evaluation mode for about `budget_s` seconds (3), at least five repeats.

    The network moves to the device and its layout, and stays there. Raises `out-of-memory`,
    `no-precision`, and `wrong-use` for a batch of no size.
    """
    if not 1 <= batch <= BATCH:
        raise Problem("wrong-use", f"a batch holds 1 to {BATCH:,} images, not {batch}")
    with enough_memory(batch):
        net = precision.place_net(net, device)  # outside inference mode: it stays trainable
        images = precision.place_batch(torch.zeros(batch, channels, image, image), device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with evaluating(net), torch.inference_mode(), precision.autocast(device):
            budget = BUDGET_S if budget_s is None else budget_s
            warmup, times = _time(lambda: net(images), device, budget, progress)
    first, median, third = statistics.quantiles(times, n=4, method="inclusive")
    return Speed(
        batch=batch,
        dtype=precision.dtype,
        layout=precision.layout,
        device=describe(device),
        warmup=warmup,
        repeats=len(times),
        median_ms=median,
        iqr_ms=third - first,
        images_per_s=batch * 1000 / median,
        peak_memory_bytes=(
            torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
        ),
    )


def _time(
    run: Callable[[], object], device: torch.device, budget_s: float, progress: Progress
) -> tuple[int, list[float]]:
    """How many runs warmed up, and the milliseconds of each run after them."""
    timer = _cuda_timer(device) if device.type == "cuda" else _cpu_timer
    start = time.monotonic()
    warmup = _warm_up(lambda: timer(run), start + budget_s / 3)
    times: list[float] = []
    while len(times) < LEAST_REPEATS or time.monotonic() < start + budget_s:
        times.append(timer(run))
        progress(len(times), None, "timing")
        if len(times) == TIMED_RUNS:
            break
    return warmup, times


def _warm_up(run: Callable[[], float], deadline: float) -> int:
    """Run until three times in a row agree, the bound is reached or the time is up; how often."""
    times: list[float] = []
    while len(times) < WARMUP_RUNS:
        times.append(run())
        last = times[-3:]
        steady = len(last) == 3 and max(last) <= (1 + STEADY) * min(last)
        if steady or time.monotonic() > deadline:
            break
    return len(times)


def _cpu_timer(run: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6


def _cuda_timer(device: torch.device) -> Callable[[Callable[[], object]], float]:
    """Milliseconds between two events around the run, on an otherwise idle GPU."""

    def timer(run: Callable[[], object]) -> float:
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return timer
