"""Runs of the command under `attacks/probe.py`, from processes that are small.

What a child is said to have used of memory begins with what its parent held when it was started, and
a process that runs tests holds torch.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).parent / "attacks"
COMMAND = Path(sys.executable).with_name("regnetc")


def by_path(name: str) -> Any:
    """A module of the attacks folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"attacks_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judged(verb: str, spec: Path, expect: dict[str, str]) -> dict[str, Any]:
    """One run of a verb on a spec, judged; once more if it was slow, for the machine may be busy."""
    limits = {"timeout": 10, "slow": 2, "mem_mb": 1024, "peak_mb": 256}
    probe = by_path("probe").Probe(SimpleNamespace(cmd=f"'{COMMAND}' {verb}", **limits))
    try:
        result: dict[str, Any] = probe.one(spec, expect)
        if result["broken"] and all(rule.startswith("slow") for rule in result["broken"]):
            result = probe.one(spec, expect)
    finally:
        shutil.rmtree(probe.work)
    return result
