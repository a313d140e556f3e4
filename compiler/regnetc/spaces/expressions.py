"""Expressions and bounds on columns: a value for each candidate, and which candidates a line keeps.

Values are float64. Where they are whole numbers comparisons are exact; where not, candidates that
lie too near to a bound to be sure are said to be doubtful, and are worked out one by one elsewhere.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..distributions import Distribution
from ..tree import Bound, Call, Chain, Expr, Listing, Member, Number, Ref, String, counted
from ..values import stage_of
from ..vocabulary import Parameter
from .arrays import Flags

_SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_NEAR = 1e-9
_SMALL, _FEW = 2**20, 2**15


class Column(NamedTuple):
    """A value of every candidate, or one for all; `whole` where it is an exact whole number.

    `sure` values are rounded once from fractions with denominators below 2**15, and lie below 2**20
    themselves: different ones are 2**-30 apart, and so compare as the fractions do.
    """

    x: Any
    whole: bool
    sure: bool = False


Lookup = Callable[[Ref, int | None], Column]


class Verdict(NamedTuple):
    """Which candidates a line keeps, and of which it cannot be said in float64."""

    keeps: Any
    doubtful: Any


def evaluate(e: Expr, lookup: Lookup, stage: int | None = None) -> Column:
    """The value of a checked expression for every candidate."""
    match e:
        case Number():
            return constant(e.value)
        case Ref():
            return lookup(e, stage_of(e, stage))
        case Chain():
            return _chain(e, lookup, stage)
        case Call():
            ref = counted(e)
            if ref is not None:
                return lookup(ref, None)
            argument: Any = e.arguments[0]
            with np.errstate(invalid="ignore"):
                return Column(np.sqrt(evaluate(argument, lookup, stage).x), False)
        case Listing() | String():
            raise AssertionError("checked before")


def constant(value: Fraction) -> Column:
    return Column(float(value), value.denominator == 1 and abs(value) < 2**53, is_sure(value))


def is_sure(value: Fraction) -> bool:
    return value.denominator < _FEW and abs(value) < _SMALL


def _chain(e: Chain, lookup: Lookup, stage: int | None) -> Column:
    x, whole, sure = evaluate(e.operands[0], lookup, stage)
    for sign, operand in zip(e.operators, e.operands[1:], strict=True):
        y = evaluate(operand, lookup, stage)
        both = whole and y.whole
        whole = both and sign != "/"
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            x = _OPERATORS[sign](x, y.x)
        whole = whole and bool(np.all(np.abs(x) < 2**53))
        sure = both and sign == "/" and _small(x) and bool(np.all(np.abs(y.x) < _FEW))
    return Column(x, whole, sure)


def _small(x: Any) -> bool:
    return bool(np.all(np.abs(x) < _SMALL))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def bound(line: Bound, lookup: Lookup, stage: int | None) -> Verdict:
    """`12 <= d <= 28`, at a stage if it speaks of `i`."""
    values = [evaluate(operand, lookup, stage) for operand in line.operands]
    keeps: Any = True
    doubtful: Any = False
    for a, b, sign in zip(values, values[1:], line.signs, strict=False):
        keeps = keeps & _SIGNS[sign](a.x, b.x)
        doubtful = doubtful | _close(a, b)
    return Verdict(keeps, doubtful)


def member(line: Member, lookup: Lookup, stage: int | None) -> Verdict:
    """`flops in 360MF..400MF`, with the step where there is one."""
    x = evaluate(line.value, lookup, stage)
    low = evaluate(line.range.low, lookup, stage)
    high = evaluate(line.range.high, lookup, stage)
    keeps = (low.x <= x.x) & (x.x <= high.x)
    doubtful = _close(x, low) | _close(x, high)
    if line.range.step is not None:
        step = evaluate(line.range.step, lookup, stage)
        with np.errstate(divide="ignore", invalid="ignore"):
            turns = (x.x - low.x) / step.x
        off = np.abs(turns - np.rint(turns))
        keeps = keeps & (off == 0)
        if not (x.whole and low.whole and step.whole):
            doubtful = doubtful | (off < _NEAR)
    return Verdict(keeps, doubtful)


def _close(a: Column, b: Column) -> Any:
    if a.whole and b.whole:
        return False
    if all(c.sure or (c.whole and _small(c.x)) for c in (a, b)):
        return False
    return np.abs(a.x - b.x) <= _NEAR * np.maximum(np.abs(a.x), np.abs(b.x))


def among(x: Column, d: Distribution) -> Any:
    """Which values are among those of a distribution."""
    found: Any = False
    for piece in d.pieces:
        low, high, step = float(piece.low), float(piece.high), float(piece.step)
        if x.whole and low.is_integer() and step.is_integer():
            inside = (x.x >= low) & (x.x <= high)
            if step != 1:
                turns = (x.x - low) / step
                inside = inside & (turns == np.rint(turns))
        else:
            turns = np.rint((x.x - low) / step)
            on = np.abs(low + turns * step - x.x) <= _NEAR * np.abs(x.x)
            inside = on & (turns >= 0) & (turns <= piece.size - 1) & (x.x <= high * (1 + _NEAR))
        found = found | inside
    return found


def proper(x: Column, parameter: Parameter) -> Verdict:
    """Whether values worked out from others are such as a parameter can have."""
    low, high = float(parameter.low), float(parameter.high)
    slack = 0.0 if x.whole else _NEAR
    keeps = (x.x >= low * (1 - slack)) & (x.x <= high * (1 + slack))
    if parameter.kind == "integer":
        turns = x.x / parameter.multiple
        keeps = keeps & (np.abs(turns - np.rint(turns)) <= slack * np.maximum(1.0, np.abs(turns)))
    if parameter.kind == "real":
        near = np.minimum(np.abs(x.x - low), np.abs(x.x - high)) <= _NEAR * max(1.0, high)
        return Verdict(keeps, bool(np.any(near)))
    return Verdict(keeps, not x.whole)


def flags(x: Any, n: int) -> Flags:
    """A verdict that is one for all, spread over n candidates."""
    out: Flags = np.broadcast_to(np.asarray(x, bool), (n,))
    return out
