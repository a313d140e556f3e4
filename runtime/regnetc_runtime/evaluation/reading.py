"""A part of a data set to batches as a test sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from ..data import loader
from ..data.bad import BadImages
from ..data.batches import Batch
from ..data.parts import Chunk, Part
from ..data.subsets import side_in_memory
from ..preprocess import Preprocess

EVALUATED = 256  # images at a time


@dataclass(frozen=True, slots=True)
class Fit:
    """Prepares an image (channels x H x W, uint8) without chance."""

    preprocess: Preprocess

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        return self.preprocess.fit(pixels, "an image")


def read(
    part: Part,
    preprocess: Preprocess,
    workers: int,
    rank: int = 0,
    world: int = 1,
    *,
    bad: BadImages | None = None,
) -> Iterator[Batch]:
    """All images of a part in order, or every `world`-th batch from `rank` on, not yet normalised.

    Images that cannot be read are left out and named; how many are bearable and who is told, `bad`
    says, which must not replace them. Raises what `loader.load` raises.
    """
    numbers = np.arange(len(part.labels))
    chunks = (Chunk(0, s, numbers[s : s + EVALUATED]) for s in range(0, len(numbers), EVALUATED))
    as_it_is = side_in_memory(part) == preprocess.crop == preprocess.resize
    return loader.load(
        part,
        islice(chunks, rank, None, world),
        None if as_it_is else Fit(preprocess),
        seed=0,
        workers=0 if part.pixels is not None else workers,
        bad=bad or BadImages(limit=1.0, replace=False),
    )
