"""Chance to affine maps, and images through them: moved, turned, made larger or smaller."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def draw_maps(
    n: int,
    size: tuple[int, int],
    shift: float,
    turn: float,
    zoom: float,
    generator: torch.Generator,
) -> Tensor:
    """For each of `n` images of `size` (H, W) where its pixels come from (n x 2 x 3).

    Up to `shift` pixels along both axes, `turn` degrees and a share of `zoom`, uniform both ways. Lengths are in
    `affine_grid`'s units, in which an image goes from -1 to 1.
    """
    height, width = size
    angle, zoomed, right, down = 2 * torch.rand(4, n, generator=generator) - 1
    angle, scale = angle * math.radians(turn), 1 + zoomed * zoom
    cos, sin = scale * angle.cos(), scale * angle.sin()
    across = (cos, -sin * height / width, right * 2 * shift / width)
    along = (sin * width / height, cos, down * 2 * shift / height)
    return torch.stack([*across, *along], dim=1).view(n, 2, 3)


def moved(images: Tensor, maps: Tensor) -> Tensor:
    """Images (N x C x H x W, float32) seen through maps (N x 2 x 3), bilinear; edges go on."""
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)
