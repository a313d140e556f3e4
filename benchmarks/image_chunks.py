"""A device to how fast whole chunks of images are augmented there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import image_peers as peers
import torch
from image_works import PLAIN, SIDE, compared, seconds
from regnetc_runtime.augment.chunks import ChunkAugment
from regnetc_runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD

CHUNK = 64
CHUNK_ON_A_GPU = 1024
CHUNKS = {
    "normalise": PLAIN,
    "normalise, erase 0.1, mixup 0.2, cutmix 1": replace(PLAIN, erase=0.1, mixup=0.2, cutmix=1.0),
    "jitter 0.4, lighting 0.1, turn 10": replace(PLAIN, jitter=(0.4,) * 3, lighting=0.1, turn=10.0),
}


def chunk_stage(device: torch.device) -> dict[str, Any]:
    """Images/s of what is done with a chunk of uint8 images that are on the device already."""
    count = CHUNK if device.type == "cpu" else CHUNK_ON_A_GPU
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=chance, dtype=torch.uint8)
    images, labels = images.to(device), (torch.arange(count) % 1000).to(device)
    out: dict[str, Any] = {"chunk": count}
    for name, recipe in CHUNKS.items():
        augment = ChunkAugment(recipe, IMAGENET_MEAN, IMAGENET_STD)
        works: dict[str, Callable[[int], object]] = {
            "ours": lambda k, a=augment: a(images, labels, (0, "chunk", k), 1000)  # type: ignore[misc]
        }
        other = peers.torchvision_chunk(recipe, IMAGENET_MEAN, IMAGENET_STD)
        if other is not None:
            works["torchvision"] = lambda k, o=other: o(images, labels)  # type: ignore[misc]
        seen = {w: count / seconds(work, device) for w, work in works.items()}
        out[name] = compared(seen)
    return out
