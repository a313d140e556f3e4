"""Files that a command writes where its user says: whole, and never over something else unasked."""

from __future__ import annotations

import os.path
from pathlib import Path

from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable


def may_write(path: Path, *, force: bool) -> None:
    """Raise Problem where a file is there already and nobody insisted."""
    if not force and os.path.lexists(path):  # false, too, for a name that no file can have
        raise Problem(
            "exists", f"`{printable(str(path))}` is there already",
            help="choose another name with `-o`, or replace it with `--force`",
        )  # fmt: skip


def check_spec(path: Path) -> None:
    """Raise Problem for a file that is not called like a spec."""
    if path.suffix != ".regnet":
        raise Problem(
            "no-spec", f"`{printable(str(path))}` does not end in `.regnet`", help="specs do"
        )


def write_spec(path: Path, text: str, *, force: bool) -> None:
    """Write a spec; one with the same text may stand there already."""
    check_spec(path)
    data = text.encode()
    if not files.holds(path, data):
        may_write(path, force=force)
        files.make_folder(path.parent)
        files.write(path, data)
