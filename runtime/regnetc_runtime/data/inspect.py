"""The bytes of an image file to what is wrong or odd about it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from torch import Tensor

from ..problems import Problem, require
from . import decode, formats

ORIENTATION = 0x0112  # the tag in EXIF
_TURNS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored upside down",
    5: "mirrored and turned by 90 degrees",
    6: "turned by 90 degrees",
    7: "mirrored and turned by 270 degrees",
    8: "turned by 270 degrees",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What one image is: why it cannot be read, or its size in pixels and bytes, and oddities.

    `hash` is 64 bits of a digest of the content, 0 where there is none.
    """

    problem: str | None = None
    width: int = 0
    height: int = 0
    bytes: int = 0
    hash: int = 0
    oddities: tuple[str, ...] = ()


def look(data: bytes, name: str, channels: int) -> Look:
    """Decode a file as a training would, and look at what the decoding passes over."""
    hashed = _hash(data) if data else 0
    try:
        pixels = decode.decode(data, name, channels)
    except Problem as e:
        if e.name != "bad-image":
            raise
        return Look(e.message, bytes=len(data), hash=hashed)
    height, width = pixels.shape[-2:]
    oddities = (*_misnamed(data, name), *_oddities(data))
    return Look(None, width, height, len(data), hashed, oddities)


def look_at_pixels(pixels: Tensor) -> Look:
    """The same for an image that was never a file (channels x H x W, uint8)."""
    data = pixels.contiguous().numpy().tobytes()
    return Look(None, pixels.shape[-1], pixels.shape[-2], len(data), _hash(data))


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1


def _misnamed(data: bytes, name: str) -> list[str]:
    suffix = PurePath(name).suffix.lower()
    named, kind = formats.SUFFIXES.get(suffix), formats.kind(data)
    return [f"its name ends in {suffix}, its content is {kind}"] if kind and kind != named else []


def _oddities(data: bytes) -> list[str]:
    """What is unusual about a file that can be decoded."""
    image_module = require("PIL.Image", "run")
    found = []
    try:
        with image_module.open(io.BytesIO(data), formats=decode.FORMATS) as image:
            if image.mode == "CMYK":
                found.append("its colours are CMYK, and are converted")
            if image.mode.startswith("I") or _png_bits(data) == 16:
                found.append("it has 16 bits a channel, of which the upper 8 are used")
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":
                found.append(f"it is animated: the first of {frames:,} frames is used")
            turned = _turned(image)
            if turned is not None:
                found.append(f"EXIF says that it is {turned}, which is ignored")
    except Exception:  # noqa: S110 - it was decoded; what else is in the file does not matter
        pass
    return found


def _turned(image: Any) -> str | None:
    return _TURNS.get(image.getexif().get(ORIENTATION, 1))


def _png_bits(data: bytes) -> int | None:
    """Bits a channel that a PNG's header says it has."""
    return data[24] if formats.kind(data) == "PNG" and len(data) > 24 else None
