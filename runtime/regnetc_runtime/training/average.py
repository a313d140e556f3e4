"""The average of the weights over the steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from . import parallel


class Average:
    """An exponential moving average of all parameters and batch norm statistics.

    Every `every` steps, average <- decay x average + (1 - decay) x weights (Polyak & Juditsky 1992 with
    a window). Until the warm-up is over it is the weights themselves. `averages` has them by the names
    of the network's tensors.
    """

    def __init__(self, net: nn.Module, decay: float, every: int) -> None:
        self.decay, self.every = decay, every
        named = _floating(net)
        self.averages = {n: t.clone() for n, t in named.items()}
        self.now = [parallel.local(t) for t in named.values()]
        self.kept = [parallel.local(t) for t in self.averages.values()]

    @torch.no_grad()
    def update(self, step: int, *, warm: bool) -> None:
        """After the step of that number, counted from 1; `warm` tells that the warm-up is over."""
        if not warm:
            torch._foreach_copy_(self.kept, self.now)
        elif step % self.every == 0:
            torch._foreach_lerp_(self.kept, self.now, 1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averages inside; what is changed of them there is kept as the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        before = [t.detach().clone() for t in self.now]
        torch._foreach_copy_(self.now, self.kept)
        torch._foreach_copy_(self.kept, before)


def _floating(net: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers that are no counters, by name."""
    named = [*net.named_parameters(), *net.named_buffers()]
    return {n: t.detach() for n, t in named if t.is_floating_point()}
