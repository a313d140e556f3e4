"""Counts of many networks at once: the formulas of `complexity`, run on symbols and read as polynomials.

Every count is a polynomial in the widths, depths, groups and squeezes of the stages. Running the
formulas for one network on symbols gives its coefficients; a chunk of candidates is then a few
products and one matrix product. All of it is in float64, which is exact for whole numbers below
2**53; `Counter.exact` says whether a chunk stays below.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import complexity
from ..complexity import Counts, StageShape, StemType, Style, Tally
from .arrays import Floats, Room

Monomial = tuple[str, ...]

COUNTS = Counts._fields
_EXACT = 2**53
_PIECE = 3000  # candidates whose monomials stay in the cache


class Poly:
    """A polynomial with whole coefficients; the variables of a product stand in alphabetical order.

    A variable that a formula compares with 0 is taken to be positive. Two different ones that are
    compared for equality give the variable `reshaped`, which is 1 where they differ and 0 elsewhere.
    """

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = {m: c for m, c in terms.items() if c}

    @classmethod
    def of(cls, x: Poly | int) -> Poly:
        return x if isinstance(x, Poly) else cls({(): int(x)})

    @classmethod
    def variable(cls, name: str) -> Poly:
        return cls({(name,): 1})

    def __add__(self, other: Poly | int) -> Poly:
        terms = dict(self.terms)
        for m, c in Poly.of(other).terms.items():
            terms[m] = terms.get(m, 0) + c
        return Poly(terms)

    def __mul__(self, other: Poly | int) -> Poly:
        terms: dict[Monomial, int] = {}
        for m, c in self.terms.items():
            for n, k in Poly.of(other).terms.items():
                product = tuple(sorted(m + n))
                terms[product] = terms.get(product, 0) + c * k
        return Poly(terms)

    def __sub__(self, other: Poly | int) -> Poly:
        return self + Poly.of(other) * -1

    def __rsub__(self, other: int) -> Poly:
        return Poly.of(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __gt__(self, other: int) -> bool:
        if other != 0:
            raise TypeError("a symbol is compared with 0 only")
        return True

    def __ne__(self, other: object) -> Poly:  # type: ignore[override]
        assert isinstance(other, Poly)
        return Poly({}) if self.terms == other.terms else Poly.variable("reshaped")

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: bool) -> Poly:
        return Poly.of(1) if other else self


class Frame(NamedTuple):
    """What candidates of a chunk share: everything about a network but its widths and depths.

    `se` says whether blocks squeeze and excite; `inner` whether the width inside differs from `w`.
    """

    style: Style
    relu: bool
    se_relu: bool
    image: int
    channels: int
    stem_type: StemType
    head: int
    classes: int
    strides: tuple[int, ...]
    se: bool
    inner: bool


class _Plan(NamedTuple):
    """Coefficients of some sums, and for each count the sum it is made of, how often, and what is added."""

    coefficients: Floats
    rows: list[tuple[int, int, float]]


class Counter:
    """Counts for a frame. `variables` are what a chunk has to bring, each of shape (stages, n).

    `most` says what the variables cannot exceed, where that is known: sums that stay exact up to
    there need no more looking at.
    """

    def __init__(self, frame: Frame, room: Room, most: Mapping[str, float] | None = None) -> None:
        self.frame = frame
        self.stages = len(frame.strides)
        self.variables = _variables(frame)
        totals = _symbolic(frame)
        self._monomials = _monomials(totals)
        self._products = _products(self.variables, self._monomials)
        numbered = [(k, *product) for k, product in enumerate(self._products)]
        self._order = sorted(numbered, key=lambda p: len(p[1]))
        rows = {m: k for k, m in enumerate(self._monomials)}
        self._coefficients = np.zeros((len(COUNTS), len(rows) * self.stages + 1))
        self._collect(totals, rows)
        self._like = [self._first_like(row) for row in range(len(COUNTS))]
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._room = room
        known = [] if most is None else [most.get(v, math.inf) for v in self.variables]
        self._safe = known if known and self._fits(known) else [0.0] * len(self.variables)
        self._sure = bool(known) and self._safe is known

    def _collect(
        self, totals: Sequence[tuple[dict[str, Poly], int]], at_row: Mapping[Monomial, int]
    ) -> None:
        rows = self._coefficients
        for polys, at in totals:
            for row, name in enumerate(COUNTS):
                for m, c in polys[name].terms.items():
                    column = at_row[m] * self.stages + at if m else -1
                    assert abs(rows[row, column] + c) < _EXACT
                    rows[row, column] += c

    def _first_like(self, row: int) -> tuple[int, int]:
        """An earlier count that this one is a multiple of, constants apart, and how many times."""
        this = self._coefficients[row, :-1]
        for other in range(row):
            base = self._coefficients[other, :-1]
            times = int(np.max(this // np.where(base > 0, base, np.inf)))
            if times > 0 and np.array_equal(base * times, this):
                return other, times
        return row, 1

    def values(
        self,
        columns: Mapping[str, Floats],
        names: Sequence[str] = COUNTS,
        out: Floats | None = None,
    ) -> Floats:
        """The named counts of n networks, shape (names, n), from columns of shape (stages, n)."""
        n = columns["w"].shape[1]
        plan = self._plan(tuple(names))
        if out is None:
            out = np.empty((len(names), n))
        for first in range(0, n, _PIECE):
            piece = slice(first, min(n, first + _PIECE))
            features = self._features(columns, piece)
            sums = self._room("sums", len(plan.coefficients), features.shape[1])
            np.matmul(plan.coefficients, features, out=sums)
            for row, (of, times, more) in enumerate(plan.rows):
                if times == 1:
                    np.add(sums[of], more, out=out[row, piece])
                else:
                    np.multiply(sums[of], times, out=out[row, piece])
                    out[row, piece] += more
        return out

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        """Which sums some counts need, and what makes each count of one of them."""
        if names not in self._plans:
            wanted = [COUNTS.index(name) for name in names]
            sums = sorted({self._like[row][0] for row in wanted})
            rows = []
            for row in wanted:
                of, times = self._like[row]
                rows.append((sums.index(of), times, float(self._coefficients[row, -1])))
            self._plans[names] = _Plan(self._coefficients[sums, :-1], rows)
        return self._plans[names]

    def exactly(
        self,
        columns: Mapping[str, Floats],
        names: Sequence[str] = COUNTS,
        out: Floats | None = None,
    ) -> Any:
        """As `values`; in Python's integers where float64 does not hold the sums."""
        if self._sure or self.exact(columns):
            return self.values(columns, names, out)
        wide = {name: columns[name].astype(np.int64).astype(object) for name in self.variables}
        products = [np.prod(np.stack([wide[v] for v in m]), axis=0) for m in self._monomials]
        chosen = self._coefficients[[COUNTS.index(name) for name in names]].astype(np.int64)
        exact = chosen.astype(object)
        return exact[:, :-1] @ np.concatenate(products) + exact[:, -1:]

    def _features(self, columns: Mapping[str, Floats], piece: slice) -> Floats:
        """The monomials that counts are sums of, shape (monomials x stages, n)."""
        count, n = len(self._products), piece.stop - piece.start
        room = self._room("features", count, self.stages, n)
        done: dict[Monomial, Floats] = {(v,): columns[v][:, piece] for v in self.variables}
        for k, m, a, b in self._order:
            if len(m) == 1:
                room[k] = done[m]
            else:
                done[m] = np.multiply(done[a], done[b], out=room[k])
        features: Floats = room[: len(self._monomials)].reshape(-1, n)
        return features

    def exact(self, columns: Mapping[str, Floats]) -> bool:
        """Whether no sum of a chunk can leave the whole numbers that float64 holds."""
        most = [float(columns[name].max(initial=0.0)) for name in self.variables]
        if all(map(operator.le, most, self._safe)):
            return True
        most = [max(a, 2.0 * b) for a, b in zip(self._safe, most, strict=True)]
        if self._fits(most):
            self._safe = most
            return True
        return self._fits([b / 2 for b in most])

    def _fits(self, most: Sequence[float]) -> bool:
        """Whether the sums stay exact while no variable exceeds these values."""
        at = dict(zip(self.variables, most, strict=True))
        room = np.repeat([math.prod(at[v] for v in m) for m in self._monomials], self.stages)
        largest = np.abs(self._coefficients[:, :-1]) @ room + np.abs(self._coefficients[:, -1])
        return bool(largest.max() < _EXACT)


