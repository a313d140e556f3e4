"""From candidates to populations: distinct networks in the order in which candidates bring them.

What is found depends on the space, the seed and how many are wanted. How candidates are split into
pieces, and among how many processes, changes nothing; nor does stopping and going on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from regnetc_runtime.problems import Problem

from ..diagnostics import Diagnostic, error
from ..vocabulary import COUNTS
from .arrays import Indices
from .batch import STRUCTURE
from .box import Box
from .counting import COUNTS as COUNTED
from .engine import BLOCK, Engine, Found
from .normal import parse
from .space import Space

SAMPLER = 1
"""Changes where the same space and seed would give another population."""

PATIENCE = 10_000_000  # candidates without a new network before a space is called starved
_FIRST_CHUNK = 2 * BLOCK
_LARGEST_CHUNK = 64 * BLOCK


class StarvedError(Exception):
    """A space that brings no new network for longer than one is willing to wait, and why."""

    def __init__(self, state: State, problem: Diagnostic) -> None:
        super().__init__(problem.message)
        self.state = state
        self.problem = problem


@dataclass(frozen=True)
class State:
    """What is known after the candidates below `next`: distinct networks and how often each came.

    `rows` holds a network each, in the columns that `Layout` names; `refused` counts candidates by
    reason, `accepted` those that are members; `newest` is the candidate of the last new network.
    A state never changes: a search goes from one to the next, and can be stopped anywhere.
    """

    rows: list[Indices] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    next: int = 0
    accepted: int = 0
    newest: int = -1
    refused: Indices = field(default_factory=lambda: np.zeros(0, np.int64))

    def leads_to(self, wanted: int) -> bool:
        """Whether going on from here finds what a search for so many finds from the beginning.

        It does not where candidates behind the last one of that search have been looked at.
        """
        found = len(self.rows)
        return found < wanted or (found == wanted and self.next == self.newest + 1)


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
        """The rows of some members, shape (n, columns): of those before a count beyond 64 bits."""
        columns: list[Any] = [
            found.candidates[None],
            *(found.picks[c][None] for c in self.variables),
        ]
        columns += [found.stages[None], found.w, found.d, found.inner, found.g, found.counts]
        return np.concatenate([c[:, : _fitting(found.counts)].astype(np.int64) for c in columns]).T

    def identity(self, row: Indices) -> bytes:
        """What makes a network the network that it is."""
        identity: bytes = row[self._identity].tobytes()
        return identity


def check(state: State, layout: Layout) -> None:
    """Raise ValueError for numbers that do not go together."""
    at = [int(row[0]) for row in state.rows]
    sums = sum(state.times), state.accepted + int(state.refused.sum())
    fine = (
        all(row.shape == (layout.counts.stop,) for row in state.rows)
        and len(state.times) == len(at)
        and min(state.times, default=1) > 0
        and sums == (state.accepted, state.next)
        and at == sorted(set(at))
        and (at[-1] if at else -1) == state.newest < max(state.next, 0 if at else 1)
    )
    if not fine:
        raise ValueError("its numbers do not go together")


def _fitting(counts: Any) -> int:
    """How many members there are before the first with a count that 64 bits do not hold."""
    n = int(counts.shape[1])
    if counts.dtype != object:
        return n  # float64, and so below 2**53
    return next((k for k in range(n) if max(counts[:, k]) >= 2**63), n)


class Search:
    """The search for `wanted` distinct networks of a space, on from a state."""

    def __init__(
        self, space: Space, seed: int, wanted: int, *, box: Box, state: State | None = None,
        patience: int = PATIENCE,
    ) -> None:  # fmt: skip
        self.engine = Engine(space, seed, box)
        self.space, self.seed, self.wanted, self.patience = space, seed, wanted, patience
        self.layout = Layout(space)
        state = state or State()
        none = np.zeros(len(self.engine.reasons), np.int64)
        self.state = state if len(state.refused) else replace(state, refused=none)
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
        """Search until enough is found. Raises StarvedError; `tell` hears of every piece.

        However it ends, `state` is one to go on from.
        """
        with _looking(self, workers) as look:
            pieces = look(self.chunks(chunk))
            while not self.done:
                if self.state.next - self.state.newest > self.patience:
                    raise StarvedError(self.state, _starved(self))
                self._take(*next(pieces))
                if tell is not None:
                    tell(self.state)
        return self.state

    def _take(self, first: int, n: int, found: Found) -> None:
        """Take a piece as a whole, or up to the candidate with which the search ends.

        The state changes in one step at the end. What an interrupted piece leaves in `_known` is what
        it gets there when it is taken again: networks are numbered in the order of candidates.
        """
        state, table = self.state, self.layout.rows(found)
        rows, times, newest, accepted = [*state.rows], [*state.times], state.newest, state.accepted
        for k, candidate in enumerate(map(int, found.candidates)):
            if len(rows) >= self.wanted or candidate > newest + self.patience:
                break
            if k == len(table):
                raise _too_large(self.space, found.counts[:, k])
            accepted += 1
            at = self._known.setdefault(self.layout.identity(table[k]), len(rows))
            if at < len(rows):
                times[at] += 1
                continue
            rows.append(table[k].copy())
            times.append(1)
            newest = candidate
        done = len(rows) >= self.wanted
        end = newest + 1 if done else min(first + n, newest + 1 + self.patience)
        whole = end == first + n
        refused = (found if whole else self.engine.run(first, end - first)).refused
        self.state = State(rows, times, end, accepted, newest, state.refused + refused)


def _too_large(space: Space, counts: Any) -> Problem:
    """What to do about a network with a count that no population holds."""
    called = {count: name for name, count in COUNTS.items()}
    name, count = max(zip(COUNTED, map(int, counts), strict=True), key=lambda pair: pair[1])
    message = f"a network of `{space.name}` has `{called[name]}` of {count:,}"
    return Problem(
        "too-large", f"{message}, more than the {2**63 - 1:,} that a population holds",
        help=f"narrow the draws, or add a line such as `{called[name]} <= 9000000000G`",
    )  # fmt: skip


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


# Processes.


class Pool(ProcessPoolExecutor):
    """Processes that leave Ctrl-C to this one, and end when this one does, whatever ends it.

    `begin` is called with the arguments in each of them before it works.
    """

    def __init__(self, count: int, begin: Callable[..., None], *arguments: Any) -> None:
        super().__init__(count, initializer=_begin_worker, initargs=(begin, arguments))

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a task over. A process that this starts is deaf to Ctrl-C from its first moment."""
        with _undisturbed():
            return super().submit(task, *args, **kwargs)

    def __exit__(self, *_: object) -> None:
        """Wait for what is being worked on, and for nothing else."""
        with _undisturbed():
            self.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait: a pool that it meets while processes start or stop may never end.

    It is blocked, which processes inherit; and noted, since another thread may still be sent it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    heard = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, heard)
    if came:
        signal.raise_signal(signal.SIGINT)


def _begin_worker(begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*arguments)


def _end_with_parent() -> None:
    """Wait for the process that started this one to end, and end at once."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


Look = Callable[[Iterator[tuple[int, int]]], Iterator[tuple[int, int, Found]]]


@contextmanager
def _looking(search: Search, workers: int) -> Iterator[Look]:
    """A way to look at pieces of candidates, in order: here, or in other processes."""
    if workers == 1:
        yield lambda chunks: ((first, n, search.engine.run(first, n)) for first, n in chunks)
        return
    space, engine = search.space, search.engine
    with Pool(workers, _begin, space.name, space.text, search.seed, engine.box) as pool:
        yield lambda chunks: _ahead(pool, chunks, workers)


def _ahead(
    pool: Pool, chunks: Iterator[tuple[int, int]], workers: int
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
    """Set a worker up."""
    global _engine  # noqa: PLW0603
    _engine = Engine(parse(name, text), seed, box)


def _run(first: int, n: int) -> Found:
    assert _engine is not None
    return _engine.run(first, n)
