"""What a space is, before anyone draws a population: its size, how much of it survives, what it looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from .. import regnet
from ..canonical import drawing
from ..cells import Cell
from ..complexity import Counts
from ..distributions import Distribution
from ..limits import STAGE_DEPTH, TOTAL_DEPTH, WIDTH
from .box import shrink
from .engine import BLOCK, Engine, Found
from .hull import Hull, Range
from .space import SCALARS, STAGED, Demand, Space

BINS = 16
_Z = 1.959964  # of a 95% interval


class Share(NamedTuple):
    """A share or a number, and its 95% interval (Wilson's); exact where both ends are the value."""

    value: float
    low: float
    high: float

    @property
    def exact(self) -> bool:
        return self.low == self.high


class Marginal(NamedTuple):
    """A free parameter: its draw, its values, and its histogram before and after the lines of the space.

    A bin begins at each of `edges` but the last; both histograms are shares of their own sums.
    `widths` are those of the bins on the scale of the draw, linear or logarithmic.
    """

    name: str
    draw: str
    values: int
    edges: tuple[float, ...]
    widths: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]


class Report(NamedTuple):
    """What is known of a space. `points` are the combinations of what is drawn, `fitting` those of
    them that satisfy every line; `acceptance` is the share of draws that do, `refusals` the shares
    that each line refuses, in the order in which they are tried.
    """

    points: int
    fitting: Share
    acceptance: Share
    refusals: tuple[tuple[Demand | None, float], ...]
    marginals: tuple[Marginal, ...]
    candidates: int
    members: int
    counts: dict[str, tuple[int, ...]]
    witness: dict[tuple[str, int | None], Fraction] | None


def report(
    space: Space, *, candidates: int, seed: int = 0, tell: Callable[[int], None] | None = None
) -> Report:
    """Look at so many candidates. Raises SpecError where it can be shown that nothing fits."""
    box = shrink(space)
    engine = Engine(space, seed, box)
    found, looked = _look(engine, candidates, tell)
    alike = Engine(space, seed, shrink(space, alike=True))
    fitting = _fitting(alike, candidates)
    inside = float(engine.inside)
    accepted = len(found.candidates)
    return Report(
        points=math.prod(v.distribution.size for v in space.variables),
        fitting=fitting,
        acceptance=_share(accepted, looked, inside, certain=_certain(engine)),
        refusals=tuple(_refusals(engine, found, looked)),
        marginals=tuple(_marginals(engine, found)),
        candidates=looked,
        members=accepted,
        counts=_spread(found),
        witness=_witness(engine, found),
    )


def _look(engine: Engine, candidates: int, tell: Callable[[int], None] | None) -> tuple[Found, int]:
    parts = []
    for first in range(0, candidates, 8 * BLOCK):
        parts.append(engine.run(first, min(8 * BLOCK, candidates - first)))
        if tell is not None:
            tell(first)
    return joined(parts), candidates


def joined(parts: Sequence[Found]) -> Found:
    """What was found among successive candidates, as one."""

    def rows(name: str) -> Any:
        return np.concatenate([getattr(p, name) for p in parts], axis=1)

    return Found(
        np.concatenate([p.candidates for p in parts]),
        {c: np.concatenate([p.picks[c] for p in parts]) for c in parts[0].picks},
        np.concatenate([p.stages for p in parts]),
        rows("w"), rows("d"), rows("inner"), rows("g"), rows("counts"),
        np.sum([p.refused for p in parts], axis=0),
    )  # fmt: skip


def _certain(engine: Engine) -> bool:
    """Whether it is proved that all candidates of the box are members, or that none is."""
    if all(len(grid) == 1 for grid in engine.grids.values()):
        return True  # they are one and the same
    if engine.demands or engine.space.line is not None or not _plain(engine.space):
        return False
    few, many = engine.space.stages
    return all(_has_room(engine, depth) for depth in range(few, many + 1))


def _plain(space: Space) -> bool:
    """Whether every value is fixed, drawn, or the same for all stages: one that is worked out from
    what is drawn may turn out to be none that the parameter can have.
    """
    known = {*space.fixed, *(v.cell for v in space.variables)}
    stages = range(1, space.stages[1] + 1)
    cells: list[Cell] = [(name, None) for name in SCALARS if name != "stages"]
    cells += [(name, stage) for name in STAGED for stage in stages]
    return all(c in known or _tied(space, c[0]) in known for c in cells)


def _tied(space: Space, name: str) -> Cell | None:
    """The parameter that all stages share, where they do: `b` for `b[i] = b`."""
    return (name, None) if space.scope.tie((name, True)) == (name, False) else None


def _has_room(engine: Engine, depth: int) -> bool:
    """Whether the language is proved to have room for all networks with so many stages."""
    most = engine.most(depth)
    hull = Hull(engine.space, {c: Range(x[0], x[-1]) for c, x in engine.grids.items()})
    stem, se = hull.cell("stem", None).low, hull.cell("se", None)
    narrowest = min(int(stem or 0), *(s.w[0] for s in hull.stages(depth)))
    squeezes = se.high == 0 or regnet.squeeze(narrowest, se.low or Fraction(0)) > 0
    # The hull cuts widths and depths off at the limits: what stays well below them is not cut.
    fits = 2 * max(most["w"], most["inner"]) <= WIDTH and most["d"] < STAGE_DEPTH
    divides = engine.space.fixed["rounding", None] == "paper"
    return squeezes and fits and divides and most["d"] * depth <= TOTAL_DEPTH


