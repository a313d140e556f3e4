"""A user's mistake, as data; the command line turns it into text or JSON. Nothing imports torch here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType

from .limits import MESSAGE_CHARACTERS, NAMES_SHOWN


class Problem(Exception):
    """Something that the user can put right; any other exception out of this package is a bug.

    `name` is stable kebab-case. `message` stands alone, in lower case, without a full stop. `details`
    are lines that go below it; `help` says what to do.
    """

    def __init__(
        self, name: str, message: str, *, details: Iterable[str] = (), help: str | None = None
    ) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.details = tuple(details)
        self.help = help


def printable(text: object, limit: int = MESSAGE_CHARACTERS) -> str:
    """Foreign text (a path, a key, an error) as one line that a terminal can be trusted with.

    What is not printable becomes an escape: controls, line ends, marks that turn the direction of
    text, bytes of a file name that are no UTF-8. Of a long text the beginning and the end are left.
    """
    text = str(text)
    if len(text) > limit:
        head = limit * 2 // 3
        text = f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(c: str) -> str:
    if "\udc80" <= c <= "\udcff":  # a byte that Python smuggles through a file name
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape", "surrogatepass").decode("ascii")


def some(names: Sequence[object], shown: int = NAMES_SHOWN) -> str:
    """The first few of a list of foreign names, and how many are left."""
    listed = ", ".join(printable(n, 100) for n in names[:shown])
    more = len(names) - shown
    return f"{listed} and {more:,} more" if more > 0 else listed


def require(package: str, extra: str) -> ModuleType:
    """Import an optional package, which the extra `regnetc[extra]` installs.

    Raises `missing-package` where it is not installed or does not import.
    """
    try:
        return importlib.import_module(package)
    except ImportError as e:
        raise Problem(
            "missing-package",
            f"this needs the package {package.partition('.')[0]}, which does not import",
            details=(printable(e),),
            help=f"pip install 'regnetc[{extra}]'",
        ) from e
