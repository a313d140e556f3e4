"""`regnetc zoo`: the shipped networks, and every published number against ours."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click
from regnetc_runtime.problems import Problem

from .. import zoo
from ..diagnostics import printable
from ..published import Reconciled, Verdict, reconcile
from ..syntax import read_literal
from ..zoo import Entry
from . import console
from .targets import named

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([KMG]F?)?")
_MARKS = {"agrees": "green", "differs": "bold red", "erratum": "yellow"}
_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "flops": lambda e: e.network.counts.pycls,
    "params": lambda e: e.network.counts.params,
    "acts": lambda e: e.network.counts.acts,
    "top1": lambda e: -(float(e.best[0].rstrip("%")) if e.best else 0.0),
    "name": lambda e: e.network.name.lower(),
}


class _Group(click.Group):
    """`zoo WORD` searches; `zoo show` and `zoo verify` are verbs of their own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            args = ["list", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--help" not in args and (not args or args[0].startswith("-")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("zoo", cls=_Group)
def command() -> None:
    """List and search the shipped networks; `zoo verify` recounts every published row.

    \b
    regnetc zoo
    regnetc zoo regnetx_004
    regnetc zoo --family Y --flops 3GF..5GF --sort top1
    regnetc zoo show x400mf
    regnetc zoo verify
    """


@command.command("list")
@click.argument("word", required=False)
@click.option(
    "--family",
    type=click.Choice(["X", "Y", "Z", "V"]),
    help="X, Y, Z, or V: Y in pre-activation order.",
)
@click.option("--source", metavar="NAME", help="Networks that this source publishes, such as timm.")
@click.option("--flops", metavar="A..B", help="Flops as pycls counts them, such as 300MF..500MF.")
@click.option("--params", metavar="A..B", help="Parameters, such as 4M..6M.")
@click.option(
    "--sort",
    "order",
    type=click.Choice([*_ORDERS]),
    default="flops",
    show_default=True,
    help="Order of the rows; top1 is the best published.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def listing(
    word: str | None,
    family: str | None,
    source: str | None,
    flops: str | None,
    params: str | None,
    order: str,
    as_json: bool,
) -> None:
    """List the shipped networks, or those whose names or sources hold a WORD."""
    few, many = _range(flops, "--flops"), _range(params, "--params")
    found = [
        e
        for e in zoo.entries()
        if (word is None or _has(e, word.lower()))
        and (family is None or e.family == family)
        and (source is None or any(source.lower() in r.row.source.lower() for r in e.rows))
        and (few is None or few[0] <= e.network.counts.pycls <= few[1])
        and (many is None or many[0] <= e.network.counts.params <= many[1])
    ]
    found.sort(key=_ORDERS[order])
    if as_json:
        console.say_json([_data(e) for e in found])
        return
    if not found:
        raise Problem(
            "unknown-network",
            "no shipped network is like that",
            help="`regnetc zoo` lists all of them",
        )
    console.rich_console().print(_table(found))


def _has(e: Entry, word: str) -> bool:
    """Whether anybody's name for the network, or the name of who publishes it, holds the word."""
    return any(word in n.lower() for n in (*e.names, *(r.row.source for r in e.rows)))


def _range(text: str | None, option: str) -> tuple[float, float] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split("..")]
    ends = [read_literal(part) if _NUMBER.fullmatch(part) else None for part in parts]
    if len(ends) != 2 or None in ends:
        raise click.UsageError(f"{option} is a range, such as 300M..500M")
    low, high = (float(end[0]) for end in ends if end is not None)
    if low > high:
        raise click.UsageError(f"{option} begins above its end")
    return low, high


def _table(found: Sequence[Entry]) -> Any:
    table = console.table()
    left = ("spec", "network", "by")
    for column in ("spec", "network", "params", "flops (pycls)", "acts", "top-1", "by"):
        table.add_column(column, justify="left" if column in left else "right")
    for e in found:
        counts = e.network.counts
        top1, source = "-", ""
        if e.best is not None:
            top1, source = e.best[0], f"{e.best[1].row.source} {e.best[1].recipe}".strip()
        table.add_row(
            e.stem, e.network.name, f"{counts.params:,}", f"{counts.pycls:,}", f"{counts.acts:,}", top1,
            printable(source, 30),
        )  # fmt: skip
    return table


