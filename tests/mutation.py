"""Mutation testing of the arithmetic: every small change to it should make a test fail.

Runs cosmic-ray over `regnet.py` and `complexity.py` in a copy of the checkout and prints the score
and every mutant that survived. Takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("regnet", "complexity")
TESTS = "tests/test_regnet.py tests/test_complexity.py"


def config(module: str) -> str:
    command = f"{sys.executable} -B -m pytest -x -q -p no:cacheprovider -p no:randomly {TESTS}"
    return (
        "[cosmic-ray]\n"
        f'module-path = "compiler/regnetc/{module}.py"\n'
        "timeout = 120.0\n"
        "excluded-modules = []\n"
        f'test-command = "{command}"\n'
        "[cosmic-ray.distributor]\n"
        'name = "local"\n'
    )


class Mutant(NamedTuple):
    """A change that no test saw."""

    operator: str
    line: int
    change: list[str]


def mutate(module: str) -> tuple[int, list[Mutant]]:
    """How many mutants of a module there are, and the survivors; in a copy of its own."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "checkout"
        left = shutil.ignore_patterns(
            ".venv", ".git", "build", "dist", ".*_cache", ".hypothesis", "runs"
        )
        shutil.copytree(ROOT, where, ignore=left)
        (where / "cosmic.toml").write_text(config(module))
        paths = os.pathsep.join(str(where / name) for name in ("compiler", "runtime", "tests"))
        few = {"REGNETC_POINTS": "150", "REGNETC_NETS": "60", "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **few, "PYTHONPATH": paths}
        tool = str(Path(sys.executable).parent / "cosmic-ray")
        for step in (["init", "cosmic.toml", "session"], ["exec", "cosmic.toml", "session"]):
            subprocess.run([tool, *step], cwd=where, env=environment, check=True)
        dump = subprocess.run(
            [tool, "dump", "session"], cwd=where, capture_output=True, text=True, check=True
        )
    rows = [json.loads(line) for line in dump.stdout.splitlines()]
    alive = [
        _mutant(work, result)
        for work, result in rows
        if result is None or result["test_outcome"] == "survived"
    ]
    return len(rows), alive


def _mutant(work: dict[str, Any], result: dict[str, Any] | None) -> Mutant:
    (mutation,) = work["mutations"]
    lines = (result or {}).get("diff", "").splitlines()
    change = [x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---")]
    return Mutant(mutation["operator_name"].split("/")[-1], mutation["start_pos"][0], change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result here as well")
    arguments = parser.parse_args()
    with ThreadPoolExecutor(len(MODULES)) as pool:
        found = dict(zip(MODULES, pool.map(mutate, MODULES), strict=True))
    result = {}
    for module, (total, alive) in found.items():
        result[module] = {"mutants": total, "killed": total - len(alive), "survived": alive}
        print(
            f"{module}: {total - len(alive)} of {total} mutants killed, {1 - len(alive) / total:.1%}"
        )
        for mutant in alive:
            print(f"  line {mutant.line} {mutant.operator}: {' | '.join(mutant.change)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
