"""Populations on disk: a folder with the networks, the space they were drawn from, and a lock.

`members.sqlite` holds a row for each network and one for each of its stages, readable by anything
that reads SQLite; `space.regnet` the space in normal form, which needs no other file; `lock.json`
what the population follows from, and the SHA-256 of the other two. All three are the same bytes for
the same space, seed and number.

A search that is not at its end is kept in `partial.npz`. It is there before any of the three is
written and until all of them are, so that what is cut short at any moment can be gone on with; and
since the lock names the others by what they hold, no mixture of old and new passes for a population.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from regnetc_runtime import files
from regnetc_runtime.problems import Problem, printable

from ..cells import Cell
from ..complexity import Counts
from ..diagnostics import SpecError
from ..names import plain_file_name
from ..network import Network, Origin
from ..resolve import Resolution
from .arrays import Indices
from .folders import LIMIT, LOCK, MEMBERS, PARTIAL, SPACE, held, leftovers, unfinished
from .members import resolve
from .normal import as_spec, parse
from .partial import save
from .sampling import SAMPLER, Layout, State, check
from .space import Space

SCHEMA = 1
_LOCK_BYTES = 2**20
_VERSION = slice(96, 100)  # in the header of an SQLite file: the version of what wrote it


class Lock(NamedTuple):
    """What a population follows from, and how it was found.

    `candidates` were looked at, from the first to the one that completed the population; `accepted`
    of them are members, which makes `found` networks once those that are the same are merged.
    `outside` is the share of all draws that was left out because no member can be there, `refused`
    says how many candidates each line refused; `files` holds the SHA-256 of the other files.
    """

    space: str
    digest: str
    seed: int
    found: int
    candidates: int
    accepted: int
    outside: float
    refused: list[tuple[str, int]]
    files: dict[str, str]
    schema: int = SCHEMA
    sampler: int = SAMPLER


class Member(NamedTuple):
    """A network of a population: its number, how often it was drawn, its counts, what was drawn."""

    number: int
    candidate: int
    multiplicity: int
    counts: Counts
    drawn: dict[Cell, Fraction]


class Population:
    """A population that was read: `lock`, `space`, and members by number."""

    def __init__(self, folder: Path, lock: Lock, space: Space, state: State) -> None:
        self.folder, self.lock, self.space, self.state = folder, lock, space, state
        self._layout = Layout(space)
        self._grids = [list(v.distribution.values()) for v in space.variables]

    def __len__(self) -> int:
        return len(self.state.rows)

    def __iter__(self) -> Iterator[Member]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, number: int) -> Member:
        row = self.state.rows[number]
        picks = row[self._layout.picks]
        drawn = {
            v.cell: grid[int(k)]
            for v, grid, k in zip(self.space.variables, self._grids, picks, strict=True)
        }
        counts = Counts(*(int(x) for x in row[self._layout.counts]))
        return Member(number, int(row[0]), self.state.times[number], counts, drawn)

    def resolution(self, number: int) -> Resolution:
        """A member as the compiler resolves what was drawn for it; its name ends in its number."""
        name = f"{self.space.name}-{number:0{len(str(len(self) - 1))}d}"
        found = resolve(self.space, name, self[number].drawn)
        if found is None:
            raise self._damaged(f"member {number} makes no network")
        where = plain_file_name(f"{self.folder.name}.{number}")
        network = found.network._replace(origin=Origin(where, self.lock.digest))
        if network.counts != self[number].counts:
            raise self._damaged(f"the counts of member {number} are not those of its network")
        return found._replace(network=network)

    def network(self, number: int) -> Network:
        return self.resolution(number).network

    def columns(self) -> dict[str, Indices]:
        """Counts and multiplicities of all members, a column each."""
        table = (
            np.stack(self.state.rows)
            if self.state.rows
            else np.zeros((0, self._layout.counts.stop), np.int64)
        )
        counts = table[:, self._layout.counts]
        out = {name: counts[:, k] for k, name in enumerate(Counts._fields)}
        return {**out, "multiplicity": np.array(self.state.times, np.int64)}

    def _damaged(self, why: str) -> Problem:
        return damaged(self.folder, why)


def damaged(folder: Path, why: str) -> Problem:
    shown = printable(str(folder))
    return Problem(
        "bad-population", f"`{shown}` is no population that regnetc wrote: {why}",
        help="`regnetc sample --force` makes it again from its space and seed",
    )  # fmt: skip


# Writing.


def write(folder: Path, space: Space, lock: Lock, state: State) -> Lock:
    """Write a population, and return its lock with the digests of its files.

    The state is kept until all is written: stopped anywhere, the search goes on from its end.
    """
    data = {MEMBERS: database(space, lock, state), SPACE: spec(space)}
    lock = lock._replace(files={name: _digest(x) for name, x in data.items()})
    save(folder, space, lock.seed, state)
    for name, x in data.items():
        files.write(folder / name, x)
    files.write(folder / LOCK, lock_text(lock).encode())
    tidy(folder)
    return lock


def check_writable(folder: Path) -> None:
    """Raise Problem now for what would keep a population from being written after hours of work."""
    for name in (MEMBERS, SPACE, LOCK, PARTIAL):
        files.check_writable(folder / name)


def tidy(folder: Path) -> None:
    """Remove what a whole population needs no more."""
    for path in (folder / PARTIAL, *leftovers(folder)):
        files.remove(path)


def spec(space: Space) -> bytes:
    """The space of a population, as it is written."""
    return as_spec(space.name, space.text).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lock_text(lock: Lock) -> str:
    """A lock as it is written."""
    return json.dumps(lock._asdict(), indent=2, sort_keys=True) + "\n"


def database(space: Space, lock: Lock, state: State) -> bytes:
    """The networks as an SQLite database, its pages in one fixed order."""
    layout, most = Layout(space), space.stages[1]
    names = [_column(v.cell) for v in space.variables]
    grids = [[float(x) for x in v.distribution.values()] for v in space.variables]
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("PRAGMA page_size = 4096")
    base.executescript(_schema(names))
    base.execute("BEGIN")
    meta = {
        "lock": lock_text(lock._replace(files={})),
        "space": as_spec(space.name, space.text),
        "schema": str(SCHEMA),
    }
    base.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
    for number, (row, times) in enumerate(zip(state.rows, state.times, strict=True)):
        picked = [grid[int(k)] for grid, k in zip(grids, row[layout.picks], strict=True)]
        counts = [int(x) for x in row[layout.counts]]
        values = [number, int(row[0]), times, *picked, *counts]
        base.execute(f"INSERT INTO member VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
        stages = row[layout.shape].reshape(4, most)
        for k in range(int(row[layout.stages])):
            stage = [number, k + 1, *(int(x) for x in stages[:, k])]
            base.execute("INSERT INTO stage VALUES (?, ?, ?, ?, ?, ?)", stage)
    base.execute("COMMIT")
    data = base.serialize()
    base.close()
    return data[: _VERSION.start] + bytes(4) + data[_VERSION.stop :]


def _column(cell: Cell) -> str:
    name, stage = cell
    return name if stage is None else f"{name}_{stage}"


def _schema(drawn: list[str]) -> str:
    columns = "".join(f"{name} REAL NOT NULL, " for name in drawn)
    counts = ", ".join(f"{name} INTEGER NOT NULL" for name in Counts._fields)
    return (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
        f"CREATE TABLE member (member INTEGER PRIMARY KEY, candidate INTEGER NOT NULL, "
        f"multiplicity INTEGER NOT NULL, {columns}{counts});"
        "CREATE TABLE stage (member INTEGER NOT NULL, stage INTEGER NOT NULL, w INTEGER NOT NULL, "
        "d INTEGER NOT NULL, inner_w INTEGER NOT NULL, g INTEGER NOT NULL, PRIMARY KEY (member, stage));"
    )


# Reading.


def read_lock(folder: Path) -> Lock:
    """The lock of a population. Raises Problem if the folder holds none."""
    try:
        data = json.loads(files.read(folder / LOCK, _LOCK_BYTES).decode("utf-8"))
        schema = data["schema"]
        lock = _lock(data) if schema == SCHEMA else None
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise damaged(folder, f"its lock cannot be read ({printable(e)})") from None
    if lock is None:
        message = f"`{printable(str(folder))}` has schema {printable(schema)}, this regnetc reads {SCHEMA}"
        raise Problem("other-schema", message, help="draw it again with `regnetc sample --force`")
    return lock


_KINDS = {
    "space": str, "digest": str, "seed": int, "found": int, "candidates": int, "accepted": int,
    "outside": float, "refused": list, "files": dict, "schema": int, "sampler": int,
}  # fmt: skip


def _lock(data: dict[str, Any]) -> Lock:
    """A lock of what JSON holds. Raises ValueError, TypeError or KeyError where it is none."""
    for name, kind in _KINDS.items():
        if type(data[name]) is not kind:
            raise TypeError(f"`{name}` is no {kind.__name__}")
    refused = [(line, n) for line, n in data["refused"] if type(line) is str and type(n) is int]
    if len(refused) != len(data["refused"]) or sorted(data["files"]) != [MEMBERS, SPACE]:
        raise ValueError("`refused` or `files` does not hold what it should")
    if data["found"] < 1:
        raise ValueError("`found` is not above 0")
    return Lock(**data)._replace(refused=refused)


def read(folder: Path) -> Population:
    """A population. Raises Problem where it is damaged, or not all there yet."""
    lock = read_lock(folder)
    text, data = (_named(folder, lock, name) for name in (SPACE, MEMBERS))
    try:
        space = _space(folder, lock, text)
        with closing(sqlite3.connect(":memory:")) as base:
            base.deserialize(data)
            _refuse_other_tables(base, space)
            meta: Mapping[str, str] = dict(base.execute("SELECT key, value FROM meta"))
            state = _state(base, space, lock)
    except (sqlite3.Error, MemoryError, KeyError, ValueError, TypeError, IndexError, OverflowError) as e:  # fmt: skip
        raise damaged(folder, printable(e)) from None
    if meta["lock"] != lock_text(lock._replace(files={})):
        raise damaged(folder, "its lock is another population's")
    return Population(folder, lock, space, state)


def _named(folder: Path, lock: Lock, name: str) -> bytes:
    """A file of a population. Raises Problem where it is not the one that the lock names."""
    try:
        data = files.read(folder / name, LIMIT)
    except Problem as e:
        if e.name != "no-such-file":
            raise
        data = None
    if data is not None and _digest(data) == lock.files[name]:
        return data
    if PARTIAL in held(folder):
        raise unfinished(folder)
    why = "missing" if data is None else "not the one that its lock names"
    raise damaged(folder, f"`{name}` is {why}")


def _space(folder: Path, lock: Lock, text: bytes) -> Space:
    lines = [line.removeprefix("  ") for line in text.decode("utf-8").split("\n")[2:-2]]
    try:
        space = parse(lock.space, "\n".join(lines))
    except (SpecError, KeyError) as e:
        raise damaged(folder, f"its space cannot be read ({printable(e)})") from None
    if space.digest != lock.digest:
        raise damaged(folder, "its space is not the one that its lock names")
    return space


def _refuse_other_tables(base: sqlite3.Connection, space: Space) -> None:
    """Raise ValueError for tables that are not ours to the letter: a view could compute for ever."""
    names = [_column(v.cell) for v in space.variables]
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(_schema(names))
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
        if base.execute(query).fetchall() != ours.execute(query).fetchall():
            raise ValueError("its tables are not those of a population")


def _state(base: sqlite3.Connection, space: Space, lock: Lock) -> State:
    layout, most = Layout(space), space.stages[1]
    places = [{float(x): k for k, x in enumerate(v.distribution.values())} for v in space.variables]
    shapes: dict[int, Indices] = {}
    for number, stage, *values in base.execute("SELECT * FROM stage ORDER BY member, stage"):
        shape = shapes.setdefault(number, np.zeros((4, most), np.int64))
        shape[:, stage - 1] = values
    rows, times = [], []
    for number, candidate, met, *values in base.execute("SELECT * FROM member ORDER BY member"):
        picks = [at[x] for at, x in zip(places, values, strict=False)]
        shape = shapes[number]
        stages = int((shape[0] > 0).sum())
        row = [candidate, *picks, stages, *shape.ravel(), *values[len(places) :]]
        rows.append(np.array(row, np.int64))
        times.append(int(met))
    refused = np.array([n for _, n in lock.refused], np.int64)
    state = State(rows, times, lock.candidates, lock.accepted, int(rows[-1][0]), refused)
    if len(rows) != lock.found or not state.leads_to(lock.found):
        raise ValueError("rows are missing")
    check(state, layout)
    return state
