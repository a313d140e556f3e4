"""`regnetc fmt`: the one layout."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from regnetc_runtime import files

from ..diagnostics import has_errors, in_order, printable
from ..fmt import format_text
from ..program import read_bytes
from ..scan import scan
from ..syntax import parse
from . import console


@click.command("fmt")
@click.argument("specs", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 1 where the layout differs."
)
def command(specs: tuple[str, ...], only_check: bool) -> None:
    """Lay out specs in the one layout; comments survive.

    \b
    regnetc fmt spec/*.regnet
    regnetc fmt --check spec/x400mf.regnet
    """
    failed = False
    for name in specs:
        path = Path(name)
        shown = printable(name)
        data = read_bytes(name)
        source, problems = scan(data, shown)
        if not has_errors(problems):
            problems.extend(parse(source)[1])
        if has_errors(problems):
            console.show_problems(in_order(problems))
            failed = True
            continue
        text = format_text(source.text).encode()
        if text == data:
            continue
        if only_check:
            click.echo(f"{shown}: `regnetc fmt {shown}` lays it out", err=True)
            failed = True
        else:
            files.write(path, text)
            click.echo(f"laid out {shown}")
    sys.exit(console.PROBLEMS if failed else console.OK)
