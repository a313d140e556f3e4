"""Some candidates side by side: what was drawn for them, the networks they make, their counts, verdicts on them.

Columns are worked out when they are asked for. Candidates that are refused stay in them, marked, until
enough have gone for the rest to be worth moving.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import regnet
from ..bounds import stages_of
from ..cells import Cell
from ..check_lines import stage_offset
from ..draws import distribution
from ..limits import STAGE_DEPTH, TOTAL_DEPTH, WIDTH
from ..tree import Bound, Draw, Expr, Fix, Listing, Member, Ref, references
from ..values import Quantity
from ..vocabulary import COUNTS, PARAMETERS
from . import chains, expressions
from .arrays import Flags, Floats, Indices, Ratios
from .counting import Counter, Frame
from .expressions import Column, Verdict
from .members import holds, resolve
from .random import Words
from .space import Demand

if TYPE_CHECKING:
    from .engine import Engine

_WORTH = 0.8  # of a batch has to be left for it to stay as it is
STRUCTURE = ("image", "channels", "head", "classes", "se")


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
        self.whole: dict[Cell, bool] = {}
        self.sure: dict[Cell, bool] = {}
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
        column = expressions.evaluate(value, self._given, stage)
        self.whole[at], self.sure[at] = column.whole, column.sure
        return column.x

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
        cell = (ref.name, stage)
        column = self.cell(*cell)
        whole = self.whole.get(cell, PARAMETERS[ref.name].kind == "integer")
        return Column(column, whole, self.sure.get(cell, cell in self.engine.sure))

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
        self._stay_proper()
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

    def _stay_proper(self) -> None:
        """Refuse values worked out from others that their parameters cannot have, as `resolve` does."""
        doubtful: Any = False
        for cell in self.engine.derived:
            name, stage = cell
            if not self.left or (stage is not None and stage > self.depth):
                continue
            column = Column(self.cell(name, stage), self.whole.get(cell, False))
            verdict = expressions.proper(column, PARAMETERS[name])
            self.keep(expressions.flags(verdict.keeps, self.n))
            if PARAMETERS[name].kind == "integer":
                self.given[cell] = np.rint(self.cell(name, stage))
            if verdict.doubtful is not False:
                doubtful = True
        if doubtful:
            exact = [resolve(self.space, "one", self.exact(k)) is not None for k in range(self.n)]
            self.keep(np.array(exact, bool))

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
            style=self.space.style, relu=fixed["activation", None] == "relu",
            se_relu=(fixed["se_activation", None] or fixed["activation", None]) == "relu",
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
        named = [stage_offset(ref.at) for ref in references(line) if ref.at is not None]
        if any(at is not None and not at[0] and at[1] > self.depth for at in named):
            return [Verdict(False, False)]  # a stage that these networks do not have
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
