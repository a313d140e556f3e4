"""Class indices to targets, and chunks to chunks of mixed images: mixup and cutmix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..training.recipe import Recipe
from .crops import Box


@dataclass(frozen=True, slots=True)
class Mix:
    """How much of an image stays: `share` of it; with a box, all but the pixels in there.

    The rest comes from the image before it in the chunk, into the first from the last.
    """

    share: float
    box: Box | None = None


def targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """What a network should answer to class indices (N): N x classes, float32, rows sum to 1.

    1 - smoothing for the class, and smoothing shared out among all classes (Szegedy et al. 2015, arXiv
    1512.00567, section 7).
    """
    rest = smoothing / classes
    out = torch.full((len(labels), classes), rest, device=labels.device)
    return out.scatter_(1, labels[:, None], 1 - smoothing + rest)


def draw_mix(recipe: Recipe, size: tuple[int, int], rng: np.random.Generator) -> Mix | None:
    """How to mix a chunk of images of `size` (H, W); None where it stays as it is.

    Of the recipe's chunks the share `mix` is mixed, and if both alphas are given, one half by mixup and one
    by cutmix; one number of Beta(alpha, alpha) for all images of the chunk.
    """
    if not (recipe.mixup or recipe.cutmix) or rng.random() >= recipe.mix:
        return None
    cut = rng.random() < 0.5 if recipe.mixup and recipe.cutmix else bool(recipe.cutmix)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = float(rng.beta(alpha, alpha))
    return cut_at(share, size, rng) if cut else Mix(share)


def cut_at(share: float, size: tuple[int, int], rng: np.random.Generator) -> Mix:
    """A box of 1 - share of the area around any pixel, cut off at the edges (arXiv 1905.04899).

    The share is corrected to what is really left. Rounding is torchvision's.
    """
    height, width = size
    x, y = int(rng.integers(width)), int(rng.integers(height))
    half = 0.5 * math.sqrt(1 - share)
    half_w, half_h = int(half * width), int(half * height)
    left, right = max(0, x - half_w), min(width, x + half_w)
    top, bottom = max(0, y - half_h), min(height, y + half_h)
    box = Box(top, left, bottom - top, right - left)
    return Mix(1 - box.height * box.width / (height * width), box)


def mixed_images(images: Tensor, mix: Mix) -> Tensor:
    """The chunk (N x C x H x W) mixed: by shares (arXiv 1710.09412), or in the box."""
    before = images.roll(1, 0)
    if mix.box is None:
        return before.lerp_(images, mix.share)
    top, left, height, width = mix.box
    rows, columns = slice(top, top + height), slice(left, left + width)
    out = images.clone()
    out[..., rows, columns] = before[..., rows, columns]
    return out


def mixed_targets(wanted: Tensor, mix: Mix) -> Tensor:
    """The targets (N x classes) in the shares of the images."""
    return wanted.roll(1, 0).lerp_(wanted, mix.share)
