"""Bytes to text: one pass that refuses what the language never needs.

After it, every later stage may assume printable text of bounded size and nesting, `\\n` as the only
line end, and ASCII everywhere but in comments and strings.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Iterator

from .diagnostics import Diagnostic, Label, Source, Span, error, shows
from .limits import LINE_CHARACTERS, NESTING, SPEC_BYTES

_ODD = re.compile(r"[^\n\t\x20-\x7e]")
_OPAQUE = re.compile(r'"[^"\n]*"?|#[^\n]*')
_BRACKET = re.compile(r'"[^"\n]*"?|#[^\n]*|[()\[\]{}]')
_MOST = 20  # problems of one kind in one file

# Letters and signs of other scripts that are read as ASCII, beyond what compatibility forms (NFKC) tell.
_LOOKS_LIKE = {
    pair[0]: pair[1]
    for pair in (
        "аa еe оo рp сc уy хx іi јj ѕs ԁd ԝw ѵv ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP "
        "ΤT ΥY ΧX АA ВB ЕE КK МM НH ОO РP СC ТT ХX ɡg οo −- ∗* ×* ∕/ ÷/ ∼~ ‹< ›> "
        '“" ”" „" ‘\' ’\' ‚, –- —- ‐- ‑- ⁄/ ․. '
    ).split()
}


def scan(data: bytes, name: str) -> tuple[Source, list[Diagnostic]]:
    """The text of a spec and what is wrong with its bytes; a UTF-8 byte order mark is dropped."""
    if len(data) > SPEC_BYTES:
        return _too_large(data, name)
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        return _not_utf8(data, name, e)
    source = Source(name, text.replace("\r\n", "\n"))
    problems = list(_characters(source))
    problems.extend(_long_lines(source))
    problems.extend(_nesting(source))
    return source, problems


def _too_large(data: bytes, name: str) -> tuple[Source, list[Diagnostic]]:
    source = Source(name, "")
    message = f"a spec holds at most {SPEC_BYTES:,} bytes, this one has {len(data):,} or more"
    return source, [
        error("too-large", message, Span(source, 0, 0), help="split it into files and `use` them")
    ]


def _not_utf8(data: bytes, name: str, e: UnicodeDecodeError) -> tuple[Source, list[Diagnostic]]:
    source = Source(name, data.decode("utf-8", "replace").replace("\r\n", "\n"))
    at = len(data[: e.start].decode("utf-8").replace("\r\n", "\n"))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        message, label = "this file is UTF-16, not UTF-8", "its byte order mark"
    else:
        found = " ".join(f"{b:02x}" for b in data[e.start : max(e.end, e.start + 1)])
        message, label = "this file is not UTF-8", f"bytes {found} are no character"
    return source, [
        error("encoding", message, Span(source, at, at + 1), label, help="save it as UTF-8")
    ]


def _characters(source: Source) -> Iterator[Diagnostic]:
    text = source.text
    opaque: list[tuple[int, int]] | None = None
    count = 0
    for match in _ODD.finditer(text):
        at, c = match.start(), match.group()
        span = Span(source, at, at + 1)
        if c == "\r":
            problem = error(
                "line-ending", "a lone carriage return does not end a line", span,
                help="end lines with LF or CR LF",
            )  # fmt: skip
        elif not shows(c):
            problem = error(
                "hidden-character", f"{_called(c)} does not belong in a spec", span, "cannot be seen",
                help="delete it",
            )  # fmt: skip
        else:
            if opaque is None:
                opaque = [m.span() for m in _OPAQUE.finditer(text)]
            if _inside(opaque, at):
                continue
            problem = _foreign(c, span)
        yield problem
        count += 1
        if count >= _MOST:
            return


def _foreign(c: str, span: Span) -> Diagnostic:
    digit = unicodedata.decimal(c, None)
    meant = _LOOKS_LIKE.get(c) or unicodedata.normalize("NFKC", c).strip()
    meant = meant if digit is None else str(digit)
    sure = len(meant) == 1 and meant.isascii() and meant.isprintable()
    help_ = f"write `{meant}`" if sure else "only comments and strings may hold it"
    if unicodedata.category(c) == "Zs":
        help_ = "write an ordinary blank"
    label = f"not the ASCII `{meant}`" if sure else "not ASCII"
    return error("foreign-character", f"{_called(c)} outside a comment", span, label, help=help_)


def _called(c: str) -> str:
    name = unicodedata.name(c, "")
    return f"U+{ord(c):04X} {name}".rstrip() if name else f"the character U+{ord(c):04X}"


def _inside(spans: list[tuple[int, int]], at: int) -> bool:
    k = bisect.bisect_right(spans, at, key=lambda span: span[0]) - 1
    return k >= 0 and at < spans[k][1]


def _long_lines(source: Source) -> Iterator[Diagnostic]:
    at = 0
    for count, line in enumerate(source.text.split("\n")):
        if len(line) > LINE_CHARACTERS:
            span = Span(source, at + LINE_CHARACTERS, at + LINE_CHARACTERS + 1)
            message = (
                f"a line holds at most {LINE_CHARACTERS:,} characters, this one has {len(line):,}"
            )
            yield error("line-too-long", message, span, help="break it inside brackets")
            if count > _MOST:
                return
        at += len(line) + 1


def _nesting(source: Source) -> Iterator[Diagnostic]:
    """Brackets and braces, counted together, up to the first that is one too deep."""
    depth = 0
    first = 0
    for match in _BRACKET.finditer(source.text):
        c = match.group()
        if c in "([{":
            first = match.start() if depth == 0 else first
            depth += 1
            if depth > NESTING:
                yield error(
                    "too-deep", f"brackets nest at most {NESTING} deep", Span(source, match.start(), match.end()),
                    also=(Label(Span(source, first, first + 1), "the first of them", primary=False),),
                )  # fmt: skip
                return
        elif c in ")]}":
            depth -= 1
