"""What a parameter is drawn from: a finite grid of exact values, each with its weight.

The densities are those of the sweep code of pycls (quantised draws that include both ends), written
as distribution functions on the grid. They are worked out to 64 bits in decimal arithmetic, which
gives the same digits on every machine; a platform's own `log` and `erf` do not. Nothing of ours is
imported here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

WHOLE = 1 << 64  # the weight of everything
_DIGITS = 34


class Grid(NamedTuple):
    """`low, low + step, ...`: `size` values, at least one; `step` is positive."""

    low: Fraction
    step: Fraction
    size: int

    @property
    def high(self) -> Fraction:
        return self.low + self.step * (self.size - 1)

    def __contains__(self, x: object) -> bool:
        if not isinstance(x, Fraction | int) or not self.low <= x <= self.high:
            return False
        return (x - self.low) % self.step == 0

    def around(self, x: Fraction) -> tuple[Fraction, Fraction]:
        """The values below and above one, or the ends."""
        k = min(max((x - self.low) // self.step, 0), self.size - 1)
        return self.low + k * self.step, self.low + min(k + 1, self.size - 1) * self.step

    def covers(self, other: Grid) -> bool:
        """Whether every value of the other grid is one of this."""
        if other.low not in self or other.high not in self:
            return False
        return other.size <= 2 or other.step % self.step == 0


def span(low: Fraction, high: Fraction, step: Fraction) -> Grid:
    """The grid from `low` to `high`, both included; `step` divides what lies between."""
    return Grid(low, step, int((high - low) / step) + 1)


class Distribution(NamedTuple):
    """A distribution of the language. `pieces` are its values: grids in ascending order, disjoint.

    `low`, `high` and `step` are what it was written with; of a `choice` they are its ends and 0.
    """

    kind: str
    low: Fraction
    high: Fraction
    step: Fraction
    pieces: tuple[Grid, ...]

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    def values(self) -> Iterator[Fraction]:
        """Every value, in ascending order."""
        for low, step, size in self.pieces:
            unit = math.lcm(low.denominator, step.denominator)
            first, by = int(low * unit), int(step * unit)
            for k in range(size):
                yield Fraction(first + k * by, unit)

    def __contains__(self, x: object) -> bool:
        return any(x in piece for piece in self.pieces)

    def around(self, x: Fraction) -> list[Fraction]:
        """The values next to one that is none of them, on either side where there are two."""
        ends = [v for piece in self.pieces for v in piece.around(x)]
        below, above = [v for v in ends if v < x], [v for v in ends if v > x]
        return [*([max(below)] if below else []), *([min(above)] if above else [])]

    def beyond(self, other: Distribution) -> Fraction | None:
        """The first value of this that the other does not have, or None: it refines the other then."""
        for piece in self.pieces:
            if any(p.covers(piece) for p in other.pieces):
                continue
            for k in range(min(piece.size, other.size + 1)):
                x = piece.low + k * piece.step
                if x not in other:
                    return x
        return None

    def cumulative(self) -> tuple[int, ...]:
        """For each value, the chance of it or a smaller one, in units of 2**-64; the last is 2**64."""
        return _cumulative(self)

    def weights(self) -> list[int]:
        """For each value its chance, in units of 2**-64; they add up to 2**64."""
        c = self.cumulative()
        return [b - a for a, b in zip((0, *c[:-1]), c, strict=True)]


def uniform(low: Fraction, high: Fraction, step: Fraction) -> Distribution:
    """Every multiple of `step` from `low` to `high` alike."""
    return Distribution("uniform", low, high, step, (span(low, high, step),))


def log_uniform(low: Fraction, high: Fraction, step: Fraction) -> Distribution:
    """Uniform in the logarithm over (low - min(step, low / 2), high], rounded up to the grid."""
    return Distribution("log_uniform", low, high, step, (span(low, high, step),))


def normal(low: Fraction, high: Fraction, step: Fraction) -> Distribution:
    """A normal whose 3 sigma reach the ends, cut off there and rounded to the nearest grid value."""
    return Distribution("normal", low, high, step, (span(low, high, step),))


def log_normal(low: Fraction, high: Fraction, step: Fraction) -> Distribution:
    """As `normal`, of the logarithm; rounded to the nearest grid value itself."""
    return Distribution("log_normal", low, high, step, (span(low, high, step),))


def power2(low: Fraction, high: Fraction) -> Distribution:
    """Every power of two from `low` to `high` alike."""
    return Distribution("power2", low, high, low, tuple(_points(_powers(low, high))))


def power2_or_multiple(low: Fraction, high: Fraction, step: Fraction) -> Distribution:
    """Powers of two below `step`, multiples of it from there on; all three are powers of two.

    A power of two is drawn alike from `low` to `high`; one that is not below `step` gives way to a
    `log_uniform` draw from the multiples, so that the distribution function is log-linear.
    """
    small = [p for p in _powers(low, high) if p < step]
    pieces = _points(small)
    if step <= high:
        pieces.append(span(max(low, step), high, step))
    return Distribution("power2_or_multiple", low, high, step, tuple(pieces))


def choice(values: Iterable[Fraction]) -> Distribution:
    """Every one of the given values alike."""
    ordered = sorted(set(values))
    return Distribution("choice", ordered[0], ordered[-1], Fraction(0), tuple(_points(ordered)))


def is_power2(x: Fraction) -> bool:
    """Whether a positive number is a power of two; 1/4 is one."""
    n, d = x.numerator, x.denominator
    return n > 0 and n & (n - 1) == 0 and d & (d - 1) == 0


def _powers(low: Fraction, high: Fraction) -> list[Fraction]:
    out = [low]
    while out[-1] * 2 <= high:
        out.append(out[-1] * 2)
    return out


def _points(values: Sequence[Fraction]) -> list[Grid]:
    return [Grid(v, Fraction(1), 1) for v in values]


# Distribution functions, at the values of the grid.


@lru_cache(maxsize=256)
def _cumulative(x: Distribution) -> tuple[int, ...]:
    n = x.size
    if x.kind in ("uniform", "choice", "power2"):
        return tuple(WHOLE * k // n for k in range(1, n + 1))
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_FLOOR)):
        if x.kind == "log_uniform":
            shares = _log_linear(list(x.values()), x.step)
        elif x.kind == "power2_or_multiple":
            shares = _power2_or_multiple(x)
        elif x.kind == "normal":
            shares = _normal(x, lambda v: v)
        else:
            shares = _normal(x, Decimal.ln)
        cumulative = [int(share * WHOLE) for share in shares]
    return (*cumulative[:-1], WHOLE)


def _decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def _log_linear(values: Sequence[Fraction], step: Fraction) -> list[Decimal]:
    low, high = values[0], values[-1]
    start = _decimal(low - min(step, low / 2)).ln()
    length = _decimal(high).ln() - start
    return [(_decimal(v).ln() - start) / length for v in values]


def _power2_or_multiple(x: Distribution) -> list[Decimal]:
    n = len(_powers(x.low, x.high))
    small = sum(piece.low < x.step for piece in x.pieces)
    shares = [Decimal(k) / n for k in range(1, small + 1)]
    if small < len(x.pieces):
        multiples = list(x.values())[small:]
        rest = _log_linear(multiples, x.step)
        shares += [(small + (n - small) * share) / n for share in rest]
    return shares


def _normal(x: Distribution, scale: object) -> list[Decimal]:
    """Shares of a clipped normal in `scale(v)`; each value takes what rounds to it."""
    assert callable(scale)
    if x.size == 1:
        return [Decimal(1)]
    low, high = scale(_decimal(x.low)), scale(_decimal(x.high))
    middle, sigma = (low + high) / 2, (high - low) / 6
    root2 = Decimal(2).sqrt()
    total = 2 * _erf(3 / root2)
    edges = [_decimal(v + x.step / 2) for v in x.values()]
    shares = [(_erf((scale(e) - middle) / sigma / root2) + total / 2) / total for e in edges[:-1]]
    return [*shares, Decimal(1)]


def _erf(x: Decimal) -> Decimal:
    """The error function for |x| < 3: 2 x / sqrt(pi) e^(-x^2) (1 + 2x^2/3 + (2x^2)^2/15 + ...)."""
    term = total = Decimal(1)
    k = 1
    while term > Decimal(10) ** -(_DIGITS - 5):
        term = term * 2 * x * x / (2 * k + 1)
        total += term
        k += 1
    return 2 * x / _PI.sqrt() * (-x * x).exp() * total


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
