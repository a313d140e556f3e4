"""What a population's folder holds, by name. Nothing is read here."""

from __future__ import annotations

import os
import os.path
import re
from pathlib import Path

from regnetc_runtime.problems import Problem, printable

MEMBERS, SPACE, LOCK, PARTIAL = "members.sqlite", "space.regnet", "lock.json", "partial.npz"
LIMIT = 4 * 2**30  # bytes of a file
_TEMPORARY = re.compile(r"\.regnetc-[0-9a-f]{16}\.tmp")  # of `regnetc_runtime.files`


def is_population(folder: str | Path) -> bool:
    """Whether a folder holds a population: its lock is written last, and names the others."""
    return os.path.isfile(Path(folder) / LOCK)  # noqa: PTH113 - false, too, for a name that no file can have


def refuse_unfinished(folder: str | Path) -> None:
    """Raise Problem for a folder with what a search leaves that has not come to its end."""
    if is_population(folder):
        return
    if any(os.path.isfile(Path(folder) / name) for name in (PARTIAL, MEMBERS)):  # noqa: PTH113
        raise unfinished(folder)


def unfinished(folder: str | Path) -> Problem:
    """What to say of a population that is not all there yet."""
    return Problem(
        "unfinished", f"`{printable(str(folder))}` holds an unfinished population",
        help="the `regnetc sample` that began it finishes it, or with `--force` begins it again",
    )  # fmt: skip


def held(folder: Path) -> set[str]:
    """The names of what a folder holds. Raises Problem where it cannot be looked into."""
    try:
        return set(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except OSError as e:
        why = f"`{printable(str(folder))}` cannot be read: {printable(e.strerror)}"
        raise Problem("cannot-read", why) from None


def leftovers(folder: Path) -> list[Path]:
    """What a write that was cut short has left behind."""
    return [folder / name for name in sorted(held(folder)) if _TEMPORARY.fullmatch(name)]
