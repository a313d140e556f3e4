"""`regnetc scale`: a network at another cost."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import printable
from ..network import Network
from ..scaling import HOW, TOLERANCE, Factors, Scaled, scale
from ..writing import as_spec
from . import console
from .outputs import check_spec, write_spec
from .targets import find

_UNITS = {"": 1, "KF": 10**3, "MF": 10**6, "GF": 10**9}
_LOW, _HIGH = 10**6, 10**14  # flops


def _cost(ctx: click.Context, option: click.Parameter, value: str) -> tuple[Fraction, bool]:
    """Flops such as 1.6GF, or how many times as many, such as x2: a number, and whether it multiplies."""
    found = re.fullmatch(r"(x?)([0-9]{1,6}(?:\.[0-9]{1,6})?)((?:[KMG]F)?)", value)
    if found is None or bool(found[1]) == bool(found[3]) or not Fraction(found[2]):
        message = f"`{printable(value, 40)}` is no cost; write 1.6GF, or x2 for twice as much"
        raise click.BadParameter(message, ctx, option)
    return Fraction(found[2]) * _UNITS[found[3]], bool(found[1])


@click.command("scale")
@click.argument("target", metavar="FILE[:NAME]")
@click.option(
    "--to", callback=_cost, required=True, help="Flops (pycls): 1.6GF, or x2 for twice as many."
)
@click.option(
    "--how", type=click.Choice(list(HOW)), default="dWr", show_default=True,
    help="What grows: depth d, width w, resolution r; in dWr mostly the width.",
)  # fmt: skip
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the network as a spec.",
)
@click.option("--force", is_flag=True, help="Replace the spec that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    target: str, to: tuple[Fraction, bool], how: str, out: Path | None, force: bool, as_json: bool
) -> None:
    """Scale a network as in "Fast and Accurate Model Scaling", to within 1% of a cost.

    \b
    Depth, width and resolution grow by factors d, w and r with d w^2 r^2 the ratio of flops; groups
    grow with the width. Rounding moves a network off its target; the factors nearest to the ideal
    ones are taken that land on it. Exit 1 where none does: the nearest network is shown.

    \b
    regnetc scale spec/x400mf.regnet --to 1.6GF
    regnetc scale spec/x400mf.regnet --to x4 --how dwr -o mine.regnet
    """
    network = find(target).network
    if network is None:
        raise Problem(
            "not-one", f"`{printable(target)}` is a space, not one network",
            help="name a model, or a member of a population",
        )  # fmt: skip
    number, times = to
    flops = round(number * network.counts.pycls) if times else round(number)
    if not _LOW <= flops <= _HIGH:
        raise Problem(
            "out-of-reach", f"{flops:,} flops are beyond what is scaled to",
            help=f"choose between {_LOW:,} and {_HIGH:,}",
        )  # fmt: skip
    if out is not None:
        check_spec(out)
    found = scale(network, flops, how)
    if found.hit and out is not None:
        name = f"{network.name}-{how}-{_short(flops)}"
        doc = f"{network.name} scaled to {_short(flops)} by {how}."
        write_spec(out, as_spec(found.network, name, doc), force=force)
    if as_json:
        console.say_json(_data(network, found, how))
    else:
        _say(network, found, how)
    if not found.hit:
        raise Problem(
            "out-of-reach", f"no {_grown(how)} of `{network.name}` comes within {float(TOLERANCE):.0%} of {flops:,} flops",
            details=(f"the nearest that was found has {found.network.counts.pycls:,}, {found.miss:+.2%}",),
            help="let more grow (`--how dWr`), or aim at what the nearest has",
        )  # fmt: skip
    if out is not None and not as_json:
        click.echo(f"wrote {printable(str(out))}")


def _grown(how: str) -> str:
    words = {"d": "depth", "w": "width", "r": "resolution"}
    return " and ".join(words[letter.lower()] for letter in how)


def _short(flops: int) -> str:
    """Flops as the paper writes them in names: 400MF, 1.6GF; five digits at most."""
    unit, name = (10**9, "GF") if flops >= 10**9 else (10**6, "MF")
    return f"{float(f'{flops / unit:.5g}'):.10g}{name}"


def _data(before: Network, s: Scaled, how: str) -> dict[str, Any]:
    return {
        "name": before.name, "how": how, "target": s.target, "miss": s.miss, "hit": s.hit,
        "ideal": s.ideal._asdict(), "actual": s.actual._asdict(), "network": ir.to_data(s.network),
    }  # fmt: skip


def _say(before: Network, s: Scaled, how: str) -> None:
    out, after = console.rich_console(), s.network
    out.print(f"{before.name} by {how} to {s.target:,} flops", style="bold")
    out.print(_factors(s.ideal, s.actual))
    out.print()
    table = console.table()
    table.add_column("")
    for column in (before.name, "scaled"):
        table.add_column(column, justify="right")
    for name in ("w", "d", "g"):
        rows = (", ".join(str(getattr(x, name)) for x in n.stages) for n in (before, after))
        table.add_row(f"{name}[i]", *rows)
    table.add_row("image", str(before.image), str(after.image))
    for name in ("pycls", "params", "acts"):
        shown = "flops" if name == "pycls" else name
        table.add_row(shown, *(f"{getattr(n.counts, name):,}" for n in (before, after)))
    out.print(table)
    out.print()
    out.print(f"{after.counts.pycls:,} flops (pycls) are {s.miss:+.2%} off the target")


def _factors(ideal: Factors, actual: Factors) -> Any:
    table = console.table()
    for column in ("factor", "ideal", "after rounding"):
        table.add_column(column, justify="left" if column == "factor" else "right")
    names = {"d": "depth d", "w": "width w", "r": "resolution r", "g": "group width"}
    for key, x, y in zip(names, ideal, actual, strict=True):
        table.add_row(names[key], f"{x:.3f}", f"{y:.3f}")
    return table
