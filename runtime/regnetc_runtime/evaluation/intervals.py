"""Counts to 95% confidence intervals, in plain arithmetic."""

from __future__ import annotations

import math

Z = 1.959963984540054  # the normal distribution's 97.5% quantile


def wilson(hits: int, images: int, z: float = Z) -> tuple[float, float]:
    """Bounds on the share (0..1) of which `hits` of `images` were seen.

    The score interval: all p with (p' - p)^2 <= z^2 p (1 - p) / n (Wilson 1927, Journal of the
    American Statistical Association 22, 209-212). Of nothing, the share may be anything.
    """
    if images == 0:
        return 0.0, 1.0
    share, z2 = hits / images, z * z
    middle = share + z2 / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
    low, high = ((middle + s * half) / (1 + z2 / images) for s in (-1, 1))
    return (0.0 if hits == 0 else low), (1.0 if hits == images else high)


def newcombe(
    both: int, only_a: int, only_b: int, neither: int, z: float = Z
) -> tuple[float, float]:
    """Bounds on the difference (-1..1) of two shares that were seen on the same images.

    The Wilson intervals of both shares, added as squares with the correlation of the pairs, which is
    corrected for continuity (Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10).
    """
    n = both + only_a + only_b + neither
    if n == 0:
        return -1.0, 1.0
    a, b = both + only_a, both + only_b
    (low_a, high_a), (low_b, high_b) = wilson(a, n, z), wilson(b, n, z)
    p, q, phi = a / n, b / n, _correlation(both, only_a, only_b, neither)

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low, high = reach(p - low_a, high_b - q), reach(high_a - p, q - low_b)
    return max(-1.0, p - q - low), min(1.0, p - q + high)


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Newcombe's phi: towards 0 by half a pair, and 0 where a margin is empty."""
    n = both + only_a + only_b + neither
    a, b = both + only_a, both + only_b
    margins = a * (n - a) * b * (n - b)
    if margins == 0:
        return 0.0
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(product - n / 2, 0)
    return product / math.sqrt(margins)
