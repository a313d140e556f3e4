"""From a network back to its line: the (d, w0, wa, wm) that describe widths given stage by stage.

Section 3.3 of the paper fits the quantised line to a network by the mean log-ratio of predicted to
observed widths of its blocks, e_fit. Where stages share their groups, a line that gives exactly the
network is looked for first: for a given `w0` and `wm` every depth bounds `wa` from both sides, so
that only pairs have to be tried. Every answer is worked out again by `regnet` before it is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

from . import regnet
from .limits import WIDTH
from .network import Network

_DECIMALS = 3  # of wa and wm at most: the paper's models have two
_SKIPS = 2  # powers of wm that no block of a network takes
_WM = (Fraction(101, 100), Fraction(8))
_ROUNDS = 60
_EXACT_WORK = 400_000
_NEAREST_WORK = 400_000


class LineFit(NamedTuple):
    """A line for a network. `error` is e_fit: the mean of |ln(predicted / observed)| over the blocks.

    `predicted` are the widths of all blocks on the line, fitted to the network's groups where its
    stages share them. `exact` says that the line gives the network itself, depths included.
    """

    d: int
    w0: int
    wa: Fraction
    wm: Fraction
    error: float
    exact: bool
    predicted: tuple[int, ...]


class _Target(NamedTuple):
    """What is to be described: widths and depths by stage, and the groups that all stages share."""

    w: tuple[int, ...]
    d: tuple[int, ...]
    b: Fraction | None
    g: int | None
    rounding: regnet.Rounding

    @property
    def blocks(self) -> list[int]:
        return [w for w, d in zip(self.w, self.d, strict=True) for _ in range(d)]

    def fitted(self, w: int) -> int:
        """A width of the line as the network would have it."""
        if self.b is None or self.g is None:
            return w
        return regnet.fit(w, self.b, self.g, self.rounding).w


def fit(network: Network) -> LineFit:
    """The line that gives a network exactly, if there is one, else one with the least e_fit found.

    Of exact ones that with the fewest decimals in `wm` and `wa`, then the smallest `w0`, `wm`, `wa`.
    """
    return exact(network) or _nearest(_target(network), _Work(_NEAREST_WORK))


def exact(network: Network) -> LineFit | None:
    """The line that gives a network exactly, None where none was found."""
    return next(_exact(_target(network), _Work(_EXACT_WORK)), None)


class _Work:
    """How many blocks may still be worked out: a hostile network shall not be fitted for ever."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, blocks: int) -> bool:
        """Whether there is still enough left for so many."""
        self.left -= blocks
        return self.left >= 0


def parameters(n: Network) -> tuple[int, int, Fraction, Fraction] | None:
    """The line that a network was written with: (d, w0, wa, wm); None where there is none."""
    given = {k: Fraction(str(v)) for k, v in n.parameters}
    if not {"d", "w0", "wa", "wm"} <= given.keys():
        return None
    return int(given["d"]), int(given["w0"]), given["wa"], given["wm"]


def shared(n: Network) -> tuple[Fraction, int] | None:
    """`b` and `g` where all stages share them; a group that a narrow stage was clipped to is its own."""
    bs = {_ratio(s.b) for s in n.stages}
    g = max(s.g for s in n.stages)
    if len(bs) > 1 or any(s.g != min(g, max(1, s.inner)) for s in n.stages):
        return None
    return bs.pop(), g


def _target(n: Network) -> _Target:
    b, g = shared(n) or (None, None)
    widths, depths = tuple(s.w for s in n.stages), tuple(s.d for s in n.stages)
    return _Target(widths, depths, b, g, n.rounding)


def _ratio(b: float) -> Fraction:
    return Fraction(b).limit_denominator(64)


# Lines that give exactly the network.


def _exact(target: _Target, work: _Work) -> Iterator[LineFit]:
    """Exact lines, the ones with the fewest decimals first."""
    pairs = product(range(_DECIMALS + 1), repeat=2)
    for wm_digits, wa_digits in sorted(pairs, key=lambda p: (max(p), sum(p))):
        yield from _with_digits(target, wm_digits, wa_digits, work)


def _with_digits(target: _Target, wm_digits: int, wa_digits: int, work: _Work) -> Iterator[LineFit]:
    for w0 in _first_widths(target):
        for powers in _powers(len(target.w)):
            for wm in _ratios(target, w0, powers, wm_digits):
                if not work.spend(len(powers)):
                    return
                for wa in _slopes(target, w0, wm, powers, wa_digits):
                    if not work.spend(sum(target.d)):
                        return
                    found = _judged(target, w0, wa, wm)
                    if found.exact:
                        yield found


def _first_widths(target: _Target) -> list[int]:
    """Initial widths that become the first stage's."""
    near = range(regnet.QUANTUM, 2 * target.w[0] + 8 * regnet.QUANTUM, regnet.QUANTUM)
    return [w0 for w0 in near if target.fitted(w0) == target.w[0]]


def _powers(stages: int) -> Iterator[tuple[int, ...]]:
    """Which powers of wm the stages have: 0, 1, 2, ... or a few of them skipped."""
    for skips in range(_SKIPS + 1):
        last = stages - 1 + skips
        if stages == 1:
            yield (0,)
            return
        for middle in combinations(range(1, last), stages - 2):
            yield (0, *middle, last)


