"""Stochastic depth: residual branches are skipped at random while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def add_drop_path(net: nn.Module, probability: float) -> None:
    """Let the l-th of L blocks skip its residual branch with probability l / L x `probability`.

    For each image by itself, and what is kept is divided by the probability of keeping it, so that
    nothing changes in evaluation mode (Huang et al. 2016, arXiv 1603.09382, equation 4). A block is a
    module with a branch `f`, as regnetc emits it. Draws come from torch's generator of the device.
    """
    found = [getattr(m, "f", None) for m in net.modules()]
    branches = [f for f in found if isinstance(f, nn.Module)]
    for number, branch in enumerate(branches, start=1):
        branch.register_forward_hook(_Skip(probability * number / len(branches)))


class _Skip:
    """A forward hook that zeroes some images (N x C x H x W) of a branch's output."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, module: nn.Module, args: object, out: Tensor) -> Tensor | None:
        if not module.training:
            return None
        keep = 1 - self.probability
        mask = (torch.rand(len(out), 1, 1, 1, device=out.device) < keep).to(out.dtype)
        return out * (mask / keep)
