"""What a population's folder holds, by name. Nothing is read here."""

from __future__ import annotations

from pathlib import Path

MEMBERS, SPACE, LOCK, PARTIAL = "members.sqlite", "space.regnet", "lock.json", "partial.npz"


def is_population(folder: str | Path) -> bool:
    """Whether a folder holds a whole population: its lock is written last."""
    return (Path(folder) / LOCK).is_file()
