"""`regnetc runs`: what has been trained, what is being trained, and how it went."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem, some
from regnetc_runtime.problems import printable as shortened

from ..diagnostics import printable
from . import console
from .outputs import may_write

if TYPE_CHECKING:
    from regnetc_runtime.evaluation.runs import Group, Listing, Run

_FIELDS = 5  # of a recipe in one row
_NUMBERS = re.compile("([0-9]+)")
_NAMING = 2  # of them in the name of a curve
_WARNINGS = 8  # shown
_REFRESH_S = 1.0


@click.command("runs")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR|RUN]...")
@click.option(
    "--sort", "order", type=click.Choice(["name", "top1", "loss", "time"]), default="name", show_default=True,
    help="Order of the rows; top1 and loss are those of the validation part, best first.",
)  # fmt: skip
@click.option("--follow", is_flag=True, help="On a terminal, show the table anew every second.")
@click.option(
    "--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Draw the curves of all runs into a .png, .svg or .pdf.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    places: tuple[Path, ...],
    order: str,
    follow: bool,
    picture: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """List the runs in folders [runs], each with what sets its recipe apart from the others'.

    \b
    Runs that differ in nothing but the seed (and the machine) are summed up by their mean and sample
    standard deviation. What is no run is named and left out. Ctrl-C leaves --follow.

    \b
    regnetc runs
    regnetc runs --sort top1 --follow
    regnetc runs runs/a runs/b --plot curves.png
    """
    from regnetc_runtime.evaluation import runs

    where = places or (Path("runs"),)
    if follow and as_json:
        raise click.UsageError("say either --follow or --json")
    if picture is not None:
        _draw(runs.find(where), picture, force=force)
        return
    if follow and sys.stdout.isatty():
        _follow(where, order)
        return
    listing = runs.find(where)
    if as_json:
        console.say_json(_data(listing, order))
        return
    _warn(listing)
    console.rich_console().print(_table(listing, order))


def _follow(places: Sequence[Path], order: str) -> None:
    from regnetc_runtime.evaluation import runs
    from rich.live import Live

    listing = runs.find(places)
    with Live(_table(listing, order), console=console.rich_console(), auto_refresh=False) as live:
        try:
            while True:
                live.update(_table(listing, order), refresh=True)
                time.sleep(_REFRESH_S)
                listing = runs.find(places, listing.runs)
        except KeyboardInterrupt:
            pass
    _warn(listing)


def _warn(listing: Listing) -> None:
    said = [*listing.others.values(), *(note for run in listing.runs for note in run.notes)]
    for warning in said[:_WARNINGS]:
        console.say_warning(warning)
    if len(said) > _WARNINGS:
        console.say_warning(f"{len(said) - _WARNINGS:,} more of the kind; --json says them all")


def _sorted(found: Sequence[Run], order: str) -> list[Run]:
    """The runs in order; what is not known comes last."""

    def worth(run: Run) -> tuple[float, list[str | int]]:
        value = {
            "top1": None if run.validation_top1 is None else -run.validation_top1,
            "loss": run.validation_loss,
            "time": run.seconds,
            "name": 0.0,
        }[order]
        parts = _NUMBERS.split(str(run.folder))  # so that x-9 comes before x-10
        natural = [int(p) if i % 2 else p for i, p in enumerate(parts)]
        return (math.inf if value is None else value), natural

    return sorted(found, key=worth)


def _table(listing: Listing, order: str) -> Any:
    """The runs, and below them the groups that have several seeds."""
    from regnetc_runtime.evaluation import runs
    from rich.console import Group as Stack

    if not listing.runs:
        return "no runs"
    fields = runs.differing(listing.runs)
    table = console.table()
    left = ("run", "network", "recipe", "state")
    for column in (*left[:3], "seed", "epochs", "state", "validation", "test", "time"):
        table.add_column(column, justify="left" if column in left else "right")
    for run in _sorted(listing.runs, order):
        table.add_row(
            shortened(run.folder, 60),
            printable(run.network, 40) or "-",
            _recipe(run, fields),
            "-" if run.seed is None else str(run.seed),
            f"{run.done:,}/{'?' if run.epochs is None else f'{run.epochs:,}'}",
            run.state or "-",
            _percent(run.validation_top1),
            _tested(run),
            "-" if run.seconds is None else duration(run.seconds),
        )
    groups = runs.groups(listing.runs)
    return Stack(table, "", _groups(groups, fields)) if groups else table


def _groups(groups: Sequence[Group], fields: Sequence[str]) -> Any:
    table = console.table()
    for column in ("over seeds", "network", "recipe", "validation", "test"):
        table.add_column(column, justify="right" if column in ("validation", "test") else "left")
    for group in groups:
        first = group.runs[0]
        seeds = sorted(run.seed for run in group.runs if run.seed is not None)
        table.add_row(
            f"{group.seeds} ({some(seeds, 6)})",
            printable(first.network, 40) or "-",
            _recipe(first, fields),
            _spread(group.validation_top1),
            _spread(group.test_top1),
        )
    return table


def _recipe(run: Run, fields: Sequence[str]) -> str:
    """The recipe's name, and in what it is not like the others."""
    name = printable(run.settings.get("name", "-"), 30)
    said = [f"{f} = {printable(run.settings.get(f, '-'), 30)}" for f in fields]
    if len(fields) > _FIELDS:  # recipes of different kinds: what was changed in each says more
        said = [printable(o, 60) for o in run.overrides[:_FIELDS]]
        said += [f"{len(run.overrides) - _FIELDS} more"] * (len(run.overrides) > _FIELDS)
    return f"{name}: {', '.join(said)}" if said else name


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}%"


