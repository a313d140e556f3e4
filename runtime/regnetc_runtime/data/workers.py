"""Processes that decode, watched: one that dies is replaced, and none is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_bool
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import RawValue
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..chance import generator
from ..limits import WORKER_RESTARTS
from ..problems import Problem
from .loader import SHARED, Decoded, Decoder, Piece

AHEAD = 2  # pieces that each worker has in hand
SECONDS = 5.0  # for a worker to end by itself


class _DiedError(Exception):
    """A worker is gone; in words, how."""


def decode_in_workers(
    decoder: Decoder,
    pieces: Iterable[Piece],
    workers: int,
    warn: Callable[[str], None] | None,
) -> Iterator[tuple[Piece, Decoded]]:
    """Pieces in order with their images, which `workers` processes decode.

    A worker that dies is replaced, with all others, and what it had in hand is decoded again, which
    gives the same. Raises `worker-died` when that has happened `WORKER_RESTARTS` times before.
    """
    rest, waiting = iter(pieces), deque[Piece]()
    died = 0
    while True:
        try:
            with _pool(decoder, _again(waiting, rest), workers) as pool:
                for decoded in pool:
                    yield waiting.popleft(), decoded
            return
        except _DiedError as e:
            died += 1
            if died > WORKER_RESTARTS:
                raise _gave_up(str(e), died) from None
            if warn is not None:
                warn(f"{e}; its work is done again ({died} of {WORKER_RESTARTS} times)")


def _again(waiting: deque[Piece], rest: Iterator[Piece]) -> Iterator[Piece]:
    """First what was handed out and never came back, then what is new; `waiting` keeps account."""
    yield from tuple(waiting)
    for piece in rest:
        waiting.append(piece)
        yield piece


@contextmanager
def _pool(decoder: Decoder, pieces: Iterator[Piece], workers: int) -> Iterator[Iterator[Decoded]]:
    """Decoded pieces out of fresh processes, which end with the context."""
    stop = RawValue(c_bool, False)
    decoder.stop = stop
    before = set(multiprocessing.active_children())
    iterator = _start(decoder, pieces, workers)
    processes = [p for p in multiprocessing.active_children() if p not in before]
    try:
        yield _watched(iterator, processes)
    finally:
        stop.value = True
        _end(iterator, processes)


def _start(decoder: Decoder, pieces: Iterator[Piece], workers: int) -> Iterator[Decoded]:
    # Forked, on Linux: the listing and what prepares the images is there at once, without a copy,
    # and without the second that every other way spends on importing torch. The children touch no
    # GPU, start no threads and leave the standard streams alone, which is what a fork may spoil.
    how = "fork" if sys.platform == "linux" else None
    here = signal.getsignal(signal.SIGCHLD)
    with warnings.catch_warnings():
        # That there are more workers than cores, and that threads are lost in a fork.
        warnings.simplefilter("ignore")
        loader: DataLoader[Any] = DataLoader(
            decoder,  # type: ignore[arg-type]
            sampler=pieces,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_settle,
            multiprocessing_context=how,
            generator=generator(
                decoder.seed, "workers"
            ),  # else torch would draw from its global one
            prefetch_factor=AHEAD,
        )
        iterator = iter(loader)
    with suppress(ValueError):  # not the main thread, where torch sets no handler either
        # torch's handler would raise in whatever the main thread does when a worker dies.
        signal.signal(signal.SIGCHLD, here if here is not None else signal.SIG_DFL)
    return iterator


def _settle(_worker: int) -> None:
    """How a worker begins: the main process, which may finish and save, decides what a signal means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    shown = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, ConnectionError | EOFError):  # whom an image was handed to has gone
            shown(kind, error, trace)

    sys.excepthook = hook


def _as_it_is(decoded: Any) -> Any:
    return decoded


def _watched(iterator: Iterator[Decoded], processes: list[BaseProcess]) -> Iterator[Decoded]:
    """What comes; raises `_DiedError` where nothing comes any more since a worker is gone."""
    while True:
        try:
            decoded = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as e:
            gone = [p for p in processes if not p.is_alive()]
            if not gone:
                raise
            raise _DiedError(_how(gone[0])) from e
        yield decoded


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code < 0:
        return f"a process that decodes images was killed by {signal.Signals(-code).name}"
    return f"a process that decodes images ended with code {code}"


def _end(iterator: Iterator[Decoded], processes: list[BaseProcess]) -> None:
    """See all processes gone: by themselves, or else killed."""
    shut_down: Any = getattr(iterator, "_shutdown_workers", None)
    if shut_down is not None:  # at once, also while an exception still holds the iterator
        shut_down()
    for process in processes:
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _gave_up(how: str, died: int) -> Problem:
    details = []
    with suppress(OSError):
        shared = os.statvfs(SHARED)
        free = shared.f_bavail * shared.f_frsize >> 20
        details.append(f"{SHARED}, through which the pixels go, has {free:,} MiB free")
    return Problem(
        "worker-died",
        f"{how}, the {died}th in this run",
        details=details,
        help=f"the machine may be short of memory, or {SHARED} too small (docker: --shm-size); "
        "try fewer workers, or none: --workers 0",
    )
