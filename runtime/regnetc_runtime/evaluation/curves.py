"""Epochs of trainings to curves: loss, accuracy and learning rate, in one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..problems import Problem, printable, require
from .drawing import COLOURS, check_form, pyplot, saved

_NAME = 28  # characters of a name in a picture
_SETTLED = 1 / 3  # of the epochs after which a picture has to show everything
_MANY = 10  # epochs, of which some may leave the picture
_LINE = 0.075  # of a panel's height, for a line of text


class Epoch(Protocol):
    """What is drawn of an epoch; `runs.Point` has it, and so has the epoch of a training."""

    @property
    def epoch(self) -> int: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def top1(self) -> float | None: ...
    @property
    def validation_loss(self) -> float | None: ...
    @property
    def validation_top1(self) -> float | None: ...
    @property
    def lr(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Curve:
    """A training by name: the epochs of each of its seeds, one or more."""

    name: str
    seeds: Sequence[Sequence[Epoch]]


def of_training(curves: Sequence[Curve], form: str) -> bytes:
    """Loss, accuracy and learning rate over epochs, as a picture of the `form` (`.png`, ...).

    What was seen of the validation images is solid, of the training images dashed. Of several seeds
    each is a thin line, and the mean over the epochs that all of them have a thick one. The first third
    of the epochs may leave the picture where that lets the rest be seen. Raises `no-picture`,
    `no-epochs`, `too-many-runs`, `missing-package`.
    """
    check_form(form)
    if not any(seed for curve in curves for seed in curve.seeds):
        raise Problem("no-epochs", "there is no finished epoch to draw")
    if len(curves) > len(COLOURS):
        raise Problem(
            "too-many-runs", f"{len(curves)} kinds of runs are more than the {len(COLOURS)} colours",
            help="runs that differ in nothing but the seed share a colour",
        )  # fmt: skip
    plt = pyplot()
    figure, panels = plt.subplots(
        1, 3, figsize=(9.6, 3.2), gridspec_kw={"width_ratios": [1, 1, 0.6]}
    )
    dashed = "" if len(curves) == 1 else " (dashed: training)"
    _panel(panels[0], f"loss{dashed}", curves, [_LOSS, _VALIDATION_LOSS], bottom=0)
    _panel(panels[1], f"top-1 in %{dashed}", curves, [_TOP1, _VALIDATION_TOP1], top=100)
    _panel(panels[2], "learning rate", curves, [_LR], bottom=0)
    return saved(plt, figure, form)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A row of numbers over epochs, how it is called, and how it is drawn."""

    name: str
    get: Callable[[Epoch], float | None]
    dashed: bool = False


