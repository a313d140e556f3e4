"""Pixels and labels of a chunk, on the network's device, to its input and targets.

In this order: move, turn and zoom; jitter; normalise, with lighting; erase; mix. Every random number is drawn
on the CPU, from chance of the chunk's place, so that all devices see the same. They go to the device in
one copy, and nothing comes back: the GPU is never waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..chance import Place, generator, numpy_generator
from ..training.recipe import Recipe
from .affine import draw_maps, moved
from .colours import draw_jitter, draw_lighting, jittered
from .mixing import draw_mix, mixed_images, mixed_targets, targets
from .rectangles import draw_rectangles, erase_


@dataclass(frozen=True, slots=True)
class ChunkAugment:
    """What a recipe does with a whole chunk of images.

    `mean` and `std` are those of the channels in 0..1, in the order of the network's channels, which
    `channel_order` says.
    """

    recipe: Recipe
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: Literal["rgb", "bgr"] = "rgb"

    def __call__(
        self, images: Tensor, labels: Tensor, place: tuple[Place, ...], classes: int
    ) -> tuple[Tensor, Tensor]:
        """The input (N x C x H x W, float32, normalised) and targets (N x classes, float32).

        `images` are N x C x H x W, uint8 or float32 in 0..255, in red, green, blue or grey, and stay as they
        are; `labels` (N, int64) lie on the same device. `place` is that of the chunk.
        """
        maps, factors, scale, bias, rectangles = _on(self._draw(images, place), images.device)
        if maps is not None:
            images = moved(images.float(), maps)
        if factors is not None:
            images = jittered(images.float(), factors)
        if self.channel_order == "bgr":
            images = images.flip(1)
        assert scale is not None
        assert bias is not None
        images = images.to(torch.float32, copy=True).mul_(scale).add_(bias)
        if rectangles is not None:
            erase_(images, rectangles)
        wanted = targets(labels, classes, self.recipe.label_smoothing)
        size = (images.shape[2], images.shape[3])
        mix = draw_mix(self.recipe, size, numpy_generator(*place, "mix"))
        if mix is None:
            return images, wanted
        return mixed_images(images, mix), mixed_targets(wanted, mix)

    def _draw(self, images: Tensor, place: tuple[Place, ...]) -> list[Tensor | None]:
        """Maps, factors of colour, the normalisation's scale and bias, rectangles; float32."""
        recipe, n = self.recipe, len(images)
        size = (images.shape[2], images.shape[3])
        maps = factors = rectangles = None
        if recipe.shift or recipe.turn or recipe.zoom:
            chance = generator(*place, "affine")
            maps = draw_maps(n, size, recipe.shift, recipe.turn, recipe.zoom, chance)
        if any(recipe.jitter):
            factors = draw_jitter(n, recipe.jitter, generator(*place, "jitter"))
        if recipe.erase:
            rectangles = draw_rectangles(n, size, recipe.erase, generator(*place, "erase"))
        return [maps, factors, *self._normalisation(n, place), rectangles]

    def _normalisation(self, n: int, place: tuple[Place, ...]) -> tuple[Tensor, Tensor]:
        """(x / 255 + light - mean) / std as scale and bias (1 or n x C x 1 x 1)."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        light = torch.zeros(1, len(mean))
        if self.recipe.lighting:
            chance = generator(*place, "lighting")
            light = draw_lighting(n, len(mean), self.recipe.lighting, chance)
        if self.channel_order == "bgr":
            light = light.flip(1)
        bias = (light - mean) / std
        return (1 / (255 * std)).view(1, -1, 1, 1), bias[:, :, None, None]


def _on(tensors: Sequence[Tensor | None], device: torch.device) -> list[Tensor | None]:
    """The tensors (float32) on a device; they get there in one copy, which nobody waits for."""
    if device.type == "cpu":
        return list(tensors)
    packed = torch.cat([t.flatten() for t in tensors if t is not None])
    if device.type == "cuda":
        packed = packed.pin_memory()
    packed = packed.to(device, non_blocking=True)
    out: list[Tensor | None] = []
    first = 0
    for tensor in tensors:
        if tensor is None:
            out.append(None)
        else:
            out.append(packed[first : first + tensor.numel()].view(tensor.shape))
            first += tensor.numel()
    return out
