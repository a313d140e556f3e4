"""Weights from a file into a network, and from a network into a file. A file of weights is data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import files, pickle_file, safetensors_file
from .limits import CHECKPOINT_BYTES
from .problems import Problem, printable, some


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by name on the CPU, and what the file says of them, which nobody has checked.

    `digest` is the file's SHA-256 in 64 hexadecimal digits; `notes` are oddities worth a warning.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, str]
    digest: str
    notes: tuple[str, ...] = ()


def read(path: Path) -> Weights:
    """Read a safetensors file, or a zip archive of torch.save; the content tells them apart.

    Raises `bad-weights` for a damaged or strange file, `unsafe-weights` for a pickle that holds more
    than tensors, and what `files.read` raises.
    """
    data = files.read(path, CHECKPOINT_BYTES)
    meta: dict[str, str] = {}
    if pickle_file.looks_like(data):
        tensors = pickle_file.parse(data, str(path))
    elif path.suffix.lower() == ".safetensors" or safetensors_file.looks_like(data):
        tensors, meta = safetensors_file.parse(data, str(path))
    else:
        raise Problem(
            "bad-weights",
            f"{printable(path)} is neither a safetensors file nor an archive of torch.save",
            help="if it is a .pth of before torch 1.6, load it with torch.load(weights_only=True) "
            "and save its state_dict again",
        )
    if not tensors:
        raise Problem("bad-weights", f"{printable(path)} holds no tensors")
    odd = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    notes = (f"NaN or infinity in {some(odd)}",) if odd else ()
    return Weights(tensors, meta, hashlib.sha256(data).hexdigest(), notes)


def load_into(net: nn.Module, weights: Weights) -> None:
    """Copy all weights into the network, name by name, or none at all.

    Only `num_batches_tracked` may be missing. Raises `class-count` where nothing but the number of
    classes differs, and `wrong-weights` where anything else does.
    """
    wanted = dict(net.state_dict())
    given = weights.tensors
    missing = [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in given if k not in wanted]
    differing = [k for k, t in wanted.items() if k in given and not _same_kind(t, given[k])]
    if not missing and not unexpected and differing:
        _refuse_other_classes(net, wanted, given, differing)
    if missing or unexpected or differing:
        shapes = [f"{k} {_kind(given[k])} instead of {_kind(wanted[k])}" for k in differing]
        lists = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
        raise Problem(
            "wrong-weights",
            "the weights are not those of this network",
            details=[f"{len(v):,} {what}: {some(v)}" for what, v in lists.items() if v],
            help="take weights of the same network, with the names that pycls gives them",
        )
    with torch.no_grad():
        for key, tensor in wanted.items():
            if key in given:
                tensor.copy_(given[key])


def save(path: Path, net: nn.Module, meta: Mapping[str, str]) -> str:
    """Write the network's weights and `meta` as a safetensors file; its SHA-256.

    Raises `cannot-write`.
    """
    tensors = {k: t.detach().cpu().contiguous() for k, t in net.state_dict().items()}
    data = safetensors_file.encode(tensors, dict(meta))
    files.write(path, data)
    return hashlib.sha256(data).hexdigest()


def _same_kind(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point()


def _kind(t: Tensor) -> str:
    shape = " x ".join(map(str, t.shape)) or "one number"
    return shape if t.is_floating_point() else f"{shape} (integers)"


def _refuse_other_classes(
    net: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], differing: list[str]
) -> None:
    """Raise `class-count` where the rows of the last linear layer are all that differs."""
    linear = [name for name, m in net.named_modules() if isinstance(m, nn.Linear)]
    if not linear or not all(k.startswith(f"{linear[-1]}.") for k in differing):
        return
    if all(wanted[k].shape[1:] == given[k].shape[1:] for k in differing):
        ours, theirs = wanted[differing[0]].shape[0], given[differing[0]].shape[0]
        raise Problem(
            "class-count",
            f"the weights are for {theirs:,} classes, the network has {ours:,}",
            help=f"build the network with {theirs:,} classes",
        )