_LOSS = _Kind("training", lambda e: e.loss, dashed=True)
_VALIDATION_LOSS = _Kind("validation", lambda e: e.validation_loss)
_TOP1 = _Kind("training", lambda e: e.top1, dashed=True)
_VALIDATION_TOP1 = _Kind("validation", lambda e: e.validation_top1)
_LR = _Kind("lr", lambda e: e.lr)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line, the thin ones that it is the mean of, and what stands at its end."""

    mean: dict[int, float]
    seeds: Sequence[dict[int, float]]
    colour: str
    dashed: bool
    text: str

    @property
    def end(self) -> float:
        """How high it ends."""
        return self.mean[max(self.mean)]


def _lines(curves: Sequence[Curve], kinds: Sequence[_Kind]) -> list[_Line]:
    """All that has a number somewhere. A line is called by its kind; of several curves, the last by its curve."""
    found = []
    for curve, colour in zip(curves, COLOURS, strict=False):
        lines = []
        for kind in kinds:
            seeds = [
                {e.epoch: y for e in seed if (y := kind.get(e)) is not None} for seed in curve.seeds
            ]
            seeds = [seed for seed in seeds if seed]
            shared = sorted(set.intersection(*map(set, seeds))) if seeds else []
            if shared:
                mean = {x: math.fsum(seed[x] for seed in seeds) / len(seeds) for x in shared}
                text = kind.name if len(curves) == 1 else ""
                lines.append(_Line(mean, seeds, colour, kind.dashed, text))
        if lines and len(curves) > 1:
            many = f" ({len(lines[-1].seeds)} seeds)" if len(lines[-1].seeds) > 1 else ""
            lines[-1] = replace(lines[-1], text=printable(curve.name, _NAME) + many)
        found += lines
    return found


def _panel(
    axes: Any,
    title: str,
    curves: Sequence[Curve],
    kinds: Sequence[_Kind],
    *,
    bottom: float | None = None,
    top: float = math.inf,
) -> None:
    """One kind of numbers over epochs, seen from `bottom` where that is said, and hardly above `top`."""
    ticker = require("matplotlib.ticker", "plot")
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    lines = _lines(curves, kinds)
    if not lines:
        return
    for line in lines:
        style: Any = (0, (4, 2)) if line.dashed else "-"
        look = {"color": line.colour, "ls": style}
        if len(line.seeds) > 1:
            for seed in line.seeds:
                axes.plot(list(seed), list(seed.values()), lw=0.6, alpha=0.45, **look)
        dot = "o" if len(line.mean) == 1 else None
        weight = 1.1 if line.dashed else 1.7
        axes.plot(list(line.mean), list(line.mean.values()), lw=weight, marker=dot, ms=4, **look)
    points = [p for line in lines for seed in line.seeds for p in seed.items()]
    low, high = _seen(points, [line.end for line in lines])
    edge = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - edge if bottom is None else bottom, min(high, top) + edge)
    epochs = [x for line in lines for seed in line.seeds for x in seed]
    axes.set_xlim(left=min(epochs) - 0.03 * (max(epochs) - min(epochs) or 1))
    # Several curves are named once, in the middle; the colours say the rest.
    if _VALIDATION_TOP1 in kinds or (len(curves) == 1 and _LR not in kinds):
        _label(axes, lines, max(epochs))


def _seen(points: Sequence[tuple[int, float]], ends: Sequence[float]) -> tuple[float, float]:
    """The heights that a picture shows: all, or only those after the first epochs where that says more.

    Where lines end is seen in any case.
    """
    epochs = [x for x, _ in points]
    if len(set(epochs)) < _MANY:
        return min(y for _, y in points), max(y for _, y in points)
    begins = min(epochs) + _SETTLED * (max(epochs) - min(epochs))
    whole = [y for _, y in points]
    settled = [*(y for x, y in points if x >= begins), *ends]
    much = max(whole) - min(whole) > 2 * (max(settled) - min(settled)) > 0
    shown = settled if much else whole
    return min(shown), max(shown)


def _label(axes: Any, lines: Sequence[_Line], last: int) -> None:
    """Names at the ends of lines, moved apart: in the margin, and in the picture for early ends."""
    low, high = axes.get_ylim()
    first = min(x for line in lines for x in line.mean)
    near_end = last - 0.1 * (last - first)
    named = sorted((line for line in lines if line.text), key=lambda line: line.end)
    for early in (False, True):
        some = [line for line in named if (max(line.mean) < near_end) == early]
        heights = _apart([line.end for line in some], _LINE * (high - low), low, high)
        paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
        for line, y in zip(some, heights, strict=True):
            axes.annotate(
                line.text, (max(line.mean) if early else last, y), xytext=(5, 0),
                textcoords="offset points", color=line.colour, va="center", fontsize=8,
                annotation_clip=False, bbox=paper if early else None,
            )  # fmt: skip


def _apart(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending heights, moved as little as groups allow, `gap` apart and between `low` and `high`."""
    blocks: list[tuple[float, int]] = []  # the middle of each, and how many it holds

    def inside(middle: float, n: int) -> float:
        half = gap * n / 2
        return max(low + half, min(high - half, middle))

    for height in heights:
        middle, n = inside(height, 1), 1
        while blocks and middle - blocks[-1][0] < gap * (n + blocks[-1][1]) / 2:
            other, m = blocks.pop()
            middle, n = inside((middle * n + other * m) / (n + m), n + m), n + m
        blocks.append((middle, n))
    return [middle + gap * (i - (n - 1) / 2) for middle, n in blocks for i in range(n)]
