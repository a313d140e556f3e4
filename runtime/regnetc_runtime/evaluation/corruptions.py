"""An image and a severity to the image with a common corruption, after Hendrycks & Dietterich 2019.

Written from the paper (arXiv 1903.12261, section 3.2 and appendix) with the strengths of the authors'
generators for ImageNet-C (224 pixels) and CIFAR-10-C (32). These are not the files of ImageNet-C: those
were drawn with other chance, and saved as JPEG once more. Glass blur, snow and frost, the other 3 of the
paper's 15, are not among them.

Images of up to 64 pixels take the strengths of CIFAR-10-C, larger ones those of ImageNet-C; lengths in
pixels grow with the side. Noise and JPEG's blocks are those of single pixels at any side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample, pad

from ..chance import Place, numpy_generator
from ..problems import Problem, require
from .smoothing import bilinear_zoom, box, gaussian, separable

SEVERITIES = (1, 2, 3, 4, 5)
SMALL, LARGE = 32, 224  # sides that the strengths are given for
_SMALL_UP_TO = 64
_LEAST = 8
_FINE = 9

Strength = float | tuple[float, ...]

# For CIFAR-10-C, then for ImageNet-C; severities 1 to 5.
STRENGTHS: dict[str, tuple[tuple[Strength, ...], tuple[Strength, ...]]] = {
    # standard deviation
    "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.1), (0.08, 0.12, 0.18, 0.26, 0.38)),
    # photons of a white pixel
    "shot_noise": ((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    # share of the values that become black or white
    "impulse_noise": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),
    # radius of the disc, deviation of what softens its edge
    "defocus_blur": (
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    # half the length, deviation along it
    "motion_blur": (
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    # the largest zoom, the step from 1 up to it
    "zoom_blur": (
        ((1.05, 0.01), (1.1, 0.01), (1.15, 0.01), (1.2, 0.01), (1.25, 0.01)),
        ((1.1, 0.01), (1.15, 0.01), (1.2, 0.02), (1.24, 0.02), (1.3, 0.03)),
    ),
    # how much fog, by how much it gets weaker as it gets finer
    "fog": (
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    # added to HSV's value
    "brightness": ((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    # the share of the contrast that is left
    "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    # how far points go, over how many pixels they go together, how far corners of the whole go
    "elastic": (
        ((0, 0, 2.56), (1.6, 6.4, 2.24), (2.56, 1.92, 1.92), (3.2, 1.28, 1.6), (3.2, 0.96, 0.96)),
        ((488, 170.8, 24.4), (488, 19.52, 48.8), (12.2, 2.44, 4.88), (17.08, 2.44, 4.88), (29.28, 2.44, 4.88)),
    ),
    # the share of the side that is left
    "pixelate": ((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
    # quality
    "jpeg": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}  # fmt: skip
KINDS = tuple(STRENGTHS)


def corrupt(image: Tensor, kind: str, severity: int, *place: Place) -> Tensor:
    """The corrupted image (both channels x side x side, uint8, 1 or 3 channels).

    The same image and `place`, such as (seed, number of the image), give the same result, whatever
    else is corrupted before. Raises `bad-corruption` for a kind or severity that there is not, and for
    an image that is not square or smaller than 8 pixels.
    """
    side = image.shape[-1]
    if kind not in STRENGTHS or severity not in SEVERITIES:
        raise Problem(
            "bad-corruption", "there is no such corruption or severity",
            help=f"severities are 1 to 5, corruptions {', '.join(KINDS)}",
        )  # fmt: skip
    if image.shape[-2] != side or side < _LEAST:
        raise Problem("bad-corruption", f"images to corrupt are square, of {_LEAST} pixels or more")
    large = side > _SMALL_UP_TO
    strength = STRENGTHS[kind][large][severity - 1]
    c = strength if isinstance(strength, tuple) else (strength,)
    chance = numpy_generator("corruption", kind, severity, *place)
    found = _apply(image.float() / 255, kind, c, side / (LARGE if large else SMALL), chance)
    return (found.clamp(0, 1) * 255).round().to(torch.uint8)


def _apply(
    x: Tensor, kind: str, c: tuple[float, ...], scale: float, chance: np.random.Generator
) -> Tensor:
    """The image (channels x side x side, float32 in 0..1), not yet cut to 0..1.

    `scale` is the side over the one that the strength `c` is given for.
    """
    match kind:
        case "gaussian_noise":
            return x + c[0] * torch.from_numpy(chance.standard_normal(x.shape, np.float32))
        case "shot_noise":  # photons are counted
            return torch.from_numpy(chance.poisson(x.double().numpy() * c[0]) / c[0]).float()
        case "impulse_noise":  # for each channel by itself
            drawn = torch.from_numpy(chance.random(x.shape, np.float32))
            return torch.where(drawn < c[0] / 2, 0.0, torch.where(drawn < c[0], 1.0, x))
        case "defocus_blur":
            bell = max(1, round((2 if c[0] > 8 else 1) * scale))
            disc = _disc(c[0] * scale, c[1] * scale, bell, 1 if scale == 1 else _FINE)
            return _defocus_blur(x, disc)
        case "motion_blur":
            return _motion_blur(
                x, c[0] * scale, c[1] * scale, math.radians(chance.uniform(-45, 45))
            )
        case "zoom_blur":
            return _zoom_blur(x, c[0], c[1])
        case "fog":
            return _fog(x, c[0], _plasma(x.shape[-1], c[1], chance))
        case "brightness":
            return _brightness(x, c[0])
        case "contrast":
            mean = x.mean(dim=(1, 2), keepdim=True)
            return (x - mean) * c[0] + mean
        case "elastic":
            return _elastic(x, c[0] * scale, c[1] * scale, c[2] * scale, chance)
        case "pixelate":  # fewer pixels, each the mean of what it covers
            side, few = x.shape[-1], int(x.shape[-1] * c[0])
            return separable(separable(x, box(side, few)), box(few, side))
        case _:
            return _jpeg(x, int(c[0]))


def _defocus_blur(x: Tensor, disc: Tensor) -> Tensor:
    """Every point becomes a disc."""
    padded = pad(x[:, None], (len(disc) // 2,) * 4, mode="reflect")
    return conv2d(padded, disc[None, None])[:, 0]


@lru_cache(maxsize=16)
def _disc(radius: float, soft: float, reach: int, fine: int) -> Tensor:
    """A disc whose sum is 1, softened by a bell of 2 `reach` + 1 pixels.

    A pixel counts by how many of its `fine` x `fine` points are inside: the authors take its middle.
    """
    out = math.ceil(radius) + reach
    points = (torch.arange((2 * out + 1) * fine, dtype=torch.float32) + 0.5) / fine - out - 0.5
    inside = (points**2 + points[:, None] ** 2 <= radius**2).float()
    disc = avg_pool2d(inside[None], fine)[0]
    near = torch.arange(-reach, reach + 1, dtype=torch.float32)
    bell = torch.exp(-(near**2) / (2 * soft**2))
    bell = bell / bell.sum()
    soft_disc = conv2d(disc[None, None], torch.outer(bell, bell)[None, None], padding=reach)[0, 0]
    return soft_disc / soft_disc.sum()


def _motion_blur(x: Tensor, reach: float, deviation: float, angle: float) -> Tensor:
    """Every point leaves a trail to one side that fades as half a bell."""
    steps = np.arange(2 * math.ceil(reach) + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    weights /= weights.sum()
    right = np.rint(steps * math.cos(angle)).astype(int)  # in whole pixels, as ImageMagick does
    down = np.rint(steps * math.sin(angle)).astype(int)
    edge, side = int(steps[-1]), x.shape[-1]
    padded = pad(x[None], (edge,) * 4, mode="replicate")[0]
    found = torch.zeros_like(x)
    for dx, dy, weight in zip(right.tolist(), down.tolist(), weights.tolist(), strict=True):
        if weight > 1e-6:
            top, left = edge + dy, edge + dx
            found += weight * padded[:, top : top + side, left : left + side]
    return found


def _zoom_blur(x: Tensor, most: float, step: float) -> Tensor:
    """The mean of the image and of all that is seen while zooming in on its middle."""
    zooms = [1 + step * i for i in range(round((most - 1) / step) + 1)]
    side = x.shape[-1]
    seen = torch.stack([x, *(separable(x, bilinear_zoom(side, zoom)) for zoom in zooms)])
    return seen.mean(dim=0)


def _fog(x: Tensor, amount: float, clouds: Tensor) -> Tensor:
    """White clouds (side x side), then as dark as before at the brightest point."""
    brightest = x.max()
    return (x + amount * clouds) * brightest / (brightest + amount)


def _plasma(side: int, fading: float, chance: np.random.Generator) -> Tensor:
    """A height map (side x side, float32, 0..1) by diamonds and squares on a torus.

    Fournier, Fussell & Carpenter 1982, Communications of the ACM 25, 371-384: the middle of four
    known points is their mean and a uniform draw, which gets `fading`^2 times smaller with every level.
    """
    size = 1 << max(1, (side - 1).bit_length())
    heights = np.zeros((size, size))
    step, wobble = size, 1.0
    while step > 1:
        half = step // 2
        corners = heights[::step, ::step]
        across = corners + np.roll(corners, -1, 1)
        noise = chance.uniform(-wobble, wobble, (3, *corners.shape))
        middles = (across + np.roll(across, -1, 0)) / 4 + noise[0]
        heights[half::step, half::step] = middles
        # A point on an edge lies between two corners and two middles.
        heights[::step, half::step] = (across + middles + np.roll(middles, 1, 0)) / 4 + noise[1]
        along = corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = (along + middles + np.roll(middles, 1, 1)) / 4 + noise[2]
        step, wobble = half, wobble / fading**2
    heights -= heights.min()
    return torch.from_numpy(heights[:side, :side] / heights.max()).float()


def _brightness(x: Tensor, more: float) -> Tensor:
    """HSV's value, the largest of the channels, is raised; hue and saturation stay."""
    value = x.amax(dim=0, keepdim=True)
    raised = (value + more).clamp(max=1)
    return torch.where(value > 0, x * raised / value.clamp(min=1e-6), raised)


