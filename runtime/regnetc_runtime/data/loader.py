"""Chunks of image numbers to batches of pixels, decoded and prepared in other processes.

A batch depends on nothing but the part, the chunk and the seed: not on how many processes work, on which
of them does what, or on whether one of them was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..chance import numpy_generator
from ..limits import REPLACEMENTS
from ..problems import Problem, printable
from .bad import GONE, UNREADABLE, BadImages, Failure
from .batches import Batch
from .parts import Chunk, Part

Prepare = Callable[[Tensor, np.random.Generator], Tensor]

PIECE = 256  # images that a worker decodes at a time
GONE_IN_A_ROW = 8  # images that are not there, one after the other
SHARED = "/dev/shm"  # noqa: S108 - nothing is opened there


class Piece(NamedTuple):
    """A chunk, or one of the pieces of a large one; `last` ends the chunk."""

    chunk: Chunk
    last: bool


@dataclass(slots=True, eq=False)
class Decoded:
    """A piece's images, None if none could be read, their numbers, and what could not be read.

    `given_up` tells that an image could not even be replaced, `problem` is one that ends the run.
    """

    images: Tensor | None
    indices: Tensor
    failures: tuple[Failure, ...] = ()
    given_up: bool = False
    problem: Failure | None = None

    def shared(self) -> Decoded:
        """The same in shared memory. Raises what torch does where there is no room for it.

        torch would do it later, in a thread whose failure nobody hears of.
        """
        for tensor in (self.images, self.indices):
            if tensor is not None:
                share: Any = tensor.share_memory_
                share()
        return self

    def pin_memory(self) -> Decoded:
        """The same in memory that is copied to a GPU without waiting."""
        if self.images is not None:
            self.images = self.images.pin_memory()
        return self


@dataclass(slots=True, eq=False)
class Decoder:
    """Decodes pieces, in whatever process it is; a `value` of `stop` makes it hurry to an end."""

    part: Part
    prepare: Prepare | None
    seed: int
    replace: bool
    count: int
    stop: Any = None

    def __getitem__(self, piece: Piece) -> Decoded:
        """The images of a piece, in order; in a worker, in memory that the other process sees."""
        decoded = self._decode(piece.chunk)
        if self.stop is None:
            return decoded
        try:
            return decoded.shared()
        except (RuntimeError, OSError) as e:
            return Decoded(None, _numbers([]), problem=Failure.of("", _no_room(e)))

    def _decode(self, chunk: Chunk) -> Decoded:
        images: list[Tensor] = []
        taken: list[int] = []
        failures: list[Failure] = []
        for k, index in enumerate(chunk.indices.tolist()):
            if self.stop is not None and self.stop.value:
                break
            try:
                found = self._readable(index, chunk.epoch, chunk.first + k, failures)
            except Problem as e:
                problem = Failure.of(self.part.name(index), e)
                return Decoded(None, _numbers([]), tuple(failures), problem=problem)
            if found is not None:
                images.append(found[0])
                taken.append(found[1])
            elif self.replace:
                return Decoded(None, _numbers([]), tuple(failures), given_up=True)
        return Decoded(torch.stack(images) if images else None, _numbers(taken), tuple(failures))

    def _readable(
        self, index: int, epoch: int, place: int, failures: list[Failure]
    ) -> tuple[Tensor, int] | None:
        """An image and its number: the one asked for, or the next that can be read if replacing."""
        gone = 0
        for step in range(min(self.count, REPLACEMENTS) if self.replace else 1):
            tried = (index + step) % self.count
            try:
                image = self.part.image(tried)
                if self.prepare is not None:
                    image = self.prepare(image, numpy_generator(self.seed, "image", epoch, place))
            except Problem as e:
                if e.name not in UNREADABLE:
                    raise
                failures.append(Failure.of(self.part.name(tried), e))
                gone = gone + 1 if e.name in GONE else 0
                if gone >= GONE_IN_A_ROW:
                    return None  # a disk that is gone has no image to offer
            else:
                return image, tried
        return None


def _no_room(e: Exception) -> Problem:
    free = ""
    with suppress(OSError):
        room = os.statvfs(SHARED)
        free = f", which has {room.f_bavail * room.f_frsize >> 10:,} KiB free"
    return Problem(
        "no-shared-memory",
        f"decoded images do not fit into {SHARED}{free}: {printable(str(e).partition(chr(10))[0])}",
        help=f"enlarge {SHARED} (docker: --shm-size), take fewer workers, or none: --workers 0",
    )


def _numbers(taken: list[int]) -> Tensor:
    return torch.tensor(taken, dtype=torch.int64)


def load(
    part: Part,
    chunks: Iterable[Chunk],
    prepare: Prepare | None,
    *,
    seed: int,
    workers: int,
    bad: BadImages,
    warn: Callable[[str], None] | None = None,
) -> Iterator[Batch]:
    """A batch for each chunk, in order; `prepare` makes each image what the network is to see.

    It is called with the image (channels x H x W, uint8) and with chance for the image's place in the
    epoch, and returns images of one size. `workers` processes decode a bounded way ahead; 0 decodes
    here, and so do images that lie in memory and need no preparing. `unreadable` of a batch names
    bad images that were not named before (see `BadImages`). `warn` is told of workers that died and
    were replaced. With a GPU the pixels are pinned. Close the iterator, and no process is left.

    Raises `too-many-bad-images`, `vanished-data`, `worker-died`, and what reading a shard raises.
    """
    if part.pixels is not None and prepare is None:
        return _from_memory(part.pixels, part.labels, chunks)
    return _collected(part, _decoded(part, chunks, prepare, seed, workers, bad, warn), bad)


def _from_memory(pixels: Tensor, labels: Tensor, chunks: Iterable[Chunk]) -> Iterator[Batch]:
    pinned = torch.cuda.is_available()
    for chunk in chunks:
        indices = torch.from_numpy(chunk.indices)
        images = pixels[indices]
        images = images.pin_memory() if pinned else images
        yield Batch(images, labels[indices], indices=indices)


def _decoded(
    part: Part,
    chunks: Iterable[Chunk],
    prepare: Prepare | None,
    seed: int,
    workers: int,
    bad: BadImages,
    warn: Callable[[str], None] | None,
) -> Iterator[tuple[Piece, Decoded]]:
    decoder = Decoder(part, prepare, seed, bad.replace, len(part.labels))
    if workers:
        from .workers import decode_in_workers

        yield from decode_in_workers(decoder, _pieces(chunks), workers, warn)
        return
    pinned = torch.cuda.is_available()
    for piece in _pieces(chunks):
        decoded = decoder[piece]
        yield piece, decoded.pin_memory() if pinned else decoded


def _pieces(chunks: Iterable[Chunk]) -> Iterator[Piece]:
    """Chunks, cut where they are large: what waits for the network is then bounded."""
    for chunk in chunks:
        indices = np.asarray(chunk.indices, np.int64)
        count = max(1, -(-len(indices) // PIECE))
        first = chunk.first
        for k, some in enumerate(np.array_split(indices, count)):
            yield Piece(Chunk(chunk.epoch, first, some), last=k == count - 1)
            first += len(some)


def _collected(
    part: Part, decoded: Iterator[tuple[Piece, Decoded]], bad: BadImages
) -> Iterator[Batch]:
    """Pieces to batches, with an account of the bad images."""
    labels = part.labels
    images: list[Tensor] = []
    taken: list[Tensor] = []
    named: tuple[str, ...] = ()
    try:
        for piece, found in decoded:
            named += bad.add(found.failures, part)
            _check(found, part, bad)
            if found.images is not None:
                images.append(found.images)
                taken.append(found.indices)
            if piece.last:
                indices = torch.cat([_numbers([]), *taken])
                yield Batch(_joined(images), labels[indices], named, indices)
                images, taken, named = [], [], ()
    finally:
        close: Any = getattr(decoded, "close", None)
        if close is not None:
            close()


def _check(found: Decoded, part: Part, bad: BadImages) -> None:
    """Raise what ends the run."""
    if found.problem is not None:
        raise found.problem.raised()
    if found.images is None and any(f.problem in GONE for f in found.failures):
        bad.check_there(part)
    if found.given_up:
        raise bad.too_many(part)


def _joined(pieces: list[Tensor]) -> Tensor:
    """One tensor of all pieces, pinned where they are; 0 x 0 x 0 x 0 of none."""
    if not pieces:
        return torch.empty(0, 0, 0, 0, dtype=torch.uint8)
    if len(pieces) == 1:
        return pieces[0]
    size = (sum(len(p) for p in pieces), *pieces[0].shape[1:])
    whole = torch.empty(size, dtype=pieces[0].dtype, pin_memory=pieces[0].is_pinned())
    return torch.cat(pieces, out=whole)
