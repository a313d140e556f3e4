"""Which images go through the network when: a pure function of seed and place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..chance import numpy_generator
from ..data.parts import Chunk
from ..problems import Problem
from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class Order:
    """The order of `images` training images through all epochs; `shuffle` orders those of one epoch.

    An epoch has `steps` steps of `recipe.batch` images. Raises `too-few-images` for less than one step.
    """

    images: int
    recipe: Recipe
    shuffle: Callable[[int], np.ndarray]

    def __post_init__(self) -> None:
        if self.images < self.recipe.batch:
            raise Problem(
                "too-few-images",
                f"there are {self.images:,} training images, and a batch takes {self.recipe.batch:,}",
                help=f"take smaller batches: --set batch={max(2, self.images // 8)}",
            )

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.images // self.recipe.batch

    def chunks(self, step: int, end: int, rank: int = 0, world: int = 1) -> Iterator[Chunk]:
        """The chunks of one process from a step on, counted through all epochs, up to `end`.

        Of every step, the process `rank` of `world` takes an equal run of chunks.
        """
        share = self.recipe.chunks // world
        size = self.recipe.chunk
        epoch, order = -1, np.empty(0, np.int64)
        for now in range(step, end):
            if now // self.steps != epoch:
                epoch = now // self.steps
                order = repeated(self.shuffle(epoch), self.recipe.repeats)
            first = now % self.steps * self.recipe.batch + rank * share * size
            for start in range(first, first + share * size, size):
                yield Chunk(epoch, start, order[start : start + size])


def repeated(order: np.ndarray, times: int) -> np.ndarray:
    """Each of the first images so many times in a row, as many in all as before.

    Repeated augmentation (Hoffer et al. 2020, arXiv 1901.09335): a batch sees an image several times,
    changed each time in another way.
    """
    return np.repeat(order[: -(-len(order) // times)], times)[: len(order)]


def shuffled(images: int, seed: int) -> Callable[[int], np.ndarray]:
    """A new permutation (int64) of all images for every epoch."""
    return lambda epoch: numpy_generator(seed, "order", epoch).permutation(images)
