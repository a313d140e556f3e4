"""The syntax tree of a spec. Every node knows its place (`span`)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from .diagnostics import Source, Span

Kind = Literal["model", "space", "recipe", "sweep"]


class Name(NamedTuple):
    text: str
    span: Span


class Number(NamedTuple):
    """`5.16M` is 5,160,000, in steps of 10,000: the unit of its last digit."""

    text: str
    value: Fraction
    step: Fraction
    unit: Literal["", "F", "%"]
    span: Span

    @property
    def is_integer_literal(self) -> bool:
        return self.text.isdecimal()


class String(NamedTuple):
    value: str
    span: Span


class Ref(NamedTuple):
    """`d`, or `w[i+1]`, where `at` is `i+1`; `image` is that of a count such as `flops(image = 160)`."""

    name: str
    at: Expr | None
    span: Span
    image: int | None = None


class Call(NamedTuple):
    name: Name
    arguments: tuple[Expr | Range | Keyword, ...]
    span: Span


class Listing(NamedTuple):
    items: tuple[Expr, ...]
    span: Span


class Chain(NamedTuple):
    """Operands joined by operators of one rank: `a + b - c` or `a * b / c`, worked from the left."""

    operands: tuple[Expr, ...]
    operators: tuple[str, ...]
    span: Span


Expr = Number | String | Ref | Call | Listing | Chain


class Range(NamedTuple):
    low: Expr
    high: Expr
    step: Expr | None
    span: Span


class Keyword(NamedTuple):
    name: Name
    value: Expr
    span: Span


class Fix(NamedTuple):
    """`default stem = 32`."""

    default: bool
    targets: tuple[Ref, ...]
    value: Expr
    span: Span


class Draw(NamedTuple):
    """`wm ~ uniform(2..3)`."""

    target: Ref
    call: Call
    span: Span


class Bound(NamedTuple):
    """`12 <= d <= 28`: operands and the signs between them."""

    operands: tuple[Expr, ...]
    signs: tuple[str, ...]
    span: Span


class Member(NamedTuple):
    """`flops in 360MF..400MF`."""

    value: Expr
    range: Range
    span: Span


class Block(NamedTuple):
    """`expect { ... }`."""

    name: Name
    lines: tuple[Line, ...]
    span: Span


Line = Fix | Draw | Bound | Member | Block


class Use(NamedTuple):
    path: String
    span: Span


class Declaration(NamedTuple):
    """`damaged` where one of its lines could not be read: nothing more is said about it then."""

    kind: Kind
    name: Name
    parents: tuple[Name, ...]
    lines: tuple[Line, ...]
    doc: str
    span: Span
    damaged: bool = False


class File(NamedTuple):
    """A spec as written. `lost` where a declaration or a `use` could not be read at all."""

    source: Source
    uses: tuple[Use, ...]
    declarations: tuple[Declaration, ...]
    lost: bool = False


def counted(call: Call) -> Ref | None:
    """`flops(image = 160)` as a reference to a count; None for a call of another form."""
    argument = call.arguments[0]
    if len(call.arguments) != 1 or not isinstance(argument, Keyword):
        return None
    image = argument.value
    side = int(image.value) if isinstance(image, Number) else None
    return Ref(call.name.text, None, call.span, side)


def references(line: Bound | Member | Expr | Range | Keyword) -> Iterator[Ref]:
    """Every reference in a line or an expression, in order."""
    match line:
        case Ref():
            yield line
        case Bound() | Chain():
            for operand in line.operands:
                yield from references(operand)
        case Member():
            yield from references(line.value)
            yield from references(line.range)
        case Range():
            for part in (line.low, line.high, line.step):
                if part is not None:
                    yield from references(part)
        case Call():
            ref = counted(line)
            if ref is not None:
                yield ref
            for argument in line.arguments if ref is None else ():
                yield from references(argument)
        case Keyword():
            yield from references(line.value)
        case Listing():
            for item in line.items:
                yield from references(item)
        case Number() | String():
            return
