"""Mutation testing of the arithmetic: every small change to it should make a test fail.

Runs cosmic-ray over `regnet.py` and `complexity.py` in a copy of the checkout and prints the score
and every mutant that survived. Takes about twenty minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("regnet", "complexity")
TESTS = "tests/test_complexity.py tests/test_regnet.py"


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


def survivors(session: str, where: Path) -> tuple[int, list[dict[str, object]]]:
    """How many mutants there were, and those that no test saw."""
    dump = subprocess.run(
        ["cosmic-ray", "dump", session], cwd=where, capture_output=True, text=True, check=True
    ).stdout
    rows = [json.loads(line) for line in dump.splitlines()]
    alive = []
    for work, result in rows:
        if result is None or result["test_outcome"] == "survived":
            (mutation,) = work["mutations"]
            alive.append(
                {
                    "operator": mutation["operator_name"].split("/")[-1],
                    "line": mutation["start_pos"][0],
                    "definition": mutation.get("definition_name"),
                    "diff": [
                        x
                        for x in (result or {}).get("diff", "").splitlines()
                        if x[:1] in "+-" and x[:3] not in ("+++", "---")
                    ],
                }
            )
    return len(rows), alive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the result here as well")
    arguments = parser.parse_args()
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "checkout"
        shutil.copytree(
            ROOT,
            where,
            ignore=shutil.ignore_patterns(
                ".venv", ".git", "build", "dist", ".*_cache", ".hypothesis"
            ),
        )
        paths = os.pathsep.join(str(where / name) for name in ("compiler", "runtime", "tests"))
        os.environ.update(PYTHONPATH=paths, OMP_NUM_THREADS="1")
        for module in MODULES:
            (where / "cosmic.toml").write_text(config(module))
            session = f"{module}.sqlite"
            for step in (["init", "cosmic.toml", session], ["exec", "cosmic.toml", session]):
                subprocess.run(["cosmic-ray", *step], cwd=where, check=True)
            total, alive = survivors(session, where)
            result[module] = {"mutants": total, "killed": total - len(alive), "survived": alive}
            print(
                f"{module}: {total - len(alive)} of {total} mutants killed ({(total - len(alive)) / total:.1%})"
            )
            for mutant in alive:
                print(f"  line {mutant['line']} {mutant['operator']}: {' | '.join(mutant['diff'])}")  # type: ignore[arg-type]
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
