"""Each distribution against the definition in the sweep code of pycls, which is told anew here.

There a float is drawn and then taken to the grid: down from [low, high + q) if `uniform`, up from
(low - min(q, low / 2), high] if `log_uniform`, to the nearest value if `normal` or `log_normal`,
where what lies outside [low, high] is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from regnetc import distributions
from regnetc.cells import Cell
from regnetc.distributions import WHOLE, Distribution
from regnetc.spaces.engine import Engine
from regnetc.spaces.random import Stream, Table, key
from test_engine import space_of

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Random = np.random.Generator
Drawing = Callable[[Random, int], Floats]

stats = pytest.importorskip("scipy.stats")  # comes with scikit-learn

N = 100_000
LIKELY = 0.001  # what is rarer is rejected


# How pycls draws.


def uniform(r: Random, n: int, low: float, high: float, q: float) -> Floats:
    return np.floor(r.uniform(low, high + q, n) / q) * q


def log_uniform(r: Random, n: int, low: float, high: float, q: float) -> Floats:
    start, end = math.log(low - min(q, low / 2)), math.log(high)
    return np.ceil(np.exp(end - (end - start) * r.random(n)) / q) * q


def power2(r: Random, n: int, low: float, high: float) -> Floats:
    return np.exp2(np.floor(r.uniform(math.log2(low), math.log2(high) + 1, n)))


def power2_or_multiple(r: Random, n: int, low: float, high: float, q: float) -> Floats:
    power = power2(r, n, low, high)
    multiple = log_uniform(r, n, max(low, q), high, min(high, q))
    return np.where(power >= q, multiple, power)


def normal(r: Random, n: int, low: float, high: float, q: float) -> Floats:
    return np.rint(_again(r, n, low, high) / q) * q


def log_normal(r: Random, n: int, low: float, high: float, q: float) -> Floats:
    return np.rint(np.exp(_again(r, n, math.log(low), math.log(high))) / q) * q


def choice(r: Random, n: int, *values: float) -> Floats:
    return r.choice(np.array(values), n)


def _again(r: Random, n: int, low: float, high: float) -> Floats:
    """From a normal whose 3 sigma reach the ends, until it lies between them."""
    x = r.normal((low + high) / 2, (high - low) / 6, n)
    while (outside := (x < low) | (x > high)).any():
        x[outside] = r.normal((low + high) / 2, (high - low) / 6, int(outside.sum()))
    return x


PYCLS: dict[str, Callable[..., Floats]] = {
    "uniform": uniform,
    "log_uniform": log_uniform,
    "power2": power2,
    "power2_or_multiple": power2_or_multiple,
    "normal": normal,
    "log_normal": log_normal,
    "choice": choice,
}


class Case(NamedTuple):
    kind: str
    numbers: tuple[Fraction, ...]

    @property
    def ours(self) -> Distribution:
        if self.kind == "choice":
            return distributions.choice(self.numbers)
        found: Distribution = getattr(distributions, self.kind)(*self.numbers)
        return found

    @property
    def theirs(self) -> Drawing:
        numbers = [float(x) for x in self.numbers]
        return lambda r, n: PYCLS[self.kind](r, n, *numbers)


def case(kind: str, *numbers: str) -> Case:
    return Case(kind, tuple(map(Fraction, numbers)))


CASES = {
    "uniform(4..63)": case("uniform", "4", "63", "1"),
    "uniform(0..1 by 0.25)": case("uniform", "0", "1", "0.25"),
    "uniform(2..3 by 0.001)": case("uniform", "2", "3", "0.001"),
    "uniform(5..5)": case("uniform", "5", "5", "1"),
    "log_uniform(1..16)": case("log_uniform", "1", "16", "1"),
    "log_uniform(8..1024 by 8)": case("log_uniform", "8", "1024", "8"),
    "log_uniform(48..256 by 8)": case("log_uniform", "48", "256", "8"),
    "log_uniform(8..256 by 0.1)": case("log_uniform", "8", "256", "0.1"),
    "log_uniform(1.5..3 by 0.001)": case("log_uniform", "1.5", "3", "0.001"),
    "log_uniform(0.5..16 by 0.5)": case("log_uniform", "0.5", "16", "0.5"),
    "power2(1..64)": case("power2", "1", "64"),
    "power2(1/4..8)": case("power2", "1/4", "8"),
    "power2_or_multiple(8..256 by 8)": case("power2_or_multiple", "8", "256", "8"),
    "power2_or_multiple(1..128 by 8)": case("power2_or_multiple", "1", "128", "8"),
    "power2_or_multiple(32..128 by 8)": case("power2_or_multiple", "32", "128", "8"),
    "power2_or_multiple(1/4..4 by 16)": case("power2_or_multiple", "1/4", "4", "16"),
    "normal(1..21)": case("normal", "1", "21", "1"),
    "normal(1..5)": case("normal", "1", "5", "1"),
    "normal(0..1 by 1/128)": case("normal", "0", "1", "1/128"),
    "log_normal(8..1024 by 8)": case("log_normal", "8", "1024", "8"),
    "log_normal(1.5..3 by 0.001)": case("log_normal", "1.5", "3", "0.001"),
    "choice(1, 2, 4)": case("choice", "1", "2", "4"),
}
cases = pytest.mark.parametrize("name", CASES)


# Two samples.


def picked(d: Distribution, seed: int, name: str) -> Floats:
    """What the engine draws: words of a stream, through a table of the weights."""
    picks = Table(d.weights()).pick(Stream(key("", seed, name), N).block(0, N))
    return np.array([float(x) for x in d.values()])[picks]


def same_grid(a: Floats, b: Floats, d: Distribution) -> tuple[Indices, Indices]:
    """Both samples as indices into the grid; every value is one of it."""
    grid = np.array([float(x) for x in d.values()])
    found = []
    for x in (a, b):
        at = np.searchsorted(grid, x * (1 - 1e-12) - 1e-12).clip(max=len(grid) - 1)
        assert np.allclose(grid[at], x, rtol=1e-11, atol=1e-11)
        found.append(at.astype(np.int64))
    return found[0], found[1]


def chi_square(a: Indices, b: Indices) -> float:
    """The odds of counts this far apart; neighbours are pooled until both expect 10 or more."""
    size = int(max(a.max(), b.max())) + 1
    both = np.stack([np.bincount(a, minlength=size), np.bincount(b, minlength=size)])
    scale = len(a) * len(b) / (len(a) + len(b)) ** 2
    starts, inside = [0], 0.0
    for k, total in enumerate(both.sum(axis=0)):
        if inside * scale >= 10:
            starts.append(k)
            inside = 0.0
        inside += total
    if len(starts) > 1 and inside * scale < 10:
        starts.pop()
    if len(starts) == 1:
        return 1.0
    pooled = np.add.reduceat(both, starts, axis=1)
    return float(stats.chi2_contingency(pooled, correction=False).pvalue)


def likelihoods(a: Indices, b: Indices) -> tuple[float, float]:
    return chi_square(a, b), float(stats.ks_2samp(a, b).pvalue)


@cases
def test_draws_are_those_of_pycls(name: str) -> None:
    d, draw = CASES[name].ours, CASES[name].theirs
    ours, theirs = same_grid(picked(d, 1, name), draw(np.random.default_rng(2), N), d)
    assert min(likelihoods(ours, theirs)) > LIKELY


def nearest(start: float, end: float, q: float, *, log: bool) -> Drawing:
    """Rounded to the nearest value, which leaves half a cell to both ends."""

    def draw(r: Random, n: int) -> Floats:
        low, high = (math.log(start), math.log(end)) if log else (start, end)
        x = r.uniform(low, high, n)
        return np.rint((np.exp(x) if log else x) / q) * q

    return draw


def clipped(low: float, high: float) -> Drawing:
    """A normal whose draws outside go to the ends, instead of being drawn again."""
    return lambda r, n: np.rint(r.normal((low + high) / 2, (high - low) / 6, n).clip(low, high))


def wide(low: float, high: float) -> Drawing:
    """A normal whose ends are 2.9 sigma away, not 3."""

    def draw(r: Random, n: int) -> Floats:
        x = r.normal((low + high) / 2, (high - low) / 5.8, 2 * n)
        return np.rint(x[(x >= low) & (x <= high)][:n])

    return draw


def coin(low: float, high: float, q: float) -> Drawing:
    """A power of two or a multiple, as a coin falls."""
    return lambda r, n: np.where(
        r.random(n) < 0.5, power2(r, n, low, high), log_uniform(r, n, max(low, q), high, q)
    )


WRONG: list[tuple[str, str, Drawing]] = [
    ("uniform(4..63)", "halved ends", nearest(4, 63, 1, log=False)),
    ("uniform(0..1 by 0.25)", "halved ends", nearest(0, 1, 0.25, log=False)),
    ("log_uniform(1..16)", "halved ends", nearest(1, 16, 1, log=True)),
    ("log_uniform(8..1024 by 8)", "halved ends", nearest(8, 1024, 8, log=True)),
    ("log_uniform(8..1024 by 8)", "uniform", lambda r, n: uniform(r, n, 8, 1024, 8)),
    ("log_uniform(1.5..3 by 0.001)", "uniform", lambda r, n: uniform(r, n, 1.5, 3, 0.001)),
    ("log_uniform(8..256 by 0.1)", "normal", lambda r, n: log_normal(r, n, 8, 256, 0.1)),
    ("power2(1..64)", "log-normal", lambda r, n: np.exp2(normal(r, n, 0, 6, 1))),
    ("power2_or_multiple(1..128 by 8)", "a coin", coin(1, 128, 8)),
    ("power2_or_multiple(8..256 by 8)", "a coin", coin(8, 256, 8)),
    ("normal(1..21)", "clipped", clipped(1, 21)),
    ("normal(1..5)", "2.9 sigma", wide(1, 5)),
    ("normal(1..21)", "uniform", lambda r, n: uniform(r, n, 1, 21, 1)),
    ("log_normal(8..1024 by 8)", "normal", lambda r, n: normal(r, n, 8, 1024, 8)),
    ("choice(1, 2, 4)", "weighted", lambda r, n: r.choice([1.0, 2, 2, 4], n)),
]


@pytest.mark.parametrize(("name", "what", "draw"), WRONG, ids=[f"{n}-{w}" for n, w, _ in WRONG])
def test_another_density_is_rejected(name: str, what: str, draw: Drawing) -> None:
    """The control: samples of this size tell a wrong definition from the right one."""
    d = CASES[name].ours
    ours, theirs = same_grid(picked(d, 1, name), draw(np.random.default_rng(2), N), d)
    assert min(likelihoods(ours, theirs)) < LIKELY / 1000, what


def test_a_spec_draws_what_it_says() -> None:
    """From the text to the members of a space without bounds: steps left out are those of pycls."""
    text = """space S extends AnyNet {
        block = Y
        stages = 1
        d[i] ~ log_uniform(1..16)
        w[i] ~ log_uniform(8..1024 by 8)
        b[i] ~ choice(1, 2, 4)
        g[i] ~ power2_or_multiple(1..128 by 8)
        stem ~ normal(1..21)
        se ~ log_normal(1/8..1)
        head ~ uniform(4..63)
    }"""
    told: dict[Cell, Case] = {
        ("d", 1): CASES["log_uniform(1..16)"],
        ("w", 1): CASES["log_uniform(8..1024 by 8)"],
        ("b", 1): CASES["choice(1, 2, 4)"],
        ("g", 1): CASES["power2_or_multiple(1..128 by 8)"],
        ("stem", None): CASES["normal(1..21)"],
        ("se", None): case("log_normal", "1/8", "1", "1/128"),
        ("head", None): CASES["uniform(4..63)"],
    }
    space = space_of(text)
    variables = {v.cell: v for v in space.variables}
    assert {c: v.distribution for c, v in variables.items()} == {c: t.ours for c, t in told.items()}
    engine = Engine(space, 3)
    for (cell, t), seed in zip(told.items(), range(10), strict=False):
        words = engine.streams[cell].at(np.arange(N))
        grid = np.array([float(x) for x in t.ours.values()])
        drawn = grid[engine.places[cell][engine.tables[cell].pick(words)]]
        ours, theirs = same_grid(drawn, t.theirs(np.random.default_rng(seed), N), t.ours)
        assert min(likelihoods(ours, theirs)) > LIKELY, cell


def test_members_of_a_space_without_bounds_are_its_draws() -> None:
    engine = Engine(
        space_of("""space S extends AnyNetX {
        d[i] ~ log_uniform(1..16)
        w[i] ~ log_uniform(8..1024 by 8)
        b = 1
        b[i] = b
        g ~ power2(1..64)
        g[i] = g
    }"""),
        4,
    )
    found = engine.run(0, N // 4)
    assert len(found.candidates) == N // 4
    told: list[tuple[Cell, str]] = [(("g", None), "power2(1..64)")]
    told += [(("w", s), "log_uniform(8..1024 by 8)") for s in range(1, 5)]
    told += [(("d", s), "log_uniform(1..16)") for s in range(1, 5)]
    for cell, name in told:
        d = CASES[name].ours
        theirs = CASES[name].theirs(np.random.default_rng(5), N)
        grid = np.array([float(x) for x in d.values()])
        ours, expected = same_grid(grid[found.picks[cell]], theirs, d)
        assert min(likelihoods(ours, expected)) > LIKELY, cell


# Exactly.


@cases
def test_weights_add_up_and_none_is_zero(name: str) -> None:
    d = CASES[name].ours
    c, weights = d.cumulative(), d.weights()
    assert len(c) == len(weights) == d.size
    assert sum(weights) == WHOLE == c[-1]
    assert min(weights) > 0
    assert all(a < b for a, b in pairwise((0, *c)))


@pytest.mark.parametrize("kind", [k for k in PYCLS if k != "choice"])
def test_a_range_of_one_value_draws_it(kind: str) -> None:
    d = case(kind, *("8", "8", "8")[: 2 if kind == "power2" else 3]).ours
    assert list(d.values()) == [8]
    assert d.weights() == [WHOLE]
    assert set(picked(d, 1, kind).tolist()) == {8.0}


@cases
def test_values_ascend_from_end_to_end(name: str) -> None:
    kind, numbers = CASES[name]
    d = CASES[name].ours
    values = list(d.values())
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (min(numbers[:2]), numbers[-1 if kind == "choice" else 1])
    if kind in ("uniform", "log_uniform", "normal", "log_normal"):
        low, high, step = numbers
        assert all(v % step == 0 for v in values)
        assert len(values) == (high - low) / step + 1
    elif kind == "power2_or_multiple":
        step = numbers[2]
        assert all(distributions.is_power2(v) if v < step else v % step == 0 for v in values)
    elif kind == "power2":
        assert all(distributions.is_power2(v) for v in values)
    assert all(v in d for v in values)
    assert all((a + b) / 2 not in d for a, b in pairwise(values))


@cases
def test_a_word_draws_the_value_whose_share_it_falls_in(name: str) -> None:
    """At both sides of every border between two values: inversion to the last bit."""
    d = CASES[name].ours
    borders = d.cumulative()[:-1]
    words = [0, 2**64 - 1, *borders, *(c - 1 for c in borders)]
    expected = [0, d.size - 1, *range(1, d.size), *range(d.size - 1)]
    assert Table(d.weights()).pick(np.array(words, np.uint64)).tolist() == expected


@cases
def test_shares_are_the_definition_to_64_bits(name: str) -> None:
    """The same distribution functions in twice as many digits, and with another series for erf."""
    with localcontext() as context:
        context.prec = 80
        d = CASES[name].ours
        exact = [int(x * WHOLE) for x in shares(CASES[name], list(d.values()))]
        assert max(abs(a - b) for a, b in zip(d.cumulative(), exact, strict=True)) <= 1


def dec(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def shares(told: Case, values: Sequence[Fraction]) -> list[Decimal]:
    """The chance of every value or a smaller one."""
    kind, n = told.kind, Decimal(len(values))
    if kind in ("uniform", "choice", "power2"):
        return [k / n for k in range(1, len(values) + 1)]
    low, high, q = told.numbers
    if kind == "log_uniform":
        return [_up(v, low, high, q) for v in values]
    if kind == "power2_or_multiple":
        powers = [low * 2**k for k in range(20) if low * 2**k <= high]
        small = [p for p in powers if p < q]
        share = Decimal(len(small)) / len(powers)
        return [
            Decimal(small.index(v) + 1) / len(powers)
            if v in small
            else share + (1 - share) * _up(v, max(low, q), high, min(high, q))
            for v in values
        ]
    return [_bell(min(v + q / 2, high), low, high, log=kind == "log_normal") for v in values]


def _up(v: Fraction, low: Fraction, high: Fraction, q: Fraction) -> Decimal:
    start = dec(low - min(q, low / 2))
    return (dec(v) / start).ln() / (dec(high) / start).ln()


def _bell(v: Fraction, low: Fraction, high: Fraction, *, log: bool) -> Decimal:
    a, b, x = (dec(y).ln() if log else dec(y) for y in (low, high, v))
    z = (6 * x - 3 * a - 3 * b) / (b - a)
    return (1 + _erf(z / Decimal(2).sqrt()) / _erf(3 / Decimal(2).sqrt())) / 2


def _erf(x: Decimal) -> Decimal:
    """But for a factor: x - x^3 / (1! 3) + x^5 / (2! 5) - ..."""
    power, total = x, x
    for k in range(1, 200):
        power *= -x * x / k
        total += power / (2 * k + 1)
    return total
