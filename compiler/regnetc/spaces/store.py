"""Populations on disk: a folder with the networks, the space they were drawn from, and a lock.

`members.sqlite` holds a row for each network and one for each of its stages, readable by anything
that reads SQLite; `space.regnet` the space in normal form, which needs no other file; `lock.json`
what the population follows from. All three are the same bytes for the same space, seed and number.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

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
from .folders import LOCK, MEMBERS, PARTIAL, SPACE
from .members import resolve
from .normal import as_spec, parse
from .sampling import Layout, State
from .space import Space

SCHEMA = 1
SAMPLER = 1
_LIMIT = 4 * 2**30
_LOCK_BYTES = 2**20


class Lock(NamedTuple):
    """What a population follows from, and how it was found.

    `candidates` were looked at, from the first to the one that completed the population; `accepted`
    of them are members, which makes `found` networks once those that are the same are merged.
    `outside` is the share of all draws that was left out because no member can be there, `refused`
    says how many candidates each line refused.
    """

    space: str
    digest: str
    seed: int
    found: int
    candidates: int
    accepted: int
    outside: float
    refused: list[tuple[str, int]]
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
        help="`regnetc sample` makes it again from its space and seed",
    )  # fmt: skip


# Writing.


def write(folder: Path, space: Space, lock: Lock, state: State) -> None:
    """Write a population; the lock comes last, so that a folder with a lock is whole."""
    files.write(folder / SPACE, as_spec(space.name, space.text).encode())
    files.write(folder / MEMBERS, database(space, lock, state))
    files.write(folder / LOCK, lock_text(lock).encode())
    files.remove(folder / PARTIAL)


def lock_text(lock: Lock) -> str:
    return json.dumps(lock._asdict(), indent=2, sort_keys=True) + "\n"


def database(space: Space, lock: Lock, state: State) -> bytes:
    """The networks as an SQLite database, its pages in one fixed order."""
    layout, most = Layout(space), space.stages[1]
    names = [_column(v.cell) for v in space.variables]
    grids = [[float(x) for x in v.distribution.values()] for v in space.variables]
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.executescript(_schema(names))
    base.execute("BEGIN")
    meta = {
        "lock": lock_text(lock),
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
    return data


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
        lock = Lock(**data)._replace(refused=[(str(a), int(b)) for a, b in data["refused"]])
    except (ValueError, TypeError, KeyError) as e:
        raise damaged(folder, f"its lock cannot be read ({printable(e)})") from None
    if lock.schema != SCHEMA:
        message = f"`{printable(str(folder))}` has schema {printable(lock.schema)}, this regnetc reads {SCHEMA}"
        raise Problem("other-schema", message, help="draw it again with `regnetc sample`")
    return lock


def read(folder: Path) -> Population:
    """A population. Raises Problem where it is damaged, or its space and its lock do not agree."""
    lock = read_lock(folder)
    data = files.read(folder / MEMBERS, _LIMIT)
    try:
        base = sqlite3.connect(":memory:")
        base.deserialize(data)
        meta: Mapping[str, str] = dict(base.execute("SELECT key, value FROM meta"))
        space = _space(folder, lock, meta["space"])
        state = _state(base, space, lock)
        base.close()
    except (sqlite3.Error, KeyError, ValueError, TypeError, IndexError, OverflowError) as e:
        raise damaged(folder, printable(e)) from None
    if meta["lock"] != lock_text(lock):
        raise damaged(folder, "its lock is another population's")
    return Population(folder, lock, space, state)


def _space(folder: Path, lock: Lock, spec: str) -> Space:
    lines = [line.removeprefix("  ") for line in spec.split("\n")[2:-2]]
    try:
        space = parse(lock.space, "\n".join(lines))
    except (SpecError, KeyError) as e:
        raise damaged(folder, f"its space cannot be read ({printable(e)})") from None
    if space.digest != lock.digest:
        raise damaged(folder, "its space is not the one that its lock names")
    return space


def _state(base: sqlite3.Connection, space: Space, lock: Lock) -> State:
    layout, most = Layout(space), space.stages[1]
    places = [{float(x): k for k, x in enumerate(v.distribution.values())} for v in space.variables]
    shapes: dict[int, Indices] = {}
    for number, stage, *values in base.execute("SELECT * FROM stage ORDER BY member, stage"):
        shape = shapes.setdefault(number, np.zeros((4, most), np.int64))
        shape[:, stage - 1] = values
    state = State(next=lock.candidates, accepted=lock.accepted)
    state.refused = np.array([n for _, n in lock.refused], np.int64)
    for number, candidate, times, *values in base.execute("SELECT * FROM member ORDER BY member"):
        picks = [at[x] for at, x in zip(places, values, strict=False)]
        shape = shapes[number]
        stages = int((shape[0] > 0).sum())
        row = [candidate, *picks, stages, *shape.ravel(), *values[len(places) :]]
        state.rows.append(np.array(row, np.int64))
        state.times.append(int(times))
        state.newest = int(candidate)
    if len(state.rows) != lock.found or layout.counts.stop != len(
        state.rows[0] if state.rows else []
    ):
        raise ValueError("rows are missing")
    return state


# Searches that were stopped.


def save_partial(folder: Path, space: Space, seed: int, state: State) -> None:
    """Keep an unfinished search, to go on from."""
    out = io.BytesIO()
    rows = np.stack(state.rows) if state.rows else np.zeros((0, 0), np.int64)
    scalars = np.array([state.next, state.accepted, state.newest], np.int64)
    text = json.dumps([space.digest, seed, SAMPLER])
    np.savez(
        out, rows=rows, times=np.array(state.times, np.int64), scalars=scalars,
        refused=state.refused, of=np.array(text),
    )  # fmt: skip
    files.make_folder(folder)
    files.write(folder / PARTIAL, out.getvalue())


def load_partial(folder: Path, space: Space, seed: int) -> State | None:
    """An unfinished search of this space and seed. Raises Problem where it is of another."""
    if not (folder / PARTIAL).exists():
        return None
    data = files.read(folder / PARTIAL, _LIMIT)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            of = json.loads(str(held["of"]))
            rows, times, scalars = held["rows"], held["times"], held["scalars"]
            refused = held["refused"]
            state = State(
                [np.array(r, np.int64) for r in rows], [int(x) for x in times], int(scalars[0]),
                int(scalars[1]), int(scalars[2]), np.array(refused, np.int64),
            )  # fmt: skip
    except (ValueError, KeyError, OSError, EOFError, TypeError) as e:
        raise damaged(folder, f"its unfinished search cannot be read ({printable(e)})") from None
    if of != [space.digest, seed, SAMPLER]:
        message = f"`{printable(str(folder))}` holds an unfinished search of another space or seed"
        raise Problem(
            "other-population",
            message,
            help="choose another folder, or start afresh with `--force`",
        )
    return state
