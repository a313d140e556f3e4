"""A network to what it costs by running it: fvcore's count, torch's, parameters and activations.

Nothing is taken from the compiler's formulas, so that the two can be held against each other.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .modes import device_of, evaluating, run_on_meta
from .problems import require

COUNTED = (nn.Conv2d, nn.Linear, nn.MaxPool2d)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one image costs.

    `fvcore`: multiply-adds, 2 for every batch-norm element, 1 for every averaged one. `acts`:
    elements that leave convolutions, linear layers and max-poolings. `torch2`: 2 for every
    multiply-add. `unsupported`: operators that fvcore leaves out, and how often each runs.
    """

    params: int
    fvcore: int
    acts: int
    torch2: int
    unsupported: dict[str, int]


def count(net: nn.Module, channels: int, image: int) -> Measured:
    """Count the network in evaluation mode for one image (1 x channels x image x image).

    The network is left as it was. Raises `wrong-input`, `missing-package`.
    """
    acts, torch2 = _count_on_meta(net, channels, image)
    fvcore, unsupported = _count_by_fvcore(net, channels, image)
    params = sum(p.numel() for p in net.parameters())
    return Measured(params, fvcore, acts, torch2, unsupported)


def _count_on_meta(net: nn.Module, channels: int, image: int) -> tuple[int, int]:
    """Activations, and torch's flops."""
    acts = 0

    def add(_module: nn.Module, _args: tuple[object, ...], out: Tensor) -> None:
        nonlocal acts
        acts += out.numel()

    hooks = [m.register_forward_hook(add) for m in net.modules() if isinstance(m, COUNTED)]
    try:
        with FlopCounterMode(display=False) as counter:
            run_on_meta(net, channels, image)
    finally:
        for hook in hooks:
            hook.remove()
    return acts, counter.get_total_flops()


def _count_by_fvcore(net: nn.Module, channels: int, image: int) -> tuple[int, dict[str, int]]:
    """Total and unknown operators, by a real run: fvcore's tracing fails on meta and fake tensors."""
    x = torch.zeros(1, channels, image, image, device=device_of(net))
    with evaluating(net), torch.no_grad(), _quiet():
        analysis = require("fvcore.nn", "run").FlopCountAnalysis(net, x)
        total = int(analysis.total())
        unknown = {str(name): int(n) for name, n in analysis.unsupported_ops().items()}
    return total, dict(sorted(unknown.items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither fvcore's log lines nor the warnings of what it imports and traces."""
    log = logging.getLogger("fvcore")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
