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
from numpy.typing import NDArray

from .. import complexity
from ..complexity import BlockType, Counts, StageShape, StemType, Tally

Floats = NDArray[np.float64]
Monomial = tuple[str, ...]

COUNTS = Counts._fields
_EXACT = 2**53
_PIECE = 1024  # candidates whose monomials stay in the cache


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

    block: BlockType
    relu: bool
    image: int
    channels: int
    stem_type: StemType
    head: int
    classes: int
    strides: tuple[int, ...]
    se: bool
    inner: bool


class Counter:
    """Counts for a frame. `variables` are what a chunk has to bring, each of shape (stages, n)."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.stages = len(frame.strides)
        self.variables = _variables(frame)
        totals = _symbolic(frame)
        monomials = {m for stage, _ in totals for p in stage.values() for m in p.terms if m}
        self._products = _products(self.variables, monomials)
        self._rows = {m: k for k, (m, _, _) in enumerate(self._products)}
        self._coefficients = np.zeros((len(COUNTS), len(self._rows) * self.stages + 1))
        self._collect(totals)
        self._safe = [0.0] * len(self.variables)
        self._buffer: Floats = np.empty(len(self._products) * self.stages * _PIECE)

    def _collect(self, totals: Sequence[tuple[dict[str, Poly], int]]) -> None:
        rows = self._coefficients
        for polys, at in totals:
            for row, name in enumerate(COUNTS):
                for m, c in polys[name].terms.items():
                    column = self._rows[m] * self.stages + at if m else -1
                    assert abs(rows[row, column] + c) < _EXACT
                    rows[row, column] += c

    def values(self, columns: Mapping[str, Floats], names: Sequence[str] = COUNTS) -> Floats:
        """The named counts of n networks, shape (names, n), from columns of shape (stages, n)."""
        n = columns["w"].shape[1]
        chosen = self._coefficients[[COUNTS.index(name) for name in names]]
        out: Floats = np.empty((len(names), n))
        for first in range(0, n, _PIECE):
            piece = slice(first, min(n, first + _PIECE))
            np.matmul(chosen[:, :-1], self._monomials(columns, piece), out=out[:, piece])
        out += chosen[:, -1:]
        return out

    def exactly(self, columns: Mapping[str, Floats], names: Sequence[str] = COUNTS) -> Any:
        """As `values`; in Python's integers where float64 does not hold the sums."""
        if self.exact(columns):
            return self.values(columns, names)
        wide = {name: columns[name].astype(np.int64).astype(object) for name in self.variables}
        room = []
        for m, _, _ in self._products:
            room.append(np.prod(np.stack([wide[v] for v in m]), axis=0))
        rows = np.concatenate(room)
        chosen = self._coefficients[[COUNTS.index(name) for name in names]].astype(np.int64)
        exact = chosen.astype(object)
        return exact[:, :-1] @ rows + exact[:, -1:]

    def _monomials(self, columns: Mapping[str, Floats], piece: slice) -> Floats:
        n = piece.stop - piece.start
        size = len(self._products) * self.stages * n
        room = self._buffer[:size].reshape(-1, self.stages, n)
        for k, (m, a, b) in enumerate(self._products):
            if b < 0:
                room[k] = columns[m[0]][:, piece]
            else:
                np.multiply(room[a], room[b], out=room[k])
        return room.reshape(-1, n)

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
        room = np.repeat([math.prod(at[v] for v in m) for m, _, _ in self._products], self.stages)
        largest = np.abs(self._coefficients[:, :-1]) @ room + np.abs(self._coefficients[:, -1])
        return bool(largest.max() < _EXACT)


def _variables(frame: Frame) -> tuple[str, ...]:
    names = ["w_in", "w", "d", "g"]
    names += ["inner"] * frame.inner
    names += ["se_first", "se_rest"] * frame.se
    names += ["reshaped"] * (frame.block != "Z" and 1 in frame.strides)
    return tuple(names)


def _symbolic(frame: Frame) -> list[tuple[dict[str, Poly], int]]:
    """The counts of every part as polynomials, with the stage whose variables they speak of."""
    v = Poly.variable
    inner = v("inner") if frame.inner else v("w")
    se = (v("se_first"), v("se_rest")) if frame.se else (0, 0)
    out: list[tuple[dict[str, Poly], int]] = []
    w_stem: int = v("w_in")  # type: ignore[assignment]
    tally, side = complexity.stem(frame.stem_type, frame.channels, w_stem, frame.image)
    out.append((_polys(tally, frame), 0))
    for at, stride in enumerate(frame.strides):
        shape = StageShape(v("w"), v("d"), stride, inner, v("g"), *se)  # type: ignore[arg-type]
        tally, side = complexity.stage(frame.block, w_stem, shape, side)
        out.append((_polys(tally, frame), at))
    w_last: int = v("w")  # type: ignore[assignment]
    tally = complexity.head(w_last, frame.head, frame.classes, side)
    out.append((_polys(tally, frame), len(frame.strides) - 1))
    return out


def _polys(tally: Tally, frame: Frame) -> dict[str, Poly]:
    counts = Counts.of(tally, relu=frame.relu)
    return {name: Poly.of(value) for name, value in counts.as_dict().items()}


def _products(
    variables: Sequence[str], monomials: set[Monomial]
) -> list[tuple[Monomial, int, int]]:
    """An order to work out monomials in: each a variable (-1, -1) or the product of two before it."""
    order: list[tuple[Monomial, int, int]] = [((name,), -1, -1) for name in variables]
    place = {m: k for k, (m, _, _) in enumerate(order)}

    def add(m: Monomial) -> int:
        if m not in place:
            a, b = add(_cheapest(m, place)), -1
            rest = list(m)
            for name in order[a][0]:
                rest.remove(name)
            b = add(tuple(rest))
            order.append((m, a, b))
            place[m] = len(order) - 1
        return place[m]

    for m in sorted(monomials, key=lambda m: (len(m), m)):
        add(m)
    return order


def _cheapest(m: Monomial, known: Mapping[Monomial, int]) -> Monomial:
    """A factor one degree lower, one that is there already if possible."""
    factors = [m[:k] + m[k + 1 :] for k in range(len(m))]
    return next((f for f in factors if f in known), factors[-1])