def _share(k: int, n: int, inside: float, *, certain: bool) -> Share:
    """The share of all draws, of which `inside` lie in the box, if k of n in the box are members."""
    if certain:
        value = inside if k else 0.0
        return Share(value, value, value)
    p = k / n
    middle = (p + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / (1 + _Z * _Z / n)
    return Share(p * inside, max(0.0, middle - half) * inside, min(1.0, middle + half) * inside)


def _fitting(alike: Engine, candidates: int) -> Share:
    """How many points of the grid satisfy every line: counted where it can be, else estimated."""
    points = math.prod(v.distribution.size for v in alike.space.variables)
    if _certain(alike):
        member = len(alike.run(0, 1).candidates)
        exact = int(points * alike.inside) * member
        return Share(exact, exact, exact)
    found, looked = _look(alike, candidates, None)
    share = _share(len(found.candidates), looked, float(alike.inside), certain=False)
    return Share(*(x * points for x in share))


def _refusals(engine: Engine, found: Found, n: int) -> list[tuple[Demand | None, float]]:
    """The share of all draws that each line refuses, box and order first."""
    by = {d.normal: d for d in engine.space.demands}
    out: list[tuple[Demand | None, float]] = [
        (by[k], float(x)) for k, x in engine.box.refused.items()
    ]
    left = engine.box.inside
    for chain in engine.chains:
        out.append((chain.demand, float(left * (1 - chain.inside))))
        left *= chain.inside
    for reason, count in zip(engine.reasons, found.refused, strict=True):
        if count:
            out.append((reason, float(left) * int(count) / n))
    merged: dict[Demand | None, float] = {}
    for reason, share in out:
        merged[reason] = merged.get(reason, 0.0) + share
    return list(merged.items())


def _marginals(engine: Engine, found: Found) -> list[Marginal]:
    out = []
    for v in engine.space.variables:
        values = [float(x) for x in v.distribution.values()]
        weights = v.distribution.weights()
        starts = _bins(values, logarithmic=v.distribution.kind in _LOGARITHMIC)
        ends = [*starts[1:], len(values)]
        before = [sum(weights[a:b]) / sum(weights) for a, b in zip(starts, ends, strict=True)]
        drawn = np.array(values)[found.picks[v.cell]]
        edges = [values[k] for k in starts]
        at = np.searchsorted(edges, drawn, side="right") - 1
        after = np.bincount(at, minlength=len(starts)) / max(1, len(drawn))
        out.append(
            Marginal(
                v.name, drawing(v.distribution), len(values), (*edges, values[-1]),
                tuple(_widths(values, starts, v.distribution)), tuple(before),
                tuple(float(x) for x in after),
            )
        )  # fmt: skip
    return out


_LOGARITHMIC = ("log_uniform", "log_normal", "power2_or_multiple")


def _bins(values: Sequence[float], *, logarithmic: bool) -> list[int]:
    """Where bins begin: a value each if they are few, else equally wide, or wide by equal factors."""
    if len(values) <= BINS:
        return list(range(len(values)))
    low, high = values[0], values[-1]
    if logarithmic:
        edges = [low * (high / low) ** (k / BINS) for k in range(BINS)]
    else:
        edges = [low + (high - low) * k / BINS for k in range(BINS)]
    return sorted({int(k) for k in np.searchsorted(values, edges, side="left")})


def _widths(values: Sequence[float], starts: Sequence[int], d: Distribution) -> list[float]:
    """How much of the scale each bin takes: the values in it, or the ratio that it spans."""
    ends = [*starts[1:], len(values)]
    if d.kind not in _LOGARITHMIC or len(values) <= BINS:
        return [float(b - a) for a, b in zip(starts, ends, strict=True)]
    step = float(d.step)
    first = values[0] - min(step, values[0] / 2)
    lower = [values[a - 1] if a else first for a in starts]
    return [math.log(values[b - 1] / low) for b, low in zip(ends, lower, strict=True)]


def _spread(found: Found) -> dict[str, tuple[int, ...]]:
    """Least, lower quartile, median, upper quartile and largest of every count among members."""
    if not len(found.candidates):
        return {}
    ends = np.percentile(found.counts.astype(float), [0, 25, 50, 75, 100], axis=1, method="nearest")
    return {name: tuple(int(x) for x in ends[:, k]) for k, name in enumerate(Counts._fields)}


def _witness(engine: Engine, found: Found) -> dict[Any, Fraction] | None:
    """What was drawn for the first member."""
    if not len(found.candidates):
        return None
    grids = {v.cell: list(v.distribution.values()) for v in engine.space.variables}
    return {c: grids[c][int(x[0])] for c, x in found.picks.items()}
