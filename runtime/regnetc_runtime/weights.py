"""Weights from a file into a network, and from a network into a file. A file of weights is data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import dialects, files, pickle_file, safetensors_file
from .limits import CHECKPOINT_BYTES
from .problems import Problem, printable, some


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors on the CPU by our names, and what the file says of them, which nobody has checked.

    `digest` is the file's SHA-256 in 64 hexadecimal digits; `notes` are oddities worth a warning.
    `dialect` is whose names they had, `strange` those that are nobody's and that are kept as they are,
    `bgr` whether such a code base's images are blue, green, red. `wrapper`, `extra`, `ema` and `unread`
    are those of `pickle_file.State`; `ema` has our names, too.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, str]
    digest: str
    notes: tuple[str, ...] = ()
    dialect: str = ""
    bgr: bool = False
    strange: tuple[str, ...] = ()
    wrapper: str = ""
    extra: tuple[str, ...] = ()
    ema: dict[str, Tensor] | None = None
    unread: tuple[str, ...] = ()


def read(path: Path) -> Weights:
    """Read a safetensors file, or one of torch.save, of whatever age; the content tells them apart.

    Raises `bad-weights` for a damaged or strange file, `unsafe-weights` for a pickle that holds more
    than tensors, and what `files.read` raises.
    """
    data = files.read(path, CHECKPOINT_BYTES)
    meta: dict[str, str] = {}
    if pickle_file.looks_like(data):
        state = pickle_file.parse(data, str(path))
    elif path.suffix.lower() == ".safetensors" or safetensors_file.looks_like(data):
        tensors, meta = safetensors_file.parse(data, str(path))
        state = pickle_file.State(tensors)
    else:
        raise Problem(
            "bad-weights",
            f"{printable(path)} is neither a safetensors file nor one of torch.save",
            help="fetch it again, or save the network's state_dict with torch.save",
        )
    if not state.tensors:
        raise Problem("bad-weights", f"{printable(path)} holds no tensors")
    odd = [k for k, t in state.tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    notes = [f"NaN or infinity in {some(odd)}"] if odd else []
    ours, dialect, strange = _ours(state.tensors)
    bgr = "preprocess" not in meta and _is_bgr(state.wrapper, dialect, meta)
    if bgr:
        notes.append(f"{dialect} trains on images in the order blue, green, red, and gets them so")
    ema = None if state.ema is None else _ours(state.ema)[0]
    digest = hashlib.sha256(data).hexdigest()
    return Weights(
        ours, meta, digest, tuple(notes), dialect, bgr, strange, state.wrapper, state.extra, ema, state.unread
    )  # fmt: skip


def _ours(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """Tensors by our names, the dialect they were in, and names that are nobody's."""
    try:
        read = dialects.recognise(list(tensors))
    except Problem:
        return tensors, "", ()
    found = {ours: tensors[theirs] for ours, theirs in read.names.items()}
    found |= {name: tensors[name] for name in read.strange}
    return found, read.dialect.name, read.strange


def _is_bgr(wrapper: str, dialect: str, meta: Mapping[str, str]) -> bool:
    """Whether the file is one that a code base wrote which takes its images that way."""
    if "channel_order" in meta:
        return meta["channel_order"] == "bgr"
    return dialect == "mmpretrain" or (dialect == "pycls" and wrapper == "model_state")


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
            help="take weights of the same network, or `regnetc weights inspect` them and compile what they are of",
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
