"""A recipe and an epoch to what is done with one image before it goes into a chunk: uint8 in and out.

A random or the test's crop, a shift, a flip, then RandAugment or TrivialAugment, in this order, as in the
reference training of torchvision. What is faster for many images at once is in `chunks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from ..preprocess import Preprocess
from ..problems import require
from ..training.recipe import Recipe
from .crops import random_box, resized, shifted

SMALL = 64  # pixels: smaller crops than that are tested on without cutting a margin off


class Policy(Protocol):
    """What changes an image (channels x H x W, uint8) without changing its size."""

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Prepare:
    """Makes `crop` x `crop` pixels of an image of any size; can be sent to another process.

    Where there is no `fit`, a random resized crop by `scale` and `ratio`. Then a shift by up to `pad`
    pixels, a flip with probability `flip`, and the policy.
    """

    crop: int
    fit: Preprocess | None = None
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pad: int = 0
    flip: float = 0.0
    policy: Policy | None = None

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """One image (channels x H x W, uint8) to channels x crop x crop (uint8).

        All chance is drawn from `rng`, which is that of the image's place. In memory the channels of a
        pixel may lie side by side. Raises `bad-image` for an image so long and thin that it would grow
        out of bounds.
        """
        if self.fit is not None:
            pixels = self.fit.fit(pixels, "an image")
        else:
            height, width = pixels.shape[-2:]
            box = random_box(height, width, self.scale, self.ratio, rng)
            pixels = resized(pixels, box, self.crop)
        if self.pad:
            pixels = shifted(pixels, self.pad, rng)
        if self.flip and rng.random() < self.flip:
            pixels = pixels.flip(-1)
        return pixels if self.policy is None else self.policy(pixels, rng)


def evaluated_size(recipe: Recipe, image: int) -> tuple[int, int]:
    """To how many pixels the short side is resized and what is cropped out of the middle in a test.

    `image` is the side that the network was made for. Unless the recipe says otherwise, the crop is that
    at the end of the training, and an eighth of the image is margin, but for small images.
    """
    crop = recipe.test_crop or recipe.crops(image)[-1]
    return recipe.test_resize or (crop if crop <= SMALL else round(crop * 8 / 7)), crop


def prepare_for(
    recipe: Recipe, image: int, channels: int, epoch: int, in_memory: int | None = None
) -> Prepare | None:
    """What is done with each image in an epoch, for a network that was made for `image` pixels.

    `in_memory` is the side of square images that all lie in memory. None where nothing is to be done
    with those. Raises `bad-recipe`, `bad-preprocess`, `missing-package`.
    """
    crop = recipe.crop_of(epoch, image)
    changed = recipe.scale is not None or recipe.pad or recipe.flip or recipe.augment is not None
    fit = None if recipe.scale is not None else _fit(recipe, image, channels, crop)
    if not changed and fit is not None and crop == fit.resize == in_memory:
        return None
    return Prepare(
        crop=crop,
        fit=fit,
        scale=recipe.scale or (1.0, 1.0),
        ratio=recipe.ratio,
        pad=recipe.pad,
        flip=recipe.flip,
        policy=_policy(recipe, crop),
    )


def _fit(recipe: Recipe, image: int, channels: int, crop: int) -> Preprocess:
    """The test's crop, at the size of the epoch's."""
    resize, test_crop = evaluated_size(recipe, image)
    short = max(crop, round(resize * crop / test_crop))
    return Preprocess(short, crop, (0.0,) * channels, (1.0,) * channels, channels=channels)


def _policy(recipe: Recipe, crop: int) -> Policy | None:
    if recipe.augment is None:
        return None
    require("PIL.Image", "run")
    from .policies import policy_of

    return policy_of(recipe.augment, crop)
