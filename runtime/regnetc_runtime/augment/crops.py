"""An image's size and chance to the rectangle of it that is trained with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

TRIES = 10


class Box(NamedTuple):
    """Rows `top` to `top + height` and columns `left` to `left + width`, in pixels."""

    top: int
    left: int
    height: int
    width: int


def random_box(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> Box:
    """A rectangle inside of `height` x `width` pixels for a random resized crop.

    Szegedy et al. 2015 (arXiv 1409.4842), section 6, as torchvision and timm have it: a share of the area,
    uniform in `scale`, and width / height, log-uniform in `ratio`. What does not fit is drawn anew, and
    after ten times the largest rectangle in the middle is taken whose ratio is allowed.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(TRIES):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return Box(int(top), int(left), h, w)
    return middle_box(height, width, ratio)


def middle_box(height: int, width: int, ratio: tuple[float, float]) -> Box:
    """The largest rectangle in the middle whose width / height is within `ratio`."""
    w, h = width, height
    if width / height < ratio[0]:
        h = max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        w = max(1, round(height * ratio[1]))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def resized(pixels: Tensor, box: Box, side: int) -> Tensor:
    """That part of an image (channels x H x W, uint8) as channels x side x side.

    Bilinear with antialiasing, computed by torch in uint8: within 1 of 255 of Pillow. Pixels lie in memory
    one after the other, all channels of each, as decoders leave them: torch resizes that fastest, and
    the values are the same in any order.
    """
    top, left, height, width = box
    part = pixels[None, :, top : top + height, left : left + width]
    part = part.contiguous(memory_format=torch.channels_last)
    if (height, width) == (side, side):
        return part[0]
    return interpolate(part, size=(side, side), mode="bilinear", antialias=True)[0]


def shifted(pixels: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """The image (channels x H x W) moved by up to `most` pixels each way; what comes in is black.

    The same as a random crop of its own size out of the image with so many black pixels around it.
    """
    height, width = pixels.shape[-2:]
    down, right = (int(n) - most for n in rng.integers(2 * most + 1, size=2))
    down, right = max(-height, min(height, down)), max(-width, min(width, right))
    out = torch.zeros_like(pixels)
    out[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = pixels[
        :, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return out
