"""What a model must satisfy and what it claims: bounds, `expect`, `published`, and the rounding rule."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from . import regnet
from .check import stage_offset
from .diagnostics import Diagnostic, Label, Note, Span, error, listed
from .network import Network, Row
from .resolve import Resolution
from .syntax import read_literal
from .tree import Block, Bound, Chain, Call, Declaration, Expr, Fix, Keyword, Listing, Member, Number, Range, Ref, String
from .values import Quantity, Wrong, agreed, evaluate, shown
from .vocabulary import CONVENTIONS, COUNTS, FLOPS, PARAMETERS

_SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class Facts:
    """The values of a resolved network by the names of the language: parameters, stages and counts."""

    def __init__(self, resolution: Resolution) -> None:
        self.network = resolution.network
        self.cells = resolution.cells
        self.counts = self.network.counts.as_dict()

    def lookup(self, ref: Ref, stage: int | None) -> Quantity:
        """The value of a checked reference; raises Wrong for a stage or a value that is not there."""
        name = ref.name
        if name in COUNTS:
            unit: Literal["flops", "plain"] = "flops" if name in FLOPS else "plain"
            return Quantity(Fraction(self.counts[COUNTS[name]]), unit)
        if stage is not None and not 1 <= stage <= len(self.network.stages):
            message = f"there is no stage {stage}; stages count from 1 to {len(self.network.stages)}"
            raise Wrong(error("index", message, ref.span))
        if stage is not None and name != "b":  # as fitted, not as written
            return Quantity(Fraction(getattr(self.network.stages[stage - 1], name)), "plain")
        cell = self.cells.get((name, stage))
        if isinstance(cell, Quantity):
            return Quantity(cell.value, "plain")
        message = f"`{name}` has no value in `{self.network.name}`"
        raise Wrong(error("no-value", message, ref.span, help="only what the model fixes can be compared"))

    def word(self, name: str) -> str:
        return self.network.stem.type if name == "stem_type" else str(getattr(self.network, name))


# Bounds.


def violations(resolution: Resolution) -> Iterator[Diagnostic]:
    """Every bound, of the model and of its ancestors, that the network does not satisfy."""
    facts = Facts(resolution)
    for owner, line in resolution.scope.requirements():
        for stage in _stages(line, len(facts.network.stages)):
            try:
                broken = _broken(line, facts, stage)
            except Wrong as wrong:
                if wrong.problem is not None:
                    yield wrong.problem
                break
            if broken is not None:
                yield _not_in_space(resolution, owner, line, stage, facts, broken)
                break


def _stages(line: Bound | Member, count: int) -> Iterable[int | None]:
    """The stages that `i` runs over: all for which every index of the line is a stage."""
    offsets = [at for at in map(_offset, references(line)) if at is not None]
    if not offsets:
        return (None,)
    return range(1 - min(*offsets, 0), count - max(*offsets, 0) + 1)


def _offset(ref: Ref) -> int | None:
    at = stage_offset(ref.index) if ref.index is not None else None
    return at[1] if at is not None and at[0] else None


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
            for argument in line.arguments:
                yield from references(argument)
        case Keyword():
            yield from references(line.value)
        case Listing():
            for item in line.items:
                yield from references(item)
        case Number() | String():
            return


def _broken(line: Bound | Member, facts: Facts, stage: int | None) -> Expr | None:
    """The operand that breaks a bound at a stage, or None where it holds."""
    if isinstance(line, Member):
        return None if _inside(line, facts, stage) else line.value
    values = [evaluate(operand, facts.lookup, stage) for operand in line.operands]
    for k, sign in enumerate(line.signs):
        left, right = values[k], values[k + 1]
        agreed(left.unit, right.unit, line.operands[k + 1].span)
        if not _SIGNS[sign](left.value, right.value):
            first, second = line.operands[k], line.operands[k + 1]
            return second if isinstance(first, Number) else first
    return None


def _inside(line: Member, facts: Facts, stage: int | None) -> bool:
    r = line.range
    value = evaluate(line.value, facts.lookup, stage)
    low, high = evaluate(r.low, facts.lookup, stage), evaluate(r.high, facts.lookup, stage)
    for end, operand in ((low, r.low), (high, r.high)):
        agreed(value.unit, end.unit, operand.span)
    if low.value > high.value:
        message = f"a range runs upwards, not from {shown(low)} to {shown(high)}"
        raise Wrong(error("range", message, r.span, help="exchange its ends"))
    if not low.value <= value.value <= high.value:
        return False
    if r.step is None:
        return True
    step = evaluate(r.step, facts.lookup, stage)
    if step.value <= 0:
        raise Wrong(error("range", "the step of a range is positive", r.step.span, f"this is {shown(step)}"))
    return (value.value - low.value) % step.value == 0


def _not_in_space(
    resolution: Resolution, owner: Declaration, line: Bound | Member, stage: int | None, facts: Facts, broken: Expr
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
    note = Note(f"`{owner.name.text}` requires", tuple(Label(s, t, primary=s == broken.span) for s, t in values))
    if not note.labels:
        note = Note(note.message, (Label(line.span),))
    return error("not-in-space", message, where[0], where[1], also=where[2], notes=(note,))


def _annotated(ref: Ref, facts: Facts, stage: int | None) -> tuple[Span, str]:
    at = stage_offset(ref.index) if ref.index is not None else None
    n = None if at is None else at[1] + (stage or 0 if at[0] else 0)
    return ref.span, shown(facts.lookup(ref, n))


def _cause(
    resolution: Resolution, broken: Expr, stage: int | None, model: Declaration
) -> tuple[Span, str, tuple[Label, ...]]:
    """The line of the model that gave the value which breaks a bound, or the model's name."""
    here = model.name.span.source
    marks: list[tuple[Span, str]] = []
    for ref in references(broken):
        at = stage_offset(ref.index) if ref.index is not None else None
        n = None if at is None else at[1] + (stage or 0 if at[0] else 0)
        span = resolution.spans.get((ref.name, n))
        if span is not None and span.source is here:
            marks.append((span, f"stage {n}" if n is not None else ""))
    if not marks:
        return model.name.span, "", ()
    return marks[0][0], marks[0][1], ()


