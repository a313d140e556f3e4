"""Whether a network lies in the spaces that its model extends: every bound, of every ancestor."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

from .check_lines import stage_offset
from .diagnostics import Diagnostic, Label, Note, Span, error
from .draws import distribution
from .facts import Facts
from .limits import BOUND_WORK
from .resolve import Resolution
from .scopes import Drawn
from .tree import Bound, Declaration, Expr, Member, Number, Ref, references
from .values import Lookup, Quantity, Wrong, agreed, evaluate, shown

_SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def _undrawn(resolution: Resolution) -> Iterator[Diagnostic]:
    """Values that an ancestor does not draw: draws speak of values as given, before they are fitted."""
    model = resolution.scope.declaration
    count = len(resolution.network.stages)
    for one in resolution.scope.draws():
        target, d = one.draw.target, distribution(one.draw)
        for stage in range(1, count + 1) if target.at is not None else (None,):
            if (target.name, stage) not in resolution.values:
                continue  # nothing in the network depends on it
            value = resolution.values[target.name, stage]
            if isinstance(value, Quantity) and value.value not in d:
                yield _not_drawn(resolution, one, stage, value, model)
                break


def _not_drawn(
    resolution: Resolution, one: Drawn, stage: int | None, value: Quantity, model: Declaration
) -> Diagnostic:
    name = one.draw.target.name
    what = name if stage is None else f"{name}[{stage}]"
    span = resolution.spans.get((name, stage))
    here = span if span is not None and span.source is model.name.span.source else model.name.span
    note = Note(f"`{one.owner.name.text}` draws it from", (Label(one.draw.call.span),))
    near = [f"`{shown(x)}`" for x in distribution(one.draw).around(value.value)]
    words = (
        "the nearest values that it has are"
        if len(near) > 1
        else "the nearest value that it has is"
    )
    return error(
        "not-in-space", f"`{model.name.text}` is not in `{one.owner.name.text}`", here,
        f"`{what}` is {shown(value)}", notes=(note,), help=f"{words} {' and '.join(near)}",
    )  # fmt: skip


class Budget:
    """How much working out of bounds a check may do, in characters of the bounds."""

    def __init__(self) -> None:
        self.left = BOUND_WORK

    def spend(self, line: Bound | Member, times: int) -> bool:
        self.left -= (line.span.end - line.span.start) * times
        return self.left >= 0


def violations(resolution: Resolution, budget: Budget) -> Iterator[Diagnostic]:
    """Every bound, of the model and of its ancestors, that the network does not satisfy."""
    facts = Facts(resolution)
    yield from _undrawn(resolution)
    for owner, line in resolution.scope.requirements():
        stages = stages_of(line, len(facts.network.stages))
        if not budget.spend(line, len(stages)):
            message = "the bounds of these models are too much work"
            name = resolution.scope.declaration.name.span
            yield error(
                "too-much-work", message, name, help="shorten the bounds, or split the file"
            )
            return
        for stage in stages:
            try:
                broken = _broken(line, facts.lookup, stage)
            except Wrong as wrong:
                if wrong.problem is not None:
                    yield wrong.problem
                break
            if broken is not None:
                yield _not_in_space(resolution, owner, line, stage, facts, broken)
                break


def unsatisfied(line: Bound | Member, facts: Facts) -> bool:
    """Whether a network breaks a bound at some stage; one that has no value for it does."""
    stages = stages_of(line, len(facts.network.stages))
    return not all(holds_at(line, facts.lookup, stage) for stage in stages)


def holds_at(line: Bound | Member, lookup: Lookup, stage: int | None) -> bool:
    """Whether a bound holds at a stage, given the values of references. Raises Wrong without one."""
    return _broken(line, lookup, stage) is None


def stages_of(line: Bound | Member, count: int) -> Sequence[int | None]:
    """The stages that `i` runs over: all for which every index of the line is a stage."""
    offsets = [at for at in map(_offset, references(line)) if at is not None]
    if not offsets:
        return (None,)
    return range(1 - min(*offsets, 0), count - max(*offsets, 0) + 1)


def _offset(ref: Ref) -> int | None:
    at = stage_offset(ref.at) if ref.at is not None else None
    return at[1] if at is not None and at[0] else None


def _broken(line: Bound | Member, lookup: Lookup, stage: int | None) -> Expr | None:
    """The operand that breaks a bound at a stage, or None where it holds."""
    if isinstance(line, Member):
        return None if _inside(line, lookup, stage) else line.value
    values = [evaluate(operand, lookup, stage) for operand in line.operands]
    for k, sign in enumerate(line.signs):
        left, right = values[k], values[k + 1]
        agreed(left.unit, right.unit, line.operands[k + 1].span)
        if not _SIGNS[sign](left.value, right.value):
            first, second = line.operands[k], line.operands[k + 1]
            return second if isinstance(first, Number) else first
    return None


def _inside(line: Member, lookup: Lookup, stage: int | None) -> bool:
    r = line.range
    value = evaluate(line.value, lookup, stage)
    low, high = evaluate(r.low, lookup, stage), evaluate(r.high, lookup, stage)
    step = None if r.step is None else evaluate(r.step, lookup, stage)
    for part, operand in ((low, r.low), (high, r.high), (step, r.step)):
        if part is not None and operand is not None:
            agreed(value.unit, part.unit, operand.span)
    if low.value > high.value:
        message = f"a range runs upwards, not from {shown(low)} to {shown(high)}"
        raise Wrong(error("range", message, r.span, help="exchange its ends"))
    if step is not None and r.step is not None and step.value <= 0:
        message = "the step of a range is positive"
        raise Wrong(error("range", message, r.step.span, f"this is {shown(step)}"))
    if not low.value <= value.value <= high.value:
        return False
    return step is None or (value.value - low.value) % step.value == 0


def _not_in_space(
    resolution: Resolution,
    owner: Declaration,
    line: Bound | Member,
    stage: int | None,
    facts: Facts,
    broken: Expr,
) -> Diagnostic:
    model = resolution.scope.declaration
    message = f"`{model.name.text}` is not in `{owner.name.text}`"
    values = [_annotated(ref, facts, stage) for ref in references(line)]
    if owner is model:
        message = f"`{model.name.text}` breaks its own bound"
        labels = tuple(Label(span, text, primary=span == broken.span) for span, text in values)
        if not any(label.primary for label in labels):
            labels = (Label(line.span), *labels)
        return Diagnostic("error", "not-in-space", message, labels)
    where = _cause(resolution, broken, stage, model)
    note = Note(
        f"`{owner.name.text}` requires",
        tuple(Label(s, t, primary=s == broken.span) for s, t in values),
    )
    if not note.labels:
        note = Note(note.message, (Label(line.span),))
    return error("not-in-space", message, where[0], where[1], also=where[2], notes=(note,))


def _annotated(ref: Ref, facts: Facts, stage: int | None) -> tuple[Span, str]:
    at = stage_offset(ref.at) if ref.at is not None else None
    n = None if at is None else at[1] + (stage or 0 if at[0] else 0)
    try:
        return ref.span, shown(facts.lookup(ref, n))
    except Wrong:  # beyond the comparison that failed: nobody has asked for it
        return ref.span, ""


def _cause(
    resolution: Resolution, broken: Expr, stage: int | None, model: Declaration
) -> tuple[Span, str, tuple[Label, ...]]:
    """The line of the model that gave the value which breaks a bound, or the model's name."""
    here = model.name.span.source
    marks: list[tuple[Span, str]] = []
    for ref in references(broken):
        at = stage_offset(ref.at) if ref.at is not None else None
        n = None if at is None else at[1] + (stage or 0 if at[0] else 0)
        span = resolution.spans.get((ref.name, n))
        if span is not None and span.source is here:
            marks.append((span, f"stage {n}" if n is not None else ""))
    if not marks:
        return model.name.span, "", ()
    return marks[0][0], marks[0][1], ()
