"""Chance to rectangles that are erased, and images without them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .crops import TRIES

SCALE = (0.02, 0.33)  # of the area
RATIO = (0.3, 3.3)  # height / width


def draw_rectangles(
    n: int, size: tuple[int, int], probability: float, generator: torch.Generator
) -> Tensor:
    """A rectangle in each of `n` images of `size` (H, W): top, bottom, left, right (n x 4, float32).

    Zhong et al. 2017 (arXiv 1708.04896), with torchvision's ranges: the share of the area is uniform, height /
    width log-uniform, and what is not smaller than the image is drawn anew, ten times at most. Empty
    where nothing is to be erased.
    """
    height, width = size
    drawn = torch.rand(n, TRIES + 1, 4, generator=generator, dtype=torch.float64)
    area = height * width * between(drawn[:, :TRIES, 0], *SCALE)
    ratio = between(drawn[:, :TRIES, 1], *map(math.log, RATIO)).exp()
    h, w = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (h < height) & (w < width)
    first = fits.byte().argmax(dim=1, keepdim=True)
    h, w, fits = (t.gather(1, first)[:, 0] for t in (h, w, fits))
    top = (drawn[:, TRIES, 0] * (height - h + 1)).floor()
    left = (drawn[:, TRIES, 1] * (width - w + 1)).floor()
    wanted = fits & (drawn[:, TRIES, 2] < probability)
    return (torch.stack([top, top + h, left, left + w], dim=1) * wanted[:, None]).float()


def between(shares: Tensor, low: float, high: float) -> Tensor:
    """Numbers in 0..1 stretched to low..high."""
    return low + (high - low) * shares


def erase_(images: Tensor, rectangles: Tensor) -> Tensor:
    """Set the rectangles (N x 4) of images (N x C x H x W) to 0, in place."""
    top, bottom, left, right = rectangles.view(-1, 4, 1, 1, 1).unbind(1)
    rows = torch.arange(images.shape[2], device=images.device).view(-1, 1)
    columns = torch.arange(images.shape[3], device=images.device)
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return images.masked_fill_(inside, 0)
