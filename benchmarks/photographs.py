"""A seed to JPEGs that are as hard to decode as photographs, without any photograph.

Opaque discs of all sizes, one before the other (the dead leaves model: edges, and the same statistics at every
scale), under texture and shading whose amplitudes fall with the frequency as in natural images (Field 1987,
Ruderman and Bialek 1994), and sensor noise. These have half a byte per
pixel, ImageNet's about 0.6.
"""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Plane = NDArray[np.float64]
SMALLEST, LARGEST = 3, 250  # radii of discs, in pixels
QUALITY = 90


def photograph(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Height x width x red, green, blue."""
    rng = np.random.default_rng(seed)
    pixels = leaves(rng, height, width)
    pixels += 14 * texture(rng, height, width, 1.0)[..., None]
    pixels += 20 * texture(rng, height, width, 1.7)[..., None]
    pixels += np.stack([5 * texture(rng, height, width, 1.4) for _ in range(3)], axis=-1)
    pixels += rng.normal(0, 6.0, (height, width, 1)) + rng.normal(0, 2.0, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def leaves(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Discs whose radii are distributed as r^-3, each in a colour of its own."""
    image = Image.new("RGB", (width, height), (120, 115, 105))
    draw = ImageDraw.Draw(image)
    count = height * width // 120
    radii = SMALLEST / np.sqrt(rng.uniform((SMALLEST / LARGEST) ** 2, 1, count))
    light, colour = rng.normal(115, 50, (count, 1)), rng.normal(0, 22, (count, 3))
    for r, fill in zip(radii, (light + colour).clip(0, 255).astype(int).tolist(), strict=True):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(fill))
    return np.asarray(image).astype(np.float64)


def texture(rng: np.random.Generator, height: int, width: int, slope: float) -> Plane:
    """Noise whose amplitude falls as 1 / frequency^slope; its deviation is 1."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf
    phases = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    plane: Plane = np.fft.irfft2(phases / frequency**slope, s=(height, width))
    plane /= plane.std()
    return plane


def jpeg(pixels: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """A file with colours at half the resolution (4:2:0), as cameras and the web have it."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()


def slope(pixels: NDArray[np.uint8]) -> float:
    """How fast the power falls with the frequency: the exponent, about -2 for natural images."""
    grey = pixels.mean(axis=-1)
    power = np.abs(np.fft.rfft2(grey - grey.mean())) ** 2
    down, across = np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None]
    frequency = np.hypot(down, across)
    rings = np.geomspace(0.01, 0.35, 12)
    means = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(rings)]
    middles = np.sqrt(rings[1:] * rings[:-1])
    return float(np.polyfit(np.log(middles), np.log(means), 1)[0])