def _ratios(target: _Target, w0: int, powers: Sequence[int], digits: int) -> Iterator[Fraction]:
    """Values of `wm` for which every power has the width of its stage, on a decimal grid."""
    low, high = _WM
    for k, w in zip(powers[1:], target.w[1:], strict=True):
        ends = _widths_near(target, w)
        if ends is None:
            return
        low = max(low, Fraction((ends[0] / w0) ** (1 / k) * (1 - 1e-9)))
        high = min(high, Fraction((ends[1] / w0) ** (1 / k) * (1 + 1e-9)))
    unit = Fraction(1, 10**digits)
    n = math.ceil(low / unit)
    while n * unit <= high:
        if digits == 0 or n % 10:
            yield n * unit
        n += 1


@lru_cache(maxsize=256)
def _widths_near(target: _Target, w: int) -> tuple[float, float] | None:
    """Between which values a power lies whose width, rounded and fitted, is `w`."""
    step = regnet.QUANTUM
    around = range(max(step, (w // 2) // step * step), min(2 * w + 64 * step, WIDTH) + step, step)
    fine = [x for x in around if target.fitted(x) == w]
    return (fine[0] - step / 2, fine[-1] + step / 2) if fine else None


def _slopes(
    target: _Target, w0: int, wm: Fraction, powers: Sequence[int], digits: int
) -> Iterator[Fraction]:
    """Values of `wa` that change stage after the right blocks, the fewest decimals that there are."""
    low, high = 0.0, math.inf
    upto, d = 0, sum(target.d)
    for k, after, depth in zip(powers, [*powers[1:], powers[-1] + 1], target.d, strict=True):
        upto += depth
        first, last = (w0 * (float(wm) ** (x + 0.5) - 1) for x in (k, after - 1))
        if upto < d:
            low = max(low, last / upto)  # block `upto` has the next power
        if upto > 1:
            high = min(high, first / (upto - 1))  # the block before still has this one
    unit = Fraction(1, 10**digits)
    if low > high or math.isinf(high):
        return
    n = max(0, math.floor(low / float(unit)))
    for m in range(n, min(n + 2000, math.ceil(high / float(unit)) + 1)):
        if digits == 0 or m % 10:
            yield m * unit


def _judged(target: _Target, w0: int, wa: Fraction, wm: Fraction) -> LineFit:
    """A line with its error, worked out block by block."""
    d = sum(target.d)
    line = regnet.quantized_linear(d, w0, float(wa), float(wm))
    predicted = tuple(target.fitted(min(block.w, WIDTH)) for block in line.blocks)
    observed = target.blocks
    error = sum(abs(math.log(p / o)) for p, o in zip(predicted, observed, strict=True)) / d
    stages = tuple(target.fitted(min(w, WIDTH)) for w in line.w)
    exact = (stages, line.d) == (target.w, target.d)
    return LineFit(d, w0, wa, wm, error, exact, predicted)


# The nearest line to a network that no line gives.


def _nearest(target: _Target, work: _Work) -> LineFit:
    """The least e_fit on a coarse grid, then in ever smaller steps around it."""
    best = min(_coarse(target, work), key=_order)
    steps = [Fraction(regnet.QUANTUM), Fraction(8), Fraction(1, 4)]
    for _ in range(_ROUNDS):
        around = [_judged(target, *p) for p in _around(best, steps) if work.spend(best.d)]
        better = min((best, *around), key=_order)
        if better == best:
            steps = [steps[0], steps[1] / 2, steps[2] / 2]
            if steps[2] < Fraction(1, 1000):
                break
        best = better
    return best


def _order(x: LineFit) -> tuple[float, int, Fraction, Fraction]:
    return x.error, x.w0, x.wm, x.wa


def _coarse(target: _Target, work: _Work) -> Iterator[LineFit]:
    blocks = target.blocks
    slope = max(1.0, (blocks[-1] - blocks[0]) / max(1, len(blocks) - 1))
    step = regnet.QUANTUM
    ends = (min(blocks), blocks[0], sorted(blocks)[len(blocks) // 2])
    near = {
        x // step * step + k * step
        for x in ends
        for k in ((-2, -1, 0, 1, 2) if x == ends[0] else (0,))
    }
    starts = {max(step, x) for x in near}
    ratios = [Fraction(12 + 2 * k, 10) for k in range(15)]
    for share, wm, w0 in product((0.85, 1.0, 0.7, 1.2, 0.5, 1.4, 2.0, 0.0), ratios, sorted(starts)):
        if not work.spend(len(blocks)):
            return
        yield _judged(target, w0, Fraction(round(10 * slope * share), 10), wm)


def _around(x: LineFit, steps: Sequence[Fraction]) -> Iterator[tuple[int, Fraction, Fraction]]:
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            for c in (-1, 0, 1):
                w0 = x.w0 + a * int(steps[0])
                wa, wm = _thousandth(x.wa + b * steps[1]), _thousandth(x.wm + c * steps[2])
                if w0 >= regnet.QUANTUM and wa >= 0 and wm > 1:
                    yield w0, wa, wm


def _thousandth(x: Fraction) -> Fraction:
    return Fraction(round(x * 1000), 1000)
