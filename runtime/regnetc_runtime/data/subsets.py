"""Part of a part: which images are kept back for validation, and in which order an epoch takes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..chance import numpy_generator
from .parts import Part

WINDOW = 4  # shards whose images are mixed with each other


@dataclass(slots=True, eq=False)
class Subset:
    """Those images of a part whose numbers are `indices` (M, int64), in their order."""

    part: Part
    indices: np.ndarray
    labels: Tensor = field(init=False)
    _pixels: Tensor | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.indices = np.asarray(self.indices, np.int64)
        self.labels = self.part.labels[torch.from_numpy(self.indices)]

    @property
    def pixels(self) -> Tensor | None:
        """The part's pixels, gathered at the first look; None where it has none."""
        whole = self.part.pixels
        if self._pixels is None and whole is not None:
            self._pixels = whole[torch.from_numpy(self.indices)]
        return self._pixels

    @property
    def groups(self) -> np.ndarray | None:
        """Which shard each image lies in (M, int32), None where there are no shards."""
        whole = groups_of(self.part)
        return None if whole is None else whole[self.indices]

    def image(self, index: int) -> Tensor:
        """As the part's, counted within the subset."""
        return self.part.image(int(self.indices[index]))

    def name(self, index: int) -> str:
        """As the part calls it."""
        return self.part.name(int(self.indices[index]))


def split(labels: Tensor, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the training and the validation images (int64), both in rising order.

    Of every class, `share` (0 to 1) of the images is drawn for validation, rounded half to even; at
    most all but one. It depends on nothing but the labels, the share and the seed.
    """
    classes = labels.numpy()
    chosen = np.zeros(len(classes), bool)
    by_class = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[by_class], prepend=-1))
    for members in np.split(by_class, starts[1:]) if len(classes) else []:
        count = min(round(share * len(members)), len(members) - 1)
        if count:
            generator = numpy_generator(seed, "validation", int(classes[members[0]]))
            chosen[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def order(part: Part, epoch: int, seed: int) -> np.ndarray:
    """In which order (N, int64) an epoch of a training takes the images of a part.

    A permutation; it depends on nothing but part, epoch and seed. Where the images lie in shards, the
    shards are shuffled, and then the images of `WINDOW` shards at a time, so that every shard is
    needed during one stretch of the epoch only.
    """
    generator = numpy_generator(seed, "order", epoch)
    groups = groups_of(part)
    if groups is None:
        return generator.permutation(len(part.labels))
    shards = generator.permutation(np.unique(groups))
    window = np.empty(int(shards.max(initial=-1)) + 1, np.int64)
    window[shards] = np.arange(len(shards)) // WINDOW
    shuffled = generator.permutation(len(groups))
    return shuffled[np.argsort(window[groups[shuffled]], kind="stable")]


def side_in_memory(part: Part) -> int | None:
    """The side of a part's images where they all lie in memory and are square; else None."""
    pixels = part.pixels
    square = pixels is not None and pixels.shape[-1] == pixels.shape[-2]
    return pixels.shape[-1] if pixels is not None and square else None


def groups_of(part: Part) -> np.ndarray | None:
    """Which shard each image of a part lies in (N, int32), None where it knows of no shards."""
    groups: np.ndarray | None = getattr(part, "groups", None)
    return groups
