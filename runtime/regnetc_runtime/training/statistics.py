"""Batch norm's statistics when a step takes several chunks, and precise ones from many images."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from . import parallel


def _norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch norms that keep statistics."""
    found = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return [m for m in found if m.track_running_stats]


def _tensors(net: nn.Module) -> list[Tensor]:
    """Running means and variances, in an order that is the same for every process."""
    pairs = [(m.running_mean, m.running_var) for m in _norms(net)]
    return [t for pair in pairs for t in pair if t is not None]


class RunningStatistics:
    """Moves running statistics once a step, by the mean over all chunks of the step.

    Every chunk starts from where the step began, wherever it is computed, and afterwards the mean of
    what came out is taken. That is linear in the chunks' statistics, so one process that accumulates
    ends where several processes do.
    """

    def __init__(self, net: nn.Module) -> None:
        self.now = _tensors(net)
        self.counters = [m.num_batches_tracked for m in _norms(net)]
        self.before = [t.clone() for t in self.now]
        self.sums: list[Tensor] = []
        self.chunks = 0

    def begin(self) -> None:
        """A step begins."""
        _copy(self.before, self.now)
        self.sums, self.chunks = [], 0

    def end_chunk(self, last: bool) -> None:
        """A chunk went forward; `last` tells that it is this process's last of the step."""
        self.chunks += 1
        if last and self.chunks == 1:
            return  # the usual case: nothing to add up
        now = [t.double() for t in self.now]
        if self.sums:
            torch._foreach_add_(self.sums, now)
        else:
            self.sums = now
        if not last:
            _copy(self.now, self.before)

    def end(self) -> None:
        """The step is over: take the mean over chunks and processes."""
        if self.chunks == 1 and not parallel.grouped():
            return
        means = self.sums or [t.double() for t in self.now]
        torch._foreach_div_(means, self.chunks)
        parallel.mean_(means)  # in float64, so that the order of summing does not show
        _copy(self.now, means)
        for counter in self.counters:
            if counter is not None:
                counter -= self.chunks - 1  # a step counts as one batch

    def undo(self) -> None:
        """Back to where the step began."""
        _copy(self.now, self.before)


@torch.no_grad()
def precise(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by the means over batches (N x C x H x W) of those of each batch.

    What batch norm normalises by while training on each batch, the variance as running statistics
    hold it (unbiased), averaged over batches and processes, which all have equally many (Wu & Johnson
    2021, arXiv 2105.07576, section 3). The network is in training mode, before and after.
    """
    norms = _norms(net)
    before = [(m.momentum, m.num_batches_tracked) for m in norms]
    counts = [None if n is None else n.clone() for _, n in before]
    for m in norms:
        m.momentum = 1.0  # what is kept is the last batch's
    now, sums, number = _tensors(net), [t.double() * 0 for t in _tensors(net)], 0
    try:
        for images in batches:
            net(images)
            torch._foreach_add_(sums, [t.double() for t in now])
            number += 1
    finally:
        for m, (momentum, counter), count in zip(norms, before, counts, strict=True):
            m.momentum = momentum
            if counter is not None and count is not None:
                counter.copy_(count)
    if number:
        torch._foreach_div_(sums, number)
        parallel.mean_(sums)
        _copy(now, sums)


def _copy(to: list[Tensor], source: list[Tensor]) -> None:
    if to:
        torch._foreach_copy_(to, source)
