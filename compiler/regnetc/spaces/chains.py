"""Widths or depths drawn in order, where a bound such as `w[i+1] >= w[i]` asks for nothing but order.

Rejection would keep one candidate in twenty, or in two hundred. Instead stage 1 is drawn with the
odds that it has among ordered candidates, then every stage with the odds that it has given the one
before: the distribution is that of rejection, and none is refused. Depths are compared as they are
drawn, widths after they are fitted to their groups; so where `b` or `g` are drawn too, they are drawn
first, with the odds that they have among candidates whose fitted widths are in order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .. import regnet
from ..cells import Cell
from ..check_lines import stage_offset
from ..tree import Bound, Expr, Ref
from ..values import Quantity
from .arrays import Floats, Indices
from .box import Box
from .random import Table, Words
from .space import Demand, Space

_UNIT = 2.0**-53
_MOST = 500_000  # sums that are worked out beforehand, a second's work


class Order(NamedTuple):
    """An order of neighbouring stages: whether values rise or fall, and may stay equal."""

    name: str
    rising: bool
    strict: bool


class Chain:
    """The stages of one parameter, drawn in order. `shared` are the free parameters drawn with it."""

    def __init__(self, space: Space, box: Box, demand: Demand, order: Order) -> None:
        self.demand = demand
        self.order = order
        self.cells: list[Cell] = [(order.name, s) for s in range(1, space.stages[1] + 1)]
        self.values = _union(box, self.cells)
        groups = [("b", None), ("g", None)] if order.name == "w" else []
        self.shared = [c for c in groups if c in box.values]
        choices = list(product(*(range(len(box.values[c])) for c in self.shared)))
        self.choices: Indices = np.array(choices, np.int64).reshape(len(choices), len(self.shared))
        parts = [_Part(space, box, self, choice) for choice in choices]
        odds = [_odds(box, self.shared, choice) for choice in choices]
        weights = [w * part.total for w, part in zip(odds, parts, strict=True)]
        possible = [k for k, w in enumerate(weights) if w]
        everything = sum(odds) * parts[0].everything
        self.inside = Fraction(sum(weights), everything)
        self.choices = self.choices[possible]
        self.table = Table([weights[k] for k in possible]) if possible else None
        self.tails = [
            np.array([parts[k].tails[s] for k in possible]) for s in range(len(self.cells))
        ]
        self.after: Indices = np.array([parts[k].after for k in possible], np.int64)
        self._places = [_places(self.values, box.values[cell]) for cell in self.cells]

    def share(self, words: Words) -> tuple[Indices, dict[Cell, Indices]]:
        """The part that each word draws, and the picks of the shared parameters."""
        assert self.table is not None
        part = self.table.pick(words)
        return part, {c: self.choices[part, k] for k, c in enumerate(self.shared)}

    def stages(self, part: Indices, words: Iterator[Words]) -> dict[Cell, Indices]:
        """The picks of every stage in turn, each from where the one before allows."""
        picks = {}
        size = self.after.shape[1]
        start = np.zeros(len(part), np.int64)
        stages = zip(self.cells, self.tails, self._places, words, strict=True)
        for cell, tails, place, word in stages:
            found = _fall(tails, part, start, word, size)
            picks[cell] = place.take(found if self.order.rising else size - 1 - found, mode="clip")
            start = self.after.ravel().take(part * size + found, mode="clip")
        return picks


def _union(box: Box, cells: Sequence[Cell]) -> list[Fraction]:
    """The values that any of the stages may have, in order."""
    return sorted({v for cell in cells for v in box.values[cell]})


def _places(values: Sequence[Fraction], own: Sequence[Fraction]) -> Indices:
    """For each of all values its place among a stage's own; those that it has not are never drawn."""
    at = {v: k for k, v in enumerate(own)}
    return np.array([at.get(v, 0) for v in values], np.int64)


def _fall(tails: Floats, part: Indices, start: Indices, words: Words, size: int) -> Indices:
    """Where each word falls in the tail sums of its part, from `start` on: bisection for all at once."""
    flat, row = tails.ravel(), part * (size + 1)
    at = (words >> np.uint64(11)) * _UNIT * flat.take(row + start, mode="clip")
    low, high = start.copy(), np.full(len(part), size)
    for _ in range(size.bit_length()):
        middle = (low + high) >> 1
        above = flat.take(row + middle, mode="clip") > at
        np.copyto(low, middle, where=above)
        np.copyto(high, middle, where=~above)
    return low


