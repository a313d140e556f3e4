"""The state of a training to a file and back. A file says in its name what it holds, and is whole.

`STEP-DIGEST.safetensors` has the first half of its SHA-256 for its digest: a file that was changed or
damaged is not taken. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import files, safetensors_file
from ..limits import RUN_CHECKPOINT_BYTES
from ..problems import Problem

_NAME = re.compile(r"([0-9]{10})-([0-9a-f]{32})\.safetensors")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name on the CPU, and the rest of the state."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save(folder: Path, step: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Write the state after so many steps, and remove all but the last `keep`. Raises `cannot-write`."""
    data = safetensors_file.encode(checkpoint.tensors, {"state": json.dumps(checkpoint.facts)})
    path = folder / f"{step:010}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    files.write(path, data)
    for old in _saved(folder)[keep:]:
        files.remove(old)
    return path


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The last state that is sound, None where there is none; and the names of later, damaged files."""
    damaged: list[str] = []
    for path in _saved(folder):
        try:
            return _read(path), damaged
        except Problem:
            damaged.append(path.name)
    return None, damaged


def _saved(folder: Path) -> list[Path]:
    """The files of states, the last step first."""
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), reverse=True)


def _read(path: Path) -> Checkpoint:
    """Raises `bad-weights` for a damaged file, and what `files.read` raises."""
    data = files.read(path, RUN_CHECKPOINT_BYTES)
    if hashlib.sha256(data).hexdigest()[:32] != path.stem.partition("-")[2]:
        raise Problem("bad-weights", f"{path.name} does not hold what its name says")
    tensors, meta = safetensors_file.parse(data, path.name)
    try:
        facts = json.loads(meta["state"])
    except (KeyError, ValueError) as e:
        raise Problem("bad-weights", f"{path.name} holds no state") from e
    return Checkpoint(tensors, facts)
