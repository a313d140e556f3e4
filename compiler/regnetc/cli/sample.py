"""`regnetc sample`: a population of a space, the same on every machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import SpecError, printable
from ..spaces.folders import MEMBERS, PARTIAL, SPACE, held, is_population, leftovers
from . import console
from .progress import Progress, bar
from .targets import find_space

if TYPE_CHECKING:
    from ..spaces.sampling import Search, State
    from ..spaces.space import Space
    from ..spaces.store import Lock

_KEPT_EVERY_S = 10.0


@click.command("sample")
@click.argument("target", metavar="FILE[:SPACE]")
@click.option(
    "-n", "wanted", type=click.IntRange(1, 1_000_000), required=True, help="How many networks."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the draws.",
)
@click.option(
    "-o", "--out", "folder", type=click.Path(file_okay=False, path_type=Path), required=True,
    help="Folder of the population.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes."
)
@click.option(
    "--chunk", type=click.IntRange(1_000, 100_000_000), help="Candidates in one piece of work."
)
@click.option(
    "--patience", type=click.IntRange(1_000, 10**12), default=10_000_000, show_default=True,
    help="Candidates without a new network before the search ends.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace another population that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    target: str, wanted: int, seed: int, folder: Path, workers: int, chunk: int | None, patience: int,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Draw distinct networks from a space, and keep them with all that they follow from.

    \b
    The population depends on the space, the seed and the number alone: not on the workers, the size
    of chunks, the machine, or on how often the search was stopped (Ctrl-C) and begun again.

    \b
    regnetc sample spec/x400mf_space.regnet -n 500 -o pop/x400
    regnetc show pop/x400#421
    """
    from ..spaces import store
    from ..spaces.box import shrink
    from ..spaces.sampling import Search

    space = find_space(target)
    box = shrink(space)
    files.make_folder(folder)
    lock = None if force else _there(folder, space, seed, wanted)
    if lock is not None and lock.found == wanted:
        lock = store.read(folder).lock
        _tidy(folder, space, lock)
        _say(lock, folder, space, as_json=as_json, news="is there already")
        return
    state = _begin(folder, space, seed, wanted, lock, force=force)
    store.check_writable(folder)
    resumed = f", on from {state.next:,} candidates" if state is not None else ""
    started = time.monotonic()
    search = Search(space, seed, wanted, box=box, state=state, patience=patience)
    lock = _search(search, folder, workers, chunk)
    took = time.monotonic() - started
    _say(lock, folder, space, as_json=as_json, news=f"was found in {took:.1f} s{resumed}")


def _there(folder: Path, space: Space, seed: int, wanted: int) -> Lock | None:
    """The lock of the population that is there. Raises Problem where it is not a part of the one wanted."""
    from ..spaces import store
    from ..spaces.sampling import SAMPLER

    if not is_population(folder):
        return None
    lock = store.read_lock(folder)
    same = (lock.digest, lock.seed, lock.sampler) == (space.digest, seed, SAMPLER)
    if not same or lock.found > wanted:
        what = f"{lock.found:,} networks of `{printable(lock.space)}`, seed {lock.seed}"
        raise Problem(
            "other-population", f"`{printable(str(folder))}` holds {what}",
            help="choose another folder with `-o`, or replace it with `--force`",
        )  # fmt: skip
    return lock


def _tidy(folder: Path, space: Space, lock: Lock) -> None:
    """Remove what a write that was cut short left; a search for more networks stays."""
    from ..spaces import partial

    kept = partial.load(folder, space, lock.seed)
    spent = kept is not None and kept.next <= lock.candidates
    for path in [*leftovers(folder), *[folder / PARTIAL] * spent]:
        files.remove(path)


