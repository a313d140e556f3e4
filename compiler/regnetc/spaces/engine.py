"""Candidates of a space by the million: draw, resolve, count, and keep those that satisfy every line.

Candidate i is a function of the space, the seed and i alone (`random`). What refuses most at the
least cost comes first: the number of stages on a quantised line, bounds on parameters, bounds on
widths and depths, bounds on counts. What float64 cannot decide is decided by resolving the one
candidate exactly (`members`), so that the verdict is always that of the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..cells import Cell
from ..tree import Draw, Fix, Ref, references
from ..values import Quantity
from ..vocabulary import COUNTS, PARAMETERS
from . import chains, expressions, lines
from .arrays import Columns, Floats, Indices, Room
from .batch import Batch
from .box import Box
from .counting import COUNTS as COUNTED
from .counting import Counter, Frame
from .hull import Hull, Range
from .random import Stream, Table, key
from .space import Demand, Space, Variable

BLOCK = 16_000  # candidates that are worked on together: fewer cost more in calls, more do not fit the cache


class Found(NamedTuple):
    """Members among some candidates, in their order.

    `picks` holds for each free parameter the value drawn, as an index into all that it is drawn from; `w`, `d`,
    `inner`, `g` have shape (stages, n), rows beyond a network's own stages are 0; `counts` has shape
    (7, n), in the order of `counting.COUNTS`. `refused` says how many candidates each reason refused.
    """

    candidates: Indices
    picks: dict[Cell, Indices]
    stages: Indices
    w: Floats
    d: Floats
    inner: Floats
    g: Floats
    counts: Floats
    refused: Indices


class Engine:
    """Draws candidates of a space. `reasons` are what refuses them, in the order of `refused`.

    The first is the quantised line, the second what the language has no room for; either may be None.
    """

    def __init__(
        self, space: Space, seed: int, box: Box | None = None, *, ordered: bool = True
    ) -> None:
        self.space = space
        self.seed = seed
        self.box = box if box is not None else Box.whole(space)
        self.chains = chains.find(space, self.box) if ordered else []
        self.inside = math.prod((c.inside for c in self.chains), start=self.box.inside)
        self.chained = {cell: c for c in self.chains for cell in (*c.cells, *c.shared)}
        self.streams = {
            v.cell: Stream(key(space.digest, seed, v.name), BLOCK) for v in space.variables
        }
        self.tables = {v.cell: Table(self.box.weights[v.cell]) for v in space.variables}
        self.grids = {v.cell: self.box.values[v.cell] for v in space.variables}
        self.floats = {c: np.array([float(x) for x in grid]) for c, grid in self.grids.items()}
        self.places = {v.cell: _places(v, self.grids[v.cell]) for v in space.variables}
        self.variables = {v.cell: v for v in space.variables}
        settled = (*self.box.settled, *(chain.demand.normal for chain in self.chains))
        open_ = [d for d in space.demands if d.normal not in settled]
        self.demands = sorted((d for d in open_ if not isinstance(d.line, Fix)), key=_cost)
        self.reasons: list[Demand | None] = [*_lines(open_), None, *self.demands]
        self.room = Room()
        self.columns = Columns(self.room)
        self.counters: dict[Frame, Counter] = {}
        self.derived = _derived(space)
        self.sure = _sure(space, self.grids)
        self._hull = Hull(space, {c: Range(grid[0], grid[-1]) for c, grid in self.grids.items()})
        self._most: dict[int, dict[str, float]] = {}
        self._wanted = _wanted(self.demands)
        self._line = _Line(self) if space.line is not None else None

    def run(self, first: int, n: int) -> Found:
        """The members among candidates `first` to `first + n - 1`."""
        refused = np.zeros(len(self.reasons), np.int64)
        refused[0] = n
        parts: list[Batch] = []
        for batch in self.batches(first, n):
            for group in self.grouped(batch):
                refused[0] -= group.left
                self._members(group, refused)
                parts += [group] * bool(group.n)
        return _found(parts, self.space, refused)

    def grouped(self, batch: Batch) -> list[Batch]:
        """Find the stages of a batch, and take it apart into networks of the same structure."""
        if self._line is not None:
            self._line.quantize(batch)
        else:
            batch.count_stages()
        return batch.groups() if batch.left else []

    def batches(self, first: int, n: int) -> Iterator[Batch]:
        """Candidates in batches; of a line's candidates, those that a quick test leaves."""
        waiting: list[Batch] = []
        for start in range(first, first + n, BLOCK):
            batch = Batch(self, np.arange(start, min(start + BLOCK, first + n)), start)
            if self._line is None:
                yield batch
                continue
            self._line.sift(batch)
            waiting.append(batch)
            if sum(b.n for b in waiting) >= BLOCK:
                yield _together(waiting)
                waiting = []
        if waiting:
            yield _together(waiting)

    def most(self, depth: int) -> dict[str, float]:
        """What widths, depths and groups of networks with so many stages cannot exceed."""
        if depth not in self._most:
            self._most[depth] = self._hull.most(depth)
        return self._most[depth]

    def wanted(self, image: int | None) -> list[str]:
        """The counts that demands speak of, at one image size."""
        return self._wanted.get(image, [])

    def _members(self, batch: Batch, refused: Indices) -> None:
        """Drop the candidates that some line refuses."""
        before = batch.left
        batch.build()
        refused[1] += before - batch.left
        for at, demand in enumerate(self.demands, 2):
            before = batch.left
            if before:
                batch.keep(batch.verdict(demand))
            refused[at] += before - batch.left
        batch.settle()


