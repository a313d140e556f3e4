"""How long `regnetc check` takes: the whole process against its imports, and a spec after start.

Two ratios in one run, so that the machine cancels out. (1) `regnetc check spec/x400mf.regnet`, whole
process, over `python -c "import click, lark"`; the two alternate, medians are compared. (2) Checking
each shipped spec in one process after a warm-up, files parsed anew every time, in milliseconds and
over parsing the same text with lark alone.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 40


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def alternate(commands: dict[str, list[str]]) -> dict[str, list[float]]:
    """Seconds of each command, taken in turns after one run that fills the caches."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(RUNS + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
            if run:
                times[name].append(time.perf_counter() - start)
    return times


def median_ms(work: Callable[[], object], runs: int = 30) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def per_spec() -> list[dict[str, object]]:
    from regnetc import grammar, library, program
    from regnetc.driver import check_file

    def check(path: str) -> None:
        program._parsed.cache_clear()
        check_file(path)

    def parse_alone(texts: list[str]) -> None:
        for text in texts:
            grammar.parser().parse(text)

    rows: list[dict[str, object]] = []
    for path in library.specs():
        declared = len(check_file(path).scopes)
        used = {path, *(p for p in library.specs() if p.endswith("families.regnet"))}
        texts = [Path(p).read_text("utf-8") for p in used]
        check(path)
        checked = median_ms(partial(check, path))
        parsed = median_ms(partial(parse_alone, texts))
        rows.append(
            {
                "spec": Path(path).name,
                "declarations": declared,
                "check_ms": round(checked, 2),
                "over_lark_alone": round(checked / parsed, 2),
            }
        )
    return rows


def main() -> None:
    tools = Path(sys.executable).parent
    times = alternate(
        {
            "import click, lark": [sys.executable, "-c", "import click, lark"],
            "regnetc check": [str(tools / "regnetc"), "check", "spec/x400mf.regnet"],
        }
    )
    medians = {name: statistics.median(t) for name, t in times.items()}
    rows = per_spec()
    result = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "runs": RUNS,
        "process": {
            "median_ms": {name: round(t * 1e3, 1) for name, t in medians.items()},
            "ratio": round(medians["regnetc check"] / medians["import click, lark"], 3),
            "limit": 1.5,
        },
        "specs": rows,
        "slowest_of_one_model_ms": max(
            float(str(row["check_ms"])) for row in rows if row["declarations"] == 1
        ),
        "slowest_limit_ms": 10,
    }
    text = json.dumps(result, indent=2) + "\n"
    (ROOT / "benchmarks/results/startup.json").write_text(text, "utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
