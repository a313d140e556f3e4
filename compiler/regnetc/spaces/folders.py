"""What a population's folder holds, by name. Nothing is read here."""

from __future__ import annotations

import os.path
from pathlib import Path

MEMBERS, SPACE, LOCK, PARTIAL = "members.sqlite", "space.regnet", "lock.json", "partial.npz"


def is_population(folder: str | Path) -> bool:
    """Whether a folder holds a whole population: its lock is written last."""
    return os.path.isfile(Path(folder) / LOCK)  # noqa: PTH113 - false, too, for a name that no file can have
