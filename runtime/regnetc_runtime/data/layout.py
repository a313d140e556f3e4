"""A place to its parts, where `open_data` would refuse: what lies there, and the mistakes in how it lies."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..problems import Problem, printable, some
from ..progress import Progress, silent
from . import folders, sources
from .cache import Cache
from .folders import FolderPart, ImageFolder
from .parts import Part

SYNTHETIC_SIDE = 32  # pixels, for those data that have no size of their own
_VALIDATION_NAME = re.compile(r"ILSVRC\d{4}_val_(\d{8})\.", re.IGNORECASE)
_ENOUGH = 3  # images of a class, to tell whether their numbers are consecutive


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that spoils results, by a name in kebab-case, in words, with examples."""

    name: str
    message: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A data set with whatever parts of it can be used; see `parts.Data`."""

    place: str
    kind: str
    classes: tuple[str, ...]
    digest: str
    parts: Mapping[str, Part]
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()


def find(
    place: str, channels: int, cache: Cache | None = None, progress: Progress = silent
) -> Found:
    """What lies at a place. Raises what `sources.open_data` raises where nothing of it can be used."""
    look = sources.look(place)
    if look.kind == "folder":
        return _find_folders(place, look, channels)
    data = sources.open_data(
        place, channels=channels, side=SYNTHETIC_SIDE, cache=cache, progress=progress
    )
    parts = {n: p for n, p in (("train", data.train), ("test", data.test)) if p is not None}
    return Found(place, data.kind, data.classes, data.digest, parts, (), data.notes)


def _find_folders(place: str, look: sources.Look, channels: int) -> Found:
    listed: dict[str, ImageFolder] = {}
    mistakes: list[Mistake] = []
    refused: Problem | None = None
    for part, root in (("train", look.train), ("test", look.test)):
        if not isinstance(root, Path):
            continue
        try:
            listed[part] = folders.scan(root)
        except Problem as e:
            refused = e
            mistakes.append(_refused(root, e, len(listed["train"].classes) if listed else None))
    if not listed and refused is not None:
        raise refused
    first = next(iter(listed.values()))
    if len(listed) == 2:
        mistakes += _other_classes(listed["train"], listed["test"])
    for folder in listed.values():
        mistakes += _by_number(folder)
    columns = [(f.names.encoded, f.sizes, f.labels) for f in listed.values()]
    notes = [f"{part}: {note}" for part, f in listed.items() for note in _notes(f)]
    return Found(
        place,
        "folder",
        first.classes,
        sources.listing_digest(first.classes, columns),
        {part: FolderPart(folder, channels) for part, folder in listed.items()},
        tuple(mistakes),
        tuple(notes),
    )


def _refused(root: Path, problem: Problem, classes: int | None) -> Mistake:
    """A part that cannot be used, most often validation images without folders."""
    if problem.name != "unsorted-images":
        return Mistake(problem.name, problem.message)
    names = [n for n in sorted(os.listdir(root)) if folders.is_image(n)]  # noqa: PTH208
    ours = sum(_VALIDATION_NAME.match(n) is not None for n in names)
    which = (
        "; the number in ILSVRC2012_val_ is no class: the classes are in "
        "ILSVRC2012_validation_ground_truth.txt"
        if ours > len(names) // 2
        else ""
    )
    return Mistake(
        "unsorted-images",
        f"{problem.message} ({len(names):,} images): with any labels made up for them, "
        f"accuracy is that of guessing{_guessing(classes)}{which}",
    )


def _other_classes(train: ImageFolder, test: ImageFolder) -> list[Mistake]:
    if train.classes == test.classes:
        return []
    sides = ((train, test), (test, train))
    details = tuple(
        f"only in {printable(a.root)}: {some(sorted(set(a.classes) - set(b.classes)))}"
        for a, b in sides
        if set(a.classes) - set(b.classes)
    )
    message = (
        f"{printable(train.root)} has {len(train.classes):,} classes, {printable(test.root)} has "
        f"{len(test.classes):,}, and they are not the same: a class is the place of its folder in "
        "the order of the names, so most images of the test part would count as wrong, "
        f"as if guessed{_guessing(len(train.classes))}"
    )
    return [Mistake("classes-differ", message, details)]


def _by_number(folder: ImageFolder) -> list[Mistake]:
    """ImageNet's validation images dealt out in the order of their numbers, which is not by class."""
    numbers: dict[int, list[int]] = {}
    for name, label in zip(folder.names, folder.labels.tolist(), strict=True):
        match = _VALIDATION_NAME.match(name.rpartition("/")[2])
        if match is not None:
            numbers.setdefault(label, []).append(int(match[1]))
    told = [np.array(n) for n in numbers.values() if len(n) >= _ENOUGH]
    in_a_row = sum(int(n.max() - n.min()) < len(n) for n in told)
    if not told or in_a_row <= len(told) / 2:
        return []
    return [
        Mistake(
            "sorted-by-number",
            f"in {printable(folder.root)}, {in_a_row:,} of {len(told):,} classes hold validation images "
            "of ImageNet with consecutive numbers: they were dealt out by number, not by class, so "
            f"accuracy will be that of guessing{_guessing(len(folder.classes))}",
            (
                "the classes are in ILSVRC2012_validation_ground_truth.txt; the script valprep.sh sorts",
            ),
        )
    ]


def _notes(folder: ImageFolder) -> list[str]:
    notes = list(folder.notes)
    names = folder.classes
    if all(n.isascii() and n.isdigit() for n in names) and list(names) != sorted(names, key=int):
        notes.append(
            "the class folders are numbers, in the order of text: "
            f"{some(names[:4])}; weights from elsewhere may count them otherwise"
        )
    other = sum(_count_others(folder.root / name) for name in names)
    if other:
        notes.append(
            f"{other:,} files in class folders do not end in {', '.join(folders.EXTENSIONS)} "
            "and are passed over"
        )
    return notes


def _count_others(folder: Path) -> int:
    """Files that are no images by their names."""
    with os.scandir(folder) as entries:
        return sum(
            not folders.is_image(e.name) and not e.name.startswith(".") and e.is_file()
            for e in entries
        )


def _guessing(classes: int | None) -> str:
    return f", {100 / classes:.2g}% top-1" if classes else ""
