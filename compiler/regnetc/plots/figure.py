"""The same in pictures: PNG, SVG and PDF by matplotlib, the same bytes from the same data."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from regnetc_runtime.problems import require

from .curves import COUNTS, Sample, Widths, binned

_STYLE = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.6, "legend.frameon": False, "savefig.dpi": 160, "figure.constrained_layout.use": True,
    "svg.hashsalt": "regnetc", "svg.fonttype": "path", "text.parse_math": False,
}  # fmt: skip
# Okabe and Ito's colours, which the colour-blind can tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_NAMED = 6  # curves that get a colour and a name of their own
_BINS = 32


def of_widths(curves: Sequence[Widths], form: str, title: str) -> bytes:
    """Width against block index, as in figures 8 and 9 of the paper: points, steps, and u dashed."""
    plt = _matplotlib()
    ticker = require("matplotlib.ticker", "plot")
    figure, axes = plt.subplots(figsize=(6.4, 4.0))
    many = len(curves) > _NAMED  # too many to tell apart, and for their lines
    for k, curve in enumerate(curves):
        blocks = range(len(curve.w))
        colour = _COLOURS[k % len(_COLOURS)] if not many else _COLOURS[0]
        faint = max(0.08, min(0.8, 12 / len(curves))) if many else 1.0
        if not many:
            axes.plot(
                blocks,
                curve.line,
                color=colour,
                linestyle=(0, (4, 3)),
                linewidth=1.2,
                alpha=0.6 * faint,
            )
        axes.plot(
            blocks, curve.w, color=colour, drawstyle="steps-mid", linewidth=1.2, alpha=faint,
            marker=None if many else "o", markersize=3.5, label=None if many else _title(curve),
        )  # fmt: skip
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_xlabel("block index j")
    axes.set_ylabel("width, in channels")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    if many:
        axes.set_title(title, fontsize=10)
    else:
        axes.legend(
            loc="lower right",
            fontsize=8,
            title="dashed: u = w0 + wa j",
            title_fontsize=8,
        )
    return _saved(plt, figure, form)


def _title(curve: Widths) -> str:
    off = f", e_fit = {curve.error:.3f}" if curve.error else ""
    return f"{curve.name}: {curve.label}{off}"


def of_counts(names: Sequence[str], samples: dict[str, list[Sample]], form: str) -> bytes:
    """A histogram for each count, one colour for each population."""
    plt = _matplotlib()
    figure, panels = plt.subplots(1, len(samples), figsize=(3.4 * len(samples), 3.0), sharey=True)
    for axes, (count, rows) in zip(panels, samples.items(), strict=True):
        _, unit, label = COUNTS[count]
        edges, shares = binned(rows, _BINS)
        for k, row in enumerate(shares):
            colour = _COLOURS[k % len(_COLOURS)]
            axes.stairs(
                [100 * s for s in row],
                [e / unit for e in edges],
                color=colour,
                fill=True,
                alpha=0.3,
            )
            axes.stairs(
                [100 * s for s in row], [e / unit for e in edges], color=colour, label=names[k]
            )
        axes.set_xlabel(label)
    panels[0].set_ylabel("% of draws")
    _name_all(figure, panels[0], names)
    return _saved(plt, figure, form)


def of_edf(names: Sequence[str], samples: dict[str, list[Sample]], form: str) -> bytes:
    """Empirical distribution functions, as in section 3.1: the share of draws up to each value."""
    plt = _matplotlib()
    figure, panels = plt.subplots(1, len(samples), figsize=(3.4 * len(samples), 3.0), sharey=True)
    for axes, (count, rows) in zip(panels, samples.items(), strict=True):
        _, unit, label = COUNTS[count]
        for k, row in enumerate(rows):
            x = [row.values[0] / unit, *(v / unit for v in row.values)]
            axes.step(
                x, [0, *row.shares], where="post", color=_COLOURS[k % len(_COLOURS)], label=names[k]
            )
        axes.set_xlabel(label)
        axes.set_ylim(0, 1.02)
    panels[0].set_ylabel("cumulative share of draws")
    _name_all(figure, panels[0], names)
    return _saved(plt, figure, form)


def _name_all(figure: Any, axes: Any, names: Sequence[str]) -> None:
    """One legend above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    columns = min(4, math.ceil(len(names)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=8)


def _matplotlib() -> Any:
    """pyplot, drawing into memory, in our style whatever the user's own says."""
    matplotlib = require("matplotlib", "plot")
    matplotlib.use("Agg", force=True)
    plt = require("matplotlib.pyplot", "plot")
    matplotlib.rcdefaults()
    matplotlib.use("Agg", force=True)
    matplotlib.rcParams.update(_STYLE)
    return plt


def _saved(plt: Any, figure: Any, form: str) -> bytes:
    """The picture as bytes; it does not say when or by which version it was made."""
    unsigned = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    out = io.BytesIO()
    figure.savefig(out, format=form.removeprefix("."), metadata=unsigned[form])
    plt.close(figure)
    return out.getvalue()