class _Part:
    """The odds of every stage under one choice of the shared parameters.

    `tails[s][k]` is the weight of ordered draws of stage s and those behind it that begin at value k
    or later, over that of all; `after[k]` the first value that may follow value k.
    """

    def __init__(self, space: Space, box: Box, chain: Chain, choice: tuple[int, ...]) -> None:
        rising, values = chain.order.rising, chain.values
        keys = _keys(space, box, chain, choice)
        if not rising:
            keys = [-k for k in reversed(keys)]
        self.after = _after(keys, strict=chain.order.strict)
        sums: list[list[int]] = []
        behind = [1] * (len(values) + 1)
        self.everything = 1
        for cell in reversed(chain.cells):
            given = dict(zip(box.values[cell], box.weights[cell], strict=True))
            weights = [given.get(v, 0) for v in (values if rising else reversed(values))]
            self.everything *= sum(weights)
            running, tails = 0, [0]
            for k in reversed(range(len(values))):
                running += weights[k] * behind[self.after[k]]
                tails.append(running)
            behind = tails[::-1]
            sums.insert(0, behind)
        self.total = sums[0][0]
        self.tails = [[t / s[0] if s[0] else 0.0 for t in s] for s in sums]


def _after(keys: Sequence[int], *, strict: bool) -> list[int]:
    """For each value the first one that may follow it: one of its own key, or of the next."""
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    count = Counter(keys if strict else ())
    return [first[key] + count[key] for key in keys]


def _keys(space: Space, box: Box, chain: Chain, choice: tuple[int, ...]) -> list[int]:
    """What is compared: depths themselves, widths as they are fitted."""
    if chain.order.name == "d":
        return [int(v) for v in chain.values]
    picked = {c: box.values[c][k] for c, k in zip(chain.shared, choice, strict=True)}
    b, g = (picked.get((n, None)) or _fixed(space, n) for n in ("b", "g"))
    rounding: Any = space.fixed["rounding", None]
    return [regnet.fit(int(v), b, int(g), rounding).w for v in chain.values]


def _fixed(space: Space, name: str) -> Fraction:
    value = space.fixed[name, 1]
    assert isinstance(value, Quantity)
    return value.value


def _odds(box: Box, shared: Sequence[Cell], choice: tuple[int, ...]) -> int:
    weight = 1
    for cell, k in zip(shared, choice, strict=True):
        weight *= box.weights[cell][k]
    return weight


def find(space: Space, box: Box) -> list[Chain]:
    """The parameters that can be drawn in order: widths, depths, both or none."""
    found: dict[str, Chain] = {}
    for demand in space.demands:
        order = _order(demand.line) if isinstance(demand.line, Bound) else None
        if order is None or order.name in found or not _suits(space, box, order):
            continue
        chain = Chain(space, box, demand, order)
        if chain.table is not None:
            found[order.name] = chain
    return list(found.values())


def _order(line: Bound) -> Order | None:
    """`w[i+1] >= w[i]`, or the same in other words."""
    if len(line.signs) != 1:
        return None
    names = [_neighbour(e) for e in line.operands]
    if None in names or names[0][0] != names[1][0]:  # type: ignore[index]
        return None
    (name, left), (_, right) = names  # type: ignore[misc]
    if right - left not in (1, -1):
        return None
    larger_first = line.signs[0][0] == ">"
    return Order(name, (left > right) == larger_first, len(line.signs[0]) == 1)


def _neighbour(e: Expr) -> tuple[str, int] | None:
    at = stage_offset(e.at) if isinstance(e, Ref) and e.at is not None else None
    if at is None or not at[0] or not isinstance(e, Ref) or e.name not in ("w", "d"):
        return None
    return e.name, at[1]


def _suits(space: Space, box: Box, order: Order) -> bool:
    """Whether all stages are drawn, and widths are fitted alike and in order; and it is not too much."""
    few, many = space.stages
    cells: list[Cell] = [(order.name, s) for s in range(1, many + 1)]
    if few != many or many < 2 or any(c not in box.values for c in cells):
        return False
    values = _union(box, cells)
    if order.name == "d":
        return len(values) * many <= _MOST
    choices = math.prod(len(box.values.get((n, None), "1")) for n in ("b", "g"))
    if len(values) * many * choices > _MOST:
        return False
    alike = all(_alike(space, box, name, many) for name in ("b", "g"))
    return alike and _monotone(space, box, values)


def _alike(space: Space, box: Box, name: str, stages: int) -> bool:
    """Whether all stages share one value, fixed or drawn."""
    values = [space.fixed.get((name, s)) for s in range(1, stages + 1)]
    if None not in values:
        return all(v == values[0] for v in values)
    binding = space.scope.bindings.get((name, True))
    tie = binding.fix.value if binding is not None else None
    return (
        isinstance(tie, Ref) and tie.at is None and tie.name == name and (name, None) in box.values
    )


def _monotone(space: Space, box: Box, values: Sequence[Fraction]) -> bool:
    """Whether wider draws never become narrower networks."""
    rounding: Any = space.fixed["rounding", None]
    choices = [box.values.get((n, None)) or [_fixed(space, n)] for n in ("b", "g")]
    for b, g in product(*choices):
        fitted = [regnet.fit(int(w), b, int(g), rounding).w for w in values]
        if fitted != sorted(fitted):
            return False
    return True