def _variables(frame: Frame) -> tuple[str, ...]:
    names = ["w_in", "w", "d", "g"]
    names += ["inner"] * frame.inner
    names += ["se_first", "se_rest"] * frame.se
    names += ["reshaped"] * (frame.style.shortcut != "none" and 1 in frame.strides)
    return tuple(names)


def _symbolic(frame: Frame) -> list[tuple[dict[str, Poly], int]]:
    """The counts of every part as polynomials, with the stage whose variables they speak of."""
    v = Poly.variable
    inner = v("inner") if frame.inner else v("w")
    se = (v("se_first"), v("se_rest")) if frame.se else (0, 0)
    out: list[tuple[dict[str, Poly], int]] = []
    w_stem: int = v("w_in")  # type: ignore[assignment]
    tally, side = complexity.stem(
        frame.stem_type, frame.channels, w_stem, frame.image, frame.style.order
    )
    out.append((_polys(tally, frame), 0))
    for at, stride in enumerate(frame.strides):
        shape = StageShape(v("w"), v("d"), stride, inner, v("g"), *se)  # type: ignore[arg-type]
        tally, side = complexity.stage(frame.style, w_stem, shape, side)
        out.append((_polys(tally, frame), at))
    w_last: int = v("w")  # type: ignore[assignment]
    tally = complexity.head(w_last, frame.head, frame.classes, side, frame.style)
    out.append((_polys(tally, frame), len(frame.strides) - 1))
    return out


