"""Text to text: a spec in the one layout. Nothing is looked up, and nothing is said of mistakes.

Lines stay lines, except that a body over several of them begins and ends its own; indentation,
blanks and blank lines are laid down here. Comments keep their words. What the compiler accepts, it
accepts afterwards and with the same meaning; a second time changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from .limits import LINE_CHARACTERS, SPEC_BYTES

_INDENT = 2
_TAB = 4  # columns; the documentation in a generated file takes a tab for as many
_COMPARE = frozenset(("<=", ">=", "<", ">"))
_LINES_UP = _COMPARE | {"=", "~"}


def format_text(text: str) -> str:
    """Lay out a text that the grammar accepts; one that would grow too large for a spec stays as it is."""
    text = text.replace("\r\n", "\n")
    tokens = _broken(list(_tokens(text)))
    lines = _with_comments(_lined_up(_squeezed(_rows(text, tokens))))
    out = "".join(f"{line}\n" for line in lines)
    return out if _bytes(out) <= max(SPEC_BYTES, _bytes(text)) else text


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is string, comment, end (of a line), number, word, sign, open, close or other."""

    kind: str
    text: str
    start: int


_END = _Token("end", "\n", 0)


def _lexer(word: str) -> re.Pattern[str]:
    return re.compile(
        r'(?P<blank>[ \t]+)|(?P<string>"[^"\n]*")|(?P<comment>#[^\n]*)|(?P<end>\n)'
        r"|(?P<number>[0-9]+(\.[0-9]+)?(e-?[0-9]+)?([KMG]F?|%)?)"
        rf"|(?P<word>{word})|(?P<sign>\.\.|<=|>=|\+-|[-+*/=~<>,])"
        r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<other>.)",
        re.DOTALL,
    )


# The name of a declaration may hold `-` and `.`; inside a body these are signs.
_OUTSIDE = _lexer("[A-Za-z][A-Za-z0-9_]*([-.][A-Za-z0-9_]+)*")
_INSIDE = _lexer("[A-Za-z][A-Za-z0-9_]*")


def _tokens(text: str) -> Iterator[_Token]:
    at = depth = 0
    while match := (_INSIDE if depth else _OUTSIDE).match(text, at):
        at = match.end()
        depth = max(0, depth + (match.group() == "{") - (match.group() == "}"))
        if match.lastgroup != "blank":
            yield _Token(match.lastgroup or "other", match.group(), match.start())


def _broken(tokens: Sequence[_Token]) -> list[_Token]:
    """Give the braces of a body over several lines lines of their own, and let those of an empty one meet."""
    tall = _tall(tokens)
    out: list[_Token] = []
    for k, token in enumerate(tokens):
        if token.text == "}" and k in tall:
            while out[-1].kind == "end":
                out.pop()
            if out[-1].text != "{":
                out.append(_END)
        out.append(token)
        if token.text == "{" and k in tall and tokens[k + 1].kind not in ("end", "comment"):
            out.append(_END)
    return out


def _tall(tokens: Sequence[_Token]) -> set[int]:
    """Where the braces are that have the end of a line between them."""
    waiting: list[tuple[int, int]] = []
    tall: set[int] = set()
    ends = 0
    for k, token in enumerate(tokens):
        ends += token.kind == "end"
        if token.text == "{":
            waiting.append((k, ends))
        elif token.text == "}" and waiting:
            first, before = waiting.pop()
            if ends > before:
                tall |= {first, k}
    return tall


@dataclass(frozen=True, slots=True)
class _Row:
    """A line to be: its code, from the sign on where it has a `head` that may line up, and its comment."""

    level: int = 0
    head: str = ""
    code: str = ""
    comment: str = ""
    column: int = 0  # where the comment stood, seen from the code
    run: str = ""  # what kind of line this one lines up with; empty for none
    alone: bool = False  # its comment lines up with no other
    opens: bool = False
    closes: bool = False

    @property
    def blank(self) -> bool:
        return not (self.code or self.comment)

    def length(self, width: int = 0, column: int = 0) -> int:
        """Of the line, with its head that wide and its comment no further left."""
        used = _INDENT * self.level + len(self.code)
        used += max(width, len(self.head)) + 1 if self.head else 0
        if not self.comment:
            return used
        return max(column, used + 2 if self.code else used) + len(self.comment)


