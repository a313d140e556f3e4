"""Stages that are drawn in order, against rejection: the same odds of everything, and how many are spared."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from regnetc.bounds import Budget, violations
from regnetc.cells import Cell
from regnetc.driver import check_file
from regnetc.spaces import members
from regnetc.spaces.box import shrink
from regnetc.spaces.counting import COUNTS
from regnetc.spaces.engine import Engine, Found
from regnetc.spaces.space import Space, read
from test_engine import space_of

Columns = dict[str, NDArray[np.float64]]

stats = pytest.importorskip("scipy.stats")  # comes with scikit-learn

LIKELY = 0.001  # what is rarer is rejected
ASKED = (*(f"{name}[{s}]" for name in "wd" for s in (1, 2, 3, 4)), "pycls")
CANDIDATES = 2_000_000  # one in 17 has widths in order, one in 212 depths as well
CHUNK = 100_000


def ladder(name: str, more: str = "") -> Space:
    """A space of `spec/anynetx.regnet`, and some lines more."""
    text = f'use "anynetx.regnet"\nspace S extends {name} {{\n{more}\n}}\n'
    checked = check_file("test.regnet", text.encode())
    assert not checked.problems, [(p.name, p.message) for p in checked.problems]
    return read(checked.scopes["S"])


# The paper's spaces, against those without an order.


def columns(found: Found, kept: Any = slice(None)) -> Columns:
    """What networks are drawn and built as."""
    out = {}
    for name in ("w", "d", "g", "inner"):
        for s, row in enumerate(getattr(found, name), 1):
            out[f"{name}[{s}]"] = row[kept]
    for k, name in enumerate(COUNTS):
        out[name] = found.counts[k][kept].astype(np.float64)
    for (name, stage), picks in found.picks.items():
        out[f"drawn {name} {stage}"] = picks[kept].astype(np.float64)
    return out


@cache
def rejected() -> dict[str, Columns]:
    """From AnyNetX_C, those with widths in order, and those with depths in order, too."""
    engine = Engine(ladder("AnyNetX_C"), 11)
    assert not engine.chains
    parts: dict[str, list[Columns]] = {"D": [], "E": []}
    for first in range(0, CANDIDATES, CHUNK):
        found = engine.run(first, CHUNK)
        assert len(found.candidates) == CHUNK
        wider = np.all(np.diff(found.w, axis=0) >= 0, axis=0)
        deeper = np.all(np.diff(found.d, axis=0) >= 0, axis=0)
        parts["D"].append(columns(found, wider))
        parts["E"].append(columns(found, wider & deeper))
    return {k: {c: np.concatenate([p[c] for p in ps]) for c in ps[0]} for k, ps in parts.items()}


@cache
def chained(name: str) -> Columns:
    engine = Engine(ladder(f"AnyNetX_{name}"), 12)
    assert {c.order.name for c in engine.chains} == {"D": {"w"}, "E": {"w", "d"}}[name]
    found = engine.run(0, CHUNK)
    assert len(found.candidates) == CHUNK, "one is refused that was drawn in order"
    return columns(found)


def pooled(counts: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Columns of a table, neighbours put together until each expects 10 or more in every row."""
    starts, inside = [0], 0.0
    for k, total in enumerate(counts.sum(axis=0)):
        if inside * scale >= 10:
            starts.append(k)
            inside = 0.0
        inside += float(total)
    if len(starts) > 1 and inside * scale < 10:
        starts.pop()
    return np.add.reduceat(counts, starts, axis=1)


