"""`regnetc sample`: a population of a space, the same on every machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import SpecError, printable
from ..spaces.folders import is_population
from . import console
from .progress import bar
from .targets import find_space

if TYPE_CHECKING:
    from ..spaces.engine import Engine
    from ..spaces.sampling import Search, State
    from ..spaces.space import Space
    from ..spaces.store import Lock

_KEPT_EVERY_S = 10.0


@click.command("sample")
@click.argument("target", metavar="FILE[:SPACE]")
@click.option(
    "-n", "wanted", type=click.IntRange(1, 1_000_000), required=True, help="How many networks."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
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
    state = _begin(folder, space, seed, wanted, force=force)
    if state is not None and len(state.rows) >= wanted:
        _say(store.read_lock(folder), folder, space, as_json=as_json, news="is there already")
        return
    files.make_folder(folder)
    search = Search(space, seed, wanted, box=shrink(space), state=state, patience=patience)
    resumed = f", on from {state.next:,} candidates" if state is not None else ""
    started = time.monotonic()
    final = _search(search, folder, workers, chunk)
    lock = lock_of(search.engine, final)
    store.write(folder, space, lock, final)
    took = time.monotonic() - started
    _say(lock, folder, space, as_json=as_json, news=f"was found in {took:.1f} s{resumed}")


def _begin(folder: Path, space: Space, seed: int, wanted: int, *, force: bool) -> State | None:
    """What is there to go on from. Raises Problem for a folder that holds something else."""
    from ..spaces import store

    if force:
        return None
    if is_population(folder):
        lock = store.read_lock(folder)
        same = (lock.digest, lock.seed, lock.sampler) == (space.digest, seed, store.SAMPLER)
        if not same or lock.found > wanted:
            what = f"{lock.found:,} networks of `{printable(lock.space)}`, seed {lock.seed}"
            raise Problem(
                "other-population", f"`{printable(str(folder))}` holds {what}",
                help="choose another folder with `-o`, or replace it with `--force`",
            )  # fmt: skip
        return store.read(folder).state
    if not folder.exists():
        return None
    partial = store.load_partial(folder, space, seed)
    if partial is None and any(folder.iterdir()):
        raise Problem(
            "not-empty", f"`{printable(str(folder))}` holds files that are no population",
            help="choose a new folder with `-o`, or write into this one with `--force`",
        )  # fmt: skip
    return partial


def _search(search: Search, folder: Path, workers: int, chunk: int | None) -> State:
    """Run a search to its end; one that is stopped leaves what it has for the next."""
    from ..spaces import store
    from ..spaces.sampling import StarvedError

    kept = time.monotonic()
    with bar("sampling") as tell:

        def heard(state: State) -> None:
            nonlocal kept
            tell(len(state.rows), search.wanted, f"{state.next:,} candidates")
            if time.monotonic() - kept > _KEPT_EVERY_S:
                store.save_partial(folder, search.space, search.seed, state)
                kept = time.monotonic()

        try:
            return search.run(workers=workers, chunk=chunk, tell=heard)
        except KeyboardInterrupt:
            store.save_partial(folder, search.space, search.seed, search.state)
            done = f"{len(search.state.rows):,} of {search.wanted:,} networks"
            message = f"stopped by Ctrl-C with {done} after {search.state.next:,} candidates"
            raise Problem("stopped", message, help="the same command goes on from here") from None
        except StarvedError as e:
            store.save_partial(folder, search.space, search.seed, e.state)
            raise SpecError([e.problem]) from None


def lock_of(engine: Engine, state: State) -> Lock:
    """What a finished search is filed under."""
    from ..spaces.store import Lock

    space = engine.space
    named = ["limits" if r is None else r.normal for r in engine.reasons]
    return Lock(
        space=space.name, digest=space.digest, seed=engine.seed, found=len(state.rows), candidates=state.next,
        accepted=state.accepted, outside=float(1 - engine.inside),
        refused=[(name, int(n)) for name, n in zip(named, state.refused, strict=True)],
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
