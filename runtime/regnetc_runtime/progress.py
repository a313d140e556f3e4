"""How long work says how far it is. The runtime prints nothing; whoever calls it may."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int | None, str], None]
"""Called with what is done, with the total where that is known, and with a few words."""


def silent(done: int, total: int | None, text: str) -> None:
    """The progress that goes nowhere."""
