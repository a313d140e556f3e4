"""Charts in characters, for terminals: points on a grid, with axes in round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Axis(NamedTuple):
    """From where to where an axis runs, in logarithms or not, and what stands beside it."""

    low: float
    high: float
    label: str
    log: bool = False

    def place(self, x: float, cells: int) -> int:
        """The cell, of so many, that a value falls into."""
        a, b, at = (math.log(v) if self.log else v for v in (self.low, self.high, x))
        share = (at - a) / (b - a) if b > a else 0.5
        return min(cells - 1, max(0, round(share * (cells - 1))))

    def ticks(self, most: int) -> list[float]:
        """Round values on the axis: powers of two in logarithms, else steps of 1, 2 or 5."""
        if self.log:
            powers = [
                2.0**k
                for k in range(math.ceil(math.log2(self.low)), math.floor(math.log2(self.high)) + 1)
            ]
            return powers[:: max(1, math.ceil(len(powers) / most))]
        span = (self.high - self.low) or 1.0
        unit = 10.0 ** math.floor(math.log10(span / most))
        step = next(unit * m for m in (1, 2, 5, 10) if span / (unit * m) <= most)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Marks(NamedTuple):
    """Points with the character that shows them."""

    sign: str
    points: Sequence[tuple[float, float]]


def chart(
    marks: Sequence[Marks], x: Axis, y: Axis, *, width: int = 64, height: int = 16
) -> list[str]:
    """Rows of a chart; later marks cover earlier ones."""
    grid = [[" "] * width for _ in range(height)]
    for mark in marks:
        for px, py in mark.points:
            grid[height - 1 - y.place(py, height)][x.place(px, width)] = mark.sign
    named: dict[int, str] = {}
    for tick in y.ticks(height // 3):
        named.setdefault(height - 1 - y.place(tick, height), _short(tick))
    margin = max(len(text) for text in [*named.values(), ""])
    rows = [f"{y.label}"] if y.label else []
    rows += [
        f"{named.get(k, ''):>{margin}} | {''.join(row).rstrip()}".rstrip()
        for k, row in enumerate(grid)
    ]
    rows.append(" " * margin + " +-" + "-" * width)
    below = [" "] * (width + 8)
    for tick in x.ticks(width // 10):
        text, at = _short(tick), x.place(tick, width)
        if all(c == " " for c in below[max(0, at - 1) : at + len(text) + 1]):
            below[at : at + len(text)] = text
    rows.append(" " * (margin + 3) + "".join(below).rstrip() + f"  {x.label}")
    return rows


def _short(x: float) -> str:
    return f"{x:.6g}"
