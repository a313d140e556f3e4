"""Paired tests, held against scipy and against counting every way that coins can fall."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from regnetc_runtime.evaluation.mcnemar import Table, exact_p, mid_p
from scipy.stats import binomtest

PAIRS = [
    (0, 1),
    (1, 0),
    (1, 7),
    (7, 1),
    (6, 16),
    (40, 41),
    (0, 30),
    (300, 400),
    (3, 3),
    (9_000, 9_400),
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_exact_p_is_that_of_scipy(a: int, b: int) -> None:
    assert exact_p(a, b) == pytest.approx(binomtest(a, a + b).pvalue, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), PAIRS[:-1])
def test_both_are_what_exact_fractions_give(a: int, b: int) -> None:
    n, k = a + b, min(a, b)
    tail = Fraction(sum(comb(n, j) for j in range(k + 1)), 2**n)
    last = Fraction(comb(n, k), 2**n)
    assert exact_p(a, b) == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-10)
    assert mid_p(a, b) == pytest.approx(float(2 * tail - last), rel=1e-10)


def test_a_million_images_take_no_time() -> None:
    assert exact_p(499_000, 501_000) == pytest.approx(0.0456083, rel=1e-5)
    assert 0 <= exact_p(0, 1_000_000) < 1e-300


def test_no_difference_is_chance() -> None:
    assert exact_p(0, 0) == mid_p(0, 0) == exact_p(5, 5) == mid_p(5, 5) == 1


def test_a_table_by_hand() -> None:
    table = Table(both=59, only_a=6, only_b=16, neither=80)
    assert table.images == 161
    assert table.difference == pytest.approx(-100 * 10 / 161)
    low, high = table.interval
    assert low < table.difference < high < 0
    assert (table.p, table.mid_p) == (exact_p(6, 16), mid_p(6, 16))
    swapped = Table(59, 16, 6, 80)
    assert swapped.interval == pytest.approx((-high, -low))
    assert swapped.p == table.p
