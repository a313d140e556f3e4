"""Images to how fast crops are made of other forms of them: smaller files, reduced decoding, raw pixels."""

from __future__ import annotations

import importlib
import statistics
from functools import partial
from typing import Any

import numpy as np
import photographs
import torch
from image_works import PLAIN, RATIO, SCALE, SIDE, Work, ours, prepared, rates
from numpy.typing import NDArray
from regnetc_runtime.augment.crops import Box, random_box, resized
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.data.decode import decode
from torch import Tensor

SHORT = 256  # of images that are made smaller once and for all
LARGE, LARGE_FILES = (1200, 1600), 6


def stored(files: list[bytes]) -> dict[str, Any]:
    """Crop and flip from other forms of the same images."""
    prepare = prepared(PLAIN)
    pixels = [decode(f, "x", 3) for f in files]
    small = [photographs.jpeg(smaller(p, SHORT)) for p in pixels]
    raw = [torch.from_numpy(smaller(p, SHORT)).permute(2, 0, 1) for p in pixels]
    wide = [photographs.jpeg(photographs.photograph(k, *LARGE)) for k in range(LARGE_FILES)]
    out: dict[str, Any] = {}
    for name, given, work in (
        ("jpeg", files, ours(PLAIN)),
        ("jpeg, short side 256", small, ours(PLAIN)),
        ("raw, short side 256", raw, lambda p, k: prepare(p, numpy_generator(0, "image", 0, k))),
    ):
        out[name] = rates({"ours": work}, given)["ours"]["images_per_s"]
    out["bytes"] = {"jpeg": mean_bytes(files), "short side 256": mean_bytes(small)}
    works: dict[str, Work] = {
        "ours": partial(reduced, steps=()),
        "halves": partial(reduced, steps=(4, 2, 1)),
    }
    works["eighths"] = partial(reduced, steps=tuple(range(1, 8)))
    for name, given in (("400 x 500", files), ("1200 x 1600", wide)):
        out[f"reduced decoding, {name}"] = rates(works, given)
        out[f"reduced decoding, {name}"]["change_of_pixels"] = difference(given, works)
    out["decoding alone"] = decoding(files)
    return out


def decoding(files: list[bytes]) -> dict[str, Any]:
    """Files decoded whole, with the flags that trade pixels for speed, and at eighths of the size."""
    simplejpeg = importlib.import_module("simplejpeg")
    works: dict[str, Work] = {
        "whole": lambda data, _: simplejpeg.decode_jpeg(data, "RGB"),
        "fastdct, fastupsample": lambda data, _: simplejpeg.decode_jpeg(
            data, "RGB", fastdct=True, fastupsample=True
        ),
    }
    for m in range(7, 0, -1):
        works[f"{m}/8"] = partial(at_eighths, m=m)
    return rates(works, files, "whole")


def at_eighths(data: bytes, _: int, m: int) -> Any:
    simplejpeg = importlib.import_module("simplejpeg")
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    return simplejpeg.decode_jpeg(data, "RGB", min_height=height * m // 8, min_width=width * m // 8)


def smaller(pixels: Tensor, short: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[-2:]
    grown = round(max(height, width) * short / min(height, width))
    size = (short, grown) if height <= width else (grown, short)
    found = torch.nn.functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
    return found.permute(1, 2, 0).numpy()


def reduced(data: bytes, k: int, steps: tuple[int, ...]) -> Tensor:
    """A random crop of a file that is decoded at the smallest of the eighths that are not below it."""
    simplejpeg = importlib.import_module("simplejpeg")
    rng = numpy_generator(0, "image", 0, k)
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    box = random_box(height, width, SCALE, RATIO, rng)
    enough = [m for m in steps if min(box.height, box.width) * m >= 8 * SIDE]
    eighths = min(enough, default=8)
    least = {"min_height": height * eighths // 8, "min_width": width * eighths // 8}
    pixels = simplejpeg.decode_jpeg(data, "RGB", **(least if eighths < 8 else {}))
    if eighths < 8:
        down, across = pixels.shape[0] / height, pixels.shape[1] / width
        top, left = round(box.top * down), round(box.left * across)
        box = Box(top, left, round(box.height * down), round(box.width * across))
    return resized(torch.from_numpy(pixels).permute(2, 0, 1), box, SIDE)


def difference(files: list[bytes], works: dict[str, Any]) -> dict[str, Any]:
    """How far crops are from those of whole decoding: root mean square in levels of 255, where it differs."""
    out = {}
    for name in ("halves", "eighths"):
        gaps = []
        for k, data in enumerate(files * 4):
            gap = (works[name](data, k).float() - works["ours"](data, k).float()).square().mean()
            gaps.append(float(gap.sqrt()))
        changed = [g for g in gaps if g > 0]
        share = round(len(changed) / len(gaps), 2)
        out[name] = {"share": share, "rms": round(statistics.mean(changed or [0.0]), 2)}
    return out


def mean_bytes(files: list[bytes]) -> int:
    return round(statistics.mean(map(len, files)))
