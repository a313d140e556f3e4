"""scikit-learn's 1,797 handwritten digits, split for good into training, validation and test.

Real 8 x 8 scans of ink on paper, ten classes, shipped with the package: nothing is downloaded.
Ink is light on a dark ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..preprocess import Preprocess
from ..problems import require
from .batches import Batch
from .memory import MemoryPart, digest_of, in_channels
from .parts import Data

CLASSES = 10
BRIGHTEST = 16  # of the values in scikit-learn's images
SPLIT_SEED = 1797
TEST, VALIDATION = 0.2, 0.1  # of every class
MEAN, STD = 0.3, 0.35  # of the training images, rounded


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N x 1 x side x side, float32 in 0..255) and their digits (N, int64)."""

    images: Tensor
    labels: Tensor

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        for start in range(0, len(self.labels), size):
            chosen = slice(start, start + size)
            yield Batch(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, slots=True)
class Digits:
    """The three parts. `test` is for a final evaluation only; nothing is chosen by it."""

    train: Split
    validation: Split
    test: Split


def load(side: int) -> Digits:
    """All digits, enlarged to `side` pixels without new edges (bilinear).

    The same image is in the same part on every machine. Raises `missing-package`.
    """
    raw = require("sklearn.datasets", "digits").load_digits()
    pixels = torch.from_numpy(raw.images).float()[:, None] * (255 / BRIGHTEST)
    images = interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(raw.target).long()
    parts = (Split(images[i], labels[i]) for i in _split(labels))
    return Digits(*parts)


def open_digits(channels: int, side: int) -> Data:
    """The digits as a data set, enlarged to `side` pixels; nothing is kept back for validation.

    `test` is the same fifth as ever; the rest is `train`. Raises `missing-package`.
    """
    digits = load(side)
    rest = torch.cat([digits.train.images, digits.validation.images])
    labels = torch.cat([digits.train.labels, digits.validation.labels])
    train = MemoryPart("the digits to train with", in_channels(rest, channels), labels)
    pixels = in_channels(digits.test.images, channels)
    test = MemoryPart("the digits held out", pixels, digits.test.labels)
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


def _split(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the training, validation and test images, the same share of every class."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    parts: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for digit in range(CLASSES):
        indices = (labels == digit).nonzero().flatten()
        indices = indices[torch.randperm(len(indices), generator=generator)]
        test = round(TEST * len(indices))
        validation = test + round(VALIDATION * len(indices))
        parts[0].append(indices[validation:])
        parts[1].append(indices[test:validation])
        parts[2].append(indices[:test])
    train, valid, held_out = (torch.cat(part) for part in parts)
    return train, valid, held_out