def _rows(text: str, tokens: Sequence[_Token]) -> Iterator[_Row]:
    """Every line by itself: how deep it stands, how it is spaced, what it may line up with."""
    tight = _tight(tokens)
    waiting: list[tuple[str, int]] = []  # open brackets, and how deep the line of each stands
    ends = [k for k, token in enumerate(tokens) if token.kind == "end"]
    start = 0
    for end in [*ends, len(tokens)]:
        statement = not waiting or waiting[-1][0] == "{"
        level = waiting[-1][1] + 1 if waiting else 0
        leading = True
        for token in tokens[start:end]:
            leading = leading and token.kind == "close"
            if token.kind == "close" and waiting:
                _, opened = waiting.pop()
                level = opened if leading else level
            elif token.kind == "open":
                waiting.append((token.text, level))
        yield _row(text, tokens, range(start, end), level, statement, tight)
        start = end + 1


def _row(
    text: str, tokens: Sequence[_Token], at: range, level: int, statement: bool, tight: set[int]
) -> _Row:
    if not at:
        return _Row(alone=True)
    last = tokens[at[-1]]
    comment = last if last.kind == "comment" else None
    spaced = [(_gap(tokens, k, tight) if k > at[0] else "") + tokens[k].text for k in at]
    line = [tokens[k] for k in at]
    if comment:
        del spaced[-1], line[-1]
    sign = _sign(line) if statement else 0
    row = _Row(
        level=level,
        head="".join(spaced[:sign]),
        code="".join(spaced[sign:]).lstrip(" "),
        comment=_words(comment.text) if comment else "",
        column=_INDENT * level + comment.start - tokens[at[0]].start if comment else 0,
        run=f"{line[0].text == 'default'} {line[sign].text}" if sign else "",
        alone=not line or any(token.text in ("{", "}") for token in line),
        opens=bool(line) and line[-1].kind == "open",
        closes=bool(line) and line[0].kind == "close",
    )
    return row if row.length() <= LINE_CHARACTERS else _as_written(row, text, tokens[at[0]], last)


def _as_written(row: _Row, text: str, first: _Token, last: _Token) -> _Row:
    """A line that would grow too long for a spec keeps its blanks, and its place if need be."""
    code = text[first.start : last.start + len(last.text)].rstrip()
    level = row.level if _INDENT * row.level + len(code) <= LINE_CHARACTERS else 0
    return _Row(level, code=code, alone=True, opens=row.opens, closes=row.closes)


def _sign(line: Sequence[_Token]) -> int:
    """Where the sign of a line such as `d = 22` stands that has one target; 0 in any other line."""
    k = 1 if len(line) > 1 and line[0].text == "default" and line[1].kind == "word" else 0
    if len(line) < k + 2 or line[k].kind != "word":
        return 0
    k += 1
    if line[k].text == "[":
        depth = 1
        while depth and (k := k + 1) < len(line):
            depth += (line[k].kind == "open") - (line[k].kind == "close")
        k += 1
    chained = sum(token.text in _COMPARE for token in line) > 1
    return k if k < len(line) and line[k].text in _LINES_UP and not chained else 0


def _words(comment: str) -> str:
    """A comment with a blank after its `#`, if a letter follows, and without tabs."""
    body = comment[1:].removeprefix(" ").expandtabs(_TAB).rstrip()
    apart = comment[1:2] == " " or body[:1] == " " or body[:1].isalpha()
    return f"# {body}" if body and apart else f"#{body}"


def _gap(tokens: Sequence[_Token], k: int, tight: set[int]) -> str:
    """What stands between a token and the one before it on its line."""
    before, token = tokens[k - 1], tokens[k]
    if k in tight or k - 1 in tight:
        return ""
    if before.text in ("(", "[") or token.text in (")", "]", ","):
        return ""
    if before.text + token.text == "{}":
        return ""
    return "" if token.text in ("(", "[") and _applies(tokens, k) else " "


