"""A data set to a report: what is in it, every file that is broken or odd, and what would spoil a result."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ..problems import Problem, printable, some
from ..progress import Progress, silent
from . import inspect
from .inspect import Look
from .layout import Found, Mistake
from .parts import Part

AHEAD = 8  # images that wait for each thread


@dataclass(frozen=True, slots=True)
class Finding:
    """A file, and everything that was found about it."""

    name: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the median and the most of some numbers."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, numbers: np.ndarray) -> Spread | None:
        """None of nothing."""
        if not len(numbers):
            return None
        return cls(float(numbers.min()), float(np.median(numbers)), float(numbers.max()))


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part: how many images it has and how many were looked at; `counts` is images by class.

    `width`, `height` (pixels) and `size` (bytes) are those of the images that were looked at.
    """

    images: int
    seen: int
    counts: tuple[int, ...]
    width: Spread | None
    height: Spread | None
    size: Spread | None

    @property
    def empty(self) -> tuple[int, ...]:
        """Class indices without an image."""
        return tuple(i for i, n in enumerate(self.counts) if not n)


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found. `mistakes` concern the whole, `broken` files cannot be read, `odd` ones can.

    `stopped` tells that not everything was looked at because of Ctrl-C.
    """

    place: str
    kind: str
    classes: tuple[str, ...]
    digest: str
    parts: dict[str, PartReport]
    mistakes: tuple[Mistake, ...]
    broken: tuple[Finding, ...]
    odd: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float
    stopped: bool

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong; odd files are not wrong."""
        return not (self.mistakes or self.broken)


def check(
    found: Found,
    *,
    workers: int = 2,
    limit: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Decode every image of a data set that `layout.find` found, in `workers` threads.

    With `limit`, at most so many images of each part, taken evenly from all over it. Ctrl-C ends it
    early, and what was seen by then is reported.
    """
    start = time.monotonic()
    scans = {name: _Scan(part) for name, part in found.parts.items()}
    total = sum(len(_chosen(s.part, limit)) for s in scans.values())
    stopped, done = False, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what Pillow says of odd files is said here, with names
            for name, scan in scans.items():
                for _ in scan.run(_chosen(scan.part, limit), workers):
                    done += 1
                    progress(done, total, name)
    except KeyboardInterrupt:
        stopped = True
    return Report(
        place=found.place,
        kind=found.kind,
        classes=found.classes,
        digest=found.digest,
        parts={name: scan.report(found.classes) for name, scan in scans.items()},
        mistakes=(*found.mistakes, *_leaks(scans)),
        broken=tuple(f for scan in scans.values() for f in scan.broken),
        odd=tuple(f for scan in scans.values() for f in scan.odd),
        notes=(*found.notes, *_repeats(scans)),
        seconds=time.monotonic() - start,
        stopped=stopped,
    )


def _chosen(part: Part, limit: int | None) -> np.ndarray:
    count = len(part.labels)
    if limit is None or limit >= count:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).astype(np.int64)


@dataclass(slots=True, eq=False)
class _Scan:
    """A part while it is looked at: a hash of each image's content, and what was found."""

    part: Part
    seen: list[int] = field(default_factory=list)
    hashes: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int, int]] = field(default_factory=list)
    broken: list[Finding] = field(default_factory=list)
    odd: list[Finding] = field(default_factory=list)

    def run(self, chosen: np.ndarray, workers: int) -> Iterator[int]:
        """Look at images in order; the number of each that is done."""
        ahead: deque[tuple[int, Future[Look]]] = deque()
        look = self._look()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="check")
        try:
            for index in chosen.tolist():
                ahead.append((index, pool.submit(look, index)))
                if len(ahead) > AHEAD * workers:
                    yield self._take(*ahead.popleft())
            while ahead:
                yield self._take(*ahead.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _look(self) -> Callable[[int], Look]:
        encoded: Callable[[int], bytes] | None = getattr(self.part, "encoded", None)
        if encoded is None:
            return lambda index: inspect.look_at_pixels(self.part.image(index))
        channels: int = getattr(self.part, "channels", 3)
        read = encoded

        def look(index: int) -> Look:
            name = self.part.name(index)
            try:
                return inspect.look(read(index), name, channels)
            except Problem as e:
                return Look(problem=e.message)

        return look

    def _take(self, index: int, future: Future[Look]) -> int:
        look = future.result()
        self.seen.append(index)
        self.hashes.append(look.hash if look.problem is None else 0)
        if look.problem is not None:
            self.broken.append(Finding(self.part.name(index), (look.problem,)))
        else:
            self.sizes.append((look.width, look.height, look.bytes))
            if look.oddities:
                self.odd.append(Finding(self.part.name(index), look.oddities))
        return index

    def report(self, classes: tuple[str, ...]) -> PartReport:
        counts = self._counts(classes)
        columns = np.array(self.sizes, np.int64).reshape(-1, 3).T
        width, height, size = (Spread.of(c) for c in columns)
        return PartReport(len(self.part.labels), len(self.seen), counts, width, height, size)

    def _counts(self, classes: tuple[str, ...]) -> tuple[int, ...]:
        """Images of each class, by its name where the part has classes of its own."""
        folder = getattr(self.part, "folder", None)
        own: tuple[str, ...] = folder.classes if folder is not None else classes
        each = np.bincount(self.part.labels.numpy(), minlength=len(own)).tolist()
        named = dict(zip(own, each, strict=False))
        return tuple(named.get(name, 0) for name in classes)

    def content(self, index: int) -> bytes:
        """What two images share if they are the same."""
        encoded: Callable[[int], bytes] | None = getattr(self.part, "encoded", None)
        if encoded is not None:
            return hashlib.sha256(encoded(index)).digest()
        return hashlib.sha256(self.part.image(index).numpy().tobytes()).digest()


def _leaks(scans: dict[str, _Scan]) -> Iterator[Mistake]:
    """Images that are in both parts, byte for byte."""
    if len(scans) < 2:
        return
    train, test = scans.values()
    where = {h: i for h, i in zip(train.hashes, train.seen, strict=True) if h}
    pairs = []
    for h, index in zip(test.hashes, test.seen, strict=True):
        if h in where:
            try:
                same = train.content(where[h]) == test.content(index)
            except Problem:  # gone since
                continue
            if same:
                pairs.append(f"{train.part.name(where[h])} = {test.part.name(index)}")
    if pairs:
        yield Mistake(
            "leakage",
            f"the test part shares {len(pairs):,} of its {len(test.part.labels):,} images with the "
            "training part, byte for byte: a result on them says nothing",
            tuple(printable(p, 400) for p in pairs),
        )


def _repeats(scans: dict[str, _Scan]) -> Iterator[str]:
    """Images that come several times within a part; worse, under several classes."""
    for name, scan in scans.items():
        first: dict[int, int] = {}
        again, torn = [], []
        labels = scan.part.labels
        for h, index in zip(scan.hashes, scan.seen, strict=True):
            if not h:
                continue
            before = first.setdefault(h, index)
            if before != index:
                again.append(scan.part.name(index))
                if labels[before] != labels[index]:
                    torn.append(scan.part.name(index))
        if again:
            yield f"{name}: copies of other images in the part ({len(again):,}): {some(again)}"
        if torn:
            yield f"{name}: of these, under another class ({len(torn):,}): {some(torn)}"
