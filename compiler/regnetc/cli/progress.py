"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Progress = Callable[[int, int | None, str], None]


@contextmanager
def bar(what: str) -> Iterator[Progress]:
    """A callback that is told (done, total, text); nothing is left on the screen at the end."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    from . import console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console.rich_console(err=True), transient=True) as shown:
        task = shown.add_task(what, total=None)

        def tell(done: int, total: int | None, text: str) -> None:
            shown.update(
                task, completed=done, total=total, description=f"{what}: {text}" if text else what
            )

        yield tell


def _lines(what: str) -> Progress:
    """For logs: what takes long says where it is every ten seconds."""
    last = time.monotonic()

    def tell(done: int, total: int | None, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            of = f"/{total:,}" if total is not None else ""
            click.echo(f"{what}: {done:,}{of} {text}".rstrip(), err=True)

    return tell