def _applies(tokens: Sequence[_Token], k: int) -> bool:
    """Whether a bracket belongs to the name before it; `in` and `by` after a value are no names."""
    name = _at(tokens, k - 1)
    after_value = _at(tokens, k - 2).kind in ("word", "number", "string", "close")
    return name.kind == "word" and not (name.text in ("in", "by") and after_value)


def _at(tokens: Sequence[_Token], k: int) -> _Token:
    return tokens[k] if 0 <= k < len(tokens) else _END


_ARITHMETIC = frozenset("+-*/")


def _tight(tokens: Sequence[_Token]) -> set[int]:
    """The signs that stand close: in `w[i+1]`, `1/4` and `8..1024`."""
    tight: set[int] = set()
    index: list[bool] = []  # of every open bracket, whether it is that of an index or inside one
    for k, token in enumerate(tokens):
        inside = bool(index) and index[-1]
        if token.kind == "open":
            index.append(inside or (token.text == "[" and _applies(tokens, k)))
        elif token.kind == "close" and index:
            index.pop()
        elif token.text == "..":
            sides = _at(tokens, k - 2).text, _at(tokens, k + 2).text
            tight |= set() if _ARITHMETIC.intersection(sides) else {k}
        elif token.text in _ARITHMETIC and (inside or _quotient(tokens, k)):
            tight.add(k)
    return tight


def _quotient(tokens: Sequence[_Token], k: int) -> bool:
    """Whether this is `/` between plain numbers that no other product reaches into."""
    sides = [_at(tokens, n) for n in (k - 1, k + 1)]
    plain = all(side.kind == "number" and side.text[-1].isdigit() for side in sides)
    return tokens[k].text == "/" and plain and _at(tokens, k - 2).text not in ("*", "/")


def _squeezed(rows: Iterable[_Row]) -> list[_Row]:
    """One blank line at most, and none where a body or the file begins or ends."""
    kept: list[_Row] = []
    for row in rows:
        if row.blank and (not kept or kept[-1].blank or kept[-1].opens):
            continue
        if row.closes and kept and kept[-1].blank:
            kept.pop()
        kept.append(row)
    return kept[:-1] if kept and kept[-1].blank else kept


def _lined_up(rows: Iterable[_Row]) -> Iterator[_Row]:
    """The same signs of lines in a row stand below each other."""
    for group in _groups(rows, lambda row: (row.level, row.run) if row.run else None):
        width = max(len(row.head) for row in group)
        if any(row.length(width) > LINE_CHARACTERS for row in group):
            width = 0
        for row in group:
            code = f"{row.head:<{width}} {row.code}" if row.head else row.code
            yield replace(row, head="", code=code)


def _with_comments(rows: Iterable[_Row]) -> Iterator[str]:
    """Finished lines; the comments beside neighbours stand below each other."""
    for group in _groups(rows, lambda row: None if row.alone else (row.level, "")):
        column = _common_column([row for row in group if row.code and row.comment])
        for row in group:
            line = " " * (_INDENT * row.level) + row.code
            gap = " " * max(2, column - len(line)) if row.code and row.comment else ""
            yield line + gap + row.comment


def _common_column(rows: Sequence[_Row]) -> int:
    """The leftmost column that one of the comments had and all can have, or else the first they can."""
    least = max((_INDENT * row.level + len(row.code) for row in rows), default=0) + 2
    had = min((row.column for row in rows if row.column >= least), default=least)
    for column in (had, least):
        if all(row.length(column=column) <= LINE_CHARACTERS for row in rows):
            return column
    return 0


def _groups(
    rows: Iterable[_Row], key: Callable[[_Row], tuple[int, str] | None]
) -> Iterator[list[_Row]]:
    """Rows with their neighbours of the same key; one without a key is by itself."""
    for _, group in groupby(enumerate(rows), lambda pair: key(pair[1]) or pair[0]):
        yield [row for _, row in group]
