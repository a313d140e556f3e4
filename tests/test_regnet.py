"""The paper's arithmetic against a slow transcription of its equations, and against the facts."""

from __future__ import annotations

import os
import random
from fractions import Fraction

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from regnetc import regnet
from strategies import reg_net

POINTS = int(os.environ.get("REGNETC_POINTS", "800"))  # fewer for mutation testing


def test_random_points_are_those_of_the_transcription() -> None:
    r = random.Random(20200330)
    for _ in range(POINTS):
        d, w0, wa, wm, g, b = reg_net(r)
        line = regnet.quantized_linear(d, w0, wa, wm)
        assert (list(line.w), list(line.d)) == oracle.quantized_line(d, w0, wa, wm)
        for w in line.w:
            fit = regnet.fit(w, b, g, "paper")
            assert (fit.w, fit.inner, fit.g) == oracle.fit_to_groups(w, b, g)
            assert fit.inner % fit.g == 0
            assert Fraction(fit.inner) == fit.w / b
            theirs = regnet.fit(w, b, g, "torchvision")
            assert (theirs.w, theirs.inner, theirs.g) == oracle.fit_like_torchvision(w, b, g)


@given(st.integers(1, 100), st.integers(1, 64), st.floats(0, 500), st.floats(1.01, 10))
def test_a_line_never_falls_and_keeps_its_depth(d: int, n: int, wa: float, wm: float) -> None:
    line = regnet.quantized_linear(d, 8 * n, wa, wm)
    assert sum(line.d) == d
    assert all(w % 8 == 0 and w > 0 for w in line.w)
    assert list(line.w) == sorted(set(line.w))
    assert [block.k for block in line.blocks] == sorted(block.k for block in line.blocks)


@pytest.mark.parametrize(
    ("v", "m", "nearest"),
    [
        (12, 8, 16),
        (20, 8, 16),
        (28, 8, 32),
        (4, 8, 0),
        (5, 8, 8),
        (100, 16, 96),
        (104, 16, 96),
        (7, 1, 7),
        (9, 6, 12),
        (15, 6, 12),
    ],
)
def test_halves_go_to_the_even_multiple(v: int, m: int, nearest: int) -> None:
    assert regnet.nearest(v, m) == nearest == round(Fraction(v, m)) * m


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_the_nearest_multiple_is_that_of_exact_rounding(v: int, m: int) -> None:
    assert regnet.nearest(v, m) == round(Fraction(v, m)) * m


@given(st.integers(1, 10**4), st.fractions(0, 1, max_denominator=64))
def test_a_squeeze_is_rounded_half_to_even(w: int, se: Fraction) -> None:
    squeezed = regnet.squeeze(w, se)
    assert (squeezed, type(squeezed)) == (round(w * se), int)


def test_the_group_width_is_clipped_before_widths_are_fitted() -> None:
    fit = regnet.fit(80, Fraction(1), 120, "paper")
    assert (fit.w, fit.g, fit.wanted, fit.multiple) == (80, 80, 80, 80)


def test_an_inner_width_is_never_below_one_multiple() -> None:
    assert regnet.fit(8, Fraction(1, 3), 16, "paper").inner == 48  # lcm(16, 3)
    assert regnet.fit(8, Fraction(64), 1, "paper").inner == 1


def test_torchvision_takes_one_more_where_a_tenth_is_lost() -> None:
    assert regnet.fit(96, Fraction(1), 40, "torchvision").w == 120  # 80 is less than 0.9 x 96
    assert regnet.fit(392, Fraction(1), 16, "torchvision").w == 400  # 24.5 groups, half up
    assert regnet.fit(392, Fraction(1), 16, "paper").w == 384  # half to even


def test_skipped_powers_are_named() -> None:
    assert regnet.quantized_linear(3, 8, 200, 2).skipped == (1, 2, 3, 4)
    assert regnet.quantized_linear(22, 24, 24.48, 2.54).skipped == ()
    assert regnet.quantized_linear(3, 8, 300, 1.0001).skipped == tuple(range(1, 101))


def test_the_line_of_the_400mf_model_step_by_step() -> None:
    line = regnet.quantized_linear(22, 24, 24.48, 2.54)
    first, second, last = line.blocks[0], line.blocks[1], line.blocks[-1]
    assert (first.u, first.s, first.k, first.exact, first.w) == (24, 0, 0, 24, 24)
    assert (second.u, second.k, second.w) == (48.480000000000004, 1, 64)
    assert second.s == pytest.approx(0.7543, abs=1e-4)
    assert second.exact == pytest.approx(24 * 2.54)
    assert (last.k, last.w) == (3, 392)
    assert (line.w, line.d) == ((24, 64, 152, 392), (1, 2, 7, 12))
