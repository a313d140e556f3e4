"""A folder of images in folders by class, as ImageNet is laid out: listed, and read image by image."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import files
from ..limits import DATA_CLASSES, DATA_FILES, IMAGE_BYTES
from ..problems import Problem, printable, some
from . import decode
from .names import Names

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
SPLITS = {"train", "training", "val", "validation", "test"}


@dataclass(frozen=True, slots=True, eq=False)
class ImageFolder:
    """The classes in order of their folders' names, and the images in order of class and name.

    `names` are paths within `root`, `labels` class indices (N, int64), `sizes` bytes (N, int64).
    `notes` are oddities that change no label.
    """

    root: Path
    classes: tuple[str, ...]
    names: Names
    labels: np.ndarray
    sizes: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FolderPart:
    """The images of a folder, read with 1 or 3 channels when they are asked for."""

    folder: ImageFolder
    channels: int
    labels: Tensor = field(init=False)
    pixels: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", torch.from_numpy(self.folder.labels))

    def path(self, index: int) -> Path:
        """The file of an image."""
        return self.folder.root / self.folder.names[index]

    def encoded(self, index: int) -> bytes:
        """The bytes of an image's file. Raises what `files.read` raises."""
        return files.read(self.path(index), IMAGE_BYTES)

    def image(self, index: int) -> Tensor:
        """The decoded image (channels x H x W, uint8). Raises `bad-image`, and as `encoded`."""
        return decode.decode(self.encoded(index), self.name(index), self.channels)

    def name(self, index: int) -> str:
        """The path of the file."""
        return str(self.path(index))


def scan(root: Path) -> ImageFolder:
    """List the images one level down, opening none of them; hidden entries are no classes.

    Links to folders are not followed, so that no loop can be met. Raises `no-such-folder`,
    `cannot-read`, `unsorted-images` (images, but no class folders), `no-classes` and `no-images`.
    """
    try:
        classes, links = _class_folders(root)
        listed: list[tuple[Names, np.ndarray]] = []
        count = 0
        deeper: list[str] = []
        for name in classes:
            listed.append(_images(root, name, deeper))
            count += len(listed[-1][0])
            if count > DATA_FILES:
                raise Problem("too-large", f"{printable(root)} has more than {DATA_FILES:,} images")
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Problem("no-such-folder", f"there is no folder {printable(root)}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{printable(root)} cannot be read: {printable(e)}") from e
    if not count:
        raise Problem(
            "no-images",
            f"the class folders of {printable(root)} hold no images",
            help=f"images end in {', '.join(EXTENSIONS)}",
        )
    return _folder(root, classes, listed, links, deeper)


def _folder(
    root: Path,
    classes: list[str],
    listed: list[tuple[Names, np.ndarray]],
    links: list[str],
    deeper: list[str],
) -> ImageFolder:
    notes = [f"links to folders are not followed: {some(links)}"] if links else []
    if deeper:
        notes.append(
            f"folders within class folders ({len(deeper):,}) are not looked into: {some(deeper)}"
        )
    empty = [name for name, (images, _) in zip(classes, listed, strict=True) if not len(images)]
    if empty:
        notes.append(f"classes without images ({len(empty):,}): {some(empty)}")
    return ImageFolder(
        root,
        tuple(classes),
        Names.chained([names for names, _ in listed]),
        np.repeat(np.arange(len(classes)), [len(names) for names, _ in listed]),
        np.concatenate([sizes for _, sizes in listed]),
        tuple(notes),
    )


def _class_folders(root: Path) -> tuple[list[str], list[str]]:
    """Names of the class folders, and of links to folders. Refuses what is laid out otherwise."""
    with os.scandir(root) as entries:
        seen = [e for e in entries if not e.name.startswith(".")]
    classes = sorted(e.name for e in seen if e.is_dir(follow_symlinks=False))
    links = sorted(e.name for e in seen if e.is_symlink() and e.is_dir())
    shown = printable(root)
    if not classes and any(is_image(e.name) for e in seen):
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


def _images(root: Path, name: str, deeper: list[str]) -> tuple[Names, np.ndarray]:
    """Paths within `root` and sizes (int64) of the images of a class, in order of the names.

    Folders that lie in that of the class are added to `deeper`.
    """
    found, folders = [], []
    with os.scandir(root / name) as entries:
        for e in entries:
            if is_image(e.name) and e.is_file():
                found.append((e.name, e.stat().st_size))
            elif not e.name.startswith(".") and e.is_dir(follow_symlinks=False):
                folders.append(f"{name}/{e.name}")
    found.sort()
    deeper += sorted(folders)
    sizes = np.array([size for _, size in found], np.int64)
    return Names.of(f"{name}/{image}" for image, _ in found), sizes


def is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")