# Expectations.


def unmet(resolution: Resolution) -> Iterator[Diagnostic]:
    """Every line of the model's `expect` blocks that the network does not bear out."""
    facts = Facts(resolution)
    for block in resolution.scope.declaration.lines:
        if isinstance(block, Block) and block.name.text == "expect":
            for line in block.lines:
                if isinstance(line, Fix):
                    try:
                        yield from _claim(line, facts)
                    except Wrong as wrong:
                        if wrong.problem is not None:
                            yield wrong.problem


def _claim(line: Fix, facts: Facts) -> Iterator[Diagnostic]:
    target = line.targets[0]
    parameter = PARAMETERS.get(target.name)
    if parameter is not None and parameter.kind == "word":
        if isinstance(line.value, Ref) and line.value.name != facts.word(target.name):
            yield _expectation(target.name, facts, facts.word(target.name), line.value)
    elif target.index is not None:
        yield from _claim_stages(target, line.value, facts)
    else:
        found = facts.lookup(target, None)
        if not _meets(found, line.value, facts, None, target.name):
            yield _expectation(target.name, facts, shown(found), line.value)


def _claim_stages(target: Ref, value: Expr, facts: Facts) -> Iterator[Diagnostic]:
    count = len(facts.network.stages)
    items = value.items if isinstance(value, Listing) else (value,) * count
    if len(items) != count:
        message = f"`{target.span.text}` has {len(items)} values for {count} stages"
        yield error("list-length", message, value.span, help="give one value for each stage")
        return
    for stage, item in enumerate(items, 1):
        found = facts.lookup(target, stage)
        if not _meets(found, item, facts, stage, target.name):
            name = f"{target.name}[{stage}]"
            yield _expectation(name, facts, shown(found), item)
            if item is value:
                return


def _meets(found: Quantity, claim: Expr, facts: Facts, stage: int | None, name: str) -> bool:
    """Equal to the digits written: an integer is exact, `5.16M` is within half of its last digit."""
    wanted = evaluate(claim, facts.lookup, stage)
    if "flops" in (wanted.unit, found.unit) and found.unit != wanted.unit != "any":
        if isinstance(claim, Number):
            help_ = f"write `{claim.text.rstrip('F')}`"
            raise Wrong(error("unit", f"`{name}` does not count flops", claim.span, "this unit means flops", help=help_))
        agreed(found.unit, wanted.unit, claim.span)
    slack = claim.step / 2 if isinstance(claim, Number) and not claim.is_integer_literal else Fraction(0)
    return abs(found.value - wanted.value) <= slack


def _expectation(name: str, facts: Facts, found: str, claim: Expr) -> Diagnostic:
    written = claim.span.text if len(claim.span.text) <= 60 else "this"
    model = facts.network.name
    message = f"`{name}` of `{model}` is {found}, not {written}"
    notes = []
    if name in FLOPS:
        others = ", ".join(f"{k} {facts.counts[k]:,}" for k in ("macs", "pycls", "fvcore", "mmcv", "torch2"))
        notes.append(Note(f"flops are counted in five ways: {others}"))
    remedy = f"`regnetc show {claim.span.source.name}:{model}` counts it stage by stage"
    return error("expectation", message, claim.span, "expected here", notes=notes, help=remedy)


