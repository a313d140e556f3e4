"""The log's lines as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..problems import Problem, printable, require

FOLDER = "events"
_APART = ("event", "step", "epoch", "epochs")


class Events:
    """Event files in a run's folder, for what happens after `step` steps.

    Raises `missing-package` without TensorBoard, and `cannot-write`.
    """

    def __init__(self, root: Path, step: int) -> None:
        module = require("torch.utils.tensorboard", "tensorboard")
        try:
            self.writer: Any = module.SummaryWriter(str(root / FOLDER), purge_step=step + 1)
        except OSError as e:
            raise _cannot_write(root, e) from e
        self.root = root

    def add(self, entry: Mapping[str, Any]) -> None:
        """A point of every curve that a line of the log speaks of, at its step."""
        prefix = entry["event"]
        try:
            for name, value in entry.items():
                if name not in _APART and value is not None:
                    self.writer.add_scalar(f"{prefix}/{name}", value, entry["step"])
            self.writer.flush()
        except OSError as e:
            raise _cannot_write(self.root, e) from e


def _cannot_write(root: Path, e: OSError) -> Problem:
    return Problem(
        "cannot-write", f"cannot write {printable(root / FOLDER)}: {printable(e.strerror)}"
    )
