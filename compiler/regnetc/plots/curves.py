"""What there is to draw: widths over blocks with their line, and distributions of counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import regnet
from ..canonical import number
from ..fitting import fit, parameters
from ..network import Network

FORMS = (".png", ".svg", ".pdf")
"""How the file of a picture may end."""


class Widths(NamedTuple):
    """A network's widths, block by block, and the line that they are quantised from.

    `line` holds u of equation 2 for each block. Where the network was not written with a line, it is
    that of the fit, and `error` its e_fit.
    """

    name: str
    w: tuple[int, ...]
    line: tuple[float, ...]
    label: str
    error: float


class Sample(NamedTuple):
    """A count of some networks: values in rising order, and the share of draws up to each."""

    name: str
    values: tuple[int, ...]
    shares: tuple[float, ...]


COUNTS = {
    "flops": ("pycls", 1e9, "flops (GF)"),
    "params": ("params", 1e6, "params (M)"),
    "acts": ("acts", 1e6, "acts (M)"),
}
"""What is drawn of populations: the count's name, its unit, and the label of its axis."""


def widths(network: Network) -> Widths:
    """A network's widths with the line that it was written with, or else the nearest."""
    observed = tuple(s.w for s in network.stages for _ in range(s.d))
    given = parameters(network)
    error = 0.0
    if given is None:
        found = fit(network)
        given, error = (found.d, found.w0, found.wa, found.wm), found.error
    d, w0, wa, wm = given
    line = tuple(block.u for block in regnet.quantized_linear(d, w0, float(wa), float(wm)).blocks)
    label = f"w0 = {w0}, wa = {number(wa)}, wm = {number(wm)}"
    return Widths(network.name, observed, line, label, error)


def sample(name: str, values: Sequence[int], times: Sequence[int]) -> Sample:
    """A distribution function: what was drawn several times weighs as much."""
    rows = sorted(zip(values, times, strict=True))
    whole, so_far = sum(times), 0
    points: dict[int, float] = {}
    for value, weight in rows:
        so_far += weight
        points[value] = so_far / whole
    return Sample(name, tuple(points), tuple(points.values()))


def binned(samples: Sequence[Sample], bins: int) -> tuple[list[float], list[list[float]]]:
    """Edges of equal bins over all samples, and the share of draws of each sample in every bin."""
    low = min(s.values[0] for s in samples)
    high = max(s.values[-1] for s in samples)
    step = max(1, high - low) / bins
    edges = [low + k * step for k in range(bins + 1)]
    out = []
    for s in samples:
        shares, before = [0.0] * bins, 0.0
        for value, upto in zip(s.values, s.shares, strict=True):
            shares[min(bins - 1, int((value - low) / step))] += upto - before
            before = upto
        out.append(shares)
    return edges, out
