"""How the command line speaks: what goes where, in colour or not, and how a mistake is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import IO, Any

import click

from ..diagnostics import Diagnostic, SpecError, printable
from ..program import UnreadableError
from ..render import Style, as_github, as_json, as_text

OK, PROBLEMS, WRONG_USE = 0, 1, 2


def prepare() -> None:
    """Whatever the locale, text goes out: what it cannot hold is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def hush() -> None:
    """Nobody reads any more: let the interpreter flush into nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def coloured(stream: IO[str]) -> bool:
    """Colour for a terminal, unless NO_COLOR is set; FORCE_COLOR asks for it anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def show_problems(problems: Sequence[Diagnostic], form: str = "text") -> None:
    """Diagnostics: text and annotations on standard error, JSON on standard output."""
    if form == "json":
        click.echo(as_json(problems))
    elif form == "github":
        click.echo(as_github(problems), nl=False)
    elif problems:
        click.echo(as_text(problems, colour=coloured(sys.stderr)), err=True, color=True)


def say_error(
    name: str, message: str, details: Sequence[str] = (), help: str | None = None
) -> None:
    """A mistake that no line of a spec is to blame for, in the voice of the diagnostics."""
    style = Style(coloured(sys.stderr))
    click.echo(
        style.paint("error", f"error[{name}]") + style.paint("bold", f": {message}"),
        err=True,
        color=True,
    )
    for line in details:
        click.echo(f"  {line}", err=True)
    if help is not None:
        lines = help.split("\n")
        click.echo(
            f"  {style.paint('rule', '=')} {style.paint('help', 'help')}: {lines[0]}",
            err=True,
            color=True,
        )
        for line in lines[1:]:
            click.echo(f"          {line}", err=True)


def say_usage(e: click.ClickException) -> None:
    """click's complaint about the command line, in our voice."""
    ctx = getattr(e, "ctx", None)
    help_ = f"`{ctx.command_path} --help` shows how" if ctx is not None else None
    message = printable(e.format_message(), 400).rstrip(".")
    say_error("usage", message[:1].lower() + message[1:], help=help_)


def say_problem(e: Exception) -> int | None:
    """Say a mistake of the user's and return the exit code; None for a bug of ours."""
    from regnetc_runtime.problems import Problem

    if isinstance(e, UnreadableError):
        say_error("unreadable", str(e))
        return WRONG_USE
    if isinstance(e, SpecError):
        show_problems(e.problems)
        return PROBLEMS
    if isinstance(e, Problem):
        say_error(e.name, e.message, e.details, e.help)
        return PROBLEMS
    return None


def say_json(data: Any) -> None:
    """One JSON document on standard output."""
    import json

    click.echo(json.dumps(data, indent=2, ensure_ascii=True, allow_nan=False))


def table() -> Any:
    """A plain table of rich's, for standard output."""
    from rich.table import Table

    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def rich_console(*, err: bool = False) -> Any:
    """rich's console on our streams, with our rule for colour; markup in foreign text is not obeyed."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    colour = coloured(stream)
    width = None if stream.isatty() else 160
    return Console(
        file=stream, no_color=not colour, force_terminal=colour or None, highlight=False, markup=False,
        emoji=False, width=width, soft_wrap=False,
    )  # fmt: skip


def say_warning(message: str) -> None:
    """Something to know that stops nothing."""
    style = Style(coloured(sys.stderr))
    click.echo(
        style.paint("warning", "warning") + style.paint("bold", f": {message}"),
        err=True,
        color=True,
    )
