"""A network put into a mode for a while, and asked what goes in and comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .problems import Problem, printable


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule is in the mode that it was in."""
    modes = [(m, m.training) for m in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def enough_memory(batch: int) -> Iterator[None]:
    """Turn torch's running out of memory into the problem `out-of-memory`."""
    try:
        yield
    except (RuntimeError, MemoryError) as e:
        # On a CPU the allocator's RuntimeError has no type of its own.
        short = isinstance(e, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(e)
        if not short:
            raise
        raise Problem(
            "out-of-memory",
            f"there is not enough memory for a batch of {batch:,}",
            help="take a smaller batch",
        ) from e


def device_of(net: nn.Module) -> torch.device:
    """Where the parameters are; the CPU for a network without any."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def run_on_meta(net: nn.Module, channels: int, image: int) -> object:
    """What the network makes of one image (1 x channels x image x image), without its numbers.

    Shapes, hooks and counters see what they would see in a real run, in milliseconds. Raises
    `wrong-input` where the network takes no such image.
    """
    state = {n: t.to("meta") for n, t in [*net.named_parameters(), *net.named_buffers()]}
    x = torch.empty(1, channels, image, image, device="meta")
    try:
        with evaluating(net), torch.no_grad():
            out: object = functional_call(net, state, (x,))
    except (RuntimeError, TypeError, ValueError) as e:
        raise Problem(
            "wrong-input",
            f"the network does not take images of {channels} x {image} x {image}",
            details=(printable(e),),
        ) from e
    return out


def classes_of(net: nn.Module, channels: int, image: int) -> int:
    """How many logits the network gives for an image. Raises `wrong-input`."""
    out = run_on_meta(net, channels, image)
    if not isinstance(out, Tensor) or out.ndim != 2:
        raise Problem("wrong-input", "the network does not give a row of class scores per image")
    return out.shape[1]
