"""What the parser tripped over, in a reader's words.

lark says which terminals it would have taken; nobody should ever read their names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from lark import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.exceptions import UnexpectedEOF

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


def unreadable(source: Source, text: str, mistake: UnexpectedInput) -> tuple[Diagnostic, int]:
    """The problem, and the offset of the statement that has to be passed over.

    `text` is what was parsed: the source with earlier mistakes blanked.
    """
    at = _offset(text, mistake)
    wanted = _wanted(mistake)
    if at >= len(text.rstrip()):
        return _end_of_file(source, text, wanted)
    span = _span(source, text, at)
    for explain in (_number, _sign, _string, _first_word, _bracket, _no_sign):
        found = explain(source, text, at, span, wanted)
        if found is not None:
            return found, at
    shown = "the end of the line" if text[at] == "\n" else f"`{span.text}`"
    label = f"expected {_in_words(wanted)}" if wanted else ""
    return error("syntax", f"{shown} does not belong here", span, label), at


def _offset(text: str, mistake: UnexpectedInput) -> int:
    if isinstance(mistake, UnexpectedEOF) or getattr(mistake, "token", None) == "$END":
        return len(text)
    if isinstance(mistake, UnexpectedToken) and mistake.token.type == "$END":
        return len(text)
    return min(mistake.pos_in_stream or 0, len(text))


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


def _number(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    """A number that runs on: `24KK`, `0x10`, `1_000`, `1.`, `.5`, `16 GF`."""
    start = at
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] in "._%"):
        start -= 1
    run = re.compile(r"[A-Za-z0-9_.%]*(?:(?<=e)\+[0-9]+)?").match(text, start)
    whole = Span(source, start, run.end() if run else at)
    digits = whole.text.lstrip(".")
    if ".." in whole.text.rstrip(".") or not digits[:1].isdigit() or len(whole.text) < 2:
        return _loose_unit(source, text, at, span)
    help_ = "units are glued to the number: `400MF`, `5.16M`, `72.56%`"
    if whole.text.startswith("."):
        help_ = f"write `0{whole.text}`"
    elif whole.text.endswith("."):
        help_ = f"write `{whole.text[:-1]}`"
    elif "_" in whole.text:
        help_ = "write the digits without `_`"
    elif "+" in whole.text:
        help_ = "write the exponent without `+`"
    return error("syntax", f"`{whole.text[:60]}` is not a number", whole, "read as one word", help=help_)


def _loose_unit(source: Source, text: str, at: int, span: Span) -> Diagnostic | None:
    before = text[:at].rstrip(" \t")
    if not re.fullmatch(r"[KMG]F?|%", span.text) or not before or not before[-1].isdigit():
        return None
    number = re.search(r"[0-9.]+$", before)
    joined = f"{number.group() if number else ''}{span.text}"
    return error("syntax", f"`{span.text}` stands apart from its number", span, help=f"write `{joined}`")


def _sign(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    """Signs of other languages."""
    c, two = text[at], text[at : at + 2]
    pair = Span(source, at, min(at + 2, len(source.text)))
    if c == ":":
        name = re.search(r"([A-Za-z]\w*(?:\[[^\]\n]*\])?)[ \t]*$", text[:at])
        ref = name.group(1) if name else "x"
        return error(
            "syntax", "`:` does not assign", span,
            help=f"write `{ref} = ...` to fix a value, or `{ref} ~ uniform(...)` to draw one",
        )  # fmt: skip
    if two in ("==", "!=") or (c == "=" and text[at - 1 : at] in "=!:" and at > 0):
        return error("syntax", "values are not compared with `=`", span, help="write `x = ...` to fix a value")
    if c == "^" or (c == "*" and text[at - 1 : at] == "*"):
        power = span if c == "^" else Span(source, at - 1, at + 1)
        return error("syntax", "the language has no powers", power, help="write `x * x`")
    if c == ";":
        return error("syntax", "`;` does not end a line", span, help="drop it; a line ends where it ends")
    if c == "'":
        return error("syntax", "`'` does not begin a string", span, help='write `"..."`')
    if c in "-+" and {"NAME", "NUMBER"} & wanted:
        return error("syntax", f"`{c}` needs a number on its left", span, help=f"write `0 {c} ...`")
    if c == "/" and text[at : at + 2] in ("//", "/*"):
        return error("syntax", f"`{two}` does not begin a comment", pair, help="write `# ...`")
    return None


def _string(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    if text[at] != '"':
        return None
    if not span.text.endswith('"') or len(span.text) < 2:
        return error("syntax", "this string is never closed", span, help='end it with `"` on the same line')
    return error("syntax", "a string does not belong here", span, "only `use`, `source` and `erratum` take one")


def _first_word(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    if "KIND" not in wanted and "USE" not in wanted:
        return None
    word = span.text
    if word == "}":
        return error("syntax", "this `}` closes nothing", span, help="delete it")
    near = difflib.get_close_matches(word.lower(), _KINDS, 1)
    if _open_bracket(text, at) is None and _follows_one(text, at):
        return error("syntax", f"`{word}` does not belong here", span, "expected the end of the line")
    return error(
        "syntax", f"`{word}` does not begin a declaration", span,
        help=f"did you mean `{near[0]}`?" if near else "a file holds `use`, `model`, `space`, `recipe` and `sweep`",
    )  # fmt: skip


def _follows_one(text: str, at: int) -> bool:
    return bool(text[text.rfind("\n", 0, at) + 1 : at].strip())


def _bracket(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    c = text[at]
    opened = _open_bracket(text, at)
    if c not in ")]}\n=" or opened is None or text[opened] == "{" or _CLOSE[text[opened]] == c:
        return None
    mark = text[opened]
    there = Label(Span(source, opened, opened + 1), "opened here", primary=False)
    shown = "the end of the line" if c == "\n" else f"`{c}`"
    return error(
        "syntax", f"{shown} comes before the `{_CLOSE[mark]}` of this `{mark}`", span, also=(there,),
        help=f"write the missing `{_CLOSE[mark]}`",
    )  # fmt: skip


def _no_sign(source: Source, text: str, at: int, span: Span, wanted: set[str]) -> Diagnostic | None:
    """`d 22`."""
    before = re.search(r"[A-Za-z]\w*(?:\[[^\]\n]*\])?[ \t]+$", text[:at])
    if "EQUAL" not in wanted or before is None or not re.match(r"[A-Za-z0-9\[(]", text[at]):
        return None
    name = before.group().strip()
    message = f"there is no sign between `{name}` and `{span.text}`"
    return error("syntax", message, span, help=f"write `{name} = {span.text}`")