# Published rows.


Verdict = Literal["agrees", "differs", "erratum"]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One published number beside ours, in the convention of its source."""

    source: str
    field: str
    counting: str
    printed: str
    ours: int
    verdict: Verdict
    erratum: str = ""


def published_rows(declaration: Declaration) -> tuple[Row, ...]:
    """The `published` blocks of a checked model; image 0 stands for the network's own."""
    rows = []
    for block in declaration.lines:
        if isinstance(block, Block) and block.name.text == "published":
            said = {line.targets[0].name: line.value for line in block.lines if isinstance(line, Fix)}
            printed = tuple((k, v.text) for k, v in said.items() if isinstance(v, Number) and k != "image")
            counting = said.get("counting")
            side = said.get("image")
            rows.append(
                Row(
                    source=_text(said.get("source")),
                    counting=CONVENTIONS[counting.name] if isinstance(counting, Ref) else "macs",
                    image=int(side.value) if isinstance(side, Number) else 0,
                    printed=printed,
                    erratum=_text(said.get("erratum")),
                )
            )
    return tuple(rows)


def _text(value: Expr | None) -> str:
    return value.value if isinstance(value, String) else ""


def reconcile(network: Network) -> list[Reconciled]:
    """Every published count against ours: within one unit of its last printed digit it agrees."""
    out = []
    for row in network.published:
        counts = network.counts_at(row.image).as_dict()
        for name, printed in row.printed:
            if name not in ("params", "flops", "acts"):
                continue
            literal = read_literal(printed)
            if literal is None:
                raise AssertionError("checked when the row was read")
            counting = row.counting if name == "flops" else name
            ours = counts[counting]
            value, step, _ = literal
            agrees = abs(value - ours) <= (0 if printed.isdecimal() else step)
            verdict: Verdict = "agrees" if agrees else "erratum" if row.erratum else "differs"
            out.append(Reconciled(row.source, name, counting, printed, ours, verdict, row.erratum))
    return out


def published_warnings(resolution: Resolution) -> Iterator[Diagnostic]:
    """A published number that is not ours and has no erratum: other people's numbers are no errors."""
    model = resolution.scope.declaration
    rows = [b for b in model.lines if isinstance(b, Block) and b.name.text == "published"]
    for row, block in zip(resolution.network.published, rows, strict=True):
        one = reconcile(_with_row(resolution.network, row))
        lines = {line.targets[0].name: line for line in block.lines if isinstance(line, Fix)}
        for found in one:
            if found.verdict == "differs":
                message = f"{row.source or 'a source'} prints {found.field} {found.printed}, ours are {found.ours:,} ({found.counting})"
                yield _warning(
                    "published", message, lines[found.field].value.span,
                    'say how the source counts (`counting = ...`), or why its row is wrong (`erratum = "..."`)',
                )  # fmt: skip
        if row.erratum and one and all(found.verdict == "agrees" for found in one):
            yield _warning("published", "this row agrees, it needs no erratum", lines["erratum"].span, "delete the line")


def _with_row(network: Network, row: Row) -> Network:
    return replace(network, published=(row,))


def _warning(name: str, message: str, span: Span, remedy: str) -> Diagnostic:
    return Diagnostic("warning", name, message, (Label(span),), (), remedy)


# The other rounding rule.


def rounding_warning(resolution: Resolution) -> Iterator[Diagnostic]:
    """The stages that torchvision would build with other widths from the same parameters."""
    binding = resolution.scope.bindings.get(("rounding", False))
    model = resolution.scope.declaration
    if resolution.line is None or resolution.network.rounding != "paper" or (binding is not None and binding.owner is model):
        return
    others = []
    for i, (w, ours) in enumerate(zip(resolution.line.w, resolution.network.stages, strict=True), 1):
        b, g = (resolution.cells[name, i] for name in ("b", "g"))
        if isinstance(b, Quantity) and isinstance(g, Quantity):
            theirs = regnet.fit(w, b.value, int(g.value), "torchvision")
            if theirs.w != ours.w:
                others.append(f"stage {i} with {theirs.w:,} channels, not {ours.w:,}")
    if others:
        message = f"torchvision's rounding builds another `{model.name.text}`: {listed(others, 'and')}"
        remedy = "write `rounding = paper` to say that this is meant, or `rounding = torchvision` for theirs"
        yield _warning("rounding", message, model.name.span, remedy)

