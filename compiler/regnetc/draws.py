"""Draws: what `x ~ f(...)` says, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from . import distributions
from .cells import misfit
from .check_lines import expression, target_problems, unknown_function
from .diagnostics import Diagnostic, Span, error
from .distributions import Distribution, is_power2
from .limits import GRID_POINTS
from .tree import Call, Chain, Draw, Expr, Keyword, Number, Range
from .values import Quantity, Wrong, evaluate, shown
from .vocabulary import DISTRIBUTIONS, PARAMETERS, Parameter

Problems = Iterator[Diagnostic]

_POWERS = ("power2", "power2_or_multiple")
_POSITIVE = ("log_uniform", "log_normal", *_POWERS)


@lru_cache(maxsize=1024)
def distribution(draw: Draw) -> Distribution:
    """What a checked draw draws from."""
    at = (draw.target.name, draw.call.span.text)  # nothing else can change what it means
    found = _known.get(at)
    if found is None:
        if len(_known) >= _KNOWN:
            _known.clear()
        found = _known[at] = _distribution(draw)
    return found


_KNOWN = 512
_known: dict[tuple[str, str], Distribution] = {}


def _distribution(draw: Draw) -> Distribution:
    parameter, call = PARAMETERS[draw.target.name], draw.call
    kind = call.name.text
    if kind == "choice":
        return distributions.choice(
            _value(e) for e in call.arguments if not isinstance(e, Range | Keyword)
        )
    given = call.arguments[0]
    assert isinstance(given, Range)
    low, high = _value(given.low), _value(given.high)
    if kind == "power2":
        return distributions.power2(low, high)
    return _BY_RANGE[kind](low, high, _step(given, parameter))


_BY_RANGE = {
    "uniform": distributions.uniform,
    "log_uniform": distributions.log_uniform,
    "normal": distributions.normal,
    "log_normal": distributions.log_normal,
    "power2_or_multiple": distributions.power2_or_multiple,
}


def constant(e: Expr | Range | Keyword) -> Fraction | None:
    """The value of an expression that depends on nothing; None for another."""
    if isinstance(e, Range | Keyword) or not _is_constant(e):
        return None
    try:
        return evaluate(e, _no_lookup).value
    except Wrong:
        return None


def _value(e: Expr) -> Fraction:
    return evaluate(e, _no_lookup).value


def _no_lookup(*_: object) -> Quantity:
    raise AssertionError("checked before")


def _step(given: Range, parameter: Parameter) -> Fraction:
    """What a range goes by: what it says, else the quantum of the parameter."""
    return Fraction(parameter.step) if given.step is None else _value(given.step)


def problems(draw: Draw) -> Problems:
    """What is wrong with a draw by itself."""
    before = False
    for problem in target_problems(draw.target):
        before = True
        yield problem
    call = draw.call
    if call.name.text not in DISTRIBUTIONS:
        yield unknown_function(call, DISTRIBUTIONS)
        return
    if before:
        return
    parameter = PARAMETERS[draw.target.name]
    if parameter.kind == "word":
        message = f"`{parameter.name}` is a word, and words are not drawn"
        yield error("word", message, draw.span, help=f"write a space for each `{parameter.name}`")
        return
    if call.name.text == "choice":
        yield from _choice(call, parameter)
    else:
        yield from _ranged(call, parameter)


def _choice(call: Call, parameter: Parameter) -> Problems:
    seen: dict[Fraction, Span] = {}
    for argument in call.arguments:
        if isinstance(argument, Range | Keyword):
            message = "`choice` takes values, separated by commas"
            remedy = f"write `uniform({argument.span.text[:60]})` to draw from a range"
            if isinstance(argument, Keyword):
                remedy = "write the value alone"
            yield error("arguments", message, argument.span, help=remedy)
            continue
        found = list(_constant(argument))
        yield from (p for p in found if isinstance(p, Diagnostic))
        value = next((q for q in found if isinstance(q, Quantity)), None)
        if value is None:
            continue
        unsuitable = misfit(parameter, value, argument.span)
        if unsuitable is not None:
            yield unsuitable
        elif value.value in seen:
            message = f"{shown(value)} is to be chosen twice"
            yield error(
                "chosen-twice",
                message,
                argument.span,
                help="every value has the same odds; name it once",
            )
        seen.setdefault(value.value, argument.span)


def _constant(e: Expr) -> Iterator[Diagnostic | Quantity]:
    """The value of an expression that depends on nothing, or why it has none."""
    found = list(expression(e, counts=False))
    if found:
        yield from found
        return
    if not _is_constant(e):
        message = "what is drawn from does not depend on another parameter"
        yield error(
            "not-constant",
            message,
            e.span,
            help="write numbers here, and bound one parameter by the other",
        )
        return
    try:
        yield evaluate(e, _no_lookup)
    except Wrong as wrong:
        if wrong.problem is not None:
            yield wrong.problem


def _is_constant(e: Expr | Range | Keyword) -> bool:
    match e:
        case Number():
            return True
        case Chain():
            return all(map(_is_constant, e.operands))
        case Call():
            return all(map(_is_constant, e.arguments))
        case _:
            return False


def _ranged(call: Call, parameter: Parameter) -> Problems:
    kind = call.name.text
    given = call.arguments[0]
    if len(call.arguments) != 1 or not isinstance(given, Range):
        wanted = f"{kind}(a..b)" if kind == "power2" else f"{kind}(a..b by step)"
        extra = call.arguments[1].span if len(call.arguments) > 1 else given.span
        yield error("arguments", f"`{kind}` takes one range", extra, help=f"write `{wanted}`")
        return
    if kind == "power2" and given.step is not None:
        yield error(
            "arguments",
            "`power2` takes a range without a step",
            given.step.span,
            help="leave `by` out",
        )
        return
    ends: list[Fraction] = []
    for e in (given.low, given.high, *([] if given.step is None else [given.step])):
        for found in _constant(e):
            if isinstance(found, Diagnostic):
                yield found
            elif found.unit == "flops":
                yield error(
                    "unit",
                    f"`{parameter.name}` does not count flops",
                    e.span,
                    "this unit means flops",
                )
            else:
                ends.append(found.value)
    if len(ends) == (2 if given.step is None else 3):
        yield from _grid(call, given, parameter, ends[0], ends[1])


def _grid(
    call: Call, given: Range, parameter: Parameter, low: Fraction, high: Fraction
) -> Problems:
    """What is wrong with a range whose ends have values."""
    kind = call.name.text
    if low > high:
        message = f"a range runs upwards, not from {shown(low)} to {shown(high)}"
        yield error("range", message, given.span, help="exchange its ends")
        return
    if kind in _POSITIVE and low <= 0:
        message = f"`{kind}` begins above 0, not at {shown(low)}"
        yield error("range", message, given.low.span, help="`uniform` may begin at 0")
        return
    unsuitable = [
        misfit(parameter, Quantity(x, "plain"), e.span)
        for x, e in ((low, given.low), (high, given.high))
    ]
    if any(unsuitable):
        yield from (p for p in unsuitable if p is not None)
        return
    step = _step(given, parameter)
    if kind in _POWERS:
        for x, e in ((low, given.low), (high, given.high), (step, given.step)):
            if e is not None and not is_power2(x):
                yield error(
                    "not-a-power", f"`{kind}` goes from power of two to power of two, {shown(x)} is none", e.span,
                    help=f"the powers next to it are {_powers_near(x)}",
                )  # fmt: skip
                return
    if kind != "power2":
        yield from _steps(kind, given, parameter, low, high, step)


def _powers_near(x: Fraction) -> str:
    low = Fraction(1)
    while low > x:
        low /= 2
    while low * 2 <= x:
        low *= 2
    return f"{_plain(low)} and {_plain(low * 2)}"


def _plain(x: Fraction) -> str:
    return f"1/{x.denominator}" if x.numerator == 1 and x.denominator > 1 else shown(x)


def _steps(
    kind: str, given: Range, parameter: Parameter, low: Fraction, high: Fraction, step: Fraction
) -> Problems:
    where = given.span if given.step is None else given.step.span
    if parameter.kind == "ratio" and given.step is None and kind != "power2_or_multiple":
        message = f"`{parameter.name}` has no step of its own"
        yield error(
            "step", message, given.span, help="say one with `by`, or use `choice` or `power2`"
        )
        return
    if step <= 0:
        yield error("step", "the step of a range is positive", where, f"this is {shown(step)}")
        return
    if (high - low) / step >= GRID_POINTS:
        message = (
            f"this range has {int((high - low) / step) + 1:,} values, more than {GRID_POINTS:,}"
        )
        yield error("too-many", message, given.span, help="draw in larger steps")
        return
    if kind != "power2_or_multiple":
        for x, e in ((low, given.low), (high, given.high)):
            if x % step:
                near = x // step * step
                message = f"a step of {shown(step)} does not divide {shown(x)}"
                remedy = f"both ends are multiples of the step; near are {shown(near)} and {shown(near + step)}"
                yield error("step", message, e.span, help=remedy)
                return
    if parameter.kind == "integer" and (low % parameter.multiple or step % parameter.multiple):
        message = f"steps of {shown(step)} lead to values that `{parameter.name}` cannot have"
        yield error("step", message, where, help=f"{parameter.meaning}: {parameter.range_text}")
    elif parameter.kind == "ratio":
        yield from _ratios(given, parameter, low, high, step)


def _ratios(
    given: Range, parameter: Parameter, low: Fraction, high: Fraction, step: Fraction
) -> Problems:
    for k in range(int((high - low) / step) + 1):
        problem = misfit(parameter, Quantity(low + k * step, "plain"), given.span)
        if problem is not None:
            yield problem
            return
