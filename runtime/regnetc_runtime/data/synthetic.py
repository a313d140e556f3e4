"""Images that are computed instead of read: gratings, one per class, in noise.

For trying out and timing a training where there are no data. A network can learn them.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..chance import numpy_generator
from ..limits import DATA_CLASSES, SYNTHETIC_IMAGES
from ..problems import Problem
from .parts import Data

SEED = 0
IMAGES, CLASSES = 10_000, 10
TEST = 0.1  # as many again as this share of the training images
NOISE = 128  # levels of 256 that noise spans; the wave has the others


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticPart:
    """`images` images of `classes` classes in turn, each a function of its number and the part's.

    A class is a plane wave: its direction, length, phase and strength in each channel are drawn for
    the class. An image is that wave, a little weaker and shifted, and noise.
    """

    title: str
    images: int
    classes: int
    channels: int
    side: int
    labels: Tensor = field(init=False)
    pixels: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", torch.arange(self.images) % self.classes)

    def image(self, index: int) -> Tensor:
        """One image (channels x side x side, uint8)."""
        if not 0 <= index < self.images:
            raise IndexError(index)
        angle, turns, phase, strength = _class(index % self.classes, self.channels)
        generator = numpy_generator(SEED, "synthetic", self.title, index)
        gain, shift = 0.6 + 0.4 * generator.random(), 0.6 * (generator.random() - 0.5)
        along = np.linspace(0, 2 * math.pi * turns, self.side, dtype=np.float32)
        x, y = along * math.cos(angle) + (phase + shift), along * math.sin(angle)
        # cos(x + y) by an addition theorem: as many cosines as the image has sides, not pixels.
        wave = np.outer(np.cos(y), np.cos(x)) - np.outer(np.sin(y), np.sin(x))
        size = (self.channels, self.side, self.side)
        noise = np.frombuffer(generator.bytes(math.prod(size)), np.uint8).reshape(size)
        middle = (255 - NOISE) / 2
        levels = (gain * middle * strength)[:, None, None] * wave + middle
        return torch.from_numpy(levels.astype(np.uint8) + noise // (256 // NOISE))

    def name(self, index: int) -> str:
        """The part and the number of the image in it."""
        return f"image {index:,} of {self.title}"


def open_synthetic(images: int | None, classes: int | None, channels: int, side: int) -> Data:
    """`images` training images [10,000] and a tenth as many to test with.

    Raises `wrong-input` for numbers out of bounds.
    """
    images = IMAGES if images is None else images
    classes = CLASSES if classes is None else classes
    if not (1 <= images <= SYNTHETIC_IMAGES and 1 <= classes <= DATA_CLASSES):
        raise Problem(
            "wrong-input",
            f"synthetic data have 1 to {SYNTHETIC_IMAGES:,} images and 1 to {DATA_CLASSES:,} classes",
        )
    test = max(1, round(TEST * images))
    said = f"synthetic {SEED} {images} {test} {classes} {channels} {side} {NOISE}"
    return Data(
        name="synthetic",
        kind="synthetic",
        classes=tuple(map(str, range(classes))),
        train=SyntheticPart("the synthetic training images", images, classes, channels, side),
        test=SyntheticPart("the synthetic test images", test, classes, channels, side),
        digest=hashlib.sha256(said.encode()).hexdigest(),
        mean=(0.5,) * channels,
        std=(0.2,) * channels,
    )


def _class(number: int, channels: int) -> tuple[float, float, float, np.ndarray]:
    """Direction, waves along a side, phase, and strength in each channel (-1 to 1)."""
    generator = numpy_generator(SEED, "synthetic class", number)
    angle, phase = math.pi * generator.random(), 2 * math.pi * generator.random()
    strength = generator.uniform(0.4, 1, channels) * generator.choice((-1, 1), channels)
    return angle, 1 + 5 * generator.random(), phase, strength.astype(np.float32)
