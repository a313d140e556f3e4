"""Expressions to exact numbers: rationals, each with the unit it is counted in.

A number is worked out exactly, so `0.1 + 0.2` is `0.3`; only the quantised line uses float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Literal, NamedTuple

from .check_lines import stage_offset
from .diagnostics import Diagnostic, Span, error
from .limits import VALUE_BITS
from .tree import Call, Chain, Expr, Keyword, Listing, Number, Range, Ref, String, counted
from .vocabulary import FLOPS

_RATIO = "divide flops by flops, as in `flops / 1GF`"

Unit = Literal["flops", "plain", "any"]
"""A literal such as `3M` goes with anything; `400MF` and the count `flops` only with flops."""


class Quantity(NamedTuple):
    value: Fraction
    unit: Unit = "any"


class Wrong(Exception):
    """An expression without a value; its problem is None where it has been reported before."""

    def __init__(self, problem: Diagnostic | None) -> None:
        super().__init__()
        self.problem = problem


Lookup = Callable[[Ref, int | None], Quantity]
"""The value of a reference; the stage that its index names, counted from 1, or None without an index."""


def evaluate(e: Expr, lookup: Lookup, stage: int | None = None) -> Quantity:
    """The value of an expression that has been checked, at a stage if it is one for each stage."""
    match e:
        case Number():
            return Quantity(e.value, "flops" if e.unit == "F" else "any")
        case Ref():
            return lookup(e, stage_of(e, stage))
        case Chain():
            return _chain(e, lookup, stage)
        case Call():
            ref = counted(e)
            return lookup(ref, None) if ref is not None else _sqrt(e, lookup, stage)
        case Listing() | String():
            raise AssertionError("checked before")


def stage_of(e: Ref, stage: int | None) -> int | None:
    """The stage that an index names, where `i` is `stage`."""
    if e.at is None:
        return None
    at = stage_offset(e.at)
    if at is None:
        raise AssertionError("checked before")
    relative, offset = at
    if relative and stage is None:
        message = "there is no stage `i` on this line"
        raise Wrong(
            error("index", message, e.at.span, help="`x[i] = ...` gives a value to each stage")
        )
    return offset + (stage or 0) if relative else offset


def _chain(e: Chain, lookup: Lookup, stage: int | None) -> Quantity:
    result = evaluate(e.operands[0], lookup, stage)
    for sign, operand in zip(e.operators, e.operands[1:], strict=True):
        other = evaluate(operand, lookup, stage)
        if sign in "+-":
            unit = agreed(result.unit, other.unit, operand.span)
            value = result.value + other.value if sign == "+" else result.value - other.value
        else:
            unit = _product(result.unit, other.unit, operand.span, sign)
            if sign == "/" and other.value == 0:
                raise Wrong(
                    error(
                        "division-by-zero",
                        "nothing can be divided by zero",
                        operand.span,
                        "this is 0",
                    )
                )
            value = result.value * other.value if sign == "*" else result.value / other.value
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > VALUE_BITS:
            raise Wrong(error("number-too-long", "this value has too many digits", e.span))
        result = Quantity(value, unit)
    return result


def agreed(one: Unit, two: Unit, span: Span) -> Unit:
    """The unit of a sum or a comparison."""
    if one == "any":
        return two
    if two in ("any", one):
        return one
    text = span.text
    if two == "flops" and text[-1:] == "F" and text[:1].isdigit():
        help_ = f"write `{text[:-1]}`: only flops have an F"
    else:
        help_ = _RATIO
    raise Wrong(error("unit", "flops and plain numbers do not mix", span, help=help_))


def _product(one: Unit, two: Unit, span: Span, sign: str) -> Unit:
    if one == two == "flops":
        if sign == "*":
            raise Wrong(error("unit", "flops times flops mean nothing", span, help=_RATIO))
        return "plain"
    if sign == "/" and two == "flops":
        raise Wrong(error("unit", "a number over flops means nothing", span, help=_RATIO))
    if "flops" in (one, two):
        return "flops"
    return "any" if one == two == "any" else "plain"


def unit_of(e: Expr) -> Unit:
    """The unit of a checked expression, whatever its value. Raises Wrong where units do not go together."""
    match e:
        case Number():
            return "flops" if e.unit == "F" else "any"
        case Ref():
            return "flops" if e.name in FLOPS else "plain"
        case Call():
            ref = counted(e)
            if ref is not None:
                return unit_of(ref)
            argument = e.arguments[0]
            assert not isinstance(argument, Range | Keyword)
            return _rooted(unit_of(argument), argument.span)
        case Chain():
            unit = unit_of(e.operands[0])
            for sign, operand in zip(e.operators, e.operands[1:], strict=True):
                other = unit_of(operand)
                agree = agreed if sign in "+-" else partial(_product, sign=sign)
                unit = agree(unit, other, span=operand.span)
            return unit
        case Listing() | String():
            raise AssertionError("checked before")


def _rooted(unit: Unit, span: Span) -> Unit:
    if unit == "flops":
        raise Wrong(error("unit", "flops have no square root", span, help=_RATIO))
    return unit


def _sqrt(e: Call, lookup: Lookup, stage: int | None) -> Quantity:
    argument = e.arguments[0]
    if isinstance(argument, Range | Keyword):
        raise AssertionError("checked before")
    x = evaluate(argument, lookup, stage)
    _rooted(x.unit, argument.span)
    if x.value < 0:
        raise Wrong(
            error(
                "negative-root",
                "a negative number has no square root",
                argument.span,
                f"this is {shown(x)}",
            )
        )
    root = Fraction(math.isqrt(x.value.numerator), math.isqrt(x.value.denominator))
    exact = root * root == x.value
    return Quantity(root if exact else Fraction(math.sqrt(x.value)), x.unit)


def shown(x: Quantity | Fraction | int) -> str:
    """A value for a message: whole numbers with commas, others as short as a float is."""
    value = x.value if isinstance(x, Quantity) else Fraction(x)
    if value.denominator == 1:
        return f"{value.numerator:,}"
    return f"{float(value):,.6g}" if abs(value) < 10**15 else f"{float(value):.6g}"