def _polys(tally: Tally, frame: Frame) -> dict[str, Poly]:
    counts = Counts.of(tally, relu=frame.relu, se_relu=frame.se_relu)
    return {name: Poly.of(value) for name, value in counts.as_dict().items()}


def _monomials(totals: Sequence[tuple[dict[str, Poly], int]]) -> list[Monomial]:
    """The products that some count is a sum of, short ones first."""
    sums: dict[tuple[Monomial, str, int], int] = {}
    for polys, at in totals:
        for name, poly in polys.items():
            for m, c in poly.terms.items():
                sums[m, name, at] = sums.get((m, name, at), 0) + c
    return sorted({m for (m, _, _), c in sums.items() if c and m}, key=lambda m: (len(m), m))


def _products(
    variables: Sequence[str], wanted: Sequence[Monomial]
) -> list[tuple[Monomial, Monomial, Monomial]]:
    """How to work monomials out: each a variable, or a product of two that come before it.

    The wanted ones take the first rows, what is needed on the way the rows behind them; they are
    listed by row and, since factors are shorter, may be worked out in the order of their length.
    """
    factors: dict[Monomial, tuple[Monomial, Monomial]] = {(name,): ((), ()) for name in variables}
    helpers: list[Monomial] = []

    def add(m: Monomial) -> None:
        if m in factors:
            return
        one = _cheapest(m, [*factors, *wanted])
        rest = list(m)
        for name in one:
            rest.remove(name)
        add(one)
        add(tuple(rest))
        factors[m] = (one, tuple(rest))
        if m not in wanted:
            helpers.append(m)

    for m in wanted:
        add(m)
    return [(m, *factors[m]) for m in (*wanted, *helpers)]


def _cheapest(m: Monomial, known: Sequence[Monomial]) -> Monomial:
    """A factor one degree lower, one that is there already if possible."""
    parts = [m[:k] + m[k + 1 :] for k in range(len(m))]
    return next((f for f in parts if f in known), parts[-1])