def _places(v: Variable, left: Sequence[Fraction]) -> Indices:
    """Where the values that are left stand among all."""
    kept = set(left)
    return np.flatnonzero([x in kept for x in v.distribution.values()])


def _sure(space: Space, grids: Mapping[Cell, Sequence[Fraction]]) -> set[Cell]:
    """The cells whose values, fixed or drawn, are compared without doubt."""
    fixed = {
        c
        for c, x in space.fixed.items()
        if isinstance(x, Quantity) and expressions.is_sure(x.value)
    }
    return fixed | {c for c, grid in grids.items() if all(map(expressions.is_sure, grid))}


def _derived(space: Space) -> list[Cell]:
    """The cells of a network that are worked out from what is drawn, other than by the line or a tie."""
    made = ("w", "d") if space.line is not None else ()
    staged = [
        (p.name, s)
        for p in PARAMETERS.values()
        if p.shape != "scalar"
        for s in range(1, space.stages[1] + 1)
    ]
    cells: list[Cell] = [c for c in staged if c[0] not in made]
    cells += [(p.name, None) for p in PARAMETERS.values() if p.shape != "stages"]
    drawn = {v.cell for v in space.variables}
    return [c for c in cells if c not in space.fixed and c not in drawn and _worked_out(space, c)]


def _worked_out(space: Space, cell: Cell) -> bool:
    """Whether a value comes of an expression that is more than `b[i] = b`."""
    binding = space.scope.bindings.get((cell[0], cell[1] is not None))
    value = binding.fix.value if binding is not None else None
    return value is not None and not (isinstance(value, Ref) and value.name == cell[0])


def _lines(demands: Sequence[Demand]) -> list[Demand | None]:
    return [d for d in demands if isinstance(d.line, Fix)] or [None]


def _references(demand: Demand) -> list[Ref]:
    line = demand.line
    return [] if isinstance(line, Draw | Fix) else list(references(line))


def _cost(demand: Demand) -> int:
    """Cheap lines first: parameters, then widths and depths, then counts."""
    names = [ref.name for ref in _references(demand)]
    if any(name in COUNTS for name in names):
        return 2
    return 1 if any(PARAMETERS[name].shape != "scalar" for name in names) else 0


def _wanted(demands: Sequence[Demand]) -> dict[int | None, list[str]]:
    found: dict[int | None, list[str]] = {}
    for demand in demands:
        for ref in _references(demand):
            if ref.name in COUNTS:
                names = found.setdefault(ref.image, [])
                names += [COUNTS[ref.name]] * (COUNTS[ref.name] not in names)
    return found


