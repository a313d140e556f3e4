"""The quantised line for many candidates at once: stages in closed form instead of block by block.

Block j has power k or less where u_j / w0 < wm^(k + 1/2), that is where j < (wm^(k + 1/2) - 1) w0 / wa.
So the depth of every stage is a difference of two such bounds, and no logarithm is taken. Where a
bound is too near to a whole number for float64 to say on which side it lies, the candidate goes
through `regnet.quantized_linear` itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import regnet
from .arrays import Flags, Floats, Indices, Room

_NEAR = 1e-9
_STEEP = 1e9  # a slope below this leaves the bounds finite
_BEYOND = 4096.0  # more blocks than a network may have
_NEAR_WHOLE = 1e-6  # a bound below the 1,024 blocks of a network is known better than this


class Bases(NamedTuple):
    """Powers of each `wm` of a table. Shapes: `half` (stages, values), `power` (stages, values).

    `half[k]` is wm^(k + 1/2) - 1, `power[k]` is wm^k / 8, rounded once; `low` and `high` enclose,
    with room to spare, the (u - w0) / w0 of last blocks that make an allowed number of stages.
    """

    half: Floats
    power: Floats
    low: Floats
    high: Floats


def bases(wm: Sequence[float], fewest: int, most: int) -> Bases:
    """The powers of a table of `wm`, for lines of `fewest` to `most` stages."""
    values = np.array(wm)
    power = [[regnet.power(x, k) / regnet.QUANTUM for x in wm] for k in range(most)]
    half = np.array([[math.pow(x, k + 0.5) - 1 for x in wm] for k in range(most)])
    low = np.power(values, fewest - 1.5) - 1 if fewest > 1 else np.full(len(wm), -1.0)
    return Bases(half, np.array(power), low * (1 - np.sign(low) * _NEAR), half[-1] * (1 + _NEAR))


class Slopes(NamedTuple):
    """Depth, initial width and slope of n lines, a column each."""

    d: Floats
    w0: Floats
    wa: Floats


class Lines(NamedTuple):
    """Lines of n candidates: depths and widths of shape (stages, n), those that are not there 0.

    `fine` says which lines are not refused for too many or too few stages, or a power that no block
    takes; of those, `stages` says how many they make.
    """

    fine: Flags
    stages: Indices
    w: Floats
    d: Floats


def plausible(slopes: Slopes, wm: Indices, table: Bases) -> Flags:
    """Whether a line may make an allowed number of stages: a quick test that refuses none that does."""
    w0 = slopes.w0
    rise = (slopes.d - 1) * slopes.wa
    fine: Flags = (rise >= table.low.take(wm, mode="clip") * w0) & (
        rise <= table.high.take(wm, mode="clip") * w0
    )
    return fine


def quantized(
    slopes: Slopes, wm: Indices, values: Floats, table: Bases, fewest: int, room: Room
) -> Lines:
    """Equations 2 to 4 for n candidates, `wm` as indices into `values`; fewer stages are refused.

    Widths and depths stand in the room.
    """
    d, w0, wa = slopes
    with np.errstate(divide="ignore", over="ignore"):
        slope = np.divide(w0, wa, out=room("slope", len(d)))
    upto, doubtful = _upto(slope, wm, table.half, room)
    width = room("line w", len(table.half), len(d))
    width[0] = w0
    later = width[1:]
    table.power[1:].take(wm, axis=1, out=later, mode="clip")
    later *= w0
    np.rint(later, out=later)
    later *= regnet.QUANTUM
    lines = _sorted_out(upto, width, d, fewest, room)
    for k in doubtful:
        _exactly(lines, int(k), (d[k], w0[k], wa[k], values[wm[k]]), fewest)
    return lines


def _upto(slope: Floats, wm: Indices, half: Floats, room: Room) -> tuple[Floats, Indices]:
    """How many blocks have each power or a lower one, and the candidates of which float64 is not sure."""
    bound = room("scratch 0", len(half), len(wm))
    half.take(wm, axis=1, out=bound, mode="clip")
    bound *= slope
    if not slope.max(initial=0.0) < _STEEP:
        np.minimum(bound, _BEYOND, out=bound)
    upto = np.ceil(bound, out=room("scratch 1", *bound.shape))
    rest = np.subtract(upto, bound, out=bound)
    if rest.min(initial=0.5) > _NEAR_WHOLE and rest.max(initial=0.5) < 1 - _NEAR_WHOLE:
        return upto, np.zeros(0, np.int64)
    near = (rest <= _NEAR_WHOLE) | (rest >= 1 - _NEAR_WHOLE)
    return upto, np.flatnonzero(near.any(axis=0))


def _sorted_out(upto: Floats, width: Floats, d: Floats, fewest: int, room: Room) -> Lines:
    """Depths from the number of blocks up to each power; what skips one is refused."""
    most = len(upto)
    if fewest == most:
        fine = np.greater_equal(upto[-1], d)
        depths = room("line d", *upto.shape)
        depths[0] = upto[0]
        np.subtract(upto[1:-1], upto[:-2], out=depths[1:-1])
        if most > 1:
            np.subtract(d, upto[-2], out=depths[-1])
        else:
            depths[0] = d
        for k in range(most):
            fine &= depths[k] > 0
        for k in range(1, most):
            fine &= width[k] > width[k - 1]
        return Lines(fine, np.full(len(d), most), width, depths)
    np.minimum(upto, d, out=upto)
    depths = room("line d", *upto.shape)
    depths[0] = upto[0]
    np.subtract(upto[1:], upto[:-1], out=depths[1:])
    stages = 1 + (upto < d).sum(axis=0)
    there = np.arange(most)[:, None] < stages
    whole = (depths > 0) | ~there
    whole[1:] &= (width[1:] > width[:-1]) | ~there[1:]
    fine = whole.all(axis=0) & (stages >= fewest) & (stages <= most)
    width *= there
    return Lines(fine, stages, width, depths)


def _exactly(lines: Lines, at: int, parameters: tuple[float, ...], fewest: int) -> None:
    """Work one candidate out block by block."""
    d, w0, wa, wm = parameters
    line = regnet.quantized_linear(int(d), int(w0), float(wa), float(wm))
    made, most = len(line.w), len(lines.w)
    lines.w[:, at] = lines.d[:, at] = 0
    fine = fewest <= made <= most and line.blocks[-1].k == made - 1
    lines.fine[at] = fine
    if fine:
        lines.stages[at] = made
        lines.w[:made, at] = line.w
        lines.d[:made, at] = line.d
