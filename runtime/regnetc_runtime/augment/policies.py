"""Operations on one image, chosen and sized by chance: RandAugment and TrivialAugment.

Both draw anew for every image. Operations, ranges and signs are those of torchvision; Pillow does the work,
in uint8, which gives the numbers that torchvision gives for an image of Pillow's. On 224 x 224 pixels it is
up to 15 times as fast as torch, and slower in one operation alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from ..problems import Problem
from ..training.recipe import Call

NEAREST = Image.Resampling.NEAREST
OPERATIONS = 16  # of one policy on one image
BINS = 1_000
TRANSLATION = 150 / 331  # of the side: RandAugment was tuned with 331 pixels


@dataclass(frozen=True, slots=True)
class Choice:
    """An operation, the magnitudes that it may have, and whether their sign is drawn."""

    name: str
    magnitudes: tuple[float, ...]
    signed: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """`count` operations one after the other, each drawn from all `choices` alike."""

    count: int
    choices: tuple[Choice, ...]

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Change an image (3 or 1 channels x H x W, uint8)."""
        image = None
        for _ in range(self.count):
            choice = self.choices[rng.integers(len(self.choices))]
            magnitude = choice.magnitudes[rng.integers(len(choice.magnitudes))]
            if choice.signed and rng.integers(2):
                magnitude = -magnitude
            if choice.name != "identity":
                image = _APPLY[choice.name](image or to_pillow(pixels), magnitude)
        return pixels if image is None else from_pillow(image)


def policy_of(call: Call, side: int) -> Policy:
    """The policy that a recipe calls for, on images of `side` x `side` pixels.

    `randaugment(n, m, bins)`: Cubuk et al. 2019 (arXiv 1909.13719); the magnitude is the m-th of `bins` from
    0 to the most. `trivialaugment(bins)`: Mueller and Hutter 2021 (arXiv 2103.10158), the wide space; one
    operation, any of the magnitudes. Raises `bad-recipe`.
    """
    bins = _whole(call, "bins", 2, BINS)
    if call.name == "trivialaugment":
        return Policy(1, _choices(bins, None, 0.99, 32.0, 135.0, 0.99, 6))
    if call.name == "randaugment":
        n, m = _whole(call, "n", 0, OPERATIONS), _whole(call, "m", 0, bins - 1)
        return Policy(n, _choices(bins, m, 0.3, TRANSLATION * side, 30.0, 0.9, 4))
    raise Problem("bad-recipe", "augment is randaugment or trivialaugment")


def _choices(
    bins: int, m: int | None, shear: float, shift: float, turn: float, enhance: float, lost: int
) -> tuple[Choice, ...]:
    """All operations, with the magnitudes from 0 to the most that is given; only the m-th, if it is."""

    def of(values: Tensor) -> tuple[float, ...]:
        found = tuple(float(v) for v in values.tolist())
        return found if m is None else (found[m],)

    def line(start: float, end: float) -> tuple[float, ...]:
        return of(torch.linspace(start, end, bins))

    bits = 8 - (torch.arange(bins) / ((bins - 1) / lost)).round()
    return (
        Choice("identity", (0.0,), signed=False),
        *(Choice(name, line(0, shear), signed=True) for name in ("shear-x", "shear-y")),
        *(Choice(name, line(0, shift), signed=True) for name in ("translate-x", "translate-y")),
        Choice("rotate", line(0, turn), signed=True),
        *(
            Choice(name, line(0, enhance), signed=True)
            for name in ("brightness", "colour", "contrast", "sharpness")
        ),
        Choice("posterise", of(bits), signed=False),
        Choice("solarise", line(255, 0), signed=False),
        Choice("auto-contrast", (0.0,), signed=False),
        Choice("equalise", (0.0,), signed=False),
    )


def _whole(call: Call, name: str, low: int, high: int) -> int:
    value = call.number(name)
    if not (low <= value <= high and value == int(value)):
        raise Problem(
            "bad-recipe", f"{name} of {call.name} is {value:g}, but goes from {low} to {high}"
        )
    return int(value)


def to_pillow(pixels: Tensor) -> Image.Image:
    """An image (3 or 1 channels x H x W, uint8) as Pillow's, in RGB or grey; the pixels are copied."""
    rows = pixels.permute(1, 2, 0).numpy() if len(pixels) == 3 else pixels[0].numpy()
    return Image.fromarray(np.ascontiguousarray(rows))


def from_pillow(image: Image.Image) -> Tensor:
    """The way back."""
    rows = np.array(image)
    return torch.from_numpy(rows.reshape(*rows.shape[:2], -1)).permute(2, 0, 1)


def apply(name: str, image: Image.Image, magnitude: float) -> Image.Image:
    """One operation by its name."""
    return image if name == "identity" else _APPLY[name](image, magnitude)


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    """What is at (x, y) comes from (a x + b y + c, d x + e y + f); outside is black."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, NEAREST)


# torchvision cuts translations and thresholds of bits to whole numbers.
_APPLY: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "shear-x": lambda image, m: _affine(image, 1, m, 0, 0, 1, 0),
    "shear-y": lambda image, m: _affine(image, 1, 0, 0, m, 1, 0),
    "translate-x": lambda image, m: _affine(image, 1, 0, -int(m), 0, 1, 0),
    "translate-y": lambda image, m: _affine(image, 1, 0, 0, 0, 1, -int(m)),
    "rotate": lambda image, m: image.rotate(m, NEAREST),
    "brightness": lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    "colour": lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    "contrast": lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    "sharpness": lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    "posterise": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarise": ImageOps.solarize,  # type: ignore[dict-item]
    "auto-contrast": lambda image, _: ImageOps.autocontrast(image),
    "equalise": lambda image, _: ImageOps.equalize(image),
}
