"""`regnetc fit`: the quantised line that describes a network, and how well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from regnetc_runtime.problems import Problem

from ..canonical import number
from ..diagnostics import printable
from ..fitting import LineFit, fit, shared
from ..network import Network
from ..writing import Line, as_spec
from . import console
from .members import each, member, members_of
from .outputs import write_spec
from .progress import bar
from .targets import find

_AT_ONCE = 4  # members to a task


@click.command("fit")
@click.argument("target", metavar="FILE[:NAME]|POP[#N]")
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the network of the line as a spec.",
)  # fmt: skip
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
    help="Processes that fit a population.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the spec that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(target: str, out: Path | None, jobs: int, force: bool, as_json: bool) -> None:
    """Find the line (d, w0, wa, wm) that describes a network, and the error e_fit of section 3.3.

    \b
    e_fit is the mean, over the blocks, of |ln(predicted width / observed width)|. A line that gives
    exactly the network is found where there is one; else the nearest. Of a population every member
    is fitted.

    \b
    regnetc fit spec/x400mf.regnet
    regnetc fit mine.regnet -o line.regnet
    regnetc fit pop/x400 -j 2
    """
    numbers = members_of(target)
    if numbers is not None and len(numbers[1]) != 1:
        if out is not None:
            raise Problem(
                "not-one", "`-o` writes the line of one network",
                help=f"name a member: `{printable(target)}#0`",
            )  # fmt: skip
        _population(*numbers, jobs, as_json=as_json)
        return
    network = _network(target)
    found = fit(network)
    if out is not None:
        write_spec(out, _line_spec(network, found), force=force)
    if as_json:
        console.say_json(_data(network, found))
    else:
        _say(network, found)
        if out is not None:
            click.echo(f"wrote {printable(str(out))}")


def _network(target: str) -> Network:
    found = find(target)
    if found.network is None:
        raise Problem(
            "not-one", f"`{printable(target)}` is a space, not one network",
            help="draw a population with `regnetc sample`, and fit that",
        )  # fmt: skip
    return found.network


def _line_spec(network: Network, found: LineFit) -> str:
    """The line as a model. Raises Problem for a network whose stages share no groups."""
    groups = shared(network)
    if groups is None:
        raise Problem(
            "groups-differ", f"the stages of `{network.name}` differ in `b` or `g`, those of a RegNet do not",
            help="leave `-o` out to see the line of its widths alone",
        )  # fmt: skip
    line = Line(found.d, found.w0, found.wa, found.wm, *groups)
    if found.exact:
        doc, name = f"The line of {network.name}, exactly.", network.name
    else:
        doc = f"The line nearest to {network.name}: e_fit = {found.error:.4f}."
        name = f"{network.name}-fit"
    many = len(set(found.predicted))
    nearest = network if found.exact else network._replace(stages=network.stages[:1] * many)
    if not found.exact and len({s.stride for s in network.stages}) > 1:
        raise Problem(
            "strides-differ", f"the stages of `{network.name}` differ in `stride`, and the line has other stages",
            help="leave `-o` out to see the line",
        )  # fmt: skip
    return as_spec(nearest, name, doc, line)


def _data(network: Network, found: LineFit) -> dict[str, Any]:
    return {
        "name": network.name, "d": found.d, "w0": found.w0, "wa": float(found.wa), "wm": float(found.wm),
        "e_fit": found.error, "exact": found.exact,
        "observed": [s.w for s in network.stages for _ in range(s.d)], "predicted": list(found.predicted),
    }  # fmt: skip


def _line(found: LineFit) -> str:
    wa, wm = number(Fraction(found.wa)), number(Fraction(found.wm))
    return f"d = {found.d}, w0 = {found.w0}, wa = {wa}, wm = {wm}"


def _say(network: Network, found: LineFit) -> None:
    out = console.rich_console()
    out.print(f"{network.name}: {_line(found)}", style="bold")
    verdict = "the nearest line that was found"
    if found.exact:
        verdict = "the line gives exactly this network"
    elif not found.error:
        verdict = "the line has all its widths, but no two stages of the same"
    out.print(f"e_fit = {found.error:.4f}: {verdict}")
    written = {k: v for k, v in network.parameters if k in ("w0", "wa", "wm")}
    if found.exact and written and written != {"w0": found.w0, "wa": found.wa, "wm": found.wm}:
        shown = ", ".join(f"{k} = {v}" for k, v in written.items())
        out.print(f"It was written with {shown}: many lines give one network.")
    table = console.table()
    for column in ("blocks", "observed", "on the line", "ratio"):
        table.add_column(column, justify="right")
    for blocks, observed, predicted in _runs(network, found):
        table.add_row(blocks, f"{observed:,}", f"{predicted:,}", f"{predicted / observed:.3f}")
    out.print()
    out.print(table)


def _runs(network: Network, found: LineFit) -> Iterator[tuple[str, int, int]]:
    """Runs of blocks with the same widths, observed and predicted; blocks count from 1."""
    observed = [s.w for s in network.stages for _ in range(s.d)]
    pairs = list(zip(observed, found.predicted, strict=True))
    first = 0
    for k in range(1, len(pairs) + 1):
        if k == len(pairs) or pairs[k] != pairs[first]:
            yield (f"{first + 1}-{k}" if k > first + 1 else str(k)), *pairs[first]
            first = k


def _population(folder: Path, numbers: range, jobs: int, *, as_json: bool) -> None:
    found: list[LineFit] = []
    with bar("fitting") as tell:
        for done, one in enumerate(each(_fit_member, folder, numbers, jobs, _AT_ONCE), 1):
            found.append(one)
            tell(done, len(numbers), "")
    errors = sorted(f.error for f in found)
    exact = sum(f.exact for f in found)
    if as_json:
        rows = [
            {"member": n, "d": f.d, "w0": f.w0, "wa": float(f.wa), "wm": float(f.wm), "e_fit": f.error, "exact": f.exact}
            for n, f in zip(numbers, found, strict=True)
        ]  # fmt: skip
        console.say_json({"folder": str(folder), "exact": exact, "members": rows})
        return
    out = console.rich_console()
    out.print(
        f"{printable(str(folder))}: {len(found):,} networks, {exact:,} of them exactly on a line"
    )
    quantiles = ", ".join(f"{name} {_quantile(errors, q):.4f}" for name, q in _QUANTILES)
    out.print(f"e_fit: {quantiles}")
    worst = max(range(len(found)), key=lambda k: (found[k].error, -k))
    if found[worst].error > 0:
        out.print(f"farthest from a line: `regnetc fit {printable(str(folder))}#{numbers[worst]}`")


_QUANTILES = (("least", 0.0), ("median", 0.5), ("90%", 0.9), ("largest", 1.0))


def _quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[round(q * (len(ordered) - 1))]


def _fit_member(number: int) -> LineFit:
    return fit(member(number))
