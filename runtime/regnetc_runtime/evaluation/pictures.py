"""Scores to pictures: PNG, SVG or PDF by matplotlib, the same bytes from the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..problems import printable, require
from .curves import Curve, of_training
from .drawing import COLOURS, check_form, pyplot, saved
from .metrics import Reliability

CELLS = 20  # classes whose counts can be read in a picture

__all__ = ["Curve", "check_form", "of_confusion", "of_reliability", "of_training"]


def of_confusion(matrix: Tensor, classes: Sequence[str], form: str) -> bytes:
    """A confusion matrix (classes x classes, counts; row: label) as a picture.

    The shade is the share of its row; up to 20 classes the counts are written into the cells. Raises
    `no-picture`, `missing-package`.
    """
    check_form(form)
    plt = pyplot()
    n = len(matrix)
    shares = (matrix.double() / matrix.sum(dim=1, keepdim=True).clamp(min=1)).tolist()
    side = min(7.0, max(3.4, 1.6 + 0.42 * n)) if n <= CELLS else 5.6
    figure, axes = plt.subplots(figsize=(side + 0.9, side))
    axes.grid(visible=False)
    # Of many classes the few mistakes are what is to be seen.
    norm = require("matplotlib.colors", "plot").PowerNorm(1 if n <= CELLS else 0.4, 0, 1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    if n <= CELLS:
        names = [printable(c, 16) for c in classes] or [str(i) for i in range(n)]
        long = max(map(len, names)) > 3
        axes.set_xticks(range(n), names, rotation=90 if long else 0)
        axes.set_yticks(range(n), names)
        for i, row in enumerate(matrix.tolist()):
            for j, count in enumerate(row):
                if count:
                    ink = "white" if shares[i][j] > 0.55 else "black"
                    axes.text(j, i, f"{count:,}", ha="center", va="center", color=ink, fontsize=7)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the label's images")
    bar.outline.set_visible(False)
    return saved(plt, figure, form)


def of_reliability(found: Reliability, form: str) -> bytes:
    """A reliability diagram: accuracy over confidence in bins, and how many images each bin has.

    Guo et al. 2017, figure 1. Raises `no-picture`, `missing-package`.
    """
    check_form(form)
    plt = pyplot()
    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(4.6, 5.0), sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    bins = len(found.images)
    middles = [(i + 0.5) / bins for i in range(bins)]
    used = [i for i in range(bins) if found.images[i]]
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=(0, (4, 3)))
    width = 0.92 / bins
    axes.bar(
        [middles[i] for i in used],
        [found.accuracy[i] for i in used],
        width,
        color=COLOURS[0],
        alpha=0.45,
    )
    for i in used:  # from how sure it is to how often it is right
        sure = found.confidence[i]
        axes.plot([sure, sure], sorted((sure, found.accuracy[i])), color=COLOURS[1], lw=1.6)
    axes.set_ylabel("share that is right")
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.set_title(
        f"expected calibration error {found.ece:.2f} points\ndashed: as often right as sure; orange: the gap"
    )
    below.bar(middles, found.images, width, color=COLOURS[0], alpha=0.45)
    below.set_ylabel("images")
    below.set_xlabel("confidence")
    return saved(plt, figure, form)
