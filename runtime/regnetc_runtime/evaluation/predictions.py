"""What a network said of each image of a data set, to a file and back.

The file is a safetensors file: its numbers are read without running or unpacking anything, and its size
is bound to what its header says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from .. import files, safetensors_file
from ..limits import DATA_CLASSES, MIB
from ..problems import Problem, printable
from .scores import TOP, Scores

FILES = {part: f"predictions-{part}.safetensors" for part in ("test", "validation")}  # of a run
FILE_BYTES = 1024 * MIB
_MARK = "regnetc_predictions"
_KINDS = {
    "index": torch.int64, "label": torch.int32, "top": torch.int32, "probability": torch.float32,
    "of_label": torch.float32, "loss": torch.float32, "squares": torch.float32, "names": torch.uint8,
    "name_ends": torch.int64, "classes": torch.uint8, "class_ends": torch.int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """Where predictions come from; what is not known is empty.

    `data` is what the data set is called and `part` which part of it was looked at. The digests are
    SHA-256 in 64 hexadecimal digits: of the data's listing, the module's file, the weights' file.
    `preprocess` is what `Preprocess.to_json` gives.
    """

    network: str = ""
    data: str = ""
    part: str = ""
    data_digest: str = ""
    module_digest: str = ""
    weights_digest: str = ""
    preprocess: str = ""


@dataclass(frozen=True, slots=True)
class Predictions:
    """The scores of N images, their N `names`, and the `classes` by name, which may be unknown (none)."""

    scores: Scores
    names: tuple[str, ...]
    classes: tuple[str, ...]
    about: About


def of_scores(
    scores: Scores, name: Callable[[int], str], classes: Sequence[str], about: About
) -> Predictions:
    """Predictions whose image at place i of the data is called `name(i)`."""
    names = tuple(name(i) for i in scores.index.tolist())
    return Predictions(scores, names, tuple(classes), about)


def save(path: Path, predictions: Predictions) -> str:
    """Write the file; its SHA-256. Raises `cannot-write`."""
    data = encode(predictions)
    files.write(path, data)
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> Predictions:
    """Read what `save` wrote. Raises `bad-predictions` and what `files.read` raises."""
    return decode(files.read(path, FILE_BYTES), str(path))


def encode(predictions: Predictions) -> bytes:
    """The bytes of the file, the same for the same predictions."""
    scores = predictions.scores
    names, name_ends = _pack(predictions.names)
    classes, class_ends = _pack(predictions.classes)
    tensors = {
        "index": scores.index, "label": scores.label, "top": scores.top, "probability": scores.probability,
        "of_label": scores.of_label, "loss": scores.loss, "squares": scores.squares,
        "names": names, "name_ends": name_ends, "classes": classes, "class_ends": class_ends,
    }  # fmt: skip
    tensors = {k: t.to(_KINDS[k]).contiguous() for k, t in tensors.items()}
    meta = asdict(predictions.about) | {_MARK: "1", "class_count": str(scores.classes)}
    return safetensors_file.encode(tensors, meta)


def decode(data: bytes, name: str) -> Predictions:
    """Read the bytes of a file that anybody may have written. Raises `bad-predictions`."""
    try:
        tensors, meta = safetensors_file.parse(data, name)
    except Problem as e:
        if e.name != "bad-weights":
            raise
        raise Problem("bad-predictions", e.message) from e
    if meta.get(_MARK) != "1":
        raise _bad(name, "it is a safetensors file, but not one of predictions")
    if {k: t.dtype for k, t in tensors.items()} != _KINDS:
        raise _bad(name, "its tensors are not those of predictions")
    try:
        scores = _scores(tensors, int(meta.get("class_count", "0")[:10]))
        names = _unpack(tensors["names"], tensors["name_ends"])
        classes = _unpack(tensors["classes"], tensors["class_ends"])
    except ValueError as e:
        raise _bad(name, printable(e)) from e
    if len(names) != len(scores) or len(classes) not in (0, scores.classes):
        raise _bad(name, "it has not one name for each image and class")
    known = {f.name for f in fields(About)}
    about = About(**{k: printable(v, 4_000) for k, v in meta.items() if k in known})
    return Predictions(scores, names, classes, about)


def _scores(tensors: dict[str, Tensor], classes: int) -> Scores:
    """Hold the numbers against each other; ValueError in words for those that cannot be."""
    label, top = tensors["label"].long(), tensors["top"].long()
    n, k = len(label), min(TOP, classes)
    if classes > DATA_CLASSES:
        raise ValueError(f"it has more than {DATA_CLASSES:,} classes")
    plain = ("index", "label", "of_label", "loss", "squares")
    if label.ndim != 1 or any(tensors[key].shape != (n,) for key in plain):
        raise ValueError("its tensors have different lengths")
    if top.shape != (n, k) or tensors["probability"].shape != (n, k) or k < 1:
        raise ValueError(f"it does not have the best {k} classes of each image")
    if n and not (0 <= min(label.min(), top.min()) <= max(label.max(), top.max()) < classes):
        raise ValueError("it has classes that do not exist")
    if (tensors["index"].diff() <= 0).any():
        raise ValueError("its images are not in order")
    shares = torch.cat([tensors["probability"].flatten(), tensors["of_label"], tensors["squares"]])
    if not ((shares >= 0) & (shares <= 1.001)).all() or not tensors["loss"].isfinite().all():
        raise ValueError("it has probabilities that are none")
    return Scores(
        classes, tensors["index"], label, top, tensors["probability"], tensors["of_label"],
        tensors["loss"], tensors["squares"],
    )  # fmt: skip


def _pack(names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """All names in one row of bytes, and where each of them ends."""
    parts = [n.encode("utf-8", "surrogateescape") for n in names]
    ends = torch.tensor([len(p) for p in parts], dtype=torch.int64).cumsum(0)
    text = bytearray(b"".join(parts))
    none = torch.empty(0, dtype=torch.uint8)
    return (torch.frombuffer(text, dtype=torch.uint8) if text else none), ends


def _unpack(text: Tensor, ends: Tensor) -> tuple[str, ...]:
    """The names again; ValueError in words."""
    if text.ndim != 1 or ends.ndim != 1:
        raise ValueError("its names are no list")
    marks = [0, *ends.tolist()]
    if any(a > b for a, b in pairwise(marks)) or marks[-1] != len(text):
        raise ValueError("its names do not fill their room")
    data = text.numpy().tobytes()
    return tuple(data[a:b].decode("utf-8", "surrogateescape") for a, b in pairwise(marks))


def same_images(a: Predictions, b: Predictions) -> tuple[str, ...]:
    """Whether two files can be compared image by image; oddities that do not forbid it.

    Raises `other-images`, which names the first difference, for other names or labels.
    """
    if len(a.names) != len(b.names):
        raise _other(f"the one has {len(a.names):,}, the other {len(b.names):,}")
    same_data = (
        a.about.data_digest == b.about.data_digest != ""
    )  # which covers what images are called
    placed = same_data and bool((a.scores.index == b.scores.index).all())
    for x, y in zip(a.names, b.names, strict=True):
        if x != y and not placed:
            raise _other(f"{printable(x, 80)} here is {printable(y, 80)} there")
    differing = (a.scores.label != b.scores.label).nonzero().flatten().tolist()
    if a.scores.classes != b.scores.classes:
        raise _other(f"of {a.scores.classes:,} classes here, of {b.scores.classes:,} there")
    if differing:
        i = differing[0]
        x, y = _class(a, i), _class(b, i)
        raise _other(
            f"{printable(a.names[i], 80)} is of class {x} here and {y} there, "
            f"and so {len(differing):,} in all"
        )
    notes = []
    if a.about.data_digest and b.about.data_digest and a.about.data_digest != b.about.data_digest:
        notes.append("the images have the same names and labels, but the data's digests differ")
    if a.about.preprocess != b.about.preprocess:
        notes.append("the images were prepared in different ways")
    return tuple(notes)


def _class(p: Predictions, i: int) -> str:
    label = int(p.scores.label[i])
    return printable(p.classes[label], 60) if p.classes else str(label)


def _bad(name: str, why: str) -> Problem:
    return Problem("bad-predictions", f"{printable(name)} cannot be read: {why}")


def _other(why: str) -> Problem:
    return Problem(
        "other-images", f"the predictions are not of the same images: {why}",
        help="compare predictions of the same part of the same data",
    )  # fmt: skip
