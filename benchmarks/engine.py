"""How fast design spaces are searched, against the same work one candidate at a time (`scalar`).

All in one run on one core, so that ratios mean something:

1. resolve and count: candidates of RegNetX_E that have four stages, drawn beforehand; widths and depths from
   the line, groups, params, activations and flops in five conventions. Both sides get the same candidates
   and have to come to the same integers.
2. end to end: members of RegNetX-400MF-regime a second, drawing and refusing included; against drawing from
   the space as it is written, and from ranges that somebody narrowed by hand first.
3. the whole process of `regnetc sample spec/x400mf_space.regnet -n 500`.
4. time and memory of searching more and more candidates, a process each: 10^5 to 10^8, with `--long` to 10^9.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scalar
from regnetc.driver import check_file
from regnetc.spaces.batch import Batch
from regnetc.spaces.box import shrink
from regnetc.spaces.counting import COUNTS
from regnetc.spaces.engine import BLOCK, Engine
from regnetc.spaces.space import Space, read
from startup import processor

ROOT = Path(__file__).resolve().parent.parent
REGIME = ROOT / "spec/x400mf_space.regnet"
SAME = 4_000  # candidates that both sides work out
MANY = 2_000_000
ROUNDS = 5
SCALAR_S = 15


def space(file: Path, name: str) -> Space:
    return read(check_file(file).scopes[name])


def drawn(engine: Engine, n: int) -> list[Batch]:
    """Batches of candidates with four stages, every parameter drawn."""
    batches: list[Batch] = []
    first = 0
    while sum(b.n for b in batches) < n:
        for batch in engine.batches(first, 16 * BLOCK):
            for variable in engine.space.variables:
                batch.cell(*variable.cell)
            batches.append(batch)
        first += 16 * BLOCK
    return batches


def work(engine: Engine, batches: list[Batch]) -> tuple[int, Any]:
    """Resolve and count; how many networks there were, and the counts of the first batch's."""
    done, first = 0, None
    for batch in batches:
        (group,) = engine.grouped(copy.copy(batch))
        group.build()
        out = engine.room("benchmark", len(COUNTS), group.n)
        counts = group.counter().exactly(group.built, COUNTS, out)
        done += group.left
        if first is None:
            first = group.candidates.copy(), counts.copy(), group.alive
    return done, first


def resolve_and_count() -> dict[str, Any]:
    engine = Engine(space(ROOT / "spec/anynetx.regnet", "RegNetX_E"), 0)
    batches = drawn(engine, MANY)
    _, (candidates, counts, alive) = work(engine, batches[:1])
    same = np.flatnonzero(alive)[:SAME]
    batch = batches[0]
    at = {int(c): k for k, c in enumerate(batch.candidates)}
    columns = {cell[0]: batch.given[cell] for cell in batch.given}
    given = [
        {
            "d": int(columns["d"][k]),
            "w0": int(columns["w0"][k]),
            "wa": float(columns["wa"][k]),
            "wm": float(columns["wm"][k]),
            "b": 1 / float(columns["b"][k]),
            "g": int(columns["g"][k]),
        }
        for k in (at[int(candidates[j])] for j in same)
    ]
    ours, theirs = [], []
    costs: list[scalar.Cost] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        costs = [scalar.count(*scalar.resolved(c)) for c in given]
        theirs.append(len(given) / (time.perf_counter() - start))
        start = time.perf_counter()
        done, _ = work(engine, batches)
        ours.append(done / (time.perf_counter() - start))
    for j, cost in zip(same, costs, strict=True):
        assert {n: int(counts[k, j]) for k, n in enumerate(COUNTS)} == {n: cost[n] for n in COUNTS}
    return compared(ours, theirs, "networks", compared_exactly=len(given))


def end_to_end() -> dict[str, Any]:
    """Members a second; the scalar side from the space as written, and from ranges narrowed by hand."""
    regime = space(REGIME, "RegNetX-400MF-regime")
    engine = Engine(regime, 0, shrink(regime))
    ours = []
    for k in range(ROUNDS):
        start = time.perf_counter()
        members = len(engine.run(k * MANY, MANY).candidates)
        ours.append(members / (time.perf_counter() - start))
    out = {}
    for name, draw in (("as_written", scalar.draw_as_written), ("narrowed", scalar.draw)):
        r, met, looked = random.Random(0), 0, 0
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < SCALAR_S:
            met += sum(scalar.member(draw(r)) is not None for _ in range(1000))
            looked += 1000
        per_s = round(looked / spent)
        out[name] = compared(ours, [met / spent], "members", scalar_candidates_per_s=per_s)
    return out


def compared(ours: list[float], theirs: list[float], what: str, **more: Any) -> dict[str, Any]:
    a, b = statistics.median(ours), statistics.median(theirs)
    return {
        f"engine_{what}_per_s": round(a),
        f"scalar_{what}_per_s": round(b, 1),
        "ratio": round(a / b),
        **more,
    }


def process() -> dict[str, Any]:
    """Seconds of the whole command, start of Python and writing of files included."""
    command = [str(Path(sys.executable).parent / "regnetc"), "sample", str(REGIME), "-n", "500"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            subprocess.run(
                [*command, "-o", f"{folder}/p"], check=True, capture_output=True, env=environment
            )
            times.append(time.perf_counter() - start)
    return {
        "networks": 500,
        "median_s": round(statistics.median(times), 3),
        "worst_s": round(max(times), 3),
    }


def search(candidates: int) -> None:
    """Look at so many candidates, and say how long it took and how much memory."""
    regime = space(REGIME, "RegNetX-400MF-regime")
    engine = Engine(regime, 0, shrink(regime))
    start, members, step = time.perf_counter(), 0, 64 * BLOCK
    for first in range(0, candidates, step):
        members += len(engine.run(first, min(step, candidates - first)).candidates)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        json.dumps(
            {"candidates": candidates, "members": members, "s": seconds, "peak_mib": peak // 1024}
        )
    )


def curve(*, long: bool) -> list[dict[str, Any]]:
    rows = []
    for power in range(5, 10 if long else 9):
        done = subprocess.run(
            [sys.executable, __file__, "--search", str(10**power)],
            check=True, capture_output=True, text=True, cwd=ROOT / "benchmarks",
        )  # fmt: skip
        row = json.loads(done.stdout)
        row["ns_per_candidate"] = round(row["s"] / row["candidates"] * 1e9, 1)
        row["s"] = round(row["s"], 3)
        rows.append(row)
        print(row, file=sys.stderr)
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--search"]:
        search(int(sys.argv[2]))
        return
    result = {
        "processor": processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cores_used": 1,
        "resolve_and_count": resolve_and_count(),
        "end_to_end": end_to_end(),
        "process": process(),
        "curve": curve(long="--long" in sys.argv),
    }
    text = json.dumps(result, indent=2) + "\n"
    (ROOT / "benchmarks/results/engine.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
