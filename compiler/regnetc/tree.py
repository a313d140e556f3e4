"""The syntax tree of a spec. Every node knows its place (`span`)."""

from __future__ import annotations

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
    """`d`, or `w[i+1]`, where `at` is `i+1`."""

    name: str
    at: Expr | None
    span: Span


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
