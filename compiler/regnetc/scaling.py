"""A network at another cost: depth, width and resolution scaled together.

"Fast and Accurate Model Scaling" (arXiv 2103.06877) multiplies depth by `d`, widths and group widths
by `w` and the image by `r`, where d w^2 r^2 is the ratio of flops. Its fast compound scaling, `dWr`,
gives width 0.8 of the exponent and shares the rest, because activations then grow least. Rounding
moves a network off its target, so the ratio is searched for that lands on it after rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from . import regnet
from .limits import IMAGE, STAGE_DEPTH, WIDTH
from .network import Network, Stage, Stem, squeeze_rule

HOW: dict[str, tuple[float, float, float]] = {
    "d": (1, 0, 0),
    "w": (0, 1, 0),
    "r": (0, 0, 1),
    "dw": (1 / 2, 1 / 2, 0),
    "dr": (1 / 2, 0, 1 / 2),
    "wr": (0, 1 / 2, 1 / 2),
    "dwr": (1 / 3, 1 / 3, 1 / 3),
    "dWr": (0.1, 0.8, 0.1),
}
"""Exponents of the flops ratio that depth, width and resolution take; `W` takes 0.8 of it."""

Rows = list[tuple[int, int]]
"""Widths and depths by stage."""

TOLERANCE = Fraction(1, 100)
_FINE = 4_000  # ratios that are tried around the ideal one
_IMAGE_STEP = 4


class Factors(NamedTuple):
    """How much deeper, wider, larger and coarser in its groups a network is."""

    d: float
    w: float
    r: float
    g: float


class Scaled(NamedTuple):
    """A scaled network, the factors that were asked for and those that rounding left, and how near it is."""

    network: Network
    ideal: Factors
    actual: Factors
    target: int
    before: Network

    @property
    def miss(self) -> float:
        """Flops beyond the target, over the target."""
        return self.network.counts.pycls / self.target - 1

    @property
    def hit(self) -> bool:
        return abs(self.miss) <= TOLERANCE


def factors(ratio: float, how: str) -> Factors:
    """Equation 2 of the paper: d = s^e_d, w = s^(e_w / 2), r = s^(e_r / 2), groups as widths."""
    d, w, r = HOW[how]
    return Factors(ratio**d, ratio ** (w / 2), ratio ** (r / 2), ratio ** (w / 2))


def scale(network: Network, target: int, how: str) -> Scaled:
    """A network of `target` flops (pycls). One that misses by more than 1% is the nearest that was found.

    Of those that hit, the one whose stages come nearest to the ideal factors is taken, and one in which
    a stage goes the other way only where there is nothing else. Where no ratio hits, the depth or
    width of one stage or two gives way.
    """
    ideal = factors(target / network.counts.pycls, how)
    tried = {(*s.network.stages, s.network.image): s for s in _along(network, target, how, ideal)}
    found = list(tried.values()) or [_judged(network, network, ideal, target)]
    hits = [s for s in found if s.hit and not _backwards(s)]
    if not hits:
        near = sorted(found, key=lambda s: abs(s.miss))[:8]
        bent = [b for s in near for b in _bent(s, how)]
        found += bent
        hits = [s for s in found if s.hit]
    if not hits:
        return min(found, key=lambda s: (abs(s.miss), s.network.stages, s.network.image))
    return min(hits, key=lambda s: (_backwards(s), _apart(s), abs(s.miss), s.network.stages))


def _along(network: Network, target: int, how: str, ideal: Factors) -> Iterator[Scaled]:
    """Networks for ratios around the ideal one, from a third of it to three times."""
    wanted = target / network.counts.pycls
    last: tuple[object, ...] = ()
    for k in range(-_FINE // 2, _FINE // 2 + 1):
        scaled = apply(network, factors(wanted * 3 ** (2 * k / _FINE), how))
        if scaled is not None and (scaled.stages, scaled.image) != last:
            last = (scaled.stages, scaled.image)
            yield _judged(network, scaled, ideal, target)


def apply(n: Network, f: Factors) -> Network | None:
    """A network with its factors rounded as pycls rounds them; None if it leaves the language's limits.

    Depths to a block, widths to multiples of 8, group widths above 5 as well (2 and less stay, 3 to 5
    become 4), the image to a multiple of 4; then widths meet their groups.
    """
    rows = []
    for s in n.stages:
        depth = max(1, round(s.d * f.d))
        width = max(1, round(s.w * f.w / regnet.QUANTUM)) * regnet.QUANTUM if f.w != 1 else s.w
        rows.append((width, depth, _group(s.g * f.g) if f.g != 1 else s.g))
    image = (
        n.image if f.r == 1 else max(_IMAGE_STEP, round(n.image * f.r / _IMAGE_STEP) * _IMAGE_STEP)
    )
    return _built(n, rows, image)


def _group(g: float) -> int:
    whole = max(1, round(g))
    if whole <= 2:
        return whole
    return 4 if whole <= 5 else round(whole / 8) * 8


def _built(n: Network, rows: list[tuple[int, int, int]], image: int) -> Network | None:
    """A network with other widths, depths, groups and image; the rest stays."""
    stages: list[Stage] = []
    w_in = n.stem.w
    for s, (width, depth, group) in zip(n.stages, rows, strict=True):
        b = Fraction(s.b).limit_denominator(64)
        fit = regnet.fit(width, b, group, "paper")
        if fit.w > WIDTH or fit.inner > WIDTH or depth > STAGE_DEPTH or image > IMAGE:
            return None
        first = fit.inner
        if _split(n):
            inner = Fraction(w_in) / b
            if inner.denominator != 1 or inner % fit.g:
                return None
            first = int(inner)
        sizes = ((w_in, first), *[(fit.w, fit.inner)] * (depth - 1))
        se = tuple(_squeezed(n, *pair) for pair in sizes)
        stages.append(Stage(fit.w, depth, s.stride, s.b, fit.inner, fit.g, se, first, s.dilation))
        w_in = fit.w
    doc = f"{n.name}, scaled."
    return n._replace(
        doc=doc, image=image, stem=Stem(n.stem.type, n.stem.w), stages=tuple(stages), rounding="paper",
        parameters=tuple(p for p in n.parameters if p[0] == "se"), published=(),
    )  # fmt: skip


def _split(n: Network) -> bool:
    """Whether `b` divides the width that comes in."""
    return any(s.inner_first != s.inner for s in n.stages)


def _squeezed(n: Network, w_in: int, inner: int) -> int:
    share = dict(n.parameters).get("se", 0)
    if not share:
        return 0
    se = Fraction(share).limit_denominator(2**20)
    of, by = squeeze_rule(n)
    return regnet.squeeze_by(inner if of == "inner" else w_in, se, by)


def _judged(before: Network, after: Network, ideal: Factors, target: int) -> Scaled:
    """What the factors have become: of all blocks, of block-weighted widths, of the image, of groups."""
    depth = sum(s.d for s in after.stages) / sum(s.d for s in before.stages)
    width, group = (_mean_ratio(before, after, name) for name in ("w", "g"))
    actual = Factors(depth, width, after.image / before.image, group)
    return Scaled(after, ideal, actual, target, before)


def _mean_ratio(before: Network, after: Network, name: str) -> float:
    """The geometric mean, over stages, of how much wider they or their groups are."""
    pairs = zip(after.stages, before.stages, strict=True)
    logs = [math.log(getattr(a, name) / getattr(b, name)) for a, b in pairs]
    return math.exp(sum(logs) / len(logs))


def _apart(s: Scaled) -> float:
    """How far single stages and the image are from the ideal factors, the stages weighted alike."""
    pairs = list(zip(s.before.stages, s.network.stages, strict=True))
    ideal = s.ideal
    off = [abs(math.log(s.network.image / s.before.image / ideal.r))]
    for name, factor in (("w", ideal.w), ("d", ideal.d), ("g", ideal.g)):
        logs = [abs(math.log(getattr(y, name) / getattr(x, name) / factor)) for x, y in pairs]
        off.append(sum(logs) / len(logs))
    return sum(off)


def _backwards(s: Scaled) -> bool:
    """Whether a stage shrinks where it is to grow, or grows where it is to shrink."""
    for x, y in zip(s.before.stages, s.network.stages, strict=True):
        for name, factor in (("w", s.ideal.w), ("d", s.ideal.d)):
            moved = getattr(y, name) - getattr(x, name)
            if moved * (factor - 1) < 0:
                return True
    return False


def _bent(s: Scaled, how: str) -> Iterator[Scaled]:
    """Networks in which one or two stages are a block deeper or shallower, or one or two quanta wider
    or narrower, in groups of the same width or of a quantum more or less.
    """
    deep, wide, _ = HOW[how]
    steps = [(0, 0)]
    if wide:
        steps += [(k * regnet.QUANTUM, 0) for k in (-2, -1, 1, 2)]
    if deep:
        steps += [(0, k) for k in (-1, 1)]
    groups = (0, -regnet.QUANTUM, regnet.QUANTUM) if wide else (0,)
    for more, rows in product(groups, _moved([(x.w, x.d) for x in s.network.stages], steps)):
        wider = [(w, d, x.g + more) for (w, d), x in zip(rows, s.network.stages, strict=True)]
        if all(w > 0 and d > 0 and g > 0 for w, d, g in wider):
            bent = _built(s.network, wider, s.network.image)
            if bent is not None:
                yield _judged(s.before, bent, s.ideal, s.target)


def _moved(rows: Rows, steps: list[tuple[int, int]]) -> Iterator[Rows]:
    """Widths and depths with a step taken at one stage or at two."""
    for one in range(len(rows)):
        for two in range(one, len(rows)):
            for a, b in product(steps, steps if two > one else [(0, 0)]):
                moved = list(rows)
                for at, (w, d) in ((one, a), (two, b)):
                    moved[at] = (moved[at][0] + w, moved[at][1] + d)
                yield moved
