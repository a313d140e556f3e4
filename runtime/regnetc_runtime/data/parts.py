"""What every data set is made of: parts, whose images can be asked for in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor


class Part(Protocol):
    """Labelled images that are asked for by number, from 0 to len(labels) - 1."""

    @property
    def labels(self) -> Tensor:
        """The class index of every image (N, int64)."""

    @property
    def pixels(self) -> Tensor | None:
        """All images at once (N x channels x H x W, uint8 or float32 in 0..255) where they fit memory."""

    def image(self, index: int) -> Tensor:
        """One image (channels x H x W, uint8). Raises `bad-image` and what `files.read` raises."""

    def name(self, index: int) -> str:
        """What a message calls the image: its file, as a rule."""


class Chunk(NamedTuple):
    """Images that go through the network together.

    `indices` (int64) say which images of the part, `first` is the place of the first of them in the
    order of the `epoch`: chance is drawn for a place, not for an image.
    """

    epoch: int
    first: int
    indices: np.ndarray


@dataclass(frozen=True, slots=True)
class Data:
    """A data set: its classes by name, and its parts.

    `test` is for final evaluations alone. `digest` (64 hexadecimal digits) is that of the listing:
    names, sizes and labels of all images, or of the content where that is in memory. `mean` and `std`
    have one number per channel, in 0..1. `notes` are oddities that change no label.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    train: Part | None
    test: Part | None
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
