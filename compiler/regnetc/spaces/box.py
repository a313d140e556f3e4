"""What may be drawn at all: the grids of a space without the values that no member can have.

A value goes where a line that speaks of nothing else refuses it, or where no network that is drawn
together with it can satisfy some line (`hull`). What is left is drawn with the same odds as before,
so members are distributed as by rejection; only fewer candidates are drawn in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..bounds import holds_at, stages_of
from ..cells import Cell
from ..check_lines import stage_offset
from ..diagnostics import Diagnostic, Label, Note, SpecError, error
from ..tree import Bound, Draw, Fix, Member, Ref, references
from ..values import Quantity, Wrong, shown
from ..vocabulary import COUNTS
from .hull import Hull, Memo, Range
from .space import Demand, Space, Variable

_ROUNDS = 3


@dataclass(frozen=True)
class Box:
    """The values that are left of each free parameter, and their weights.

    `settled` are demands that all of them satisfy, by their normal forms; `refused` says what share
    of all draws lies outside because of each demand, `inside` what share is left.
    """

    values: dict[Cell, list[Fraction]]
    weights: dict[Cell, list[int]]
    settled: tuple[str, ...]
    refused: dict[str, Fraction]
    inside: Fraction

    @classmethod
    def whole(cls, space: Space, *, alike: bool = False) -> Box:
        """Everything that the space draws from; `alike` gives every value the same weight."""
        values = {v.cell: list(v.distribution.values()) for v in space.variables}
        weights = {
            v.cell: [1] * v.distribution.size if alike else v.distribution.weights()
            for v in space.variables
        }
        return cls(values, weights, (), {}, Fraction(1))


def shrink(space: Space, *, alike: bool = False) -> Box:
    """The values that members can have. Raises SpecError where it can be shown that there are none."""
    hopeless = impossible(space)
    if hopeless is not None:
        raise SpecError([hopeless])
    shrinking = _Shrinking(space, Box.whole(space, alike=alike))
    settled = [demand.normal for demand in space.demands if shrinking.settle(demand)]
    for _ in range(_ROUNDS):
        before = shrinking.box.inside
        for cell in list(shrinking.box.values):
            shrinking.trim(cell)
        if shrinking.box.inside == before:
            break
    box = shrinking.box
    return Box(box.values, box.weights, tuple(settled), box.refused, box.inside)


def impossible(space: Space) -> Diagnostic | None:
    """Why nothing can lie in a space, where the ends of its draws show it."""
    hull = Hull(space, _ends({v.cell: None for v in space.variables}, space))
    refused = next((d for d in space.demands if hull.refuses(d)), None)
    return None if refused is None else nothing_left(space, refused, hull)


def _ends(kept: Mapping[Cell, list[Fraction] | None], space: Space) -> dict[Cell, Range]:
    out = {}
    for v in space.variables:
        values = kept[v.cell]
        low, high = (
            (v.distribution.low, v.distribution.high) if values is None else (values[0], values[-1])
        )
        out[v.cell] = Range(low, high)
    return out


class _Shrinking:
    """A box that loses values, and the account of what refused them."""

    def __init__(self, space: Space, box: Box) -> None:
        self.space = space
        self.box = box
        self.memo: Memo = {}

    def drop(self, cell: Cell, keep: list[bool], demand: Demand) -> None:
        """Take values out, and charge a demand with their share of what is left."""
        values, weights = self.box.values[cell], self.box.weights[cell]
        if all(keep):
            return
        kept = [w for w, k in zip(weights, keep, strict=True) if k]
        if not kept:
            raise SpecError([nothing_left(self.space, demand, self._hull({}))])
        share = Fraction(sum(kept), sum(weights))
        refused = dict(self.box.refused)
        so_far = refused.get(demand.normal, Fraction(0))
        refused[demand.normal] = so_far + self.box.inside * (1 - share)
        self.box.values[cell] = [v for v, k in zip(values, keep, strict=True) if k]
        self.box.weights[cell] = kept
        self.box = Box(self.box.values, self.box.weights, (), refused, self.box.inside * share)

    # Lines about one parameter.

    def settle(self, demand: Demand) -> bool:
        """Apply a line stage by stage where it speaks of one free parameter; whether that is all it says."""
        line = demand.line
        few, many = self.space.stages
        if isinstance(line, Draw | Fix) or few != many:
            return False
        stages = stages_of(line, many)
        alone = [self._only(line, stage) for stage in stages]
        for stage, cell in zip(stages, alone, strict=True):
            if cell is not None:
                keep = [self._holds(line, stage, cell, x) for x in self.box.values[cell]]
                self.drop(cell, keep, demand)
        return all(cell is not None for cell in alone)

    def _only(self, line: Bound | Member, stage: int | None) -> Cell | None:
        """The one free parameter that a line depends on at a stage, if there is no more to it."""
        free = set()
        for ref in references(line):
            if ref.name in COUNTS or ref.name == "stages":
                return None
            cell = (ref.name, _stage(ref, stage))
            if cell[1] is not None and ref.name in ("w", "g"):
                return None  # fitted, not as drawn
            if cell in self.box.values:
                free.add(cell)
            elif cell not in self.space.fixed:
                return None
        return free.pop() if len(free) == 1 else None

    def _holds(self, line: Bound | Member, stage: int | None, cell: Cell, x: Fraction) -> bool:
        def lookup(ref: Ref, at: int | None) -> Quantity:
            if (ref.name, at) == cell:
                return Quantity(x, "plain")
            value = self.space.fixed[ref.name, at]
            assert isinstance(value, Quantity)
            return Quantity(value.value, "plain")

        try:
            return holds_at(line, lookup, stage)
        except Wrong:
            return False

    # Lines about networks.

    def trim(self, cell: Cell) -> None:
        """Take off both ends of a grid what no member can have."""
        size = len(self.box.values[cell])
        n = _longest(lambda k: self._refuser(cell, 0, k) is not None, size)
        if n:
            self._drop_part(cell, 0, n)
        size -= n
        n = _longest(lambda k: self._refuser(cell, size - k, size) is not None, size)
        if n:
            self._drop_part(cell, size - n, size)

    def _drop_part(self, cell: Cell, first: int, end: int) -> None:
        culprit = self._refuser(cell, first, end)
        assert culprit is not None
        keep = [not first <= k < end for k in range(len(self.box.values[cell]))]
        self.drop(cell, keep, culprit)

    def _refuser(self, cell: Cell, first: int, end: int) -> Demand | None:
        """A line that refuses every network with one of these values."""
        part = self.box.values[cell][first:end]
        hull = self._hull({cell: Range(part[0], part[-1])})
        return next((d for d in self.space.demands if hull.refuses(d)), None)

    def _hull(self, narrowed: dict[Cell, Range]) -> Hull:
        kept: dict[Cell, list[Fraction] | None] = {**self.box.values}
        return Hull(self.space, {**_ends(kept, self.space), **narrowed}, self.memo)


def _stage(ref: Ref, stage: int | None) -> int | None:
    at = stage_offset(ref.at) if ref.at is not None else None
    if at is None:
        return None
    return at[1] + (stage or 0) if at[0] else at[1]


def _longest(refused: Callable[[int], bool], n: int) -> int:
    """The largest k for which the first k are refused; fewer are refused if more are."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if refused(middle):
            low = middle
        else:
            high = middle - 1
    return low


