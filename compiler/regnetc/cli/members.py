"""Modules of a population: every member compiled, rebuilt from what it carries, and compared."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..emit import emit
from ..names import module_name
from ..network import Network
from ..spaces.folders import is_population
from ..verify import verify
from .progress import bar
from .targets import address

if TYPE_CHECKING:
    from ..spaces.store import Population

Made = tuple[str, str, Network]
"""A module: its file name, its text, and its network."""

_MOST = 20_000
_AT_ONCE = 8  # members to a task


def members_of(text: str) -> tuple[Path, range] | None:
    """The folder and the numbers that `FOLDER` or `FOLDER#NUMBER` means; None for anything else."""
    found = address(text)
    if found is not None:
        folder, number = found
        return folder, range(number, number + 1)
    if not is_population(text):
        return None
    from ..spaces import store

    count = store.read_lock(Path(text)).found
    if count > _MOST:
        message = f"`{printable(text)}` holds {count:,} networks, more than the {_MOST:,} that are compiled at once"
        raise Problem("too-many", message, help=f"name one, such as `{printable(text)}#0`")
    return Path(text), range(count)


def compiled(folder: Path, numbers: range, jobs: int) -> Iterator[Made]:
    """The modules of some members, in order. Raises Problem for a population that is damaged."""
    if jobs == 1 or len(numbers) <= _AT_ONCE:
        begin_here(folder)
        with bar("compiling") as tell:
            for done, number in enumerate(numbers, 1):
                yield _module(number)
                tell(done, len(numbers), "")
        return
    with (
        ProcessPoolExecutor(jobs, initializer=begin, initargs=(folder,)) as pool,
        bar("compiling") as tell,
    ):
        for done, made in enumerate(pool.map(_module, numbers, chunksize=_AT_ONCE), 1):
            yield made
            tell(done, len(numbers), "")


_population: Population | None = None


def begin(folder: Path) -> None:
    """Set a worker up; Ctrl-C is the parent's to see."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begin_here(folder)


def begin_here(folder: Path) -> None:
    """Read the population that this process works on."""
    global _population  # noqa: PLW0603
    from ..spaces import store

    _population = store.read(folder)


def member(number: int) -> Network:
    """A member of the population that this process began with."""
    assert _population is not None
    return _population.network(number)


def _module(number: int) -> Made:
    """A member's module, after it has been rebuilt from the network that it carries."""
    network = member(number)
    text = emit(network)
    verify(text.encode())
    return f"{module_name(network.name.lower())}.py", text, network
