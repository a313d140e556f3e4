"""`regnetc zoo`: the shipped networks, and every published number against ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import library
from ..diagnostics import printable
from ..driver import check_file
from ..network import Network
from ..published import Reconciled, reconcile
from . import console

_MARKS = {"agrees": "green", "differs": "bold red", "erratum": "yellow"}


@click.group("zoo", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the shipped networks; `zoo verify` recounts every published row.

    \b
    regnetc zoo
    regnetc zoo verify
    """
    if ctx.invoked_subcommand is not None:
        return
    networks = list(shipped())
    if as_json:
        console.say_json([_data(path, n) for path, n in networks])
        return
    table = console.table()
    for column in ("spec", "network", "params", "flops (pycls)", "acts", "top-1", "stages"):
        table.add_column(
            column, justify="left" if column in ("spec", "network", "stages") else "right"
        )
    for path, n in networks:
        top1 = next(
            (dict(r.printed)["top1"] for r in n.published if "top1" in dict(r.printed)), "-"
        )
        stages = ", ".join(f"{s.d} x {s.w}" for s in n.stages)
        table.add_row(
            path.name,
            n.name,
            f"{n.counts.params:,}",
            f"{n.counts.pycls:,}",
            f"{n.counts.acts:,}",
            top1,
            stages,
        )
    console.rich_console().print(table)


def shipped() -> list[tuple[Path, Network]]:
    """Every network of the shipped library with its spec, by cost."""
    found = [
        (Path(path), r.network)
        for path in library.specs()
        for r in check_file(path).resolutions.values()
    ]
    return sorted(found, key=lambda item: (item[1].counts.macs, item[1].name))


def _data(path: Path, n: Network) -> dict[str, Any]:
    return {
        "spec": path.name,
        "name": n.name,
        "image": n.image,
        "counts": n.counts.as_dict(),
        "published": [{"source": r.source, **dict(r.printed)} for r in n.published],
    }


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(as_json: bool) -> None:
    """Recount every published row and say where it agrees, differs, or is wrong at its source.

    Exit 1 if a row differs without an erratum.
    """
    rows = [(n, row) for _, n in shipped() for row in reconcile(n)]
    differs = any(row.verdict == "differs" for _, row in rows)
    if as_json:
        console.say_json([{"name": n.name, **row._asdict()} for n, row in rows])
    else:
        _print(rows)
    sys.exit(console.PROBLEMS if differs else console.OK)


def _print(rows: list[tuple[Network, Reconciled]]) -> None:
    from rich.text import Text

    out = console.rich_console()
    table = console.table()
    for column in ("network", "source", "field", "counting", "printed", "ours", "verdict"):
        table.add_column(column, justify="right" if column in ("printed", "ours") else "left")
    for n, row in rows:
        verdict = Text(row.verdict, style=_MARKS[row.verdict])
        counting = row.counting if row.field == "flops" else "-"
        table.add_row(
            n.name,
            printable(row.source, 60),
            row.field,
            counting,
            row.printed,
            f"{row.ours:,}",
            verdict,
        )
    out.print(table)
    for n, row in rows:
        if row.verdict == "erratum":
            out.print(f"{n.name}, {row.field}: {printable(row.erratum, 400)}")
    tally = {v: sum(row.verdict == v for _, row in rows) for v in ("agrees", "erratum", "differs")}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in tally.items() if count))
