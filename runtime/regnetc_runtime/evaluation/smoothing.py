"""Resampling of images as matrices: what is the same along rows and columns is two products."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def separable(x: Tensor, matrix: Tensor) -> Tensor:
    """Resample rows and columns (channels x n x n) by a matrix (m x n), to channels x m x m."""
    return matrix @ x @ matrix.T


@lru_cache(maxsize=32)
def gaussian(side: int, sigma: float) -> Tensor:
    """A Gaussian filter (side x side) out to 3 sigma; the image is mirrored at its edges."""
    reach = int(3 * sigma + 0.5)
    near = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(near.double() ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    at = (torch.arange(side)[:, None] + near) % (2 * side)
    at = torch.where(at < side, at, 2 * side - 1 - at)
    found = torch.zeros(side, side, dtype=torch.float64)
    return found.scatter_add_(1, at, weights.expand(side, -1)).float()


@lru_cache(maxsize=64)
def bilinear_zoom(side: int, zoom: float) -> Tensor:
    """The middle of an image enlarged `zoom` >= 1 times (side x side), on a line between pixels."""
    middle = (side - 1) / 2
    at = middle + (torch.arange(side, dtype=torch.float64) - middle) / zoom
    pixels = torch.arange(side, dtype=torch.float64)
    return (1 - (at[:, None] - pixels).abs()).clamp(min=0).float()


@lru_cache(maxsize=32)
def box(before: int, after: int) -> Tensor:
    """The means (after x before) of the pixels whose middles each new pixel covers, at least one."""
    step = before / after
    middles = (torch.arange(after, dtype=torch.float64)[:, None] + 0.5) * step
    away = (torch.arange(before, dtype=torch.float64) + 0.5 - middles) / max(step, 1.0)
    covered = ((away > -0.5) & (away <= 0.5)).double()
    return (covered / covered.sum(dim=1, keepdim=True)).float()