def _data(e: Entry) -> dict[str, Any]:
    n = e.network
    return {
        "spec": f"{e.stem}.regnet", "name": n.name, "names": e.names, "family": e.family, "image": n.image,
        "counts": n.counts.as_dict(), "other_rounding": e.others,
        "published": [
            {"source": r.row.source, "name": r.name, "recipe": r.recipe, "image": r.row.image or n.image,
             "counting": r.row.counting, **dict(r.row.printed), "weights": r.weights, "sha256": r.sha256,
             "size": r.size, "licence": r.licence, "erratum": r.row.erratum, "resize": r.resize or None,
             "interpolation": r.interpolation or None, "mean": r.mean or None, "std": r.std or None}
            for r in e.rows
        ],
    }  # fmt: skip


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def show(name: str, as_json: bool) -> None:
    """One shipped network by any of its names, with every row that is published of it."""
    e = named(name)
    if as_json:
        console.say_json(_data(e))
        return
    out = console.rich_console()
    counts = e.network.counts
    out.print(f"{e.network.name}  (spec/{e.stem}.regnet)", style="bold")
    out.print(
        f"{counts.params:,} params, {counts.pycls:,} flops (pycls), {counts.acts:,} acts at {e.network.image} x {e.network.image}"
    )
    for line in e.others:
        out.print(line)
    out.print()
    table = console.table()
    for column in (
        "source",
        "name",
        "recipe",
        "image",
        "params",
        "flops",
        "top-1",
        "top-5",
        "licence",
    ):
        table.add_column(column)
    for r in e.rows:
        said = dict(r.row.printed)
        image = str(r.row.image or e.network.image)
        numbers = [said.get(k, "-") for k in ("params", "flops", "top1", "top5")]
        words = [printable(x, 40) or "-" for x in (r.row.source, r.name, r.recipe)]
        table.add_row(*words, image, *numbers, printable(r.licence, 20) or "-")
    out.print(table)
    for r in e.rows:
        if r.weights:
            out.print(f"{printable(r.row.source)}: {printable(r.weights, 400)}", soft_wrap=True)
        if r.row.erratum:
            out.print(f"erratum of {printable(r.row.source)}: {printable(r.row.erratum, 400)}")


class _Row(NamedTuple):
    entry: Entry
    row: Reconciled


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def verify(as_json: bool) -> None:
    """Recount every published row and say where it agrees, differs, or is wrong at its source.

    Exit 1 if a row differs without an erratum.
    """
    rows = [_Row(e, row) for e in zoo.entries() for row in reconcile(e.network)]
    differs = any(r.row.verdict == "differs" for r in rows)
    if as_json:
        console.say_json(
            {
                "rows": [{"name": r.entry.network.name, **r.row._asdict()} for r in rows],
                "errata": [{"name": n, "source": s, "erratum": t} for n, s, t in _errata()],
                "rounding": {e.network.name: e.others for e in zoo.entries() if e.others},
            }
        )
    else:
        _print(rows)
    sys.exit(console.PROBLEMS if differs else console.OK)


def _errata() -> list[tuple[str, str, str]]:
    """What is wrong at its source: the network, the source, and why."""
    return [
        (e.network.name, r.row.source, r.row.erratum)
        for e in zoo.entries()
        for r in e.rows
        if r.row.erratum
    ]


def _print(rows: Sequence[_Row]) -> None:
    from rich.text import Text

    out = console.rich_console()
    table = console.table()
    for column in ("network", "source", "field", "counting", "printed", "ours", "verdict"):
        table.add_column(column, justify="right" if column in ("printed", "ours") else "left")
    for entry, row in rows:
        verdict = Text(row.verdict, style=_MARKS[row.verdict])
        counting = row.counting if row.field == "flops" else "-"
        table.add_row(
            entry.network.name, printable(row.source, 60), row.field, counting, row.printed, f"{row.ours:,}", verdict,
        )  # fmt: skip
    out.print(table)
    _print_summary(rows)


def _print_summary(rows: Sequence[_Row]) -> None:
    """By source, then what is wrong and why, each reason once; then the networks that hang on rounding."""
    out = console.rich_console()
    table = console.table()
    verdicts: tuple[Verdict, ...] = ("agrees", "erratum", "differs")
    for column in ("source", *verdicts):
        table.add_column(column, justify="left" if column == "source" else "right")
    for source in dict.fromkeys(r.row.source for r in rows):
        mine = [r.row.verdict for r in rows if r.row.source == source]
        table.add_row(printable(source, 60), *(str(mine.count(v)) for v in verdicts))
    out.print(table)
    why: dict[tuple[str, str], dict[str, None]] = {}
    for name, source, text in _errata():
        why.setdefault((source, text), {})[name] = None
    for (source, text), of in why.items():
        names = [*of]
        which = (
            names[0] if len(names) == 1 else f"{len(names)} networks ({names[0]} to {names[-1]})"
        )
        out.print(f"erratum, {printable(source)}, {which}: {printable(text, 400)}")
    for e in zoo.entries():
        if e.others and e.network.rounding == "torchvision":
            out.print(
                f"another network than the paper's from the same parameters, {e.network.name}: {', '.join(e.others)}"
            )
    tally = {v: sum(r.row.verdict == v for r in rows) for v in verdicts}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in tally.items() if count))
