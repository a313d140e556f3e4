"""The paper's ladder of spaces: each lies in the one before, and all have the sizes that it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from regnetc.cells import Cell
from regnetc.driver import check_file
from regnetc.spaces.box import shrink
from regnetc.spaces.engine import Engine, Found
from regnetc.spaces.members import lies_in, resolve
from regnetc.spaces.report import Report, joined, report
from regnetc.spaces.space import Space, read
from test_cli import regnetc

SPEC = Path(__file__).parent.parent / "spec" / "anynetx.regnet"
LADDER = ("AnyNetX_A", "AnyNetX_B", "AnyNetX_C", "AnyNetX_D", "AnyNetX_E", "RegNetX_E")
SAMPLES, EXACTLY = 10_000, 300
RATIOS, GROUPS = (1, 2, 4), (1, 2, 4, 8, 16, 32)

Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

_spaces: dict[str, Space] = {}
_samples: dict[str, Found] = {}


def space_of(name: str) -> Space:
    if not _spaces:
        checked = check_file(SPEC)
        assert not checked.problems
        _spaces.update({n: read(checked.scopes[n]) for n in LADDER})
    return _spaces[name]


def samples(name: str) -> Found:
    """Ten thousand members of a space, as the engine finds them."""
    if name not in _samples:
        space = space_of(name)
        engine = Engine(space, 11, shrink(space))
        parts, first = [engine.run(0, SAMPLES)], SAMPLES
        while sum(len(p.candidates) for p in parts) < SAMPLES:
            parts.append(engine.run(first, 200_000))
            first += 200_000
        _samples[name] = joined(parts)
    return _samples[name]


# The spaces by hand, on built networks: arrays of shape (4, n).


class Built:
    """Stages of many networks, as whole numbers."""

    def __init__(self, found: Found) -> None:
        self.stages: Whole = found.stages.astype(np.int64)
        self.w, self.d, self.inner, self.g = (
            x.astype(np.int64) for x in (found.w, found.d, found.inner, found.g)
        )

    def of_group(self, g: int) -> Flags:
        """Where a stage was asked for group width g, or for one that its inner width clips."""
        clipped = (self.g == self.inner) & (self.g < g)
        fits: Flags = (self.g == g) | clipped
        return fits


def in_a(n: Built) -> Flags:
    four = (n.stages == 4) & (len(n.w) == 4)
    depths = (n.d >= 1) & (n.d <= 16)
    widths = (n.w >= 8) & (n.w <= 1024) & (n.w % 8 == 0)
    ratios = np.any([n.inner * b == n.w for b in RATIOS], axis=0)
    groups = np.any([n.of_group(g) for g in GROUPS], axis=0) & (n.inner % n.g == 0)
    fits: Flags = four & (depths & widths & ratios & groups).all(axis=0)
    return fits


def in_b(n: Built) -> Flags:
    one = np.any([(n.inner * b == n.w).all(axis=0) for b in RATIOS], axis=0)
    fits: Flags = in_a(n) & one
    return fits


def in_c(n: Built) -> Flags:
    one = np.any([n.of_group(g).all(axis=0) for g in GROUPS], axis=0)
    fits: Flags = in_b(n) & one
    return fits


def in_d(n: Built) -> Flags:
    fits: Flags = in_c(n) & (np.diff(n.w, axis=0) >= 0).all(axis=0)
    return fits


def in_e(n: Built) -> Flags:
    fits: Flags = in_d(n) & (np.diff(n.d, axis=0) >= 0).all(axis=0)
    return fits


BY_HAND: dict[str, Callable[[Built], Flags]] = dict(
    zip(LADDER, (in_a, in_b, in_c, in_d, in_e), strict=False)
)


@pytest.mark.parametrize("name", LADDER)
def test_ten_thousand_samples_lie_in_every_ancestor(name: str) -> None:
    found = samples(name)
    assert len(found.candidates) >= SAMPLES
    for ancestor in LADDER[: LADDER.index(name) + 1]:
        if ancestor in BY_HAND:
            inside = BY_HAND[ancestor](Built(found))
            assert inside.all(), (ancestor, np.flatnonzero(~inside)[:5])


@pytest.mark.parametrize("k", range(1, 5))
def test_no_rung_says_what_the_one_before_says(k: int) -> None:
    """Samples of the rung before leave this one: the predicates by hand can say no."""
    inside = BY_HAND[LADDER[k]](Built(samples(LADDER[k - 1])))
    assert 0 < inside.mean() < 0.5


def test_every_value_of_the_paper_is_drawn() -> None:
    drawn: dict[str, set[Fraction]] = {}
    for v in space_of("AnyNetX_A").variables:
        drawn.setdefault(v.cell[0], set()).update(v.distribution.values())
    assert drawn == {
        "d": set(range(1, 17)), "w": set(range(8, 1025, 8)), "b": set(RATIOS), "g": set(GROUPS),
    }  # fmt: skip
    built = Built(samples("AnyNetX_A"))
    assert set(built.d.flat) == drawn["d"]
    assert {int(x) for x in built.w.flat} <= drawn["w"]


# The same by the compiler, one network at a time.


def drawn(space: Space, found: Found, k: int) -> dict[Cell, Fraction]:
    return {
        v.cell: list(v.distribution.values())[int(found.picks[v.cell][k])] for v in space.variables
    }


def as_any(space: Space, values: dict[Cell, Fraction]) -> dict[str, list[Fraction]]:
    """A candidate stage by stage, whatever it was drawn as; widths before they are fitted."""
    resolution = resolve(space, "one", values)
    assert resolution is not None
    stages = range(1, 5)
    if resolution.line is not None:
        line = resolution.line
        out = {"w": [Fraction(x) for x in line.w], "d": [Fraction(x) for x in line.d]}
    else:
        out = {name: [values[name, i] for i in stages] for name in ("w", "d")}
    for name in ("b", "g"):
        out[name] = [values.get((name, None)) or values[name, i] for i in stages]
    return out


def said_in(space: Space, staged: dict[str, list[Fraction]]) -> dict[Cell, Fraction]:
    """The same candidate in the parameters of a space of the ladder."""
    return {
        (name, stage): staged[name][0 if stage is None else stage - 1]
        for (name, stage) in (v.cell for v in space.variables)
    }


@pytest.mark.parametrize("name", LADDER)
def test_the_compiler_agrees_about_every_ancestor(name: str) -> None:
    space, found = space_of(name), samples(name)
    for k in range(EXACTLY):
        values = drawn(space, found, k)
        assert lies_in(space, values)
        network = resolve(space, "one", values)
        assert network is not None
        assert tuple(network.network.counts) == tuple(int(x) for x in found.counts[:, k])
        staged = as_any(space, values)
        for ancestor in map(space_of, LADDER[: LADDER.index(name)]):
            there = said_in(ancestor, staged)
            assert lies_in(ancestor, there), (ancestor.name, there)
            again = resolve(ancestor, "one", there)
            assert again is not None
            assert again.network.stages == network.network.stages


def test_the_compiler_says_no_where_an_order_is_broken() -> None:
    found, space = samples("AnyNetX_E"), space_of("AnyNetX_E")
    built, met = Built(found), 0
    for k in range(EXACTLY):
        staged = as_any(space, drawn(space, found, k))
        for name, rungs in (("w", LADDER[3:5]), ("d", LADDER[4:5])):
            column = built.w[:, k] if name == "w" else built.d[:, k]
            if column[0] == column[3]:
                continue
            turned = {**staged, name: staged[name][::-1]}
            assert lies_in(space_of("AnyNetX_C"), said_in(space_of("AnyNetX_C"), turned))
            for rung in map(space_of, rungs):
                assert not lies_in(rung, said_in(rung, turned)), (rung.name, turned)
                met += 1
    assert met > EXACTLY


# Sizes.


def size(name: str) -> Report:
    return report(space_of(name), candidates=10_000)


def fitted(w: int, b: int, g: int) -> int:
    """The width that is built: the inner width to the nearest multiple of its group, halves to even."""
    inner = Fraction(w, b)
    group = min(Fraction(g), inner)
    return int(round(inner / group) * group * b)


def orders(values: list[int]) -> int:
    """How many sequences of four do not fall."""
    ways = {v: values.count(v) for v in values}
    for _ in range(3):
        ways = {v: sum(n for u, n in ways.items() if u <= v) * values.count(v) for v in ways}
    return sum(ways.values())


def test_sizes_as_the_paper_gives_them() -> None:
    for name, exact, printed, shown in (
        ("AnyNetX_A", (16 * 128 * 3 * 6) ** 4, "1.8e18", "1.85 x 10^18 points"),
        ("AnyNetX_B", (16 * 128 * 6) ** 4 * 3, "6.8e16", "6.84 x 10^16 points"),
        ("AnyNetX_C", (16 * 128) ** 4 * 3 * 6, "3.2e14", "3.17 x 10^14 points"),
    ):
        r = size(name)
        assert r.fitting.exact
        assert r.points == r.fitting.value == exact
        assert abs(exact - float(printed)) < 10 ** (len(str(exact)) - 2), "the printed digits"
        assert r.acceptance.exact
        assert r.acceptance.value == 1
        ran = regnetc("space", f"{SPEC}:{name}", "--draws", "10000")
        assert shown in ran.out


def test_sizes_of_ordered_spaces_are_counted() -> None:
    """Nondecreasing built widths, and depths, counted here by hand."""
    grid = range(8, 1025, 8)
    widths = sum(orders([fitted(w, b, g) for w in grid]) for b in RATIOS for g in GROUPS)
    for name, exact in (("AnyNetX_D", widths * 16**4), ("AnyNetX_E", widths * comb(19, 4))):
        r = size(name)
        assert r.points == (16 * 128) ** 4 * 3 * 6, "points are combinations of what is drawn"
        assert r.fitting.exact
        assert r.fitting.value == exact
        assert r.members == r.candidates, "nothing is drawn in vain"


def test_shares_of_the_ladder_are_those_of_rejection() -> None:
    """What a rung keeps of the one before, by its own account and by the predicates of this file."""
    for k in (3, 4):
        kept = BY_HAND[LADDER[k]](Built(samples(LADDER[k - 1])))
        shares = [size(LADDER[j]).acceptance.value for j in (k - 1, k)]
        expected = shares[1] / shares[0]
        spread = (expected * (1 - expected) / len(kept)) ** 0.5
        assert abs(kept.mean() - expected) < 4 * spread, LADDER[k]


@pytest.mark.parametrize("name", LADDER)
def test_what_is_said_of_a_rung_is_coherent(name: str) -> None:
    data = json.loads(regnetc("space", f"{SPEC}:{name}", "--draws", "20000", "--json").out)
    assert data["fitting"]["low"] <= data["fitting"]["value"] <= data["fitting"]["high"]
    assert data["fitting"]["high"] <= data["points"]
    refused = sum(x["share"] for x in data["refused"])
    assert refused + data["acceptance"]["value"] == pytest.approx(1, abs=1e-9)
    assert data["digest"] == space_of(name).digest
