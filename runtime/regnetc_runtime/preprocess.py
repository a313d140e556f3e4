"""Pixels to what a network takes: resized, cropped, normalised."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .limits import IMAGE_PIXELS, IMAGE_SIDE
from .problems import Problem, printable

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes input: the short side to `resize` pixels, the middle `crop` x `crop` of
    it, scaled to 0..1, minus `mean`, divided by `std`.

    `mean` and `std` have one number per channel, in the order of the network's channels; so has
    `channel_order`, which is `bgr` for weights from pycls. One channel is grey. Raises
    `bad-preprocess` for numbers that make no sense.
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: Literal["rgb", "bgr"] = "rgb"
    channels: int = 3
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if not all(type(n) is int for n in (self.resize, self.crop, self.channels)):
            raise _bad("resize, crop and channels must be whole numbers")
        if not 1 <= self.crop <= self.resize <= IMAGE_SIDE:
            raise _bad(f"1 <= crop {self.crop} <= resize {self.resize} <= {IMAGE_SIDE} must hold")
        if self.channels not in (1, 3):
            raise _bad(f"images have 1 or 3 channels, not {self.channels}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise _bad(f"mean and std need {self.channels} numbers each")
        if not (_finite(self.mean) and _finite(self.std) and min(self.std) > 0):
            raise _bad("mean and std must be numbers, and std above 0")
        if self.channel_order not in ("rgb", "bgr"):
            raise _bad("the order of channels is rgb or bgr")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise _bad("the interpolation is bilinear or bicubic")

    def fit(self, pixels: Tensor, name: str) -> Tensor:
        """Resize and crop one image: uint8, channels x H x W, to uint8, channels x crop x crop.

        With antialiasing, computed by torch in uint8: within 1 of 255 of Pillow (4 where bicubic noise
        overshoots), and what torchvision's Resize does to a uint8 tensor on a CPU. Raises `bad-image`
        for one so long and thin that it would grow out of bounds.
        """
        height, width = pixels.shape[-2:]
        short, long = min(height, width), max(height, width)
        grown = int(self.resize * long / short)
        if grown * self.resize > IMAGE_PIXELS:
            raise Problem(
                "bad-image", f"{printable(name)} is too long and thin: {width} x {height} pixels"
            )
        size = (grown, self.resize) if height > width else (self.resize, grown)
        if size != (height, width):
            pixels = interpolate(pixels[None], size=size, mode=self.interpolation, antialias=True)[
                0
            ]
        # Halves go to the even number, as in torchvision's CenterCrop.
        top, left = (round((n - self.crop) / 2) for n in size)
        return pixels[:, top : top + self.crop, left : left + self.crop].contiguous()

    def normalise(self, batch: Tensor) -> Tensor:
        """What the network takes: uint8 in red, green, blue (N x channels x H x W) to float32."""
        if self.channel_order == "bgr":
            batch = batch.flip(1)
        mean, std = (
            torch.tensor(v, device=batch.device).view(-1, 1, 1) for v in (self.mean, self.std)
        )
        return (batch / 255 - mean) / std

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Preprocess:
        """Read what `to_json` wrote, out of a file that anybody may have written.

        Raises `bad-preprocess`.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise _bad("that is no JSON") from e
        known = {f.name for f in fields(cls)}
        if not isinstance(found, dict) or found.keys() - known:
            raise _bad(f"it is a mapping of {', '.join(sorted(known))}, and of nothing else")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in found.items()
        }
        try:
            return cls(**values)
        except TypeError as e:  # a word in the place of a number, and the like
            raise _bad(
                "its values are numbers, lists of numbers, or words where they should not be"
            ) from e


def _finite(numbers: Iterable[float]) -> bool:
    return all(-1e6 < n < 1e6 for n in numbers)


def _bad(why: str) -> Problem:
    return Problem(
        "bad-preprocess",
        f"images cannot be prepared like this: {why}",
        help="say it by --resize, --crop, --mean and --std, or mend `preprocess` in the file of the weights",
    )