def _elastic(
    x: Tensor, far: float, together: float, corners: float, chance: np.random.Generator
) -> Tensor:
    """Three points of the image are moved, which takes all along, and then every point a little."""
    side = x.shape[-1]
    middle, square = side // 2, side // 3
    before = middle + square * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    after = before + chance.uniform(-corners, corners, (3, 2))
    back = np.linalg.solve(np.hstack([after, np.ones((3, 1))]), before)  # 3 x 2, of (x, y, 1)
    moved = far * torch.from_numpy(chance.uniform(-1, 1, (2, side, side))).float()
    if far > 0:
        moved = separable(moved, gaussian(side, together))
    line = torch.arange(side, dtype=torch.float32)
    xs, ys = line + moved[0], line[:, None] + moved[1]
    points = torch.stack([xs, ys, torch.ones_like(xs)], dim=-1) @ torch.from_numpy(back).float()
    grid = 2 * points / (side - 1) - 1
    return grid_sample(x[None], grid[None], padding_mode="reflection", align_corners=True)[0]


def _jpeg(x: Tensor, quality: int) -> Tensor:
    """Through JPEG, colours at half the resolution."""
    simplejpeg = require("simplejpeg", "run")
    space = "RGB" if len(x) == 3 else "GRAY"
    pixels = (x * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    data = simplejpeg.encode_jpeg(pixels, quality, space, "420")
    found = torch.from_numpy(simplejpeg.decode_jpeg(data, space))
    return found.view(*found.shape[:2], -1).permute(2, 0, 1).float() / 255
