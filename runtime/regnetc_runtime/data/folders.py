"""A folder of images in folders by class, as ImageNet is laid out, to batches of pixels and labels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..limits import DATA_CLASSES, DATA_FILES
from ..preprocess import Preprocess
from ..problems import Problem, printable, some
from . import decode
from .batches import Batch

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
SPLITS = {"train", "training", "val", "validation", "test"}
BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The classes in order of their folders' names, and each image with its class index, in order.

    `notes` are oddities that change no label.
    """

    root: Path
    classes: tuple[str, ...]
    files: tuple[tuple[Path, int], ...]
    notes: tuple[str, ...] = ()


def scan(root: Path) -> ImageFolder:
    """List the images one level down, opening none of them; hidden entries are no classes.

    Links to folders are not followed, so that no loop can be met. Raises `no-such-folder`,
    `cannot-read`, `unsorted-images` (images, but no class folders), `no-classes` and `no-images`.
    """
    try:
        classes, links = _class_folders(root)
        files: list[tuple[Path, int]] = []
        empty = []
        for index, name in enumerate(classes):
            images = _images(root / name)
            files.extend((path, index) for path in images)
            if not images:
                empty.append(name)
            if len(files) > DATA_FILES:
                raise Problem("too-large", f"{printable(root)} has more than {DATA_FILES:,} images")
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Problem("no-such-folder", f"there is no folder {printable(root)}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{printable(root)} cannot be read: {printable(e)}") from e
    if not files:
        raise Problem(
            "no-images",
            f"the class folders of {printable(root)} hold no images",
            help=f"images end in {', '.join(EXTENSIONS)}",
        )
    notes = [f"links to folders are not followed: {some(links)}"] if links else []
    if empty:
        notes.append(f"classes without images ({len(empty):,}): {some(empty)}")
    return ImageFolder(root, tuple(classes), tuple(files), tuple(notes))


def batches(
    folder: ImageFolder, preprocess: Preprocess, size: int, workers: int, *, skip_bad: bool = False
) -> Iterator[Batch]:
    """All images in order, `size` at a time, decoded in `workers` threads a little ahead.

    Images are uint8 (N x channels x crop x crop), not normalised. Raises `bad-image` at the first
    that cannot be read, or names it in its batch if `skip_bad`.
    """
    # Threads, not processes: decoding and resizing release the GIL, and every process would spend
    # seconds on importing torch.
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="decode")
    ahead: deque[list[_Pending]] = deque()
    try:
        for start in range(0, len(folder.files), size):
            part = folder.files[start : start + size]
            ahead.append([(pool.submit(_open, path, preprocess), label) for path, label in part])
            if len(ahead) > BATCHES_AHEAD:
                yield _collect(ahead.popleft(), preprocess, skip_bad)
        while ahead:
            yield _collect(ahead.popleft(), preprocess, skip_bad)
    finally:
        pool.shutdown(cancel_futures=True)


_Pending = tuple[Future[Tensor | tuple[Path, Problem]], int]


def _open(path: Path, preprocess: Preprocess) -> Tensor | tuple[Path, Problem]:
    try:
        return preprocess.fit(decode.read(path, preprocess.channels), str(path))
    except Problem as e:
        return path, e


def _collect(pending: list[_Pending], preprocess: Preprocess, skip_bad: bool) -> Batch:
    images, labels, unreadable = [], [], []
    for future, label in pending:
        match future.result():
            case Tensor() as image:
                images.append(image)
                labels.append(label)
            case path, problem:
                if not skip_bad:
                    raise problem
                unreadable.append(str(path))
    none = torch.empty(0, preprocess.channels, preprocess.crop, preprocess.crop, dtype=torch.uint8)
    return Batch(
        torch.stack(images) if images else none,
        torch.tensor(labels, dtype=torch.int64),
        tuple(unreadable),
    )


def _class_folders(root: Path) -> tuple[list[str], list[str]]:
    """Names of the class folders, and of links to folders. Refuses what is laid out otherwise."""
    with os.scandir(root) as entries:
        seen = [e for e in entries if not e.name.startswith(".")]
    classes = sorted(e.name for e in seen if e.is_dir(follow_symlinks=False))
    links = sorted(e.name for e in seen if e.is_symlink() and e.is_dir())
    shown = printable(root)
    if not classes and any(_is_image(e.name) for e in seen):
        raise Problem(
            "unsorted-images",
            f"{shown} holds images, but no folder for each class",
            help="sort the images into one folder per class; for ImageNet's validation images the "
            "script valprep.sh, which many repositories carry, does it",
        )
    if not classes or set(classes) <= SPLITS:
        parts = f", but {some(classes)}" if classes else ""
        raise Problem(
            "no-classes",
            f"{shown} has no class folders{parts}",
            help=f"give the folder {classes[-1]} of it" if classes else None,
        )
    if len(classes) > DATA_CLASSES:
        raise Problem("too-large", f"{shown} has more than {DATA_CLASSES:,} class folders")
    return classes, links


def _images(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if _is_image(e.name) and e.is_file())
    return [folder / name for name in names]


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")
