"""Functions that each run one batch, to milliseconds: in turns, so that a machine that drifts hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import machine
import torch
from speed_ways import Run

STEADY = 0.1  # three runs in a row within this of each other end a warm-up
WARM_UP_RUNS = 30  # at most
ROUNDS = (5, 30)
ROUNDS_ON_A_CPU = (3, 15)
ROUND_MS = 40.0  # of each side on a GPU, where one short run says little


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of one run in every round, and how many runs a round of that side has."""

    ms: list[float]
    runs_per_round: int

    @property
    def median(self) -> float:
        return statistics.median(self.ms)


def timer(device: torch.device) -> Callable[[Run, int], float]:
    """A function from what runs, and how often, to the milliseconds of all of it."""
    if device.type == "cuda":
        return _cuda
    now = time.process_time_ns if machine.clock("cpu") == "processor time" else time.perf_counter_ns

    def on_a_cpu(run: Run, times: int) -> float:
        start = now()
        for _ in range(times):
            run()
        return (now() - start) / 1e6

    return on_a_cpu


def _cuda(run: Run, times: int) -> float:
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def warm_up(run: Run, device: torch.device, seconds: float) -> float:
    """Run until three runs in a row agree or the time is up; the milliseconds of the last.

    The time begins after the first run, which compiles, and searches for algorithms.
    """
    timed = timer(device)
    run()
    until = time.monotonic() + seconds
    times: list[float] = []
    while len(times) < WARM_UP_RUNS:
        times.append(timed(run, 1))
        last = times[-3:]
        steady = len(last) == 3 and max(last) <= (1 + STEADY) * min(last)
        if steady or time.monotonic() > until:
            break
    return times[-1]


def in_turns(
    runs: dict[str, Run], typical_ms: dict[str, float], device: torch.device, seconds: float
) -> dict[str, Timed]:
    """Time every side once a round, in an order that turns around from round to round.

    There are as many rounds as fit in `seconds`, within `ROUNDS` or `ROUNDS_ON_A_CPU`.
    """
    timed = timer(device)
    gpu = device.type == "cuda"
    times = {
        n: max(1, min(500, round(ROUND_MS / ms))) if gpu else 1 for n, ms in typical_ms.items()
    }
    one_s = sum(ms * times[n] for n, ms in typical_ms.items()) / 1e3
    least, most = ROUNDS if gpu else ROUNDS_ON_A_CPU
    rounds = max(least, min(most, int(seconds / one_s)))
    found: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(rounds):
        for name in list(runs) if k % 2 == 0 else list(runs)[::-1]:
            found[name].append(timed(runs[name], times[name]) / times[name])
    return {name: Timed(ms, times[name]) for name, ms in found.items()}


def quartiles(numbers: list[float]) -> tuple[float, float, float]:
    """The quartiles, of two numbers or more."""
    first, median, third = statistics.quantiles(numbers, n=4, method="inclusive")
    return first, median, third


def significant(number: float, digits: int = 5) -> float:
    """A number as it stands in a result."""
    return float(f"{number:.{digits}g}")
