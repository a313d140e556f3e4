"""scikit-learn's 1,797 handwritten digits, split for good into some to train with and some held out.

Real 8 x 8 scans of ink on paper, ten classes, shipped with the package: nothing is downloaded.
Ink is light on a dark ground.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..preprocess import Preprocess
from ..problems import require
from .memory import MemoryPart, digest_of, in_channels
from .parts import Data

FILE = "datasets/data/digits.csv.gz"  # of the package
CLASSES = 10
BRIGHTEST = 16  # of the values in scikit-learn's images
SPLIT_SEED = 1797
TEST = 0.2  # of every class
MEAN, STD = 0.3, 0.35  # of the training images, rounded


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N x 1 x side x side, float32 in 0..255) and their digits (N, int64)."""

    images: Tensor
    labels: Tensor


def load(side: int) -> tuple[Split, Split]:
    """All digits, enlarged to `side` pixels without new edges (bilinear): to train, and held out.

    The same image is in the same part on every machine. Raises `missing-package`.
    """
    pixels, labels = _read()
    pixels = pixels.float()[:, None] * (255 / BRIGHTEST)
    images = interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
    train, test = _split(labels)
    return Split(images[train], labels[train]), Split(images[test], labels[test])


def _read() -> tuple[Tensor, Tensor]:
    """Pixels (N x 8 x 8, 0 to 16) and digits (N), out of the package's file, or by the package itself.

    Importing scikit-learn takes longer than everything else that is done with so few images.
    """
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        path = Path(folder) / FILE
        if path.is_file():
            numbers = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.int64))
            return numbers[:, :-1].reshape(-1, 8, 8), numbers[:, -1]
    raw = require("sklearn.datasets", "digits").load_digits()
    return torch.from_numpy(raw.images), torch.from_numpy(raw.target).long()


def open_digits(channels: int, side: int) -> Data:
    """The digits as a data set, enlarged to `side` pixels; nothing is kept back for validation.

    `test` is the same fifth as ever; the rest is `train`. Raises `missing-package`.
    """
    learnt, held_out = load(side)
    train = MemoryPart(
        "the digits to train with", in_channels(learnt.images, channels), learnt.labels
    )
    pixels = in_channels(held_out.images, channels)
    test = MemoryPart("the digits held out", pixels, held_out.labels)
    return Data(
        name="digits",
        kind="digits",
        classes=tuple(map(str, range(CLASSES))),
        train=train,
        test=test,
        digest=digest_of((train, test)),
        mean=(MEAN,) * channels,
        std=(STD,) * channels,
    )


def preprocess(side: int) -> Preprocess:
    """How any image is made to look like the training images: square, grey, `side` pixels."""
    return Preprocess(resize=side, crop=side, mean=(MEAN,), std=(STD,), channels=1)


def _split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the images to train with and of those held out, the same share of every class."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for digit in range(CLASSES):
        indices = (labels == digit).nonzero().flatten()
        indices = indices[torch.randperm(len(indices), generator=generator)]
        held_out = round(TEST * len(indices))
        parts[0].append(indices[held_out:])
        parts[1].append(indices[:held_out])
    return torch.cat(parts[0]), torch.cat(parts[1])
