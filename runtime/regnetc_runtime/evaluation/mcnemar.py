"""Two networks on the same images to whether one is better, or that is chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .intervals import newcombe

_NEGLIGIBLE = 1e-18  # of a sum, for what is left of it
_EXACT = 10_000  # draws up to which the largest term is an exact quotient of whole numbers


@dataclass(frozen=True, slots=True)
class Table:
    """How many images both networks get right, only the one, only the other, and neither.

    This judges two networks, not the recipes that made them: another seed makes another network.
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def images(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """By how many percent points a is better than b."""
        return 100 * (self.only_a - self.only_b) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """95% bounds on the difference, in percent points (`newcombe`)."""
        low, high = newcombe(self.both, self.only_a, self.only_b, self.neither)
        return 100 * low, 100 * high

    @property
    def p(self) -> float:
        """The exact p, see `exact_p`."""
        return exact_p(self.only_a, self.only_b)

    @property
    def mid_p(self) -> float:
        """The mid-p, see `mid_p`."""
        return mid_p(self.only_a, self.only_b)


def exact_p(only_a: int, only_b: int) -> float:
    """How likely chance alone splits the images that one network gets right at least so unevenly.

    Twice the lower tail of the binomial distribution with probability 1/2, at most 1 (McNemar 1947,
    Psychometrika 12, 153-157, in its exact form).
    """
    tail, _ = _tail(min(only_a, only_b), only_a + only_b)
    return min(1.0, 2 * tail)


def mid_p(only_a: int, only_b: int) -> float:
    """As `exact_p`, with half the probability of what was seen, which errs less to the safe side.

    Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91.
    """
    tail, last = _tail(min(only_a, only_b), only_a + only_b)
    return min(1.0, 2 * tail - last)


def _tail(k: int, n: int) -> tuple[float, float]:
    """P(X <= k) and P(X = k) of a binomial X with n draws of probability 1/2, for k <= n / 2."""
    if n <= _EXACT:
        last = math.comb(n, k) / 2**n
    else:
        logs = [math.lgamma(m + 1) for m in (n, k, n - k)]
        last = math.exp(logs[0] - logs[1] - logs[2] - n * math.log(2))
    total = term = last
    for j in range(k, 0, -1):  # P(X = j - 1) = P(X = j) j / (n - j + 1), ever smaller
        term *= j / (n - j + 1)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return total, last
