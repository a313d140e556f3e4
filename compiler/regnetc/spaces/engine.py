"""Candidates of a space by the million: draw, resolve, count, and keep those that satisfy every line.

Candidate i is a function of the space, the seed and i alone (`random`). What refuses most at the
least cost comes first: the number of stages on a quantised line, bounds on parameters, bounds on
widths and depths, bounds on counts. What float64 cannot decide is decided by resolving the one
candidate exactly (`members`), so that the verdict is always that of the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from .. import regnet
from ..bounds import stages_of
from ..cells import Cell
from ..draws import distribution
from ..limits import STAGE_DEPTH, TOTAL_DEPTH, WIDTH
from ..tree import Bound, Draw, Expr, Fix, Listing, Member, Ref, references
from ..values import Quantity
from ..vocabulary import COUNTS, PARAMETERS
from . import chains, expressions, lines
from .arrays import Columns, Flags, Floats, Indices, Ratios, Room
from .box import Box
from .counting import COUNTS as COUNTED
from .counting import Counter, Frame
from .expressions import Column, Verdict
from .hull import Hull, Range
from .members import holds
from .random import Stream, Table, Words, key
from .space import Demand, Space, Variable

BLOCK = 16_000  # candidates that are worked on together: fewer cost more in calls, more do not fit the cache
_WORTH = 0.8  # of a batch has to be left for it to stay as it is
STRUCTURE = ("image", "channels", "head", "classes", "se")


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


class Batch:
    """Some candidates: their numbers, what was drawn for them, and the columns worked out so far.

    `given` holds parameters by cell; `line` the widths and depths that the quantised line gives, and
    `built` the stages of the networks, fitted to their groups, each of shape (stages, n).
    """

    def __init__(self, engine: Engine, candidates: Indices, first: int | None) -> None:
        self.engine = engine
        self.space = engine.space
        self.candidates = candidates
        self.first = first
        self.picks: dict[Cell, Indices] = {}
        self.given: dict[Cell, Any] = {}
        self.line: dict[str, Floats] = {}
        self.built: dict[str, Floats] = {}
        self.counts: dict[tuple[str, int | None], Floats] = {}
        self.stages: Indices = np.zeros(0, np.int64)
        self.depth = 0
        self.left = len(candidates)
        self._alive: Flags | None = None

    @property
    def n(self) -> int:
        """Candidates in the columns; `left` of them are not refused yet."""
        return len(self.candidates)

    @property
    def alive(self) -> Flags:
        """Which candidates in the columns are not refused yet."""
        return np.ones(self.n, bool) if self._alive is None else self._alive

    def keep(self, mask: Flags) -> None:
        """Refuse the candidates that are not marked; columns lose them once they are many."""
        assert len(mask) == self.n
        alive = mask if self._alive is None else mask & self._alive
        self.left = int(np.count_nonzero(alive))
        if self.left == self.n:
            return
        if self.left > _WORTH * self.n:
            self._alive = alive
        else:
            self.select(np.flatnonzero(alive))

    def settle(self) -> None:
        """Leave nothing in the columns but what is left, and nothing in the room."""
        self.select(np.flatnonzero(self.alive))

    def select(self, kept: Indices) -> None:
        self.left, self._alive = len(kept), None
        self.candidates = self.candidates[kept]
        self.first = None
        self.picks = {c: x[kept] for c, x in self.picks.items()}
        self.given = {c: x[kept] if np.ndim(x) else x for c, x in self.given.items()}
        self.line = {k: x.take(kept, axis=1) for k, x in self.line.items()}
        self.built = {k: x.take(kept, axis=1) for k, x in self.built.items()}
        self.counts = {k: x[kept] for k, x in self.counts.items()}
        self.stages = self.stages[kept] if len(self.stages) else self.stages

    # Parameters, as drawn or as another line gives them.

    def cell(self, name: str, stage: int | None) -> Any:
        """A parameter's column, or its value where it is one for all."""
        at = (name, stage)
        if at not in self.given:
            self.given[at] = self._work_out(name, stage)
        return self.given[at]

    def _work_out(self, name: str, stage: int | None) -> Any:
        at = (name, stage)
        fixed = self.space.fixed.get(at)
        if isinstance(fixed, Quantity):
            return float(fixed.value)
        if stage is not None and name in self.line:
            return self.line[name][stage - 1]
        if at in self.engine.variables:
            return self.engine.floats[at].take(self.pick(at), mode="clip")
        value: Expr = self.space.scope.bindings[name, stage is not None].fix.value
        if isinstance(value, Listing) and stage is not None:
            value = value.items[stage - 1]
        return expressions.evaluate(value, self._given, stage).x

    def pick(self, cell: Cell) -> Indices:
        """What was drawn for a free parameter, as indices into what the box leaves of its grid."""
        if cell not in self.picks:
            chain = self.engine.chained.get(cell)
            if chain is None:
                self.picks[cell] = self.engine.tables[cell].pick(self._words(cell))
            else:
                self._draw_chain(chain)
        return self.picks[cell]

    def drawn(self, cell: Cell) -> Indices:
        """What was drawn for a free parameter, as indices into all that the space draws from."""
        return self.engine.places[cell].take(self.pick(cell), mode="clip")

    def _draw_chain(self, chain: chains.Chain) -> None:
        part: Indices = np.zeros(self.n, np.int64)
        if chain.shared:
            part, shared = chain.share(self._words(chain.shared[0]))
            self.picks |= shared
        self.picks |= chain.stages(part, (self._words(cell) for cell in chain.cells))

    def _words(self, cell: Cell) -> Words:
        stream = self.engine.streams[cell]
        if self.first is None:
            return stream.at(self.candidates)
        return stream.block(self.first, self.n)

    def _given(self, ref: Ref, stage: int | None) -> Column:
        return Column(self.cell(ref.name, stage), PARAMETERS[ref.name].kind == "integer")

    def count_stages(self) -> None:
        """The number of stages of networks that are not made by a line."""
        stages = np.asarray(self.cell("stages", None)).astype(np.int64)
        self.stages = np.broadcast_to(stages, (self.n,))

    # Networks: candidates with the same stages and structure, widths fitted to their groups.

    def groups(self) -> list[Batch]:
        """The batch in parts whose networks differ in widths, depths and groups only."""
        few, many = self.space.stages
        structure: list[Cell] = [(name, None) for name in STRUCTURE]
        structure += [("stride", stage) for stage in range(1, many + 1)]
        differing = [cell for cell in structure if np.ndim(self.cell(*cell))]
        if few == many and not differing:
            self.depth = many
            return [self]
        self.settle()
        codes = [
            self.stages,
            *(np.unique(self.cell(*c), return_inverse=True)[1] for c in differing),
        ]
        if all(len(code) == 0 or (code == code[0]).all() for code in codes):
            self.depth = int(self.stages[0]) if self.n else many
            return [self]
        _, group = np.unique(np.stack(codes), axis=1, return_inverse=True)
        return [self._part(np.flatnonzero(group == k)) for k in range(int(group.max()) + 1)]

    def _part(self, kept: Indices) -> Batch:
        part = Batch(self.engine, self.candidates, None)
        part.picks, part.given, part.line, part.stages = (
            self.picks,
            self.given,
            self.line,
            self.stages,
        )
        part.select(kept)
        part.depth = int(part.stages[0])
        return part

    def common(self, name: str, stage: int | None = None) -> Any:
        """A parameter that all candidates of a group share."""
        column = self.cell(name, stage)
        return column[0] if np.ndim(column) else column

    def staged(self, name: str) -> Any:
        """A parameter of every stage: a value for all, or a column of shape (stages, n)."""
        if name in self.line:
            return self.line[name][: self.depth]
        values = [self.cell(name, stage) for stage in range(1, self.depth + 1)]
        if all(v is values[0] for v in values):
            return values[0]
        return np.stack([np.broadcast_to(v, (self.n,)) for v in values])

    def build(self) -> None:
        """Fit widths to their groups; drop what the language has no room for."""
        if not self.n:
            return
        rounding: Any = self.space.fixed["rounding", None]
        b, on, room = self._ratios(), self.engine.columns, self.engine.room
        on.again()
        fit = regnet.fit(self.staged("w"), b, self.staged("g"), rounding, on)
        widths = room("widths", self.depth + 1, self.n)
        widths[0], widths[1:] = self.cell("stem", None), fit.w
        self.built["w_in"], self.built["w"] = widths[:-1], widths[1:]
        if not (isinstance(b.numerator, int) and b.numerator == b.denominator):
            self.built["inner"] = self._spread(fit.inner)
        self.built["g"] = self._spread(fit.g)
        self.built["d"] = self._spread(self.staged("d"))
        self._excite()
        if 1 in self._strides():
            self.built["reshaped"] = (widths[:-1] != widths[1:]).astype(np.float64)
        self._stay_within_limits()

    @property
    def inner(self) -> Floats:
        """Widths inside the blocks, where they are not those outside."""
        return self.built.get("inner", self.built["w"])

    def _spread(self, x: Any) -> Floats:
        """A value of every stage of every candidate."""
        shape = (self.depth, self.n)
        return x if np.shape(x) == shape else np.broadcast_to(x, shape)

    def _ratios(self) -> Ratios:
        """The bottleneck ratio of every stage in lowest terms; most spaces have none below 1."""
        b = self.staged("b")
        if np.all(b >= 1):
            return Ratios(b if np.ndim(b) else int(b), 1)
        return Ratios(np.where(b >= 1, b, 1.0), np.where(b >= 1, 1.0, np.rint(1 / b)))

    def _strides(self) -> tuple[int, ...]:
        return tuple(int(self.common("stride", s)) for s in range(1, self.depth + 1))

    def _excite(self) -> None:
        se = Fraction(self.common("se")).limit_denominator(2**20)
        if se:
            for name, w in (("se_first", self.built["w_in"]), ("se_rest", self.built["w"])):
                self.built[name] = regnet.squeeze(w, se, self.engine.columns)

    def _stay_within_limits(self) -> None:
        """Refuse networks that the language has no room for, as `resolve` does."""
        b = self.built
        fine: list[Any] = []
        most = self.engine.most(self.depth)
        if 2 * max(most["w"], most["inner"]) > WIDTH or most["d"] >= STAGE_DEPTH:
            wide = np.maximum(b["w"], self.inner) > WIDTH
            fine.append(~(wide | (b["d"] > STAGE_DEPTH)).any(axis=0))
        if most["d"] * self.depth > TOTAL_DEPTH:
            fine.append(b["d"].sum(axis=0) <= TOTAL_DEPTH)
        if self.space.fixed["rounding", None] != "paper":
            fine.append(np.all(np.fmod(self.inner, b["g"]) == 0, axis=0))
        if "se_first" in b:
            none = (b["se_first"] == 0) | ((b["se_rest"] == 0) & (b["d"] > 1))
            fine.append(~none.any(axis=0))
        if fine:
            self.keep(np.logical_and.reduce(fine))

    # Counts and demands.

    def frame(self, image: int | None) -> Frame:
        fixed: Any = self.space.fixed
        return Frame(
            block=fixed["block", None], relu=fixed["activation", None] == "relu",
            image=image or int(self.common("image")), channels=int(self.common("channels")),
            stem_type=fixed["stem_type", None], head=int(self.common("head")),
            classes=int(self.common("classes")), strides=self._strides(),
            se="se_first" in self.built, inner="inner" in self.built,
        )  # fmt: skip

    def counter(self, image: int | None = None) -> Counter:
        frame = self.frame(image)
        if frame not in self.engine.counters:
            most = self.engine.most(self.depth)
            self.engine.counters[frame] = Counter(frame, self.engine.room, most)
        return self.engine.counters[frame]

    def count(self, name: str, image: int | None = None) -> Floats:
        """A count of every candidate, at the networks' own image size unless another is named."""
        at = (name, image)
        if at not in self.counts:
            counter = self.counter(image)
            wanted = [n for n in self.engine.wanted(image) if (n, image) not in self.counts]
            names = wanted or [name]
            out = self.engine.room(f"counts {image} {name}", len(names), self.n)
            values = counter.exactly(self.built, names, out)
            self.counts |= {(n, image): values[k] for k, n in enumerate(names)}
        return self.counts[at]

    def all_counts(self) -> Any:
        """Every count at the networks' own image size, shape (7, n)."""
        return self.counter().exactly(self.built)

    def _built(self, ref: Ref, stage: int | None) -> Column:
        """A reference in a bound: a count, a stage as it is built, or a parameter."""
        if ref.name in COUNTS:
            return Column(self.count(COUNTS[ref.name], ref.image), whole=True)
        if ref.name == "stages":
            return Column(float(self.depth), whole=True)
        if stage is not None and ref.name in ("w", "d", "g"):
            return Column(self.built[ref.name][stage - 1], whole=True)
        return self._given(ref, stage)

    def verdict(self, demand: Demand) -> Flags:
        """Which candidates satisfy a line."""
        keeps: Any = True
        doubtful: Any = False
        for one in self._verdicts(demand.line):
            keeps, doubtful = keeps & one.keeps, doubtful | one.doubtful
        kept = expressions.flags(keeps, self.n)
        unsure = expressions.flags(doubtful, self.n)
        if unsure.any():
            kept = kept.copy()
            for k in np.flatnonzero(unsure & self.alive):
                kept[k] = holds(self.space, demand, self.exact(int(k)))
        return kept

    def _verdicts(self, line: Bound | Member | Draw | Fix) -> list[Verdict]:
        assert not isinstance(line, Fix)
        if isinstance(line, Draw):
            return [Verdict(self._among(line), False)]
        stages = stages_of(line, self.depth)
        if isinstance(line, Member):
            return [expressions.member(line, self._built, stage) for stage in stages]
        return [expressions.bound(line, self._built, stage) for stage in stages]

    def _among(self, line: Draw) -> Any:
        """Which candidates have, in every stage, a value that a line draws."""
        name, staged = line.target.name, line.target.at is not None
        column = self.staged(name) if staged else self.cell(name, None)
        whole = PARAMETERS[name].kind == "integer"
        found = expressions.among(Column(column, whole), distribution(line))
        return found.all(axis=0) if np.ndim(column) == 2 else found

    def exact(self, at: int) -> dict[Cell, Fraction]:
        """What was drawn for one candidate, exactly."""
        return {
            cell: self.engine.grids[cell][int(self.pick(cell)[at])]
            for cell in self.engine.variables
        }


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
        batch.keep(made.fine)

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
