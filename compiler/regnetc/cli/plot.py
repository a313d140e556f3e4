"""`regnetc plot`: networks against their lines, and what populations are made of."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from . import console
from .members import members_of
from .outputs import may_write
from .space import histogram
from .targets import find

if TYPE_CHECKING:
    from ..network import Network
    from ..plots.curves import Sample, Widths

_MOST = 100  # networks in one picture of widths
_NAMED = 6  # networks that a terminal tells apart
_SIGNS = "oxv*#+"
_WIDEST = 100


@click.command("plot")
@click.argument("targets", nargs=-1, required=True, metavar="FILE[:NAME]|POP[#N]...")
@click.option(
    "--what", type=click.Choice(["widths", "counts", "edf"]),
    help="Widths over blocks, histograms or distribution functions of counts.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
    help="Picture to write: .png, .svg or .pdf. Without it the terminal shows one.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@click.option(
    "--json", "as_json", is_flag=True, help="The data of the picture as one JSON document."
)
def command(
    targets: tuple[str, ...], what: str | None, out: Path | None, force: bool, as_json: bool
) -> None:
    """Draw networks with the line that they are quantised from, or the counts of populations.

    \b
    Networks show their widths (solid) and u = w0 + wa j (dashed), equation 2; one that was written
    stage by stage shows the line that `regnetc fit` finds. In populations a network weighs as often
    as it was drawn. Files need matplotlib: pip install 'regnetc[plot]'.

    \b
    regnetc plot spec/x400mf.regnet spec/x1_6gf.regnet
    regnetc plot pop/x400 -o x400.png
    regnetc plot pop/a pop/b --what edf -o edf.svg
    """
    if out is not None:
        _check_form(out, force=force)
    populations = [t for t in targets if members_of(t) is not None and "#" not in t]
    what = what or ("counts" if len(populations) == len(targets) else "widths")
    if what == "widths":
        curves, title = _curves(targets)
        if out is not None:
            from ..plots.figure import of_widths

            _write(out, of_widths(curves, out.suffix, title))
        if as_json:
            console.say_json([c._asdict() for c in curves])
        elif out is None:
            _show_widths(curves, title)
        return
    if len(populations) < len(targets):
        other = next(t for t in targets if t not in populations)
        raise Problem(
            "no-population", f"`{printable(other)}` is no population, and only those have a distribution",
            help="`regnetc sample` draws one",
        )  # fmt: skip
    samples = _samples(populations)
    if out is not None:
        from ..plots.figure import of_counts, of_edf

        _write(out, (of_edf if what == "edf" else of_counts)(populations, samples, out.suffix))
    if as_json:
        console.say_json({count: [s._asdict() for s in rows] for count, rows in samples.items()})
    elif out is None:
        (_show_edf if what == "edf" else _show_counts)(samples)


def _check_form(out: Path, *, force: bool) -> None:
    """Whether the picture can be written at all, before any work is done for it."""
    from ..plots.curves import FORMS

    if out.suffix not in FORMS:
        raise Problem(
            "no-picture", f"`{printable(str(out))}` does not end like a picture",
            help="let it end in `.png`, `.svg` or `.pdf`",
        )  # fmt: skip
    may_write(out, force=force)


def _write(out: Path, data: bytes) -> None:
    files.make_folder(out.parent)
    files.write(out, data)
    click.echo(f"wrote {printable(str(out))}", err=True)


# What is drawn.


def _curves(targets: Sequence[str]) -> tuple[list[Widths], str]:
    """Widths of all that is named, and what they are called together."""
    from ..plots.curves import widths

    networks: list[Network] = []
    left = 0
    for target in targets:
        numbers = members_of(target)
        if numbers is None:
            found = find(target)
            if found.network is None:
                raise Problem(
                    "not-one", f"`{printable(target)}` is a space, not one network",
                    help="draw a population with `regnetc sample`, and plot that",
                )  # fmt: skip
            networks.append(found.network)
            continue
        from ..spaces import store

        population = store.read(numbers[0])
        shown = numbers[1][:_MOST]
        networks += [population.network(n) for n in shown]
        left += len(numbers[1]) - len(shown)
    if len(networks) > _MOST:
        raise Problem(
            "too-many", f"{len(networks):,} networks are more than the {_MOST} that one picture holds",
            help="`--what counts` shows populations",
        )  # fmt: skip
    first = (
        f"the first {len(networks):,} of {len(networks) + left:,}" if left else f"{len(networks):,}"
    )
    return [widths(n) for n in networks], f"{first} networks"


def _samples(populations: Sequence[str]) -> dict[str, list[Sample]]:
    from ..plots.curves import COUNTS, sample
    from ..spaces import store

    out: dict[str, list[Sample]] = {count: [] for count in COUNTS}
    for target in populations:
        population = store.read(Path(target))
        columns = population.columns()
        for count, (name, _, _) in COUNTS.items():
            times = columns["multiplicity"].tolist()
            out[count].append(sample(target, columns[name].tolist(), times))
    return out


# In characters.


def _width() -> int:
    return max(40, min(_WIDEST, shutil.get_terminal_size((80, 24)).columns) - 16)


def _echo(rows: Sequence[str]) -> None:
    for row in rows:
        click.echo(row)


def _show_widths(curves: Sequence[Widths], title: str) -> None:
    from ..plots.characters import Axis, Marks, chart

    told = len(curves) <= _NAMED
    marks = [Marks(".", list(enumerate(curve.line))) for curve in curves if told]
    signs = _SIGNS if told else "o" * len(curves)
    marks += [Marks(sign, list(enumerate(c.w))) for sign, c in zip(signs, curves, strict=False)]
    heights = [h for m in marks for _, h in m.points]
    x = Axis(0, max(1, *(len(c.w) - 1 for c in curves)), "block j")
    y = Axis(min(heights) / 1.1, max(heights) * 1.1, "width, in channels", log=True)
    _echo(chart(marks, x, y, width=_width()))
    if not told:
        click.echo(title)
        return
    for k, curve in enumerate(curves):
        off = f", e_fit = {curve.error:.4f}" if curve.error else ""
        click.echo(f"{_SIGNS[k]}  {curve.name}: {curve.label}{off}")
    click.echo(".  u = w0 + wa j")


def _show_counts(samples: dict[str, list[Sample]]) -> None:
    from ..plots.curves import COUNTS, binned

    table = console.table()
    for column in ("population", "count", "least", "", "largest"):
        table.add_column(column, justify="right" if column in ("least", "largest") else "left")
    for count, rows in samples.items():
        _, unit, label = COUNTS[count]
        edges, shares = binned(rows, _width() // 2)
        for row, bars in zip(rows, shares, strict=True):
            table.add_row(
                printable(row.name, 40),
                label,
                f"{edges[0] / unit:.4g}",
                histogram(bars),
                f"{edges[-1] / unit:.4g}",
            )
    console.rich_console().print(table)


def _show_edf(samples: dict[str, list[Sample]]) -> None:
    from ..plots.characters import Axis, Marks, chart
    from ..plots.curves import COUNTS

    for count, rows in samples.items():
        _, unit, label = COUNTS[count]
        marks = [
            Marks(
                _SIGNS[k % len(_SIGNS)],
                [(v / unit, s) for v, s in zip(row.values, row.shares, strict=True)],
            )
            for k, row in enumerate(rows)
        ]
        low, high = min(r.values[0] for r in rows) / unit, max(r.values[-1] for r in rows) / unit
        _echo(
            chart(
                marks,
                Axis(low, high, label),
                Axis(0, 1, "share of draws"),
                width=_width(),
                height=11,
            )
        )
        click.echo()
    for k, row in enumerate(next(iter(samples.values()))):
        click.echo(f"{_SIGNS[k % len(_SIGNS)]}  {printable(row.name, 60)}")
