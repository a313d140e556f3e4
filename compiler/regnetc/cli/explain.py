"""`regnetc explain`: the derivation of each width and depth, with the paper's equations."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click
from regnetc_runtime.problems import Problem

from .. import regnet
from ..network import Network
from ..resolve import Resolution
from ..values import Quantity, shown
from . import console
from .targets import find


@click.command("explain")
@click.argument("target", metavar="FILE[:NAME]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(target: str, as_json: bool) -> None:
    """Show how each width and depth came about, with the paper's equation numbers.

    \b
    regnetc explain spec/x400mf.regnet
    """
    found = find(target)
    resolution = found.resolution
    if resolution is None:
        remedy = "name the spec of the network"
        if found.recipe is not None:
            remedy = (
                "`regnetc show` says what its values mean, `show --after scope` where they stand"
            )
        raise Problem("no-derivation", "only a model of a spec has a derivation", help=remedy)
    if as_json:
        console.say_json(_data(resolution))
    elif resolution.line is None:
        _say_written(resolution.network)
    else:
        _say_line(resolution, resolution.line)


def _data(r: Resolution) -> dict[str, Any]:
    blocks = []
    if r.line is not None:
        blocks = [{"u": b.u, "s": b.s, "k": b.k, "exact": b.exact, "w": b.w} for b in r.line.blocks]
    stages = []
    for i, (stage, fit) in enumerate(zip(r.network.stages, r.fits, strict=True)):
        quantized = r.line.w[i] if r.line is not None else None
        stages.append(
            {
                "quantized": quantized, "wanted_inner": fit.wanted, "multiple": fit.multiple,
                "inner": stage.inner, "g": stage.g, "w": stage.w, "d": stage.d,
            }
        )  # fmt: skip
    return {
        "name": r.network.name,
        "rounding": r.network.rounding,
        "blocks": blocks,
        "stages": stages,
    }


def _say_written(n: Network) -> None:
    out = console.rich_console()
    out.print(n.name, style="bold")
    out.print("Widths and depths are written out; each must split into its groups as it is.")
    for i, s in enumerate(n.stages, 1):
        out.print(
            f"  stage {i}: w = {s.w:,}, b = {s.b}, inside {s.inner:,} = {s.groups} groups of {s.g}; {s.d} blocks"
        )


def _say_line(r: Resolution, line: regnet.Line) -> None:
    out = console.rich_console()
    n = r.network
    p = dict(n.parameters)
    out.print(n.name, style="bold")
    out.print(f"d = {p['d']}, w0 = {p['w0']}, wa = {p['wa']}, wm = {p['wm']}")
    out.print()
    out.print(
        "Widths on the quantised line. Equation 2: u = w0 + wa * j. Equation 3: s = log(u / w0) / log(wm)."
    )
    out.print(
        "Equation 4: w = w0 * wm^k with k = round(s), to the nearest multiple of 8, halves to even."
    )
    out.print(_blocks_table(line))
    if line.skipped:
        powers = ", ".join(str(k) for k in line.skipped[:12])
        out.print(
            f"No block takes the powers {powers}: legal in a model, refused in the paper's spaces."
        )
    out.print()
    if n.rounding == "paper":
        out.print(
            "Widths that fit their groups (rounding = paper): inside w / b; the group width is clipped to it;"
        )
        out.print("then the nearest multiple of lcm(g, 1 / b), halves to even.")
    else:
        out.print(
            "Widths that fit their groups (rounding = torchvision): inside w / b; the group width is clipped to it;"
        )
        out.print(
            "then the nearest multiple of g, halves up, one more where that loses more than a tenth."
        )
    out.print(_stages_table(r, line))
    for text in _elsewhere(r, line):
        out.print(text)


def _blocks_table(line: regnet.Line) -> Any:
    table = console.table()
    for column in ("blocks j", "u (2)", "s (3)", "k", "w0 * wm^k (4)", "w"):
        table.add_column(column, justify="right")
    at = 0
    for _, run in groupby(line.blocks, key=lambda b: b.w):
        blocks = list(run)
        first, last = blocks[0], blocks[-1]
        span = str(at) if len(blocks) == 1 else f"{at}..{at + len(blocks) - 1}"
        u = f"{first.u:,.6g}" if len(blocks) == 1 else f"{first.u:,.6g} .. {last.u:,.6g}"
        s = f"{first.s:.3f}" if len(blocks) == 1 else f"{first.s:.3f} .. {last.s:.3f}"
        k = str(first.k) if first.k == last.k else f"{first.k} .. {last.k}"
        table.add_row(span, u, s, k, f"{first.exact:,.7g}", f"{first.w:,}")
        at += len(blocks)
    return table


def _stages_table(r: Resolution, line: regnet.Line) -> Any:
    table = console.table()
    for column in ("stage", "d", "w", "b", "w / b", "g", "multiple of", "inner", "w fitted"):
        table.add_column(column, justify="right")
    for i, (w, d, fit) in enumerate(zip(line.w, line.d, r.fits, strict=True), 1):
        b, g = r.values[("b", i)], r.values[("g", i)]
        clipped = f" (of {shown(g)})" if isinstance(g, Quantity) and g.value != fit.g else ""
        ratio = str(b.value) if isinstance(b, Quantity) else "-"
        changed = "" if fit.w == w else f" (from {w:,})"
        table.add_row(
            str(i), str(d), f"{w:,}", ratio, f"{fit.wanted:,}", f"{fit.g}{clipped}", str(fit.multiple),
            f"{fit.inner:,}", f"{fit.w:,}{changed}",
        )  # fmt: skip
    return table


def _elsewhere(r: Resolution, line: regnet.Line) -> list[str]:
    """What the other rounding rule would have built."""
    other: regnet.Rounding = "torchvision" if r.network.rounding == "paper" else "paper"
    said = []
    for i, (w, stage) in enumerate(zip(line.w, r.network.stages, strict=True), 1):
        b, g = r.values[("b", i)], r.values[("g", i)]
        if isinstance(b, Quantity) and isinstance(g, Quantity):
            theirs = regnet.fit(w, b.value, int(g.value), other)
            if theirs.w != stage.w:
                said.append(
                    f"Under rounding = {other}, stage {i} would have {theirs.w:,} channels instead of {stage.w:,}."
                )
    return said