class _Line:
    """The quantised line of a space, with the powers of every `wm` that may be drawn."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.fewest, self.most = engine.space.stages
        assert engine.space.line is not None
        self.arguments: Sequence[Any] = engine.space.line.arguments
        wm = self.arguments[3]
        drawn = isinstance(wm, Ref) and ("wm", None) in engine.variables and wm.name == "wm"
        self.drawn = engine.floats["wm", None] if drawn else None
        self.table = self._bases(self.drawn) if self.drawn is not None else None

    def _bases(self, wm: Floats) -> lines.Bases:
        return lines.bases([float(x) for x in wm], self.fewest, self.most)

    def quantize(self, batch: Batch) -> None:
        """Widths and depths of every stage; candidates without an allowed line are dropped."""
        columns = self._columns(batch)
        wm, values, table = self._powers(batch)
        made = lines.quantized(columns, wm, values, table, self.fewest, self.engine.room)
        batch.stages = made.stages
        batch.line = {"w": made.w, "d": made.d}
        fine = made.fine
        if ("stages", None) in self.engine.variables:  # how many it makes is drawn, too
            fine = fine & (made.stages == batch.cell("stages", None))
        batch.keep(fine)

    def sift(self, batch: Batch) -> None:
        """Drop what cannot have an allowed number of stages, at the least cost."""
        wm, _, table = self._powers(batch)
        with np.errstate(over="ignore", invalid="ignore"):
            fine = lines.plausible(self._columns(batch), wm, table)
        batch.given.clear()  # what is left of it is looked up again at less cost than moved
        batch.keep(fine)

    def _columns(self, batch: Batch) -> lines.Slopes:
        values = [expressions.evaluate(e, batch._given).x for e in self.arguments[:3]]
        return lines.Slopes(*(np.broadcast_to(v, (batch.n,)) for v in values))

    def _powers(self, batch: Batch) -> tuple[Indices, Floats, lines.Bases]:
        if self.drawn is not None and self.table is not None:
            return batch.pick(("wm", None)), self.drawn, self.table
        column = expressions.evaluate(self.arguments[3], batch._given).x
        values, index = np.unique(np.broadcast_to(column, (batch.n,)), return_inverse=True)
        return index.astype(np.int64), values, self._bases(values)


def _together(batches: Sequence[Batch]) -> Batch:
    """Batches as one; what was drawn stays, other columns are worked out again."""
    if len(batches) == 1:
        return batches[0]
    one = Batch(batches[0].engine, np.concatenate([b.candidates for b in batches]), None)
    one.picks = {c: np.concatenate([b.picks[c] for b in batches]) for c in batches[0].picks}
    return one


def _found(parts: Sequence[Batch], space: Space, refused: Indices) -> Found:
    """The members of some groups, in the order of candidates."""
    most = space.stages[1]
    order = np.argsort(np.concatenate([[], *(p.candidates for p in parts)]), kind="stable")

    def row(columns: list[Any]) -> Any:
        return np.concatenate([np.zeros(0, np.int64), *columns])[order]

    def rows(name: str) -> Floats:
        columns = [_padded(p.inner if name == "inner" else p.built[name], most) for p in parts]
        return np.concatenate([np.zeros((most, 0)), *columns], axis=1)[:, order]

    counts = np.concatenate([np.zeros((len(COUNTED), 0)), *(p.all_counts() for p in parts)], axis=1)
    return Found(
        row([p.candidates for p in parts]),
        {v.cell: row([p.drawn(v.cell) for p in parts]) for v in space.variables},
        row([np.full(p.n, p.depth) for p in parts]),
        rows("w"), rows("d"), rows("inner"), rows("g"), counts[:, order], refused,
    )  # fmt: skip


def _padded(x: Floats, rows: int) -> Floats:
    out = np.zeros((rows, x.shape[1]))
    out[: len(x)] = x
    return out
