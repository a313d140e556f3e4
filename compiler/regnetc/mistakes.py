"""What the parser tripped over, in a reader's words.

lark says which terminals it would have taken; nobody should ever read their names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from .diagnostics import Diagnostic, Label, Source, Span, error, listed

_WORDS = {
    "NAME": "a name", "TITLE": "a name", "NUMBER": "a number", "STRING": "a string",
    "COMPARE": "`<=`", "PLUS": "`+`", "MINUS": "`-`", "TIMES": "`*`", "OVER": "`/`",
    "_NL": "the end of the line", "$END": "the end of the file", "DEFAULT": "`default`",
    "KIND": "`model`", "USE": "`use`", "EXTENDS": "`extends`", "IN": "`in`", "BY": "`by`",
    "LBRACE": "`{`", "RBRACE": "`}`", "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`",
    "EQUAL": "`=`", "TILDE": "`~`", "COMMA": "`,`", "__ANON_0": "`..`",
}  # fmt: skip
_KINDS = ("model", "space", "recipe", "sweep", "use")
_CLOSE = {"(": ")", "[": "]", "{": "}"}
_PIECE = re.compile(r'"[^"\n]*"?|#[^\n]*|[{}()\[\]]')
_RUN = re.compile(r"[A-Za-z0-9_%.]+")


class _Here(NamedTuple):
    """Where the parser stopped: the text as it was parsed, the offset, the word there, what it wanted."""

    source: Source
    text: str
    at: int
    span: Span
    wanted: frozenset[str]

    def error(
        self, message: str, span: Span | None = None, label: str = "", **more: Any
    ) -> Diagnostic:
        return error("syntax", message, span or self.span, label, **more)


def unreadable(source: Source, text: str, mistake: UnexpectedInput) -> tuple[Diagnostic, int]:
    """The problem, and the offset of the statement that has to be passed over.

    `text` is what was parsed: the source with earlier mistakes blanked.
    """
    at = _offset(text, mistake)
    wanted = _wanted(mistake)
    if at >= len(text.rstrip()):
        return _end_of_file(source, text, wanted)
    here = _Here(source, text, at, _span(source, text, at), frozenset(wanted))
    for explain in (_number, _loose_unit, _sign, _string, _first_word, _bracket, _no_sign):
        found = explain(here)
        if found is not None:
            return found, at
    shown = "the end of the line" if text[at] == "\n" else f"`{here.span.text}`"
    label = f"expected {_in_words(wanted)}" if wanted else ""
    return here.error(f"{shown} does not belong here", label=label), at


def _offset(text: str, mistake: UnexpectedInput) -> int:
    at_end = isinstance(mistake, UnexpectedToken) and mistake.token.type == "$END"
    at: Any = mistake.pos_in_stream
    return len(text) if at_end else min(at, len(text))


def _wanted(mistake: UnexpectedInput) -> set[str]:
    if isinstance(mistake, UnexpectedToken):
        return set(mistake.accepts or mistake.expected)
    if isinstance(mistake, UnexpectedCharacters):
        return set(mistake.allowed or ())
    return set()


def _in_words(wanted: Iterable[str]) -> str:
    operators = {"PLUS", "MINUS", "TIMES", "OVER"}
    names = set(wanted)
    if operators & names and names - operators:
        names -= operators
    return listed(sorted({_WORDS[n] for n in names if n in _WORDS}, key=_rank)[:6]) if names else ""


def _rank(word: str) -> tuple[bool, str]:
    return not word.startswith("a "), word


def _span(source: Source, text: str, at: int) -> Span:
    """The word or sign at an offset."""
    run = _RUN.match(text, at)
    if text[at] == '"':
        end = text.find('"', at + 1)
        line = text.find("\n", at)
        line = len(text) if line < 0 else line
        return Span(source, at, end + 1 if 0 <= end < line else line)
    return Span(source, at, run.end() if run else at + 1)


def _end_of_file(source: Source, text: str, wanted: set[str]) -> tuple[Diagnostic, int]:
    at = max(len(text.rstrip()) - 1, 0)
    span = Span(source, at, min(at + 1, len(source.text)))
    opened = _open_bracket(text, len(text))
    if opened is not None:
        mark = text[opened]
        there = Span(source, opened, opened + 1)
        problem = error(
            "syntax", f"this `{mark}` is never closed", there, "opened here",
            help=f"write the `{_CLOSE[mark]}` that belongs to it",
        )  # fmt: skip
        return problem, opened
    label = f"expected {_in_words(wanted)}" if wanted else ""
    return error("syntax", "the file ends too early", span, label), at


def _open_bracket(text: str, end: int) -> int | None:
    """Where the innermost bracket that is open at an offset was opened."""
    opened: list[int] = []
    for piece in _PIECE.finditer(text, 0, end):
        c = piece.group()
        if c in "{([":
            opened.append(piece.start())
        elif c in "})]" and opened:
            opened.pop()
    return opened[-1] if opened else None


_WELL_FORMED = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?([KMG]F?|%)?")
_RUN_ON = re.compile(r"[A-Za-z0-9_.%]*(?:(?<=e)\+[0-9]+)?")


def _number(here: _Here) -> Diagnostic | None:
    """A number that runs on: `24KK`, `0x10`, `1_000`, `1.`, `.5`."""
    text, start = here.text, here.at
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "._%"):
        start -= 1
    run = _RUN_ON.match(text, start)
    whole = Span(here.source, start, run.end() if run else here.at)
    word = whole.text
    if whole.end <= here.at or _WELL_FORMED.fullmatch(word):
        return None
    if ".." in word.rstrip(".") or not word.lstrip(".")[:1].isdigit() or len(word) < 2:
        return None
    remedy = "units are glued to the number: `400MF`, `5.16M`, `72.56%`"
    if word.startswith("."):
        remedy = f"write `0{word}`"
    elif word.endswith("."):
        remedy = f"write `{word[:-1]}`"
    elif "_" in word:
        remedy = "write the digits without `_`"
    elif "+" in word:
        remedy = "write the exponent without `+`"
    return here.error(f"`{word[:60]}` is not a number", whole, "read as one word", help=remedy)


def _loose_unit(here: _Here) -> Diagnostic | None:
    """`16 GF`."""
    number = re.search(r"([0-9.]*[0-9])[ \t]+$", here.text[max(0, here.at - 100) : here.at])
    unit = here.span.text
    if not re.fullmatch(r"[KMG]F?|%", unit) or number is None:
        return None
    return here.error(
        f"`{unit}` stands apart from its number", help=f"write `{number.group(1)}{unit}`"
    )


def _sign(here: _Here) -> Diagnostic | None:
    """Signs of other languages."""
    c, before, two = (
        here.text[here.at],
        here.text[here.at - 1 : here.at],
        here.text[here.at : here.at + 2],
    )
    if c == ":":
        name = re.search(r"([A-Za-z]\w*(?:\[[^\]\n]*\])?)[ \t]*$", here.text[: here.at])
        ref = name.group(1) if name else "x"
        remedy = f"write `{ref} = ...` to fix a value, or `{ref} ~ uniform(...)` to draw one"
        return here.error("`:` does not assign", help=remedy)
    if two in ("==", "!=") or (c == "=" and before in ("=", "!", ":")):
        return here.error("values are not compared with `=`", help="write `x = ...` to fix a value")
    if c == "^" or (c == "*" and before == "*"):
        power = here.span if c == "^" else Span(here.source, here.at - 1, here.at + 1)
        return here.error("the language has no powers", power, help="write `x * x`")
    if c == ";":
        return here.error("`;` does not end a line", help="drop it; a line ends where it ends")
    if c == "'":
        return here.error("`'` does not begin a string", help='write `"..."`')
    if two in ("//", "/*"):
        pair = Span(here.source, here.at, here.at + 2)
        return here.error(f"`{two}` does not begin a comment", pair, help="write `# ...`")
    if c in "-+" and {"NAME", "NUMBER"} & here.wanted:
        return here.error(f"`{c}` needs a number on its left", help=f"write `0 {c} ...`")
    return None


def _string(here: _Here) -> Diagnostic | None:
    if here.text[here.at] != '"':
        return None
    if not here.span.text.endswith('"') or len(here.span.text) < 2:
        return here.error("this string is never closed", help='end it with `"` on the same line')
    return here.error(
        "a string does not belong here", label="only `use`, `source` and `erratum` take one"
    )


def _first_word(here: _Here) -> Diagnostic | None:
    """What stands where a declaration should begin."""
    if not {"KIND", "USE"} & here.wanted:
        return None
    word = here.span.text
    if word == "}":
        return here.error("this `}` closes nothing", help="delete it")
    if word == "{":
        return here.error(
            "this `{` begins no declaration", help="write it on the line of its declaration"
        )
    if here.text[here.text.rfind("\n", 0, here.at) + 1 : here.at].strip():
        return here.error(f"`{word}` does not belong here", label="expected the end of the line")
    near = difflib.get_close_matches(word.lower(), _KINDS, 1)
    remedy = (
        f"did you mean `{near[0]}`?"
        if near
        else "a file holds `use`, `model`, `space`, `recipe` and `sweep`"
    )
    return here.error(f"`{word}` does not begin a declaration", help=remedy)


def _bracket(here: _Here) -> Diagnostic | None:
    """A line or a body that ends inside ( ) or [ ]."""
    c = here.text[here.at]
    opened = _open_bracket(here.text, here.at)
    if (
        c not in ")]}\n="
        or opened is None
        or here.text[opened] == "{"
        or _CLOSE[here.text[opened]] == c
    ):
        return None
    mark = here.text[opened]
    there = Label(Span(here.source, opened, opened + 1), "opened here", primary=False)
    shown = "the end of the line" if c == "\n" else f"`{c}`"
    message = f"{shown} comes before the `{_CLOSE[mark]}` of this `{mark}`"
    return here.error(message, also=(there,), help=f"write the missing `{_CLOSE[mark]}`")


def _no_sign(here: _Here) -> Diagnostic | None:
    """`d 22`."""
    before = re.search(
        r"[A-Za-z]\w*(?:\[[^\]\n]*\])?[ \t]+$", here.text[max(0, here.at - 200) : here.at]
    )
    if (
        "EQUAL" not in here.wanted
        or before is None
        or not re.match(r"[A-Za-z0-9\[(]", here.text[here.at])
    ):
        return None
    name, word = before.group().strip(), here.span.text
    if name in _KINDS:
        message = f"a `{name}` does not stand inside a body"
        return here.error(message, help="close the body above it with `}`")
    return here.error(
        f"there is no sign between `{name}` and `{word}`", help=f"write `{name} = {word}`"
    )
