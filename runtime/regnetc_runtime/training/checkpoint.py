"""The state of a training to a file and back. A file says in its name what it holds, and is whole.

`STEP-DIGEST.safetensors` has the first half of its SHA-256 for its digest: a file that was changed or
damaged is not taken. Nothing in it is code: what is no tensor is JSON, as bytes in the tensor `facts`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import files, safetensors_file
from ..limits import RUN_CHECKPOINT_BYTES
from ..problems import Problem, printable

_NAME = re.compile(r"([0-9]{10})-([0-9a-f]{32})\.safetensors")
_FACTS = "facts"  # the header would be too small for those of thousands of epochs


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Tensors by name on the CPU, and the rest of the state."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save(
    folder: Path, step: int, checkpoint: Checkpoint, keep: int, damaged: Collection[str] = ()
) -> Path:
    """Write the state after so many steps; of those up to that step, `keep` stay that are not `damaged`.

    Those of later steps stay as well. Raises `cannot-write`.
    """
    facts = torch.frombuffer(bytearray(json.dumps(checkpoint.facts).encode()), dtype=torch.uint8)
    data = safetensors_file.encode({**checkpoint.tensors, _FACTS: facts}, {})
    path = folder / f"{step:010}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    files.write(path, data)
    before = [p for p in _saved(folder) if _step(p) <= step and p != path]
    sound = [p for p in before if p.name not in damaged]
    for old in set(before) - set(sound[: keep - 1]):
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
    """The files of states, the last step first. Raises `cannot-read`."""
    try:
        found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name) and not p.is_dir()]
    except OSError as e:
        why = f"{printable(folder)} cannot be read: {printable(e.strerror)}"
        raise Problem("cannot-read", why) from e
    return sorted(found, reverse=True)


def _step(path: Path) -> int:
    return int(path.name[:10])


def _read(path: Path) -> Checkpoint:
    """Raises `bad-weights` for a damaged file, and what `files.read` raises."""
    data = files.read(path, RUN_CHECKPOINT_BYTES)
    if hashlib.sha256(data).hexdigest()[:32] != path.stem.partition("-")[2]:
        raise Problem("bad-weights", f"{path.name} does not hold what its name says")
    tensors, _ = safetensors_file.parse(data, path.name)
    try:
        facts = json.loads(tensors.pop(_FACTS).numpy().tobytes())
    except (KeyError, ValueError, TypeError, RecursionError) as e:
        raise Problem("bad-weights", f"{path.name} holds no state") from e
    if not isinstance(facts, dict) or facts.get("step") != _step(path):
        raise Problem("bad-weights", f"{path.name} does not hold the state of its step")
    return Checkpoint(tensors, facts)
