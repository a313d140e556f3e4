"""Text to syntax tree. Nothing is looked up or computed here.

Where a line cannot be read it is reported, and the rest of the file is read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

from lark import Token, Tree, UnexpectedInput

from .diagnostics import Diagnostic, Source, Span, error
from .grammar import parser
from .limits import (
    BODY_LINES,
    DECLARATIONS,
    EXPRESSION_TOKENS,
    LITERAL_CHARACTERS,
    NAME_CHARACTERS,
    NUMBER_DIGITS,
    NUMBER_EXPONENT,
    PARENTS,
)
from .tree import (
    Block,
    Bound,
    Call,
    Chain,
    Declaration,
    Draw,
    Expr,
    File,
    Fix,
    Keyword,
    Line,
    Listing,
    Member,
    Name,
    Number,
    Range,
    Ref,
    String,
    Use,
)


def parse(source: Source) -> tuple[File, list[Diagnostic]]:
    """The syntax tree of a scanned text, and every line of it that cannot be read."""
    tree, problems, gaps = _recover(source)
    builder = _Builder(source)
    uses: list[Use] = []
    declarations: list[Declaration] = []
    children: list[Any] = [] if tree is None else tree.children
    for node in children:
        if not isinstance(node, Tree):
            continue
        if node.data == "use":
            path: Any = node.children[0]
            uses.append(Use(builder.string(path), builder.span(node)))
        else:
            declarations.append(builder.declaration(node, gaps))
    problems.extend(builder.problems)
    if len(declarations) > DECLARATIONS:
        extra = declarations[DECLARATIONS].name
        message = f"a file holds at most {DECLARATIONS:,} declarations, this one has {len(declarations):,}"
        problems.append(
            error("too-many", message, extra.span, help="split it into files and `use` them")
        )
        del declarations[DECLARATIONS:]
    lost = any(
        source.text[a:b].strip() not in ("{", "}")
        and not any(d.span.start < a and b <= d.span.end for d in declarations)
        for a, b in gaps
    )
    return File(source, tuple(uses), tuple(declarations), lost or tree is None), problems


_MOST_MISTAKES = 10
_MOST_READ = 256 * 1024  # characters read again and again while recovering


def _recover(source: Source) -> tuple[Tree[Token] | None, list[Diagnostic], list[tuple[int, int]]]:
    """Parse; on a mistake report it, blank the statement it is in, and parse again."""
    text = _flatten(source.text)
    problems: list[Diagnostic] = []
    gaps: list[tuple[int, int]] = []
    read = 0
    while True:
        read += len(text) + 1
        try:
            return parser().parse(text), problems, gaps
        except UnexpectedInput as mistake:
            from .mistakes import unreadable

            problem, at = unreadable(source, text, mistake)
            problems.append(problem)
            gap = _statement(text, at)
            if gap is None or len(problems) >= _MOST_MISTAKES or read > _MOST_READ:
                return None, problems, gaps
            gaps.append(gap)
            start, end = gap
            blank = "".join(c if c == "\n" else " " for c in text[start:end])
            text = text[:start] + blank + text[end:]


_BETWEEN = re.compile(r'"[^"\n]*"?|#[^\n]*|\n')
_PIECE = re.compile(r'"[^"\n]*"?|#[^\n]*|[\n{}()\[\]]')


def _flatten(text: str) -> str:
    """Line ends and comments inside closed ( ) and [ ] become blanks, so that places stay."""
    out: list[str] = []
    done, opened, start = 0, 0, 0
    for piece in _PIECE.finditer(text):
        c = piece.group()
        if c in "([":
            start = piece.start() if opened == 0 else start
            opened += 1
        elif c in "{}":
            opened = 0
        elif c in ")]" and opened:
            opened -= 1
            if opened == 0 and "\n" in text[start : piece.start()]:
                out.append(text[done:start])
                out.append(_BETWEEN.sub(_blank, text[start : piece.start()]))
                done = piece.start()
    return "".join(out) + text[done:] if out else text


def _blank(piece: re.Match[str]) -> str:
    return piece.group() if piece.group()[0] == '"' else " " * len(piece.group())


def _statement(text: str, at: int) -> tuple[int, int] | None:
    """The line around an offset, with all of any `{` that it opens; None if that never closes."""
    start = text.rfind("\n", 0, at) + 1
    depth = 0
    end = len(text)
    for piece in _PIECE.finditer(text, start):
        c = piece.group()
        depth += (c == "{") - (c == "}")
        if (c == "\n" and depth <= 0) or depth < 0:
            end = piece.end() if piece.start() == at else piece.start()
            break
    return None if depth > 0 or not text[start:end].strip() else (start, end)


class _Builder:
    """lark's tree to ours; recursion is bounded by the nesting that the scan admits."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Diagnostic] = []
        self.left_out = False  # something of the declaration at hand

    def span(self, node: Tree[Token] | Token) -> Span:
        at = node if isinstance(node, Token) else node.meta
        return Span(self.source, at.start_pos or 0, at.end_pos or 0)

    def name(self, token: Token) -> Name:
        span = self.span(token)
        if len(token) > NAME_CHARACTERS:
            message = (
                f"a name has at most {NAME_CHARACTERS} characters, this one has {len(token):,}"
            )
            self.problems.append(error("name-too-long", message, span, help="shorten it"))
        return Name(str(token), span)

    def string(self, token: Token) -> String:
        return String(str(token)[1:-1], self.span(token))

    def declaration(self, node: Tree[Token], gaps: list[tuple[int, int]]) -> Declaration:
        parts: list[Any] = node.children
        title, parents, body = parts[1:]
        kind: Any = str(parts[0])
        names = tuple(self.name(t) for t in parents.children) if parents else ()
        span = self.span(node)
        if len(names) > PARENTS:
            message = f"a declaration extends at most {PARENTS} others, this one {len(names)}"
            self.problems.append(
                error("too-many", message, names[PARENTS].span, help="extend fewer")
            )
        between = self.source.text
        self.left_out = any(  # inside, or a body that begins on the next line
            span.start < a
            and (b <= span.end or (a >= span.end and not between[span.end : a].strip()))
            for a, b in gaps
        )
        lines = self.lines(body) if body else ()
        doc = _doc(self.source.text, span.start)
        return Declaration(
            kind, self.name(title), names[:PARENTS], lines, doc, span, damaged=self.left_out
        )

    def lines(self, body: Tree[Token]) -> tuple[Line, ...]:
        nodes = [n for n in body.children if isinstance(n, Tree)]
        if len(nodes) > BODY_LINES:
            message = f"a body holds at most {BODY_LINES} lines, this one has {len(nodes):,}"
            self.problems.append(
                error("too-many", message, self.span(nodes[BODY_LINES]), help="split it")
            )
        return tuple(self.line(n) for n in nodes[:BODY_LINES] if not self.too_long(n))

    def too_long(self, node: Tree[Token]) -> bool:
        if node.data == "block" or sum(1 for _ in _tokens(node)) <= EXPRESSION_TOKENS:
            return False
        message = f"a line holds at most {EXPRESSION_TOKENS:,} names, numbers and signs"
        at = Span(self.source, node.meta.start_pos, node.meta.start_pos + 1)
        self.problems.append(error("too-many", message, at, help="split it"))
        self.left_out = True
        return True

    def line(self, node: Tree[Token]) -> Line:
        span = self.span(node)
        parts: list[Any] = node.children
        match node.data:
            case "fix":
                targets = tuple(self.ref(r) for r in parts[1].children)
                return Fix(parts[0] is not None, targets, self.expr(parts[2]), span)
            case "draw":
                return Draw(self.ref(parts[0]), self.call(parts[1]), span)
            case "bound":
                return Bound(tuple(map(self.expr, parts[::2])), tuple(map(str, parts[1::2])), span)
            case "member":
                return Member(self.expr(parts[0]), self.range(parts[1]), span)
            case _:
                return Block(self.name(parts[0]), self.lines(parts[1]), span)

    def expr(self, node: Any) -> Expr:
        parts = node.children
        span = self.span(node)
        match node.data:
            case "number":
                return self.number(parts[0])
            case "string":
                return self.string(parts[0])
            case "ref":
                return self.ref(node)
            case "call":
                return self.call(node)
            case "list":
                return Listing(tuple(self.expr(p) for p in parts if isinstance(p, Tree)), span)
            case _:
                return Chain(tuple(map(self.expr, parts[::2])), tuple(map(str, parts[1::2])), span)

    def ref(self, node: Any) -> Ref:
        name, at = node.children
        index = None if at is None else self.expr(at)
        return Ref(str(self.name(name).text), index, self.span(node))

    def call(self, node: Any) -> Call:
        name, *rest = node.children
        arguments = tuple(self.argument(p) for p in rest if isinstance(p, Tree))
        return Call(self.name(name), arguments, self.span(node))

    def argument(self, node: Any) -> Expr | Range | Keyword:
        if node.data in ("range", "around"):
            return self.range(node)
        if node.data == "keyword":
            name, value = node.children
            return Keyword(self.name(name), self.expr(value), self.span(node))
        return self.expr(node)

    def range(self, node: Any) -> Range:
        if node.data == "around":
            return self.around(node)
        low, high, step = node.children
        by = None if step is None else self.expr(step)
        return Range(self.expr(low), self.expr(high), by, self.span(node))

    def around(self, node: Any) -> Range:
        """`400MF +- 1%` is `400MF - 400MF * 1%..400MF + 400MF * 1%`; without the sign `%` it is no share."""
        centre, spread = map(self.expr, node.children)
        span = self.span(node)
        if isinstance(spread, Number) and spread.unit == "%":
            spread = Chain((centre, spread), ("*",), span)
        ends = (Chain((centre, spread), (sign,), span) for sign in "-+")
        return Range(next(ends), next(ends), None, span)

    def number(self, token: Token) -> Number:
        span = self.span(token)
        literal = read_literal(str(token))
        if literal is None:
            limits = f"{NUMBER_DIGITS} digits and an exponent up to {NUMBER_EXPONENT}"
            message = f"a number has at most {limits} either way"
            self.problems.append(
                error("number-too-long", message, span, help="write a shorter one")
            )
            self.left_out = True
            return Number("1", Fraction(1), Fraction(1), "", span)
        value, step, unit = literal
        return Number(str(token), value, step, unit, span)