def _begin(
    folder: Path, space: Space, seed: int, wanted: int, lock: Lock | None, *, force: bool
) -> State | None:
    """What is there to go on from: a search that was stopped, or the population of a lock."""
    from ..spaces import partial, store

    try:
        kept = partial.load(folder, space, seed)
    except Problem:
        if not force:
            raise
        kept = None
    further = lock is None or (kept is not None and kept.next > lock.candidates)
    if kept is not None and kept.leads_to(wanted) and further:
        return kept
    if lock is not None:
        return store.read(folder).state
    if kept is None and not force:
        _refuse_foreign(folder, space)
    return None


def _refuse_foreign(folder: Path, space: Space) -> None:
    """Raise Problem for a folder that holds anything but what a write that was cut short leaves."""
    from ..spaces import store

    names = held(folder) - {path.name for path in leftovers(folder)}
    shown = printable(str(folder))
    if PARTIAL in names:
        raise Problem(
            "other-population", f"`{shown}` holds an unfinished search of another space or seed",
            help="choose another folder, or start afresh with `--force`",
        )  # fmt: skip
    ours = names <= {SPACE, MEMBERS} and SPACE in names
    if names and not (ours and files.read(folder / SPACE, 2**20) == store.spec(space)):
        raise Problem(
            "not-empty", f"`{shown}` holds files that are no population",
            help="choose a new folder with `-o`, or write into this one with `--force`",
        )  # fmt: skip


def _search(search: Search, folder: Path, workers: int, chunk: int | None) -> Lock:
    """Run a search to its end and write what it found; one that is stopped is kept for the next."""
    from concurrent.futures import BrokenExecutor

    from ..spaces import partial, store
    from ..spaces.sampling import StarvedError

    def keep() -> str:
        partial.save(folder, search.space, search.seed, search.state)
        found, looked = len(search.state.rows), search.state.next
        return f"with {found:,} of {search.wanted:,} networks after {looked:,} candidates"

    try:
        with bar("sampling") as tell:
            search.run(workers=workers, chunk=chunk, tell=_heard(search, keep, tell))
        return store.write(folder, search.space, lock_of(search), search.state)
    except KeyboardInterrupt:
        message = f"stopped by Ctrl-C {keep()}"
        raise Problem("stopped", message, help="the same command goes on from here") from None
    except BrokenExecutor:
        message = f"a worker ended before its time, {keep()}"
        advice = "the same command goes on from here; fewer `--workers` need less memory"
        raise Problem("lost-worker", message, help=advice) from None
    except StarvedError as e:
        keep()
        raise SpecError([e.problem]) from None


def _heard(search: Search, keep: Callable[[], str], tell: Progress) -> Callable[[State], None]:
    """What to do after every piece: say how far the search is, and keep that now and then."""
    kept = time.monotonic()

    def heard(state: State) -> None:
        nonlocal kept
        tell(len(state.rows), search.wanted, f"{state.next:,} candidates")
        if time.monotonic() - kept > _KEPT_EVERY_S:
            keep()
            kept = time.monotonic()

    return heard


def lock_of(search: Search) -> Lock:
    """What a finished search is filed under."""
    from ..spaces.store import Lock

    engine, state, space = search.engine, search.state, search.space
    named = ["limits" if r is None else r.normal for r in engine.reasons]
    return Lock(
        space=space.name, digest=space.digest, seed=engine.seed, found=len(state.rows), candidates=state.next,
        accepted=state.accepted, outside=float(1 - engine.inside),
        refused=[(name, int(n)) for name, n in zip(named, state.refused, strict=True)],
        files={},
    )  # fmt: skip


def _say(lock: Lock, folder: Path, space: Space, *, as_json: bool, news: str) -> None:
    if as_json:
        console.say_json({"folder": str(folder), **lock._asdict()})
        return
    shown = printable(str(folder))
    click.echo(f"{shown}: {lock.found:,} networks of {space.name}, seed {lock.seed}; it {news}")
    merged = lock.accepted - lock.found
    click.echo(
        f"  {lock.candidates:,} candidates, {lock.accepted:,} members, {merged:,} of them the same network as another"
    )
    click.echo(f"  look at one with `regnetc show {shown}#0`, at all with `regnetc plot {shown}`")
