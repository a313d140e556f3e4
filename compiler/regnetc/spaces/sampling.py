"""From candidates to populations: distinct networks in the order in which candidates bring them.

What is found depends on the space, the seed and how many are wanted. How candidates are split into
pieces, and among how many processes, changes nothing; nor does stopping and going on.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..diagnostics import Diagnostic, error
from .arrays import Indices
from .box import Box
from .engine import BLOCK, STRUCTURE, Engine, Found
from .normal import parse
from .space import Space

PATIENCE = 10_000_000  # candidates without a new network before a space is called starved
_FIRST_CHUNK = 2 * BLOCK
_LARGEST_CHUNK = 64 * BLOCK


class StarvedError(Exception):
    """A space that brings no new network for longer than one is willing to wait, and why."""

    def __init__(self, state: State, problem: Diagnostic) -> None:
        super().__init__(problem.message)
        self.state = state
        self.problem = problem


@dataclass
class State:
    """What is known after the candidates below `next`: distinct networks and how often each came.

    `rows` holds a network each, in the columns that `Layout` names; `refused` counts candidates by
    reason, `accepted` those that are members; `newest` is the candidate of the last new network.
    """

    rows: list[Indices] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    next: int = 0
    accepted: int = 0
    newest: int = -1
    refused: Indices = field(default_factory=lambda: np.zeros(0, np.int64))


class Layout:
    """The columns of a network's row: its candidate, what was drawn, its stages, its counts."""

    def __init__(self, space: Space) -> None:
        most = space.stages[1]
        self.variables = [v.cell for v in space.variables]
        at = 1 + len(self.variables)
        self.picks = slice(1, at)
        self.stages = at
        self.shape = slice(at + 1, at + 1 + 4 * most)
        self.counts = slice(self.shape.stop, self.shape.stop + 7)
        apart = (*STRUCTURE, "stem", "stride")  # they make another network of the same stages
        differs = [k for k, (name, _) in enumerate(self.variables, 1) if name in apart]
        self._identity = np.r_[differs, at, np.arange(at + 1, at + 1 + 4 * most)].astype(np.int64)

    def rows(self, found: Found) -> Indices:
        """The rows of some members, shape (n, columns)."""
        columns: list[Any] = [
            found.candidates[None],
            *(found.picks[c][None] for c in self.variables),
        ]
        columns += [found.stages[None], found.w, found.d, found.inner, found.g, found.counts]
        return np.concatenate([_integers(c) for c in columns]).T

    def identity(self, row: Indices) -> bytes:
        """What makes a network the network that it is."""
        identity: bytes = row[self._identity].tobytes()
        return identity


def _integers(x: Any) -> Indices:
    if x.dtype == object and any(abs(v) >= 2**63 for v in x.flat):
        raise OverflowError("a count does not fit into 64 bits")
    out: Indices = x.astype(np.int64)
    return out


