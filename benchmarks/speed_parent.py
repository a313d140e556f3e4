"""A plan of cells and a time by which to end, to a result that is on disk after every network."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
from regnetc_runtime.files import make_folder, write

WORKER = Path(__file__).with_name("speed_worker.py")
HELLO_S = 180.0  # for a process to import torch and find its device
FORCED = {"TORCHINDUCTOR_FORCE_LAYOUT_OPT": "1"}


@dataclass(frozen=True, slots=True)
class Order:
    """The cells of one network that one process measures, as in `speed_worker`."""

    network: str
    sides: list[dict[str, Any]]
    cells: list[dict[str, Any]]
    ratios: list[list[str]]
    check: bool = True


@dataclass(frozen=True, slots=True)
class Phase:
    """Orders that share a process and a share of the time that is left when the phase begins."""

    name: str
    share: float
    orders: list[Order]
    environment: dict[str, str] = field(default_factory=dict)


class Worker:
    """A process that measures, and everything that it starts."""

    def __init__(self, device: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), device],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
            env={**os.environ, **environment}, cwd=WORKER.parent, start_new_session=True,
        )  # fmt: skip
        self.said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(json.loads(line))
        self.said.put(None)

    def send(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the next event says that it died
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def event(self, until: float) -> dict[str, Any] | None:
        """The next event, None where the process has ended. Raises `queue.Empty` when the time is up."""
        return self.said.get(timeout=max(0.0, until - time.monotonic()))

    def hello(self, until: float) -> dict[str, Any]:
        """The conditions. Ends the program where there is no such device. Raises `queue.Empty`."""
        event = self.event(until)
        if event is None or event["event"] != "hello":
            sys.exit(f"error: {event['message'] if event else 'the measuring process died'}")
        conditions: dict[str, Any] = event["conditions"]
        return conditions

    def end(self) -> None:
        """End the process with its children, and take its pipes down."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Bench:
    """A run: its result, and who measures. `deadline` is by `time.monotonic`."""

    def __init__(self, device: str, out: Path | None, name: str, deadline: float) -> None:
        self.device, self.deadline, self.started = device, deadline, time.monotonic()
        self.worker: Worker | None = Worker(device, {})
        self.environment: dict[str, str] = {}
        try:
            conditions = self.worker.hello(self.started + HELLO_S)
        except BaseException:
            self.close()
            raise
        self.device_type: str = conditions["device_type"]
        self.path = out or machine.ROOT / f"benchmarks/results/{name}-{self.device_type}.json"
        self.result: dict[str, Any] = {"benchmark": name, "conditions": conditions, "networks": {}}

    def run(self, phases: list[Phase]) -> None:
        """Measure what there is time for; every other cell stays in the result as skipped."""
        for phase in phases:
            for order in phase.orders:
                self._place(order)
        self.save()
        for phase in phases:
            begin = time.monotonic()
            end = begin + phase.share * (self.deadline - begin)
            for k, order in enumerate(phase.orders):
                slice_s = (end - time.monotonic()) / (len(phase.orders) - k)
                if slice_s > 0:
                    self._measure(order, phase.environment, slice_s)
                    self.save()
        self.save()

    def save(self) -> None:
        now = {"load_at_the_end": machine.load_average(), "seconds": self._elapsed()}
        self.result["conditions"] |= now
        make_folder(self.path.parent)
        write(self.path, text(self.result).encode())

    def close(self) -> None:
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    def _elapsed(self) -> float:
        return round(time.monotonic() - self.started, 1)

    def _place(self, order: Order) -> None:
        """Put rows into the result that say `skipped`; an order's cells get their places in it."""
        entry = self.result["networks"].setdefault(order.network, {"sides": {}, "cells": []})
        rows = entry["cells"]
        for cell in order.cells:
            cell["at"] = len(rows)
            skipped = {"status": "skipped", "why": "there was no time left"}
            rows.append({k: cell[k] for k in ("task", "way", "batch")} | skipped)

    def _measure(self, order: Order, environment: dict[str, str], slice_s: float) -> None:
        """Have an order measured, by as many processes as it takes."""
        until = time.monotonic() + slice_s
        left = {cell["at"]: {k: v for k, v in cell.items() if k != "at"} for cell in order.cells}
        while left and time.monotonic() < min(until, self.deadline):
            if self.worker is None or environment != self.environment:
                self.close()
                self.worker, self.environment = Worker(self.device, environment), environment
                try:
                    self.worker.hello(self.deadline)
                except queue.Empty:
                    self.close()
                    return
            self.worker.send({
                "network": order.network, "sides": order.sides, "check": order.check,
                "cells": list(left.items()), "ratios": order.ratios,
                "seconds": until - time.monotonic(),
            })  # fmt: skip
            if self._listen(order.network, left):
                return

    def _listen(self, network: str, left: dict[int, Any]) -> bool:
        """Take in events; whether the order is done with. Cells that have a row leave `left`."""
        assert self.worker is not None
        entry = self.result["networks"][network]
        current: int | None = None
        while True:
            try:
                event = self.worker.event(self.deadline)
            except queue.Empty:
                self.close()
                return True
            match event:
                case None:
                    code = self.worker.process.wait()
                    self.close()
                    # One that dies before it measures would do so again.
                    lost = [current] if current in left else list(left)
                    for index in lost:
                        why = f"the measuring process ended with {code}"
                        entry["cells"][index] |= {"status": "failed", "why": why}
                        left.pop(index)
                    return not left
                case {"event": "sides", "sides": sides}:
                    entry["sides"] |= sides
                case {"event": "begin", "index": current}:
                    pass
                case {"event": "cell", "index": index, "row": row}:
                    entry["cells"][index] = row
                    left.pop(index)
                    print(line(network, row), file=sys.stderr, flush=True)
                case {"event": "end"}:
                    return True


@contextlib.contextmanager
def bench(name: str, device: str, out: Path | None, deadline: float) -> Iterator[Bench]:
    """A run that leaves no process behind, and says at its end what it did."""
    found = Bench(device, out, name, deadline)
    try:
        yield found
    finally:
        found.close()
    rows = [row for entry in found.result["networks"].values() for row in entry["cells"]]
    counts = Counter(row["status"] for row in rows)
    print(f"{found.path}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))


def line(network: str, row: dict[str, Any]) -> str:
    """A measured or failed cell, for a person to read."""
    head = f"{network:8} {row['task']:9} {row['way']:40} {max(row['batch'].values(), default=0):4}"
    if row["status"] != "measured":
        return f"{head}  {row['status']} {row.get('why', '')}"
    speeds = "  ".join(f"{n} {shown(s['images_per_s'])}/s" for n, s in row["sides"].items())
    ratios = "  ".join(
        f"{n} {r['speed']:.3f} [{r['quartiles'][0]:.3f}, {r['quartiles'][1]:.3f}]"
        for n, r in row["ratios"].items()
    )
    return f"{head}  {speeds}  {ratios}"


def shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def text(result: dict[str, Any]) -> str:
    """JSON with a line for every cell, so that a result reads and compares as a table."""
    rows: list[str] = []

    def kept(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: kept(v, k) for k, v in value.items()}
        if key == "cells":
            rows.extend(json.dumps(row) for row in value)
            return [f"@{k}" for k in range(len(rows) - len(value), len(rows))]
        return value

    found = json.dumps(kept(result), indent=1)
    for k, row in enumerate(rows):
        found = found.replace(f'"@{k}"', row)
    return found + "\n"