_SCALES = {
    "K": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "%": Fraction(1, 100),
}


def read_literal(text: str) -> tuple[Fraction, Fraction, Literal["", "F", "%"]] | None:
    """Value, step and unit of a literal, exactly; None if it is longer than any honest number."""
    if len(text) > LITERAL_CHARACTERS:
        return None
    body = text.rstrip("KMGF%")
    suffix = text[len(body) :]
    mantissa, _, exponent = body.partition("e")
    whole, _, decimals = mantissa.partition(".")
    if len(whole) + len(decimals) > NUMBER_DIGITS or len(exponent.lstrip("-0")) > 2:
        return None
    power = int(exponent or 0)
    if abs(power) > NUMBER_EXPONENT:
        return None
    step = Fraction(10) ** (power - len(decimals)) * _SCALES.get(suffix[:1], Fraction(1))
    unit: Literal["", "F", "%"] = "%" if suffix == "%" else "F" if suffix.endswith("F") else ""
    return int(whole + decimals) * step, step, unit


def _tokens(node: Tree[Token]) -> Iterator[Token]:
    stack: list[Any] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, Tree):
            stack.extend(part.children)
        elif part is not None:
            yield part


def _doc(text: str, start: int) -> str:
    """The comment block that ends on the line above a declaration, without its `#` signs."""
    lines: list[str] = []
    end = text.rfind("\n", 0, start)
    while end > 0:
        begin = text.rfind("\n", 0, end) + 1
        line = text[begin:end].strip(" \t")
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" ").expandtabs(4).rstrip())
        end = begin - 1
    lines.reverse()
    return "\n".join(lines).strip("\n")