def chi_square(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The odds that two samples of few values differ so much."""
    values, at = np.unique(np.concatenate([a, b]), return_inverse=True)
    n = len(values)
    both = [np.bincount(x, minlength=n) for x in (at[: len(a)], at[len(a) :])]
    share = min(len(a), len(b)) / (len(a) + len(b))
    table = pooled(np.stack(both).astype(np.float64), share)
    if table.shape[1] == 1:
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def ks(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(stats.ks_2samp(a, b, method="asymp").pvalue)


def unlikely(a: Columns, b: Columns) -> list[tuple[str, float, float]]:
    """The columns in which two samples differ: those `ASKED` for each, the others taken together."""
    found = [(name, ks(a[name], b[name]), chi_square(a[name], b[name])) for name in a]
    others = LIKELY / (2 * len(found))
    return [x for x in found if min(x[1:]) < (LIKELY if x[0] in ASKED else others)]


def together(x: Columns) -> Columns:
    """What columns say of each other: steps from stage to stage, ties, pairs of parameters."""
    out: Columns = {}
    for name in ("w", "d"):
        rows = np.stack([x[f"{name}[{s}]"] for s in range(1, 5)])
        steps = np.diff(rows, axis=0)
        out |= {f"{name}[{s + 2}] - {name}[{s + 1}]": step for s, step in enumerate(steps)}
        out[f"ties of {name}"] = (steps == 0).T @ np.array([1.0, 2, 4])
        out[f"{name}[1], {name}[4]"] = np.floor(np.log2(rows[0])) * 100 + np.floor(np.log2(rows[3]))
    out["b, g"] = x["drawn b None"] * 100 + x["drawn g None"]
    out["g, w[1]"] = x["drawn g None"] * 100 + np.floor(np.log2(x["w[1]"]))
    out["b, w[4]"] = x["drawn b None"] * 100 + np.floor(np.log2(x["w[4]"]))
    out["d[2], w[2]"] = x["d[2]"] * 100 + np.floor(np.log2(x["w[2]"]))
    return out


@pytest.mark.parametrize("name", ["D", "E"])
def test_drawn_in_order_is_as_kept_for_its_order(name: str) -> None:
    """Widths, depths and groups of every stage as drawn and as built, and all seven counts."""
    assert not unlikely(chained(name), rejected()[name])


@pytest.mark.parametrize("name", ["D", "E"])
def test_stages_depend_on_each_other_as_by_rejection(name: str) -> None:
    assert not unlikely(together(chained(name)), together(rejected()[name]))


def test_the_tests_above_tell_spaces_apart() -> None:
    """The control: sorting what is drawn in no order, and networks of one space for another's."""
    engine = Engine(ladder("AnyNetX_C"), 13)
    found = engine.run(0, 20_000)
    sorted_ = found._replace(w=np.sort(found.w, axis=0), d=np.sort(found.d, axis=0))
    differing = {name for name, *_ in unlikely(columns(sorted_), rejected()["E"])}
    assert differing >= {f"{x}[{s}]" for x in "wd" for s in (1, 4)}
    differing = {name for name, *_ in unlikely(chained("D"), rejected()["E"])}
    assert differing >= {"d[1]", "d[4]", "pycls", "params"}
    assert not differing & {"w[1]", "w[4]", "drawn b None"}


@pytest.mark.parametrize("name", ["D", "E"])
def test_the_share_in_order_is_the_share_kept(name: str) -> None:
    share = float(Engine(ladder(f"AnyNetX_{name}"), 0).inside)
    kept = len(rejected()[name]["pycls"])
    assert abs(kept - share * CANDIDATES) < 4 * (share * CANDIDATES) ** 0.5


BOUNDS = {
    "loose": ("flops <= 4GF \n params <= 20M \n g <= 16 \n w[4] - w[1] <= 512", {"w", "d"}),
    "tight": ("flops <= 1GF \n params <= 20M \n g <= 16 \n w[4] - w[1] <= 512", None),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_hold_beside_an_order(name: str) -> None:
    """What an order leaves to other lines is refused or kept as it is without."""
    lines, ordered = BOUNDS[name]
    space = ladder("AnyNetX_E", lines)
    engine = Engine(space, 14, shrink(space))
    if ordered is not None:
        assert {c.order.name for c in engine.chains} == ordered
    n = 200_000
    ours = engine.run(0, n)
    x = rejected()["E"]
    grid = engine.variables["g", None].distribution
    g = np.array([float(v) for v in grid.values()])[x["drawn g None"].astype(int)]
    kept = (x["pycls"] <= {"loose": 4e9, "tight": 1e9}[name]) & (x["params"] <= 20e6) & (g <= 16)
    kept &= x["w[4]"] - x["w[1]"] <= 512
    assert 1000 < kept.sum() < 8000
    assert not unlikely(columns(ours), {c: column[kept] for c, column in x.items()})
    share = len(ours.candidates) / n * float(engine.inside)
    error = kept.sum() / CANDIDATES**2 + len(ours.candidates) * float(engine.inside / n) ** 2
    assert abs(share - kept.sum() / CANDIDATES) < 4 * error**0.5


class Exactly(NamedTuple):
    """What can be counted of AnyNetX_D: its share of AnyNetX_C, the odds of every width and of b and g."""

    share: Fraction
    widths: list[list[float]]
    shared: dict[tuple[int, int], float]


@cache
def counted() -> Exactly:
    """Sums over ordered widths from either end, for every b and g."""
    told = {v.cell: v.distribution for v in ladder("AnyNetX_C").variables}
    w, weights = told["w", 1], told["w", 1].weights()
    values, n = [int(x) for x in w.values()], w.size
    sums, shared = [[0] * n for _ in range(4)], {}
    ratios = zip(told["b", None].values(), told["b", None].weights(), strict=True)
    groups = zip(told["g", None].values(), told["g", None].weights(), strict=True)
    for (kb, (b, of_b)), (kg, (g, of_g)) in product(enumerate(ratios), enumerate(groups)):
        key = [fitted(x, b, int(g), torchvision=False) for x in values]
        below = [[i for i in range(n) if key[i] <= key[k]] for k in range(n)]
        above = [[i for i in range(n) if key[i] >= key[k]] for k in range(n)]
        left, right = [[1] * n], [[1] * n]
        for _ in range(3):
            left.append([sum(weights[i] * left[-1][i] for i in below[k]) for k in range(n)])
            right.append([sum(weights[i] * right[-1][i] for i in above[k]) for k in range(n)])
        for s in range(4):
            for k in range(n):
                sums[s][k] += of_b * of_g * weights[k] * left[s][k] * right[3 - s][k]
        shared[kb, kg] = of_b * of_g * sum(x * y for x, y in zip(weights, left[3], strict=True))
    total = sum(shared.values())
    everything = math.prod(sum(told[c].weights()) for c in (("b", None), ("g", None)))
    return Exactly(
        Fraction(total, everything * sum(weights) ** 4),
        [[x / total for x in row] for row in sums],
        {k: x / total for k, x in shared.items()},
    )


def test_the_paper_s_spaces_are_counted_exactly() -> None:
    """One network of AnyNetX_C in 17 is in AnyNetX_D, one in 212 in AnyNetX_E."""
    d = next(v for v in ladder("AnyNetX_C").variables if v.cell == ("d", 1)).distribution
    ends = d.weights()
    for _ in range(3):
        ends = [w * sum(ends[: k + 1]) for k, w in enumerate(d.weights())]
    deeper = Fraction(sum(ends), sum(d.weights()) ** 4)
    assert Engine(ladder("AnyNetX_D"), 0).inside == counted().share
    assert Engine(ladder("AnyNetX_E"), 0).inside == counted().share * deeper
    assert (round(1 / counted().share), round(1 / (counted().share * deeper))) == (17, 212)


@pytest.mark.parametrize("name", ["D", "E"])
def test_widths_in_order_have_the_odds_that_are_counted(name: str) -> None:
    """Of every value in every stage as it is drawn, and of every pair of b and g."""
    x, n = chained(name), CHUNK
    tables = []
    for s, odds in enumerate(counted().widths, 1):
        counts = np.bincount(x[f"drawn w {s}"].astype(int), minlength=len(odds))
        tables.append((counts, odds))
    pairs = (6 * x["drawn b None"] + x["drawn g None"]).astype(int)
    tables.append((np.bincount(pairs, minlength=18), list(counted().shared.values())))
    for counts, odds in tables:
        table = pooled(np.stack([counts.astype(np.float64), np.array(odds) * n]), 0.5)
        assert table.shape[1] > 15
        assert stats.chisquare(table[0], table[1]).pvalue > LIKELY


def test_members_are_members_to_the_compiler() -> None:
    space = ladder("AnyNetX_E")
    engine = Engine(space, 15)
    found = engine.run(0, 200)
    grids = {v.cell: list(v.distribution.values()) for v in space.variables}
    for k in range(200):
        values = {cell: grids[cell][int(picks[k])] for cell, picks in found.picks.items()}
        resolution = members.resolve(space, "one", values)
        assert resolution is not None
        assert not list(violations(resolution, Budget()))
        assert [s.w for s in resolution.network.stages] == found.w[:, k].tolist()
        assert [s.d for s in resolution.network.stages] == found.d[:, k].tolist()


def test_an_ordered_candidate_is_the_same_in_any_piece() -> None:
    engine = Engine(ladder("AnyNetX_E"), 16)
    whole = engine.run(5, 20_000)
    pieces = [engine.run(a, b - a) for a, b in pairwise((5, 6, 8_000, 8_001, 20_005))]
    for cell, picks in whole.picks.items():
        assert np.array_equal(picks, np.concatenate([p.picks[cell] for p in pieces])), cell


# Small spaces, all of whose networks can be counted.


class Case(NamedTuple):
    """A space of three stages: its lines, and what they say of widths, of depths, of the rest."""

    lines: str
    w: Callable[[Any, Any], bool] | None = None
    d: Callable[[Any, Any], bool] | None = None
    rest: Callable[[Mapping[Cell, Fraction]], bool] = lambda _: True
    torchvision: bool = False


SHARED = "b ~ choice(1, 2, 4) \n b[i] = b \n g ~ choice(1, 8, 12, 32) \n g[i] = g \n"
FEW = "d[i] ~ log_uniform(1..3) \n w[i] ~ log_uniform(8..40 by 8) \n"
WIDE = "d[i] = 1 \n w[i] ~ log_uniform(8..96 by 8) \n"
DEEP = "w[i] = 64 \n b[i] = 1 \n g[i] = 8 \n"

CASES = {
    "widths": Case(WIDE + SHARED + "w[i+1] >= w[i]", operator.ge),
    "widths-strict": Case(WIDE + SHARED + "w[i] < w[i+1]", operator.gt),
    "widths-falling": Case(WIDE + SHARED + "w[i] >= w[i+1]", operator.le),
    "widths-falling-strict": Case(WIDE + SHARED + "w[i+1] < w[i]", operator.lt),
    "widths-by-one": Case(
        "d[i] = 1 \n w[i] ~ uniform(1..24) \n b = 1 \n b[i] = b \n g ~ power2(1..8) \n g[i] = g \n w[i+1] >= w[i]",
        operator.ge,
    ),
    "widths-inverted": Case(
        "d[i] = 1 \n w[i] ~ normal(4..30) \n b ~ choice(1/6, 1/4, 1/2, 1, 3) \n b[i] = b \n g ~ choice(3, 4) \n g[i] = g \n w[i+1] > w[i]",
        operator.gt,
    ),
    "widths-torchvision": Case(
        "rounding = torchvision \n d[i] = 1 \n w[i] ~ uniform(8..30) \n b[i] = 1 \n g ~ choice(1, 4, 7, 16) \n g[i] = g \n w[i+1] >= w[i]",
        operator.ge,
        torchvision=True,
    ),
    "widths-alike": Case(
        "d[i] = 1 \n w[i] ~ log_normal(8..160 by 8) \n b[i] = 2 \n g[i] = 16 \n w[i+1] > w[i]",
        operator.gt,
    ),
    "widths-chosen": Case(
        "d[i] = 1 \n w[i] ~ power2_or_multiple(2..64 by 16) \n b ~ choice(1, 2) \n b[i] = b \n g[i] = 8 \n w[i+1] >= w[i]",
        operator.ge,
    ),
    "depths": Case(DEEP + "d[i] ~ log_uniform(1..16) \n d[i+1] >= d[i]", d=operator.ge),
    "depths-strict": Case(DEEP + "d[i] ~ normal(1..13) \n d[i+1] > d[i]", d=operator.gt),
    "depths-falling": Case(DEEP + "d[i] ~ power2(1..64) \n d[i+1] <= d[i]", d=operator.le),
    "depths-falling-strict": Case(
        DEEP + "d[i] ~ choice(1, 2, 3, 5, 8, 13) \n d[i] > d[i+1]", d=operator.lt
    ),
    "both": Case(FEW + SHARED + "w[i+1] >= w[i] \n d[i+1] >= d[i]", operator.ge, operator.ge),
    "against-each-other": Case(
        FEW + SHARED + "w[i+1] > w[i] \n d[i+1] <= d[i]", operator.gt, operator.le
    ),
    "bounded": Case(
        FEW + SHARED + "w[i+1] >= w[i] \n d[i+1] >= d[i] \n g <= 8 \n b >= 2",
        operator.ge,
        operator.ge,
        lambda x: x["g", None] <= 8 and x["b", None] >= 2,
    ),
}
cases = pytest.mark.parametrize("name", CASES)


@cache
def small(name: str) -> Space:
    return space_of(f"space S extends AnyNetX {{ stages = 3 \n {CASES[name].lines} }}")


def fitted(w: int, b: Fraction, g: int, *, torchvision: bool) -> int:
    """The width of a stage, as the authors' code and torchvision fit it to its groups."""
    inner = max(1, w // b)
    g = min(g, int(inner))
    if torchvision:
        nearest = max(g, (2 * inner + g) // (2 * g) * g)
        nearest += g if nearest < Fraction(9, 10) * inner else 0
        return int(nearest * b)
    g = math.lcm(g, b.denominator) if b < 1 else g
    return int(max(g, round(Fraction(inner, g)) * g) * b)


def networks(name: str) -> Iterator[tuple[tuple[int, ...], int, bool]]:
    """Everything that a space draws: the picks, their weight, and whether they are in order."""
    told, space = CASES[name], small(name)
    cells = [v.cell for v in space.variables]
    grids = [list(v.distribution.values()) for v in space.variables]
    weights = [v.distribution.weights() for v in space.variables]
    fixed = {c: q.value for c, q in space.fixed.items() if hasattr(q, "value")}
    fit = cache(fitted)
    for picks in product(*map(range, map(len, grids))):
        x = fixed | {c: grid[k] for c, grid, k in zip(cells, grids, picks, strict=True)}
        weight = math.prod(w[k] for w, k in zip(weights, picks, strict=True))
        d = [x["d", s] for s in (1, 2, 3)]
        w = [
            fit(
                int(x["w", s]),
                x["b", None] if ("b", None) in x else x["b", s],
                int(x["g", None] if ("g", None) in x else x["g", s]),
                torchvision=told.torchvision,
            )
            for s in (1, 2, 3)
        ]
        fine = told.rest(x)
        for values, order in ((w, told.w), (d, told.d)):
            fine &= order is None or all(order(b, a) for a, b in pairwise(values))
        yield picks, weight, fine


@cache
def odds(name: str) -> tuple[dict[tuple[int, ...], int], int]:
    """The weight of every member, and that of everything."""
    inside, everything = {}, 0
    for picks, weight, fine in networks(name):
        everything += weight
        if fine:
            inside[picks] = weight
    return inside, everything


def orders(name: str) -> set[str]:
    return {k for k in ("w", "d") if getattr(CASES[name], k) is not None}


@cases
def test_the_share_of_members_is_the_one_that_is_counted(name: str) -> None:
    """Exactly, as a fraction; where other lines speak of one parameter they are counted with it."""
    inside, everything = odds(name)
    space = small(name)
    engine = Engine(space, 0, shrink(space) if name == "bounded" else None)
    assert {c.order.name for c in engine.chains} == orders(name)
    assert engine.inside == Fraction(sum(inside.values()), everything)


@cases
def test_every_member_is_as_likely_as_its_weight(name: str) -> None:
    """Each by itself, all parameters together: against the odds that are counted."""
    inside, _ = odds(name)
    space = small(name)
    n = 40_000
    engine = Engine(space, 21)
    assert {c.order.name for c in engine.chains} == orders(name)
    found = engine.run(0, n)
    drawn = list(zip(*(found.picks[v.cell].tolist() for v in space.variables), strict=True))
    if name != "bounded":
        assert len(drawn) == n - int(found.refused[1]), "what is refused is drawn in order"
    assert set(drawn) <= set(inside)
    at = {picks: k for k, picks in enumerate(sorted(inside, key=lambda p: inside[p]))}
    total = sum(inside.values())
    expected = np.array([inside[p] / total for p in at]) * len(drawn)
    counts = np.bincount([at[p] for p in drawn], minlength=len(at)).astype(np.float64)
    table = pooled(np.stack([counts, expected]), 0.5)
    assert table.shape[1] >= 20
    assert stats.chisquare(table[0], table[1]).pvalue > LIKELY


@cases
def test_without_chains_the_same_networks_are_members(name: str) -> None:
    """Rejection as it is, over the values that are left of the grids."""
    space = small(name)
    found = Engine(space, 22, shrink(space), ordered=False).run(0, 20_000)
    drawn = zip(*(found.picks[v.cell].tolist() for v in space.variables), strict=True)
    assert set(drawn) <= set(odds(name)[0])
    assert len(found.candidates) > 100
