"""The syntax tree of a spec. Every node knows its place, which plays no part in comparing nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from .diagnostics import Source, Span

Kind = Literal["model", "space", "recipe", "sweep"]


@dataclass(frozen=True, slots=True)
class Name:
    text: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number:
    """`5.16M` is 5,160,000, in steps of 10,000: the unit of its last digit."""

    text: str
    value: Fraction
    step: Fraction
    unit: Literal["", "F", "%"]
    span: Span = field(compare=False, repr=False)

    @property
    def is_integer_literal(self) -> bool:
        return self.text.isdecimal()


@dataclass(frozen=True, slots=True)
class String:
    value: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ref:
    """`d`, or `w[i+1]`."""

    name: str
    index: Expr | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    name: Name
    arguments: tuple[Expr | Range | Keyword, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Expr, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined by operators of one rank: `a + b - c` or `a * b / c`, worked from the left."""

    operands: tuple[Expr, ...]
    operators: tuple[str, ...]
    span: Span = field(compare=False, repr=False)


Expr = Number | String | Ref | Call | Listing | Chain


@dataclass(frozen=True, slots=True)
class Range:
    low: Expr
    high: Expr
    step: Expr | None
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Keyword:
    name: Name
    value: Expr
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Fix:
    """`default stem = 32`."""

    default: bool
    targets: tuple[Ref, ...]
    value: Expr
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Draw:
    """`wm ~ uniform(2..3)`."""

    target: Ref
    call: Call
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """`12 <= d <= 28`: operands and the signs between them."""

    operands: tuple[Expr, ...]
    signs: tuple[str, ...]
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`flops in 360MF..400MF`."""

    value: Expr
    range: Range
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`expect { ... }`."""

    name: Name
    lines: tuple[Line, ...]
    span: Span = field(compare=False, repr=False)


Line = Fix | Draw | Bound | Member | Block


@dataclass(frozen=True, slots=True)
class Use:
    path: String
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Declaration:
    """`damaged` where one of its lines could not be read: nothing more is said about it then."""

    kind: Kind
    name: Name
    parents: tuple[Name, ...]
    lines: tuple[Line, ...]
    doc: str
    span: Span = field(compare=False, repr=False)
    damaged: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class File:
    """A spec as written. `lost` where a declaration or a `use` could not be read at all."""

    source: Source
    uses: tuple[Use, ...]
    declarations: tuple[Declaration, ...]
    lost: bool = False
