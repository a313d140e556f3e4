"""The arithmetic of the paper: from (d, w0, wa, wm) to widths and depths, from widths to groups.

Equations are those of "Designing Network Design Spaces" (arXiv 2003.13678). The quantised line is
worked out in float64, operation by operation as the authors' code does it, so that widths are equal
to theirs; everything after it is exact. Where a rounding hangs on the last digit of a logarithm or a
power, in which platforms differ, these are worked out in decimals and rounded once, so that a line
is the same line everywhere. Nothing of ours is imported here.
"""

from __future__ import annotations

import math
import operator
from decimal import Context, Decimal
from itertools import groupby, islice
from typing import Any, Literal, NamedTuple, Protocol

Rounding = Literal["paper", "torchvision"]

QUANTUM = 8  # widths are multiples of this many channels


class BlockWidth(NamedTuple):
    """One block on the quantised line: `u` (2), its power `s` (3), `k = round(s)`, `w0 * wm^k` (4)."""

    u: float
    s: float
    k: int
    exact: float
    w: int


class Line(NamedTuple):
    """A quantised line: its blocks, and the runs of equal width that are its stages."""

    blocks: tuple[BlockWidth, ...]
    w: tuple[int, ...]
    d: tuple[int, ...]

    @property
    def skipped(self) -> tuple[int, ...]:
        """Powers of `wm` below the last that no block takes; no more than the first hundred."""
        used = {block.k for block in self.blocks}
        return tuple(islice((k for k in range(max(used)) if k not in used), _SKIPPED_NAMED))


_SKIPPED_NAMED = 100  # a line with a `wm` near 1 skips millions


def quantized_linear(d: int, w0: int, wa: float, wm: float) -> Line:
    """Equations 2 to 4: `d` blocks whose widths grow by `wa` from `w0` and snap to `w0 * wm^k`.

    `w0` is a positive multiple of 8, `wa >= 0`, `wm > 1`; widths are rounded to multiples of 8,
    halves to even, and blocks of equal width make a stage.
    """
    blocks = []
    for j in range(d):
        u = j * wa + w0
        s = math.log(u / w0) / math.log(wm)
        if _near_tie(s):
            s = log(u / w0) / log(wm)
        k = round(s)
        exact = w0 * math.pow(wm, k)
        if _near_tie(exact / QUANTUM):
            exact = w0 * power(wm, k)
        blocks.append(BlockWidth(u, s, k, exact, round(exact / QUANTUM) * QUANTUM))
    runs = [(w, len(list(run))) for w, run in groupby(block.w for block in blocks)]
    return Line(tuple(blocks), tuple(w for w, _ in runs), tuple(n for _, n in runs))


_NEAR = 1e-9  # a rounding is safe from a platform's last digits beyond this
_DECIMALS = Context(prec=50)


def _near_tie(x: float) -> bool:
    return abs(x - math.floor(x) - 0.5) < _NEAR * max(1.0, x)


def log(x: float) -> float:
    """The float64 nearest to the natural logarithm of a positive number, on every platform."""
    return float(Decimal(x).ln(_DECIMALS))


def power(x: float, k: int) -> float:
    """The float64 nearest to `x` to the power of `k`, on every platform."""
    return float(_DECIMALS.power(Decimal(x), k))


class Arithmetic(Protocol):
    """What the fitting of widths needs of numbers: those of one network, or arrays of many."""

    def times(self, a: Any, b: Any) -> Any: ...
    def larger(self, a: Any, b: Any) -> Any: ...
    def smaller(self, a: Any, b: Any) -> Any: ...
    def quotient(self, a: Any, b: Any) -> Any: ...
    def nearest(self, v: Any, m: Any) -> Any: ...
    def lcm(self, a: Any, b: Any) -> Any: ...


class Ratio(Protocol):
    """A bottleneck ratio in lowest terms: a Fraction, or two arrays."""

    @property
    def numerator(self) -> Any: ...
    @property
    def denominator(self) -> Any: ...


def nearest(v: int, m: int) -> int:
    """The multiple of `m` nearest to `v`, halves to the even multiple; arrays go in and out alike."""
    q, r = divmod(v, m)
    return (q + ((2 * r > m) | ((2 * r == m) & (q % 2 == 1)))) * m


class _Whole:
    """The arithmetic of Python's integers."""

    times = staticmethod(operator.mul)
    larger = staticmethod(max)
    smaller = staticmethod(min)
    quotient = staticmethod(operator.floordiv)
    nearest = staticmethod(nearest)
    lcm = staticmethod(math.lcm)


WHOLE: Arithmetic = _Whole()


class Fit(NamedTuple):
    """A stage whose width meets its groups: `inner` channels in groups of `g`, `w` outside.

    `wanted` is the inner width before it was fitted, `multiple` what it had to be a multiple of.
    """

    w: int
    inner: int
    g: int
    wanted: int
    multiple: int


def fit(w: Any, b: Ratio, g: Any, rounding: Rounding, on: Arithmetic = WHOLE) -> Fit:
    """Fit a quantised width to bottleneck ratio `b` and group width `g`.

    `b` is a whole number or one over a whole number. `paper` clips the group width to the inner
    width w / b and takes the nearest multiple of lcm(g, 1/b), halves to even, as the authors do;
    `torchvision` takes the nearest multiple of g, halves up, and one more where that loses a tenth.
    `on` is the arithmetic: of whole numbers, unless arrays of them come in.
    """
    wanted = on.larger(1, on.quotient(on.times(w, b.denominator), b.numerator))
    g = on.smaller(g, wanted)
    if rounding == "paper":
        multiple = on.lcm(g, b.denominator)
        inner = on.larger(multiple, on.nearest(wanted, multiple))
        outer = on.quotient(on.times(inner, b.numerator), b.denominator)
    else:
        multiple = g
        inner = on.larger(g, on.quotient(2 * wanted + g, 2 * g) * g)
        inner = inner + g * (10 * inner < 9 * wanted)
        outer = on.quotient(on.times(inner, b.numerator), b.denominator)
        inner = on.quotient(on.times(outer, b.denominator), b.numerator)
    return Fit(outer, inner, g, wanted, multiple)


def squeeze(w_in: Any, se: Ratio, on: Arithmetic = WHOLE) -> Any:
    """Channels that squeeze-and-excitation keeps of the `w_in` that enter a block, halves to even."""
    return on.quotient(on.nearest(w_in * se.numerator, se.denominator), se.denominator)


def squeeze_by(w: int, se: Ratio, by: int) -> int:
    """Channels that squeeze-and-excitation keeps of `w`, as a multiple of `by`.

    By one it is `squeeze`; by more the nearest multiple, halves up, and no less than one of them, as in
    the code of timm and of MobileNet.
    """
    if by == 1:
        return int(squeeze(w, se))
    kept = (2 * w * se.numerator + by * se.denominator) // (2 * by * se.denominator) * by
    return max(by, int(kept))