def nothing_left(space: Space, demand: Demand, hull: Hull) -> Diagnostic:
    """A proof that nothing lies in a space: the line that refuses all, and what it meets."""
    labels = [
        Label(v.drawn.draw.span, _ends_text(hull.cell(*v.cell))) for v in _concerned(space, demand)
    ]
    facts = list(_facts(demand, hull))
    said = f": {', '.join(facts)}" if facts else ""
    notes = (Note("by what is drawn here", tuple(_distinct(labels))),) if labels else ()
    return error(
        "empty-space", f"nothing lies in `{space.name}`: a line refuses all that it draws",
        demand.line.span, f"no network that is drawn satisfies this{said}", notes=notes,
        help="widen this line, or the draws",
    )  # fmt: skip


def _concerned(space: Space, demand: Demand) -> list[Variable]:
    """The free parameters that a line hangs on: those that it names, or else all."""
    if isinstance(demand.line, Draw | Fix):
        return list(space.variables)
    names = {ref.name for ref in references(demand.line)}
    named = [v for v in space.variables if v.cell[0] in names]
    return named if names <= {v.cell[0] for v in named} else list(space.variables)


def _facts(demand: Demand, hull: Hull) -> Iterator[str]:
    """The least and the largest of what a line speaks of."""
    if isinstance(demand.line, Draw | Fix):
        return
    depth = hull.space.stages[1]
    seen = set()
    for ref in references(demand.line):
        stage = None if ref.at is None else _stage(ref, 1)
        text = ref.span.text
        if text in seen or (stage is not None and stage > depth):
            continue
        seen.add(text)
        found: Any = hull._built(ref, stage, depth)
        if found.low is not None and found.high is not None:
            name = text if stage is None else f"{ref.name}[{stage}]"
            if ref.name in COUNTS and found.low != found.high:
                yield f"`{name}` is at least {shown(found.low)} and at most {shown(found.high)}"
            else:
                yield f"`{name}` is {_ends_text(found)}"


def _ends_text(x: Range) -> str:
    if x.low is None or x.high is None:
        return "anything"
    return shown(x.low) if x.low == x.high else f"{shown(x.low)} to {shown(x.high)}"


def _distinct(labels: list[Label]) -> list[Label]:
    seen: dict[Any, Label] = {}
    for label in labels:
        seen.setdefault(label.span, label)
    return list(seen.values())[:6]
