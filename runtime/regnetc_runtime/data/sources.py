"""A place that a user names (a folder, shards, a word) to a data set with its parts."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .. import files
from ..limits import CLASS_NAMES_BYTES, SHARDS
from ..preprocess import IMAGENET_MEAN, IMAGENET_STD
from ..problems import Problem, printable, some
from ..progress import Progress, silent
from . import cifar, digits, folders, shards, synthetic
from .batches import check_classes
from .cache import Cache, default_folder
from .folders import FolderPart, ImageFolder
from .memory import grey
from .parts import Data
from .shards import Shard, ShardPart
from .subsets import Subset, order, split

__all__ = ["Subset", "look", "open_data", "order", "split"]

TRAIN = ("train", "training")
TEST = ("val", "validation", "valid", "test")
CLASS_NAMES = ("classes.txt", "classnames.txt")
Alone = Literal["train", "test"]

_LOOKED_FOR = (
    "`digits`, `synthetic` or `synthetic:N`",
    "a folder with train/ and val/ (or test/), with class folders or shards in both",
    "a folder of class folders with .jpg, .jpeg, .png or .webp images",
    "a folder of .tar shards, a pattern such as train-{000..146}.tar, or an index of shards (.json)",
    "a folder with the binary version of CIFAR-10 (data_batch_1.bin, ...) or CIFAR-100 (train.bin)",
    "a URL of shards (http or https), with the same patterns, or of an index",
)


class Look(NamedTuple):
    """What a place was found to be.

    `kind` is `digits`, `synthetic`, `cifar`, `folder` or `shards`; `train` and `test` are where those
    parts lie: a folder of class folders, or shards.
    """

    kind: Literal["digits", "synthetic", "cifar", "folder", "shards"]
    train: Path | tuple[Shard, ...] | None = None
    test: Path | tuple[Shard, ...] | None = None


def open_data(
    place: str,
    *,
    channels: int,
    side: int,
    classes: int | None = None,
    alone: Alone = "test",
    cache: Cache | None = None,
    progress: Progress = silent,
) -> Data:
    """The data set at a place; which kind it is, is found by looking.

    Images have `channels` (1 or 3). `side` is that of digits and synthetic images; all others have
    their own sizes. With `classes`, there have to be that many (synthetic images take it, 10 without).
    `alone` says which part images are that lie in no `train` and no `val`. `cache` keeps shards from
    afar, and `progress` follows their listing.

    Raises `unknown-data`, `classes-differ` (between the parts), `class-count`, `wrong-input`, and what
    reading each kind raises: see folders.py, tars.py, shards.py, cifar.py, digits.py.
    """
    if channels not in (1, 3):
        raise Problem("wrong-input", f"images have 1 or 3 channels, not the network's {channels}")
    found = look(place, alone=alone)
    match found.kind:
        case "digits":
            data = digits.open_digits(channels, side)
        case "synthetic":
            data = synthetic.open_synthetic(_count(place), classes, channels, side)
        case "cifar":
            data = cifar.open_cifar(_folder(found), channels)
        case "folder":
            data = _open_folders(place, found, channels)
        case _:
            home = cache or Cache(default_folder())
            data = _open_shards(place, found, channels, classes, home, progress)
    if classes is not None:
        check_classes(printable(place), len(data.classes), classes)
    return data


def look(place: str, *, alone: Alone = "test") -> Look:
    """Find out what is at a place, by names alone. Raises `unknown-data`, and what reading it raises."""
    if place == "digits":
        return Look("digits")
    if place == "synthetic" or re.fullmatch(r"synthetic:\d{1,12}", place):
        return Look("synthetic")
    if place.startswith(("http://", "https://")) and place.partition("?")[0].endswith("/"):
        raise Problem(
            "unknown-data",
            f"{printable(place)} is a folder, which cannot be listed from afar",
            help="name its shards (train-{000..146}.tar) or an index of them (index.json)",
        )
    if place.startswith(("http://", "https://")) or place.endswith((".tar", ".json")):
        listed = shards.read_index(place) if place.partition("?")[0].endswith(".json") else None
        return _of_shards(listed or [shards.shard(p) for p in shards.expand(place)], alone)
    try:
        return _look_into(Path(place), alone)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise _unknown(place, "there is no such folder") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{printable(place)} cannot be read: {printable(e)}") from e


def _look_into(folder: Path, alone: Alone) -> Look:
    home = cifar.found_in(folder)
    if home is not None:
        return Look("cifar", home, home)
    names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    inside = {n.lower(): folder / n for n in names if (folder / n).is_dir()}
    train = next((inside[n] for n in TRAIN if n in inside), None)
    test = next((inside[n] for n in TEST if n in inside), None)
    if train is not None or test is not None:
        return _two_parts(train, test)
    tars = _tars(folder, names)
    if tars:
        return _of_shards(tars, alone)
    if any(not n.startswith(".") for n in inside) or any(folders.is_image(n) for n in names):
        return Look("folder", **{alone: folder})
    raise _unknown(str(folder), "it holds neither folders nor images nor shards")


def _two_parts(train: Path | None, test: Path | None) -> Look:
    """Parts in folders of their own: both shards, or both class folders."""
    places = [p for p in (train, test) if p is not None]
    tars = {p: tuple(_tars(p, sorted(os.listdir(p)))) for p in places}  # noqa: PTH208 - as above
    if any(tars.values()):
        return Look("shards", *(tars[p] if p is not None else None for p in (train, test)))
    return Look("folder", train, test)


def _tars(folder: Path, names: Sequence[str]) -> list[Shard]:
    found: list[Shard] = [folder / n for n in names if n.endswith(".tar") and not n.startswith(".")]
    if len(found) > SHARDS:
        raise Problem("too-large", f"{printable(folder)} has more than {SHARDS:,} shards")
    return found


def _of_shards(found: Sequence[Shard], alone: Alone) -> Look:
    """Shards by their names: `val`, `validation` or `test` as a word makes one of the test part."""
    part: dict[str, list[Shard]] = {"train": [], "test": [], "": []}
    for shard in found:
        name = shard.url if not isinstance(shard, Path) else shard.name
        words = set(re.split(r"[^a-z]+", name.lower().partition("?")[0].rpartition("/")[2]))
        part["test" if words & set(TEST) else "train" if words & set(TRAIN) else ""].append(shard)
    nameless = alone if not (part["train"] or part["test"]) else "train"
    part[nameless] += part[""]
    return Look("shards", tuple(part["train"]) or None, tuple(part["test"]) or None)


def _open_folders(place: str, found: Look, channels: int) -> Data:
    listed = {
        part: folders.scan(root)
        for part, root in (("train", found.train), ("test", found.test))
        if isinstance(root, Path)
    }
    train, test = listed.get("train"), listed.get("test")
    first = train or test
    if first is None:
        raise AssertionError("a folder has a part")
    if train is not None and test is not None:
        _check_agree(train, test)
    mean, std = _colours(channels)
    parts = {part: FolderPart(folder, channels) for part, folder in listed.items()}
    return Data(
        name=printable(place),
        kind="folder",
        classes=first.classes,
        train=parts.get("train"),
        test=parts.get("test"),
        digest=listing_digest(
            first.classes, [(f.names.encoded, f.sizes, f.labels) for f in listed.values()]
        ),
        mean=mean,
        std=std,
        notes=tuple(f"{part}: {note}" for part, f in listed.items() for note in f.notes),
        facts={part: str(folder.root) for part, folder in listed.items()},
    )


def _check_agree(train: ImageFolder, test: ImageFolder) -> None:
    if train.classes == test.classes:
        return
    only_train = sorted(set(train.classes) - set(test.classes))
    only_test = sorted(set(test.classes) - set(train.classes))
    details = [
        f"only in {printable(folder.root)} ({len(only):,}): {some(only)}"
        for folder, only in ((train, only_train), (test, only_test))
        if only
    ]
    raise Problem(
        "classes-differ",
        f"{printable(train.root)} has {len(train.classes):,} classes, "
        f"{printable(test.root)} has {len(test.classes):,}, and they are not the same",
        details=details,
        help="a class is a number by the order of its folder's name, so both need the same folders",
    )


def _open_shards(
    place: str, found: Look, channels: int, classes: int | None, cache: Cache, progress: Progress
) -> Data:
    opened: dict[str, ShardPart] = {
        part: shards.open_shards(places, channels, cache, progress)
        for part, places in (("train", found.train), ("test", found.test))
        if isinstance(places, tuple)
    }
    most = max(int(p.labels.max()) + 1 for p in opened.values())
    names = _class_names(Path(place), most, classes)
    mean, std = _colours(channels)
    listings = [(p.names.encoded, p.sizes, p.labels.numpy()) for p in opened.values()]
    return Data(
        name=printable(place),
        kind="shards",
        classes=names,
        train=opened.get("train"),
        test=opened.get("test"),
        digest=listing_digest(names, listings),
        mean=mean,
        std=std,
        notes=tuple(f"{part}: {note}" for part, p in opened.items() for note in p.notes),
        facts={part: f"{len(p.shards):,} shards" for part, p in opened.items()},
    )


def _class_names(folder: Path, most: int, classes: int | None) -> tuple[str, ...]:
    """Names of the classes of shards, out of a file beside them; without one, their numbers."""
    for name in CLASS_NAMES if folder.is_dir() else ():
        if (folder / name).is_file():
            text = files.read(folder / name, CLASS_NAMES_BYTES).decode("utf-8", "replace")
            names = tuple(line.strip() for line in text.splitlines() if line.strip())
            if len(names) < most:
                raise Problem(
                    "classes-differ",
                    f"{printable(folder / name)} names {len(names):,} classes, "
                    f"but the shards have a class {most - 1:,}, counted from 0",
                )
            return names
    return tuple(map(str, range(max(most, classes or 0))))


class _Encoded(Protocol):
    def __call__(self, index: int) -> bytes: ...


def listing_digest(
    classes: Sequence[str], parts: Sequence[tuple[_Encoded, np.ndarray, np.ndarray]]
) -> str:
    """SHA-256 (64 hexadecimal digits) of classes and, by part, of all names, sizes and labels."""
    found = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape"))
    for name, sizes, labels in parts:
        found.update(b"\0\0part\0")
        for i, (size, label) in enumerate(zip(sizes.tolist(), labels.tolist(), strict=True)):
            found.update(b"%b\0%d\0%d\n" % (name(i), size, label))
    return found.hexdigest()


def _colours(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if channels == 3:
        return IMAGENET_MEAN, IMAGENET_STD
    return grey(IMAGENET_MEAN), grey(IMAGENET_STD)


def _count(place: str) -> int | None:
    number = place.partition(":")[2]
    return int(number) if number else None


def _folder(found: Look) -> Path:
    if not isinstance(found.train, Path):
        raise AssertionError("CIFAR lies in a folder")
    return found.train


def _unknown(place: str, why: str) -> Problem:
    return Problem(
        "unknown-data",
        f"{printable(place)} is no data set that is known here: {why}",
        details=[f"looked for {what}" for what in _LOOKED_FOR],
    )
