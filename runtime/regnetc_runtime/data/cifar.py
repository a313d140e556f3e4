"""CIFAR-10 and CIFAR-100 in their binary version, as their page describes it.

https://www.cs.toronto.edu/~kriz/cifar.html: an image is its label (CIFAR-100: the coarse label, then the
fine one), a byte each, and 3,072 bytes of pixels, 32 x 32 of red, then of green, then of blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import files
from ..limits import CIFAR_BYTES, CLASS_NAMES_BYTES
from ..problems import Problem, printable
from .memory import MemoryPart, digest_of, grey, in_channels
from .parts import Data

SIDE = 32
PIXELS = 3 * SIDE * SIDE
FOLDERS = ("cifar-10-batches-bin", "cifar-100-binary")  # as the archives unpack


@dataclass(frozen=True, slots=True)
class _Layout:
    """`labels` bytes before the pixels, of which the last is the class. `published` images in all.

    `mean` and `std` are those of the training images.
    """

    kind: str
    train: tuple[str, ...]
    test: str
    names: str
    labels: int
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    published: tuple[int, int] = (50_000, 10_000)


_TEN = _Layout(
    kind="cifar10",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test="test_batch.bin",
    names="batches.meta.txt",
    labels=1,
    classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)
_HUNDRED = _Layout(
    kind="cifar100",
    train=("train.bin",),
    test="test.bin",
    names="fine_label_names.txt",
    labels=2,
    classes=100,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


def found_in(folder: Path) -> Path | None:
    """The folder with CIFAR's files: this one, or the one inside that the archive makes."""
    for home in (folder, *(folder / name for name in FOLDERS)):
        if _layout(home) is not None:
            return home
    return None


def open_cifar(folder: Path, channels: int) -> Data:
    """Both parts in memory, 32 x 32 pixels; one channel is grey by luma.

    Raises `damaged-data` where a file is missing, cut short or names classes that there are not, and
    what `files.read` raises.
    """
    layout = _layout(folder)
    if layout is None:
        raise Problem("no-such-file", f"{printable(folder)} holds no CIFAR")
    train, test = (
        _part(folder, names, layout, channels, what)
        for names, what in ((layout.train, "training"), ((layout.test,), "test"))
    )
    mean, std = (
        (layout.mean, layout.std) if channels == 3 else (grey(layout.mean), grey(layout.std))
    )
    sizes = (len(train.labels), len(test.labels))
    notes = []
    if sizes != layout.published:
        notes.append(
            f"there are {sizes[0]:,} training and {sizes[1]:,} test images, "
            f"published are {layout.published[0]:,} and {layout.published[1]:,}"
        )
    return Data(
        name=layout.kind,
        kind=layout.kind,
        classes=_class_names(folder / layout.names, layout, notes),
        train=train,
        test=test,
        digest=digest_of((train, test)),
        mean=mean,
        std=std,
        notes=tuple(notes),
    )


def _layout(folder: Path) -> _Layout | None:
    for layout in (_TEN, _HUNDRED):
        if (folder / layout.train[0]).is_file():
            return layout
    return None


def _part(
    folder: Path, names: tuple[str, ...], layout: _Layout, channels: int, what: str
) -> MemoryPart:
    rows = np.concatenate([_rows(folder / name, layout) for name in names])
    labels = torch.from_numpy(rows[:, layout.labels - 1].astype(np.int64))
    pixels = torch.from_numpy(rows[:, layout.labels :].reshape(-1, 3, SIDE, SIDE).copy())
    title = f"the {what} images in {printable(folder)}"
    return MemoryPart(title, in_channels(pixels, channels), labels)


def _rows(path: Path, layout: _Layout) -> np.ndarray:
    """The images of a file (N x bytes of an image, uint8)."""
    try:
        data = np.frombuffer(files.read(path, CIFAR_BYTES), np.uint8)
    except Problem as e:
        if e.name != "no-such-file":
            raise
        raise _damaged(path, "it is missing") from e
    row = layout.labels + PIXELS
    if not len(data) or len(data) % row:
        raise _damaged(path, f"it has {len(data):,} bytes, which are no multiple of {row:,}")
    rows = data.reshape(-1, row)
    worst = int(rows[:, layout.labels - 1].max())
    if worst >= layout.classes:
        raise _damaged(path, f"it names class {worst}, the last one is {layout.classes - 1}")
    return rows


def _class_names(path: Path, layout: _Layout, notes: list[str]) -> tuple[str, ...]:
    """Names of the classes; their numbers where there is no file that says."""
    numbers = tuple(map(str, range(layout.classes)))
    try:
        text = files.read(path, CLASS_NAMES_BYTES).decode("utf-8", "replace")
    except Problem:
        notes.append(f"without {layout.names}, the classes have numbers for names")
        return numbers
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != layout.classes:
        raise _damaged(path, f"it names {len(names):,} classes instead of {layout.classes}")
    return names


def _damaged(path: Path, why: str) -> Problem:
    return Problem(
        "damaged-data",
        f"{printable(path)} is no whole file of CIFAR: {why}",
        help="unpack the archive of the binary version again",
    )
