"""Sums of gradients that have the same bits whoever computes what, and their norm."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from . import parallel


class GradientTree:
    """Adds up gradients as a binary tree: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)).

    Two, four or eight processes that take equal runs of the chunks add up branches of the same tree, so
    that the sum has the same bits; added one after the other, the last bits would differ, and with
    batch norm such a difference grows tenfold in a few steps. Keeps one copy of the gradients for each
    level of the tree.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self._branches: list[tuple[int, list[Tensor]]] = []

    def take(self) -> None:
        """Take the gradients that a chunk has left in the parameters."""
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        self._branches.append((0, found))
        while len(self._branches) > 1 and self._branches[-1][0] == self._branches[-2][0]:
            self._join()

    def give(self) -> list[Tensor]:
        """Put the sum into the parameters."""
        while len(self._branches) > 1:
            self._join()
        _, total = self._branches.pop()
        for p, grad in zip(self.parameters, total, strict=True):
            p.grad = grad
        return total

    def _join(self) -> None:
        _, last = self._branches.pop()
        level, before = self._branches[-1]
        torch._foreach_add_(before, last)
        self._branches[-1] = (level + 1, before)


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], bound: float) -> None:
    """Scale all gradients so that the norm over all of them is at most `bound`.

    By bound / (norm + 1e-6), as torch's `clip_grad_norm_`, but summed in float64, so that shards on
    several processes give the same factor as the whole on one.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    parts = [parallel.local(g) for g in grads]
    if not parts:
        return
    squares = torch.stack([p.double().square().sum() for p in parts]).sum()
    if any(hasattr(g, "device_mesh") for g in grads):
        parallel.sum_(squares)
    factor = (bound / (squares.sqrt() + 1e-6)).clamp(max=1)
    torch._foreach_mul_(parts, factor.to(parts[0].dtype))
