"""Chance to changes of colour, and images with them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.memory import LUMA

# Of the colours of ImageNet's pixels, in 0..1: roots of the covariance's eigenvalues, and for red, green and
# blue its eigenvectors in columns. Krizhevsky et al. 2012 describe the noise in section 4.1; these numbers
# come with fb.resnet.torch and are those of pycls.
DEVIATIONS = (0.2175, 0.0188, 0.0045)
COMPONENTS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def draw_jitter(n: int, most: tuple[float, float, float], generator: torch.Generator) -> Tensor:
    """Factors of brightness, contrast and saturation for `n` images (n x 3).

    Each uniform from 1 - most, but not below 0, to 1 + most.
    """
    high = torch.tensor(most)
    low = (1 - high).clamp(min=0)
    return low + (1 + high - low) * torch.rand(n, 3, generator=generator)


def jittered(images: Tensor, factors: Tensor) -> Tensor:
    """Images in red, green, blue or grey (N x 3 or 1 x H x W, float32 in 0..255) by factors (N x 3).

    Brightness, then contrast, then saturation; always in this order, which torchvision and pycls draw. What
    leaves 0..255 is cut off after each. Contrast is about the image's mean grey.
    """
    bright, contrast, saturation = factors.view(-1, 3, 1, 1, 1).unbind(1)
    images = (images * bright).clamp_(0, 255)
    mean = grey(images).mean((1, 2, 3), keepdim=True)
    images.lerp_(mean, 1 - contrast).clamp_(0, 255)
    if images.shape[1] == 1:
        return images
    return images.lerp_(grey(images), 1 - saturation).clamp_(0, 255)


def grey(images: Tensor) -> Tensor:
    """The luma of ITU-R BT.601 (N x 1 x H x W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def draw_lighting(n: int, channels: int, deviation: float, generator: torch.Generator) -> Tensor:
    """What is added to all pixels of each of `n` images (n x channels), which go from 0 to 1.

    The principal components, each by its own deviation and by a normal number of `deviation`: 0.1 in
    AlexNet, ResNet and pycls. Grey gets the luma of what red, green and blue would get.
    """
    strengths = torch.randn(n, 3, generator=generator) * deviation
    added = (strengths * torch.tensor(DEVIATIONS)) @ torch.tensor(COMPONENTS).T
    return added if channels == 3 else (added @ torch.tensor(LUMA))[:, None]
