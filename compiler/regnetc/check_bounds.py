"""What is wrong with a bound by itself, though every word of it is known: units, ranges, steps."""

from __future__ import annotations

from collections.abc import Iterator

from .diagnostics import Diagnostic, error
from .draws import constant
from .tree import Bound, Member
from .values import Wrong, agreed, shown, unit_of


def bound_problems(line: Bound | Member) -> Iterator[Diagnostic]:
    """A space works nothing out, so what no value can mend is said of the line as it is written."""
    try:
        if isinstance(line, Bound):
            _bound_units(line)
        else:
            _member_units(line)
    except Wrong as wrong:
        if wrong.problem is not None:
            yield wrong.problem
        return
    if isinstance(line, Member):
        yield from _range(line)


def _bound_units(line: Bound) -> None:
    units = [unit_of(operand) for operand in line.operands]
    for one, two, operand in zip(units, units[1:], line.operands[1:], strict=False):
        agreed(one, two, operand.span)


def _member_units(line: Member) -> None:
    r, unit = line.range, unit_of(line.value)
    for part in (r.low, r.high, r.step):
        if part is not None:
            agreed(unit, unit_of(part), part.span)


def _range(line: Member) -> Iterator[Diagnostic]:
    r = line.range
    low, high = constant(r.low), constant(r.high)
    step = None if r.step is None else constant(r.step)
    if low is not None and high is not None and low > high:
        message = f"a range runs upwards, not from {shown(low)} to {shown(high)}"
        yield error("range", message, r.span, help="exchange its ends")
    elif r.step is not None and step is not None and step <= 0:
        message = "the step of a range is positive"
        yield error("range", message, r.step.span, f"this is {shown(step)}")
    elif low is not None and high is not None and step is not None and (high - low) % step:
        message = f"a step of {shown(step)} does not lead from {shown(low)} to {shown(high)}"
        last = low + (high - low) // step * step
        yield error(
            "step", message, r.span, help=f"the last value that it reaches is {shown(last)}"
        )
