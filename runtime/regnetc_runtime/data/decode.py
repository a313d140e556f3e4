"""The bytes of an image file to pixels. Nothing is resized, turned or normalised here.

The orientation that EXIF asks for is ignored, as the pipelines behind ImageNet's published numbers do.
Transparency is dropped, of an animation the first frame is taken, 16 bits are cut to the upper 8.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import files
from ..limits import IMAGE_BYTES, IMAGE_PIXELS
from ..problems import Problem, printable, require
from . import formats

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


class _BadImageError(ValueError):
    """What is wrong with an image, in words."""


def read(path: Path, channels: int) -> Tensor:
    """The pixels of an image file; see `decode`. Raises also what `files.read` raises."""
    return decode(files.read(path, IMAGE_BYTES), str(path), channels)


def decode(data: bytes, name: str, channels: int) -> Tensor:
    """Pixels as uint8 (channels x height x width): red, green, blue, or grey for one channel.

    Raises `bad-image` for what is no image, broken, cut short or too large, and `wrong-input` for a
    number of channels that no image has.
    """
    if channels not in (1, 3):
        raise Problem("wrong-input", f"images have 1 or 3 channels, not the network's {channels}")
    if not data:
        raise bad(name, "it is empty")
    if len(data) > IMAGE_BYTES:
        raise bad(name, f"it has more than {IMAGE_BYTES:,} bytes")
    pixels = None
    try:
        if data.startswith(b"\xff\xd8"):
            pixels = _decode_jpeg(data, channels)
        if pixels is None:
            pixels = _decode_other(data, channels)
    except Problem:
        raise
    # The decoders raise whatever a broken file makes of them: OSError, SyntaxError, struct.error...
    except Exception as e:
        raise bad(name, printable(e)) from e
    return torch.from_numpy(pixels).reshape(*pixels.shape[:2], channels).permute(2, 0, 1)


def _decode_jpeg(data: bytes, channels: int) -> np.ndarray | None:
    """Height x width x channels; None for a JPEG of another colour space, which Pillow converts."""
    simplejpeg = require("simplejpeg", "run")
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    _check_size(width, height)
    if space not in ("YCbCr", "Gray"):
        return None
    pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB" if channels == 3 else "GRAY")
    return pixels


def _decode_other(data: bytes, channels: int) -> np.ndarray:
    """Height x width (x 3)."""
    image_module = require("PIL.Image", "run")
    said = formats.size(data)
    if said is not None:  # before Pillow, which warns of a size that it goes on to allocate
        _check_size(*said)
    try:
        opened = image_module.open(io.BytesIO(data), formats=FORMATS)
    except image_module.UnidentifiedImageError as e:  # whose text is of no use
        kind = formats.kind(data)
        why = f"its content is {kind}" if kind else "its content is in no known format"
        raise _BadImageError(why) from e
    with opened as image:
        _check_size(*image.size)
        image.load()
        if image.mode.startswith("I"):  # 16-bit grey; convert() would clip instead of scale
            grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return grey if channels == 1 else np.repeat(grey[:, :, None], 3, axis=2)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")  # else Pillow warns
        return np.array(image.convert("RGB" if channels == 3 else "L"))


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise _BadImageError("it has no pixels")
    if width * height > IMAGE_PIXELS:
        raise _BadImageError(f"{width} x {height} is more than {IMAGE_PIXELS:,} pixels")


def bad(name: str, why: str) -> Problem:
    return Problem(
        "bad-image",
        f"{printable(name)} is no usable image: {why}",
        help="JPEG, PNG, WebP and BMP are read",
    )
