"""Several processes that train one network, started by torchrun; one process is a group of one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..problems import Problem

How = Literal["ddp", "fsdp"]


@dataclass(frozen=True, slots=True)
class Group:
    """The number `rank` of this process among `world`, and on its machine, `local`."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0


def launched() -> bool:
    """Whether torchrun started this process, to be one of a group."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ and "MASTER_ADDR" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """Be a member of the group that torchrun started, or of a group of one.

    GPUs speak NCCL, processors gloo. Raises `no-group` where the processes do not find each other.
    """
    if not launched():
        yield Group()
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as e:
        raise Problem(
            "no-group",
            "the processes of torchrun do not find each other",
            details=(str(e).partition("\n")[0],),
            help="start all of them with the same torchrun command, on machines that reach each other",
        ) from e
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def grouped() -> bool:
    """Whether there are other processes to agree with."""
    return dist.is_available() and dist.is_initialized()


def wrap(net: nn.Module, how: How, device: torch.device) -> nn.Module:
    """The network as the processes train it together: replicated (DDP) or sharded (FSDP2).

    Statistics of batch norm are left alone; statistics.py moves them. The module that comes back has
    the parameters of `net`, or is `net` itself, sharded in place, block by block.
    """
    if not grouped():
        return net
    if how == "ddp":
        ids = [device] if device.type == "cuda" else None
        with warnings.catch_warnings():  # newer releases call the option otherwise
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(net, ids, broadcast_buffers=False)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    blocks = [m for m in net.modules() if isinstance(getattr(m, "f", None), nn.Module)]
    for part in [*blocks, net]:
        # The outermost part, too, or evaluation would go on with weights from before a change.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    return net


@contextmanager
def synchronised(net: nn.Module, last: bool) -> Iterator[None]:
    """Gradients go to the other processes at the last chunk of a step only."""
    if isinstance(net, nn.parallel.DistributedDataParallel):
        net.require_backward_grad_sync = last
    else:
        set_sync: Any = getattr(net, "set_requires_gradient_sync", None)
        if set_sync is not None:
            set_sync(last)
    yield


def mean_(tensors: list[Tensor]) -> None:
    """Replace tensors by their means over the processes, which all have the same ones."""
    if not grouped() or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [t.numel() for t in tensors])
    for t, part in zip(tensors, parts, strict=True):
        t.copy_(part.view_as(t))


def sum_(tensor: Tensor) -> Tensor:
    """The sum over the processes, in place."""
    if grouped():
        dist.all_reduce(tensor)
    return tensor


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether any process says yes; all of them have to ask."""
    return bool(sum_(torch.tensor(float(flag), device=device)).item()) if grouped() else flag


def said_by_first(value: Any) -> Any:
    """What the first process says, for all; the others' value does not matter."""
    if not grouped():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def said_by_all(value: Any) -> list[Any]:
    """What every process says, in the order of their numbers."""
    if not grouped():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor on the CPU, gathered where it is sharded; every process has to ask."""
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().cpu()


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process has, in the same memory."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


@torch.no_grad()
def fill(tensor: Tensor, value: Tensor) -> None:
    """Put a whole tensor into one that may be sharded."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(tensor, DTensor):
        value = value.to(tensor.device, tensor.dtype)
        value = distribute_tensor(value, tensor.device_mesh, tensor.placements)
    tensor.copy_(value)
