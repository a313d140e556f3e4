"""Whether a network is what its model expects: equal to the digits written."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from .diagnostics import Diagnostic, Note, error
from .facts import Facts
from .resolve import Resolution
from .tree import Block, Expr, Fix, Listing, Number, Ref
from .values import Quantity, Wrong, agreed, evaluate, shown
from .vocabulary import FLOPS, PARAMETERS


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
    elif target.at is not None:
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
            raise Wrong(
                error(
                    "unit",
                    f"`{name}` does not count flops",
                    claim.span,
                    "this unit means flops",
                    help=help_,
                )
            )
        agreed(found.unit, wanted.unit, claim.span)
    slack = (
        claim.step / 2
        if isinstance(claim, Number) and not claim.is_integer_literal
        else Fraction(0)
    )
    return abs(found.value - wanted.value) <= slack


def _expectation(name: str, facts: Facts, found: str, claim: Expr) -> Diagnostic:
    written = claim.span.text if len(claim.span.text) <= 60 else "this"
    model = facts.network.name
    message = f"`{name}` of `{model}` is {found}, not {written}"
    notes = []
    if name in FLOPS:
        others = ", ".join(
            f"{k} {facts.counts[k]:,}" for k in ("macs", "pycls", "fvcore", "mmcv", "torch2")
        )
        notes.append(Note(f"flops are counted in five ways: {others}"))
    remedy = f"`regnetc show {claim.span.source.name}:{model}` counts it stage by stage"
    return error("expectation", message, claim.span, "expected here", notes=notes, help=remedy)
