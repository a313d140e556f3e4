"""What is wrong with a spec, as data: places, labels, notes and a remedy.

Nothing is printed here; `render` turns these into text, JSON or annotations.
"""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Source:
    """A text and the name that messages call it by. Offsets count characters from 0."""

    __slots__ = ("_line_starts", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._line_starts: list[int] | None = None

    @property
    def _starts(self) -> list[int]:
        if self._line_starts is None:
            self._line_starts = [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]
        return self._line_starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its line end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]


class Span(NamedTuple):
    """The characters `start` to `end` (not included) of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of the other."""
        return Span(self.source, self.start, other.end)


class Label(NamedTuple):
    """A place and what to say about it; `^^^` if it is the place, `---` if it is its other half."""

    span: Span
    text: str = ""
    primary: bool = True


class Note(NamedTuple):
    """A second place, with a sentence of its own; without labels, a sentence alone."""

    message: str
    labels: tuple[Label, ...] = ()


class Diagnostic(NamedTuple):
    """One problem. `name` is stable; `message` stands alone, in lower case, without a full stop."""

    severity: Severity
    name: str
    message: str
    labels: tuple[Label, ...]
    notes: tuple[Note, ...] = ()
    help: str | None = None

    @property
    def span(self) -> Span:
        return next((label.span for label in self.labels if label.primary), self.labels[0].span)


def error(
    name: str,
    message: str,
    span: Span,
    label: str = "",
    *,
    also: Iterable[Label] = (),
    notes: Iterable[Note] = (),
    help: str | None = None,
) -> Diagnostic:
    """An error at `span`, with `also` as labels beside it."""
    labels = (Label(span, label), *also)
    return Diagnostic("error", name, message, labels, tuple(notes), help)


class SpecError(Exception):
    """The only exception that leaves the compiler for a user's mistake: all problems, in order."""

    def __init__(self, problems: Iterable[Diagnostic]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        line, column = first.span.source.position(first.span.start)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        place = f"{first.span.source.name}:{line}:{column}"
        super().__init__(f"{place}: {first.severity}[{first.name}]: {first.message}{more}")


def in_order(problems: Iterable[Diagnostic], first: Source | None = None) -> list[Diagnostic]:
    """Without repeats; by file, the given one first, then by place, errors before warnings."""

    def key(p: Diagnostic) -> tuple[bool, str, int, int, bool, str]:
        s = p.span
        mine = s.source is not first
        return (mine, s.source.name, s.start, s.end, p.severity != "error", p.message)

    return sorted({_identity(p): p for p in problems}.values(), key=key)


def _identity(p: Diagnostic) -> tuple[object, ...]:
    """What makes two problems one: the same words at the same places."""
    places = [label.span for label in p.labels] + [x.span for n in p.notes for x in n.labels]
    where = tuple((span.source.name, span.start, span.end) for span in places)
    return p.severity, p.name, p.message, where


def has_errors(problems: Iterable[Diagnostic]) -> bool:
    return any(p.severity == "error" for p in problems)


def printable(text: str, limit: int = 200) -> str:
    """Foreign text for a message: what a terminal might obey is written as `<U+001B>`, the rest cut."""
    out = "".join(c if shows(c) else code_point(c) for c in text[:limit])
    return out + "..." if len(text) > limit else out


def code_point(c: str) -> str:
    return f"<U+{ord(c):04X}>"


def shows(c: str) -> bool:
    """Whether a character is safe to print as it is: no control, format, surrogate or unassigned one."""
    return " " <= c <= "~" or (c > "\x7f" and unicodedata.category(c) not in _HIDDEN)


_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"
