"""`regnetc check`: every problem of each spec, in one pass."""

from __future__ import annotations

import sys

import click

from ..diagnostics import in_order
from ..driver import check_file
from . import console


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    help="How problems are said.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(files: tuple[str, ...], form: str, as_json: bool) -> None:
    """Say everything that is wrong with specs.

    \b
    regnetc check spec/*.regnet
    regnetc check --format github spec/x400mf.regnet
    """
    found = [problem for name in files for problem in check_file(name).problems]
    problems = in_order(found)  # a file that several specs use says it once
    form = "json" if as_json else form
    console.show_problems(problems, form)
    errors = sum(p.severity == "error" for p in problems)
    if form == "text":
        click.echo(_summary(len(files), errors, len(problems) - errors), err=bool(errors))
    sys.exit(console.PROBLEMS if errors else console.OK)


def _summary(files: int, errors: int, warnings: int) -> str:
    def many(n: int, word: str) -> str:
        return f"{n} {word}{'' if n == 1 else 's'}"

    said = [many(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{many(files, 'spec')} checked: {', '.join(said) or 'no problems'}"
