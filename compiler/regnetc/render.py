"""Diagnostics to text with carets, to JSON and to GitHub annotations. Pure: strings come out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .diagnostics import Diagnostic, Label, Note, Source, Span, code_point, shows
from .limits import DIAGNOSTICS_BYTES, DIAGNOSTICS_SHOWN

_WINDOW = 110  # columns of a source line that are shown; longer lines are cut around the label
_COLOURS = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "help": "1;32",
    "rule": "1;34",
    "bold": "1",
}


class Style(NamedTuple):
    """Paints parts of a message, or leaves them as they are."""

    colour: bool = False

    def paint(self, part: str, text: str) -> str:
        return f"\x1b[{_COLOURS[part]}m{text}\x1b[0m" if self.colour and text else text


def as_text(problems: Sequence[Diagnostic], *, colour: bool = False) -> str:
    """All problems for a person: at most 20 of them and 60 KiB, then how many more there are."""
    style = Style(colour)
    shown: list[str] = []
    size = 0
    for p in problems[:DIAGNOSTICS_SHOWN]:
        block = _one(p, style)
        size += len(block.encode())
        if size > DIAGNOSTICS_BYTES:
            break
        shown.append(block)
    more = len(problems) - len(shown)
    if more:
        shown.append(f"... and {more} more {'problem' if more == 1 else 'problems'}\n")
    return "\n".join(shown)


def _one(p: Diagnostic, style: Style) -> str:
    width = max(_gutter(p.labels), *(_gutter(n.labels) for n in p.notes), 1)
    head = style.paint(p.severity, f"{p.severity}[{p.name}]") + style.paint(
        "bold", f": {p.message}"
    )
    lines = [head, *_snippets(p.labels, width, p.severity, style)]
    for note in p.notes:
        lines.extend(_note(note, width, style))
    if p.help is not None:
        first, *rest = p.help.split("\n")
        pad = " " * width
        lines.append(f"{pad} {style.paint('rule', '=')} {style.paint('help', 'help')}: {first}")
        lines.extend(f"{pad}         {line}" for line in rest)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _note(note: Note, width: int, style: Style) -> list[str]:
    if not note.labels:
        pad = " " * width
        return [f"{pad} {style.paint('rule', '=')} {style.paint('note', 'note')}: {note.message}"]
    head = f"{style.paint('note', 'note')}: {note.message}"
    return [head, *_snippets(note.labels, width, "note", style)]


def _gutter(labels: Iterable[Label]) -> int:
    lines = [label.span.source.position(label.span.start)[0] for label in labels]
    return len(str(max(lines, default=0)))


def _snippets(labels: Sequence[Label], width: int, part: str, style: Style) -> list[str]:
    """The place, then every line that a label points into, with its underlines."""
    source = labels[0].span.source
    anchor = next((x for x in labels if x.primary), labels[0]).span
    line, column = source.position(anchor.start)
    bar = style.paint("rule", "|")
    pad = " " * width
    out = [f"{pad}{style.paint('rule', '-->')} {source.name}:{line}:{column}", f"{pad} {bar}"]
    by_line: dict[int, list[Label]] = {}
    for label in labels:
        if label.span.source is source:
            by_line.setdefault(source.position(label.span.start)[0], []).append(label)
    last = None
    for number in sorted(by_line):
        if last is not None and number > last + 1:
            out.append(f"{pad[:-1]}...")
        text, rows = _line(source, number, by_line[number], part, style)
        out.append(f"{style.paint('rule', str(number).rjust(width))} {bar} {text}")
        out.extend(f"{pad} {bar} {row}" for row in rows)
        last = number
    out.append(f"{pad} {bar}")
    return out


def _line(
    source: Source, number: int, labels: Sequence[Label], part: str, style: Style
) -> tuple[str, list[str]]:
    """A source line as it can be shown, and the rows of underlines and texts below it."""
    raw = source.line(number)
    start = source.position(labels[0].span.start)[1] - 1
    text, columns = _visible(raw, start)
    base = labels[0].span.start - start
    marks: list[tuple[int, int, Label]] = []
    for label in sorted(labels, key=lambda x: x.span.start):
        a = columns[min(label.span.start - base, len(raw))]
        b = columns[min(max(label.span.end - base, 0), len(raw))]
        marks.append((a, max(a + 1, b), label))
    under = ""
    for a, b, label in marks:
        if a >= _width(under):
            mark = ("^" if label.primary else "-") * (b - a)
            under += " " * (a - _plain(under)) + style.paint(
                part if label.primary else "rule", mark
            )
    texts = [(a, label) for a, _, label in marks if label.text]
    rows = [under]
    if texts and marks[-1][2] is texts[-1][1]:
        _, label = texts.pop()
        rows[0] += " " + style.paint(part if label.primary else "rule", label.text)
    for a, label in reversed(texts):
        rows.append(" " * a + style.paint(part if label.primary else "rule", label.text))
    return text, rows


def _plain(text: str) -> int:
    """Columns of a string that may hold colour."""
    columns, skip = 0, False
    for c in text:
        if c == "\x1b":
            skip = True
        elif not skip:
            columns += 1
        elif c == "m":
            skip = False
    return columns


def _visible(raw: str, focus: int) -> tuple[str, list[int]]:
    """A line fit for a terminal, and the column at which each of its characters begins."""
    cells = [" " if c == "\t" else c if shows(c) else code_point(c) for c in raw]
    first = max(0, focus - _WINDOW // 2) if len(raw) > _WINDOW else 0
    head = "..." if first else ""
    columns, at, shown = [], len(head), []
    for k, cell in enumerate(cells):
        columns.append(at if k >= first else 0)
        if k >= first and at < _WINDOW:
            shown.append(cell)
            at += _width(cell)
    columns.append(at)
    tail = "..." if first + len(shown) < len(cells) else ""
    return head + "".join(shown) + tail, columns


def _width(text: str) -> int:
    """Terminal columns of a printable text: wide letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_columns(c) for c in text)


def _columns(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def as_json(problems: Iterable[Diagnostic]) -> str:
    """A JSON array; lines and columns count from 1, `end_*` is the first place after the span."""
    import json

    return json.dumps([_data(p) for p in problems], indent=2, ensure_ascii=True)


def _data(p: Diagnostic) -> dict[str, Any]:
    return {
        "severity": p.severity,
        "name": p.name,
        "message": p.message,
        "labels": [_label(x) for x in p.labels],
        "notes": [{"message": n.message, "labels": [_label(x) for x in n.labels]} for n in p.notes],
        "help": p.help,
    }


def _label(label: Label) -> dict[str, Any]:
    return {**_place(label.span), "text": label.text, "primary": label.primary}


def _place(span: Span) -> dict[str, Any]:
    line, column = span.source.position(span.start)
    end_line, end_column = span.source.position(max(span.start, span.end))
    return {
        "file": span.source.name,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
    }


def as_github(problems: Iterable[Diagnostic]) -> str:
    """Workflow commands, one a line, that GitHub shows beside the code of a pull request."""
    return "".join(_annotation(p) + "\n" for p in problems)


def _annotation(p: Diagnostic) -> str:
    at = _place(p.span)
    body = p.message if p.help is None else f"{p.message}\nhelp: {p.help}"
    where = {
        "file": at["file"],
        "line": at["line"],
        "col": at["column"],
        "endLine": at["end_line"],
        "endColumn": max(at["column"], at["end_column"] - 1),
        "title": p.name,
    }
    properties = ",".join(f"{k}={_escaped(str(v), ':,')}" for k, v in where.items())
    return f"::{p.severity} {properties}::{_escaped(body)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + also else c for c in text)
