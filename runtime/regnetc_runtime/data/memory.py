"""Images that fit into memory, as a part of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey: ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class MemoryPart:
    """Pixels (N x channels x H x W, uint8 or float32 in 0..255) and class indices (N, int64).

    `title` is what messages call the part.
    """

    title: str
    pixels: Tensor
    labels: Tensor

    def image(self, index: int) -> Tensor:
        """One image (channels x H x W, uint8); float pixels are rounded."""
        pixels = self.pixels[index]
        return pixels if pixels.dtype is torch.uint8 else pixels.round().to(torch.uint8)

    def name(self, index: int) -> str:
        """The part and the number of the image in it."""
        return f"image {index:,} of {self.title}"


def digest_of(parts: Sequence[MemoryPart]) -> str:
    """SHA-256 (64 hexadecimal digits) of pixels, labels and their shapes."""
    found = hashlib.sha256()
    for part in parts:
        for tensor in (part.pixels, part.labels):
            found.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            found.update(tensor.contiguous().numpy().data)
    return found.hexdigest()


def grey(numbers: Sequence[float]) -> tuple[float, ...]:
    """What the means of red, green and blue are for grey."""
    return (round(sum(n * share for n, share in zip(numbers, LUMA, strict=True)), 4),)


def in_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 images (N x 3 or 1 x H x W) with another number of channels: grey by luma, or repeated."""
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous()
    out = torch.empty(len(pixels), 1, *pixels.shape[2:], dtype=pixels.dtype)
    shares = torch.tensor(LUMA).view(1, 3, 1, 1)
    for start in range(
        0, len(pixels), 1_000
    ):  # as floats all at once would take four times the room
        some = pixels[start : start + 1_000].float().mul(shares).sum(1, keepdim=True)
        out[start : start + 1_000] = some.round() if out.dtype is torch.uint8 else some
    return out