class Search:
    """The search for `wanted` distinct networks of a space, on from a state."""

    def __init__(
        self, space: Space, seed: int, wanted: int, *, box: Box, state: State | None = None,
        patience: int = PATIENCE,
    ) -> None:  # fmt: skip
        self.engine = Engine(space, seed, box)
        self.space, self.seed, self.wanted, self.patience = space, seed, wanted, patience
        self.layout = Layout(space)
        self.state = state or State(refused=np.zeros(len(self.engine.reasons), np.int64))
        if not len(self.state.refused):
            self.state.refused = np.zeros(len(self.engine.reasons), np.int64)
        self._known = {self.layout.identity(r): k for k, r in enumerate(self.state.rows)}

    @property
    def done(self) -> bool:
        return len(self.state.rows) >= self.wanted

    def chunks(self, size: int | None = None) -> Iterator[tuple[int, int]]:
        """Candidates to look at, in pieces; without a size they grow as the search gets longer."""
        at, n = self.state.next, size or _FIRST_CHUNK
        while True:
            yield at, n
            at, n = at + n, size or min(2 * n, _LARGEST_CHUNK)

    def run(
        self,
        *,
        workers: int = 1,
        chunk: int | None = None,
        tell: Callable[[State], None] | None = None,
    ) -> State:
        """Search until enough is found. Raises StarvedError; `tell` hears of every piece."""
        with _pool(self, workers) as look:
            pieces = look(self.chunks(chunk))
            while not self.done:
                self._take(*next(pieces))
                if tell is not None:
                    tell(self.state)
                if self.state.next - self.state.newest > self.patience and not self.done:
                    raise StarvedError(self.state, _starved(self))
        return self.state

    def _take(self, first: int, n: int, found: Found) -> None:
        """Add the members of a piece; the search ends at the candidate that completes it."""
        rows = self.layout.rows(found)
        state = self.state
        for k, row in enumerate(rows):
            identity = self.layout.identity(row)
            at = self._known.get(identity)
            if at is None and int(row[0]) - state.newest > self.patience:
                raise StarvedError(state, _starved(self))
            if at is None:
                self._known[identity] = len(state.rows)
                state.rows.append(row.copy())
                state.times.append(1)
                state.newest = int(row[0])
            else:
                state.times[at] += 1
            if self.done:
                last = int(row[0]) + 1 - first
                state.refused = state.refused + self.engine.run(first, last).refused
                state.accepted += k + 1
                state.next = first + last
                return
        state.refused = state.refused + found.refused
        state.accepted += len(rows)
        state.next = first + n


def _starved(search: Search) -> Diagnostic:
    """Why a search ends without enough networks, and the line that refuses the most."""
    space, engine, state = search.space, search.engine, search.state
    got = len(state.rows)
    message = f"`{space.name}` brings {got:,} networks of {search.wanted:,} wanted"
    label = f"nothing new in the last {search.patience:,} candidates"
    if state.accepted > 100 * max(1, got):
        times = state.accepted // max(1, got)
        return error(
            "exhausted", message, space.span, f"{label}; each was met {times:,} times",
            help=f"the space hardly holds more: ask for {got:,}",
        )  # fmt: skip
    worst = max(range(len(engine.reasons)), key=lambda k: state.refused[k])
    reason = engine.reasons[worst]
    share = state.refused[worst] / max(1, state.next)
    span = space.span if reason is None else reason.line.span
    what = "the limits of the language refuse" if reason is None else "refuses"
    return error(
        "starved", message, span, f"{what} {share:.1%} of the candidates",
        help="narrow the draws so that fewer are refused, ask for fewer, or wait longer with `--patience`",
    )  # fmt: skip


Look = Callable[[Iterator[tuple[int, int]]], Iterator[tuple[int, int, Found]]]


@contextmanager
def _pool(search: Search, workers: int) -> Iterator[Look]:
    """A way to look at pieces of candidates, in order: here, or in other processes."""
    if workers == 1:
        yield lambda chunks: ((first, n, search.engine.run(first, n)) for first, n in chunks)
        return
    arguments = (search.space.name, search.space.text, search.seed, search.engine.box)
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=arguments)
    try:
        yield lambda chunks: _ahead(pool, chunks, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    pool: ProcessPoolExecutor, chunks: Iterator[tuple[int, int]], workers: int
) -> Iterator[tuple[int, int, Found]]:
    """Keep every process busy, and hand on what they find in the order of candidates."""
    waiting: deque[tuple[int, int, Future[Found]]] = deque()
    for first, n in chunks:
        waiting.append((first, n, pool.submit(_run, first, n)))
        if len(waiting) > 2 * workers:
            first, n, future = waiting.popleft()
            yield first, n, future.result()


_engine: Engine | None = None


def _begin(name: str, text: str, seed: int, box: Box) -> None:
    """Set a worker up; Ctrl-C is the parent's to see."""
    global _engine  # noqa: PLW0603
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _engine = Engine(parse(name, text), seed, box)


def _run(first: int, n: int) -> Found:
    assert _engine is not None
    return _engine.run(first, n)