def _tested(run: Run) -> str:
    if run.test_top1 is None or run.test_interval is None:
        return _percent(run.test_top1)
    low, high = run.test_interval
    return f"{run.test_top1:.2f}% ({low:.1f} to {high:.1f})"


def _spread(found: tuple[float, float] | None) -> str:
    return "-" if found is None else f"{found[0]:.2f} ± {found[1]:.2f}%"


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def _data(listing: Listing, order: str) -> dict[str, Any]:
    from regnetc_runtime.evaluation import runs

    return {
        "runs": [
            {
                "folder": printable(str(run.folder), 4_000), "name": run.name, "network": run.network,
                "state": run.state, "seed": run.seed, "recipe": dict(run.settings), "digests": dict(run.digests),
                "epochs_done": run.done, "epochs": run.epochs, "validation_top1": run.validation_top1,
                "validation_loss": run.validation_loss, "test_top1": run.test_top1,
                "test_interval": run.test_interval, "seconds": run.seconds, "notes": run.notes,
            }
            for run in _sorted(listing.runs, order)
        ],
        "differing": runs.differing(listing.runs),
        "groups": [
            {
                "runs": [printable(str(run.folder), 4_000) for run in group.runs], "seeds": group.seeds,
                "validation_top1": _mean(group.validation_top1), "test_top1": _mean(group.test_top1),
            }
            for group in runs.groups(listing.runs)
        ],
        "left_out": {printable(str(k), 4_000): v for k, v in listing.others.items()},
    }  # fmt: skip


def _mean(found: tuple[float, float] | None) -> dict[str, float] | None:
    return None if found is None else {"mean": found[0], "deviation": found[1]}


def _draw(listing: Listing, picture: Path, *, force: bool) -> None:
    """One colour for each kind of run, whose seeds are thin lines."""
    from regnetc_runtime.evaluation import pictures, runs

    pictures.check_form(picture.suffix)
    may_write(picture, force=force)
    _warn(listing)
    if not listing.runs:
        raise Problem("no-run", "there are no runs to draw")
    kinds: dict[str, dict[int | None, Run]] = {}
    for run in listing.runs:  # of two with the same seed, the first
        if run.points:
            kinds.setdefault(run.identity, {}).setdefault(run.seed, run)
    groups = [list(kind.values()) for kind in kinds.values()]
    names = _names(groups, runs.differing(listing.runs))
    curves = [
        pictures.Curve(name, [run.points for run in group])
        for name, group in zip(names, groups, strict=True)
    ]
    data = pictures.of_training(curves, picture.suffix)
    files.make_folder(picture.parent)
    files.write(picture, data)
    click.echo(f"wrote {printable(str(picture))}", err=True)


def _names(groups: Sequence[Sequence[Run]], fields: Sequence[str]) -> list[str]:
    """What curves are called: their runs, or with several seeds what sets their recipes apart."""
    plain = [group[0].name for group in groups]
    if not fields or len(groups) == 1 or all(len(group) == 1 for group in groups):
        return plain
    short = [f.rpartition(".")[2] for f in fields[:_NAMING]]
    found = [
        ", ".join(
            f"{s} {group[0].settings.get(f, '-')}" for s, f in zip(short, fields, strict=False)
        )
        for group in groups
    ]
    return found if len(set(found)) == len(found) else plain
