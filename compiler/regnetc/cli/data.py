"""`regnetc data`: look at a data set before a network is trained on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from . import console
from .outputs import may_write
from .progress import bar

if TYPE_CHECKING:
    from regnetc_runtime.data.check import Finding, Report, Spread
    from regnetc_runtime.data.layout import Found

SHOWN = 20  # files of a list, then "and N more"
PATH_CHARACTERS = 4_000


@click.group("data")
def command() -> None:
    """Look at data sets; `data check` finds what is wrong with one.

    \b
    regnetc data check /data/imagenet
    """


@command.command("check")
@click.argument("place", metavar="DIR")
@click.option(
    "--channels", type=click.Choice(["1", "3"]), default="3", show_default=True,
    help="Channels to decode to: 1 is grey.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), default=2, show_default=True,
    help="Threads that decode images.",
)  # fmt: skip
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
    help="Draw some images of some classes into a picture.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N",
    help="Look at N images of each part only, taken from all over it.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def check(
    place: str,
    channels: str,
    workers: int,
    sheet: Path | None,
    force: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Decode every image of a data set and say what is broken, odd, or would spoil a result.

    \b
    DIR is a folder with train/ and val/, a folder of class folders, tar shards (a folder, a pattern, an
    index or a URL), CIFAR's binary version, `digits` or `synthetic`. Ctrl-C ends it early and says what
    was seen. Exit 1 if a file cannot be read or the whole has a mistake; odd files are only named.

    \b
    regnetc data check /data/imagenet --workers 8
    regnetc data check photos --limit 1000 --sheet photos.png
    """
    from regnetc_runtime.data import check as checking
    from regnetc_runtime.data import layout

    if sheet is not None:
        if sheet.suffix.lower() != ".png":
            raise click.UsageError("--sheet is a .png")
        may_write(sheet, force=force)
        files.check_writable(sheet)
    with bar("looking at images") as progress:
        found = layout.find(place, int(channels), progress=progress)
        report = checking.check(found, workers=workers, limit=limit, progress=progress)
    if sheet is not None:
        _draw(found, sheet)
    if as_json:
        console.say_json(_data(report, sheet))
    else:
        _print(report, sheet)
    if report.stopped:
        sys.exit(130)
    sys.exit(console.OK if report.clean else console.PROBLEMS)


def _draw(found: Found, path: Path) -> None:
    from regnetc_runtime.data.sheet import contact_sheet

    if not found.parts:
        raise Problem("no-images", f"{printable(found.place)} has no images to draw")
    name, part = next(iter(found.parts.items()))
    title = f"{Path(found.place).name or found.place}, {name} part"
    files.write(path, contact_sheet(part, found.classes, title))


def _data(report: Report, sheet: Path | None) -> dict[str, Any]:
    """The report as JSON; what files are called is made printable."""
    said = asdict(report)
    said["place"] = printable(report.place, PATH_CHARACTERS)
    said["classes"] = [printable(c) for c in report.classes]
    for key in ("broken", "odd"):
        for finding in said[key]:
            finding["name"] = printable(finding["name"], PATH_CHARACTERS)
    for name, part in report.parts.items():
        said["parts"][name]["empty"] = part.empty
    return {**said, "clean": report.clean, "sheet": str(sheet) if sheet is not None else None}


def _print(report: Report, sheet: Path | None) -> None:
    out = console.rich_console()
    out.print(f"{printable(report.place)}  ({report.kind})", style="bold")
    out.print(f"{len(report.classes):,} classes: {_some_of(report.classes)}")
    out.print(f"digest {report.digest[:16]}")
    out.print()
    out.print(_table(report))
    out.print()
    for mistake in report.mistakes:
        console.say_error(mistake.name, mistake.message, _shown(mistake.details))
    _print_files(out, "cannot be read", report.broken, "bold red")
    _print_files(out, "odd, but can be read", report.odd, "yellow")
    for note in report.notes:
        out.print(f"note: {printable(note, 400)}")
    out.print(_verdict(report))
    if sheet is not None:
        out.print(f"wrote {printable(str(sheet))}")


def _table(report: Report) -> Any:
    table = console.table()
    columns = ("part", "images", "looked at", "a class", "empty classes", "width", "height", "KiB")
    for column in columns:
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, part in report.parts.items():
        counts = sorted(part.counts)
        middle = counts[len(counts) // 2]
        empty = _some_of([report.classes[i] for i in part.empty], 2) if part.empty else "-"
        table.add_row(
            name,
            f"{part.images:,}",
            f"{part.seen:,}",
            f"{counts[0]:,} / {middle:,} / {counts[-1]:,}",
            f"{len(part.empty):,} ({empty})" if part.empty else "none",
            _spread(part.width),
            _spread(part.height),
            _spread(part.size, 1024),
        )
    table.caption = "least / median / most"
    table.caption_justify = "left"
    return table


def _spread(spread: Spread | None, unit: int = 1) -> str:
    if spread is None:
        return "-"
    numbers = (n / unit for n in (spread.least, spread.median, spread.most))
    return " / ".join(f"{n:,.1f}" if unit > 1 and n < 10 else f"{n:,.0f}" for n in numbers)


def _print_files(out: Any, what: str, findings: Sequence[Finding], style: str) -> None:
    if not findings:
        return
    files_ = "file" if len(findings) == 1 else "files"
    out.print(f"{len(findings):,} {files_} {what}", style=style)
    for finding in findings[:SHOWN]:
        name = printable(finding.name, PATH_CHARACTERS)
        # A reason may begin with the name, which stands there already.
        begins = f"{printable(finding.name)} is no usable image: "
        reasons = (r.removeprefix(begins) for r in finding.reasons)
        out.print(f"  {name}: {'; '.join(reasons)}", soft_wrap=True)
    if len(findings) > SHOWN:
        out.print(f"  and {len(findings) - SHOWN:,} more (--json lists all)")
    out.print()


def _verdict(report: Report) -> str:
    seen = sum(p.seen for p in report.parts.values())
    whole = sum(p.images for p in report.parts.values())
    of = f"{seen:,} images" if seen == whole else f"{seen:,} of {whole:,} images"
    early = "stopped by Ctrl-C; " if report.stopped else ""
    problems = len(report.mistakes) + len(report.broken)
    said = "1 problem" if problems == 1 else f"{problems:,} problems" if problems else "no problems"
    return f"{early}{of} looked at in {report.seconds:.1f} s: {said}"


def _shown(details: Sequence[str]) -> list[str]:
    more = [f"and {len(details) - SHOWN:,} more"] if len(details) > SHOWN else []
    return [*details[:SHOWN], *more]


def _some_of(names: Sequence[str], shown: int = 4) -> str:
    """The first few, and the last, so that the order is seen."""
    listed = [printable(n, 40) for n in names]
    if len(listed) <= shown + 1:
        return ", ".join(listed)
    return f"{', '.join(listed[:shown])}, ... {listed[-1]}"
