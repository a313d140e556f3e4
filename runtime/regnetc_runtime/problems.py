"""A user's mistake, as data."""

from __future__ import annotations


class Problem(Exception):
    def __init__(self, name: str, message: str, details: tuple[str, ...] = (), help: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.name, self.message, self.details, self.help = name, message, details, help
