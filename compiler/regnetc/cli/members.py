"""Modules of a population: every member compiled, rebuilt from what it carries, and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..emit import emit
from ..names import module_name
from ..network import Network
from ..spaces.folders import is_population, refuse_unfinished
from ..verify import verify
from .progress import bar
from .targets import address

if TYPE_CHECKING:
    from ..spaces.store import Population

Made = tuple[str, str, Network]
"""A module: its file name, its text, and its network."""

Result = TypeVar("Result")

_MOST = 20_000
_AT_ONCE = 8  # members to a task


def members_of(text: str) -> tuple[Path, range] | None:
    """The folder and the numbers that `FOLDER` or `FOLDER#NUMBER` means; None for anything else."""
    found = address(text)
    if found is not None:
        folder, number = found
        return folder, range(number, number + 1)
    refuse_unfinished(text)
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
    with bar("compiling") as tell:
        for done, made in enumerate(each(_module, folder, numbers, jobs, _AT_ONCE), 1):
            yield made
            tell(done, len(numbers), "")


def each(
    task: Callable[[int], Result], folder: Path, numbers: range, jobs: int, at_once: int
) -> Iterator[Result]:
    """What becomes of some members, in order: here, or in other processes where they are many.

    A task finds its network by `member`. Raises Problem for a population that is damaged.
    """
    _begin(folder)
    if jobs == 1 or len(numbers) <= at_once:
        yield from map(task, numbers)
        return
    from ..spaces.sampling import Pool

    with Pool(jobs, _begin, folder) as pool:
        yield from pool.map(task, numbers, chunksize=at_once)


_population: Population | None = None


def _begin(folder: Path) -> None:
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
