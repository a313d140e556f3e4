"""The bytes of a .pth file, as torch.save writes them, to named tensors. Nothing in it is executed.

The only caller of torch.load, always with `weights_only`; what that refuses is refused. Trainers lay more
beside the weights than tensors: numpy's numbers, their arguments, their configuration. For what known
libraries write there something inert stands in, so that nothing a file names is imported or called.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from . import legacy_file, pickle_program
from .limits import (
    CHECKPOINT_DIMENSIONS,
    CHECKPOINT_ENTRIES,
    CHECKPOINT_NAME_CHARACTERS,
    CHECKPOINT_PICKLE_BYTES,
)
from .pickle_program import DamagedError, UnsafeError
from .problems import Problem, printable

WRAPPERS = ("model_state", "state_dict", "model")  # pycls, most others, timm and torchvision
AVERAGES = ("ema_state", "state_dict_ema", "model_ema", "ema")  # beside them


@dataclass(frozen=True, slots=True)
class State:
    """A state dict out of a file: the `wrapper` it lay in, what lay beside it, an average of weights.

    `unread` are the names of what else the file asks for, which nobody looked up.
    """

    tensors: dict[str, Tensor]
    wrapper: str = ""
    extra: tuple[str, ...] = ()
    ema: dict[str, Tensor] | None = None
    unread: tuple[str, ...] = ()


class Inert:
    """Stands for an object of some library: takes what it is made of, and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class InertMapping:
    """Stands for a library's kind of dictionary: one of Python's, as torch fills no others."""

    def __new__(cls, *_: object) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """An empty one."""
        return OrderedDict()


MAPPINGS = {
    "addict.addict.Dict", "collections.defaultdict", "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict", "vissl.utils.hydra_config.AttrDict", "yacs.config.CfgNode",
}  # fmt: skip
"""Dictionaries, whose entries a pickle sets."""
VALUES = {
    "argparse.Namespace", "builtins.Ellipsis", "builtins.bool", "builtins.dict", "builtins.float",
    "builtins.frozenset", "builtins.int", "builtins.list", "builtins.range", "builtins.slice", "builtins.str",
    "builtins.tuple", "builtins.type", "collections.deque", "decimal.Decimal",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePath",
    "pathlib.PurePosixPath", "types.SimpleNamespace", "typing.Any", "uuid.UUID",
}  # fmt: skip
LIBRARIES = {
    "classy_vision", "datetime", "fvcore", "mmcls", "mmcv", "mmengine", "mmpretrain", "numpy", "omegaconf", "pycls",
    "timm", "vissl",
}  # fmt: skip
"""Those that train such networks, and numpy, whose numbers pycls's optimiser has; of these, any name."""


def looks_like(data: bytes) -> bool:
    """Whether the file is a zip archive, as torch has written since 1.6, or what it wrote before."""
    return data.startswith(b"PK\x03\x04") or legacy_file.looks_like(data)


def parse(data: bytes, name: str) -> State:
    """The tensors, out of their wrapper if they have one. Raises `bad-weights`, `unsafe-weights`."""
    try:
        if legacy_file.looks_like(data):
            asked = legacy_file.program(data, _is_inert).names
        else:
            asked = pickle_program.run(_pickled(data, name), inert=_is_inert).names
    except DamagedError as e:
        raise _bad(name, str(e)) from e
    except UnsafeError as e:
        raise _unsafe(name, str(e)) from e
    inert = sorted(filter(_is_inert, asked))
    stands: list[Any] = [(InertMapping if n in MAPPINGS else Inert, n) for n in inert]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stands):
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise _refusal(e, name) from e
    except Exception as e:
        why = str(e).partition("\n")[0] or type(e).__name__
        raise _bad(name, f"torch cannot read it ({printable(why)})") from e
    return replace(_unwrap(content, name), unread=tuple(inert))


def _refusal(e: pickle.UnpicklingError, name: str) -> Problem:
    """What torch refused, without its advice to load the file all the same."""
    named = re.search(r"GLOBAL (\S+)", str(e.__context__))
    if named is None:
        return _bad(name, "its pickle is damaged")
    return _unsafe(name, named[1])


def _unsafe(name: str, what: str) -> Problem:
    return Problem(
        "unsafe-weights",
        f"{printable(name)} holds more than tensors, so it is not loaded",
        details=(f"it asks for {printable(what)}",),
        help="where you trust the file, save the state_dict alone, as safetensors",
    )


def _is_inert(name: str) -> bool:
    """Whether something inert stands in for what has this name."""
    return name in MAPPINGS | VALUES or name.partition(".")[0] in LIBRARIES


def _pickled(data: bytes, name: str) -> bytes:
    """Check the archive; its pickle.

    torch checks no CRC, and would inflate or follow whatever the archive says: look first.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > CHECKPOINT_ENTRIES:
                raise _bad(name, f"it has more than {CHECKPOINT_ENTRIES:,} entries")
            if any(e.compress_type != zipfile.ZIP_STORED for e in entries):
                raise _bad(name, "it has compressed entries, which torch.save never writes")
            if sum(e.file_size for e in entries) > len(data):
                raise _bad(name, "its entries overlap")
            if len({e.filename for e in entries}) != len(entries):
                raise _bad(name, "it has two entries of one name")
            _check_names(entries, name)
            damaged = archive.testzip()
            pickles = [e for e in entries if e.filename.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise _bad(name, "it has not one pickle, as torch.save writes it")
            pickled = archive.read(pickles[0]) if damaged is None else b""
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as e:
        raise _bad(name, f"its archive is damaged ({printable(e)})") from e
    if damaged is not None:
        raise _bad(name, f"its entry {printable(damaged)} is damaged")
    return pickled


def _check_names(entries: list[zipfile.ZipInfo], name: str) -> None:
    for entry in entries:
        base = entry.filename.rpartition("/")[2]
        if base == "constants.pkl":
            raise _bad(name, "it is a TorchScript program", "save the network's state_dict instead")
        if base == "data.pkl" and entry.file_size > CHECKPOINT_PICKLE_BYTES:
            raise _bad(name, f"its pickle has more than {CHECKPOINT_PICKLE_BYTES:,} bytes")


def _unwrap(content: object, name: str) -> State:
    """The state dict in what was loaded, and what lies beside it."""
    if not isinstance(content, Mapping):
        raise _bad(name, f"it holds no state_dict but a {printable(type(content).__name__)}")
    classy = _inside(content, *_CLASSY)
    if isinstance(classy, Mapping) and isinstance(classy.get("trunk"), Mapping):
        extra = tuple(str(k) for k in content if k != _CLASSY[0])
        heads = {f"heads.{k}": v for k, v in _innermost(classy.get("heads"))}
        return State(
            _tensors({**classy["trunk"], **heads}, name), ".".join((*_CLASSY, "trunk")), extra
        )
    wrapper = next((w for w in WRAPPERS if isinstance(content.get(w), Mapping)), _only(content))
    if not wrapper:
        return State(_tensors(content, name))
    averaged = next((w for w in AVERAGES if isinstance(content.get(w), Mapping)), None)
    ema = None if averaged is None or not content[averaged] else _tensors(content[averaged], name)
    extra = tuple(str(k) for k in content if k not in (wrapper, averaged))
    return State(_tensors(content[wrapper], name), wrapper, extra, ema)


def _only(content: Mapping[Any, object]) -> str:
    """The one entry that holds tensors, where none lie beside it."""
    holding = [
        str(k) for k, v in content.items()
        if isinstance(v, Tensor) or (isinstance(v, Mapping) and any(isinstance(t, Tensor) for t in v.values()))
    ]  # fmt: skip
    return holding[0] if len(holding) == 1 and isinstance(content.get(holding[0]), Mapping) else ""


_CLASSY = ("classy_state_dict", "base_model", "model")


def _inside(content: object, *keys: str) -> object:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _innermost(found: object, depth: int = 4) -> Iterator[tuple[str, object]]:
    """The entries of a state dict within others: ClassyVision keeps one for each head of each fork."""
    for key, value in found.items() if isinstance(found, Mapping) and depth else ():
        if isinstance(value, Mapping):
            yield from _innermost(value, depth - 1)
        else:
            yield str(key), value


PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
)  # DistributedDataParallel's, torch.compile's, Lightning's
COUNTER = "n_averaged"  # of torch's AveragedModel, beside the average


def _tensors(content: Mapping[Any, object], name: str) -> dict[str, Tensor]:
    """Names and tensors, with what wraps a network taken off their names."""
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        found = (
            _plain(value)
            if isinstance(key, str) and len(key) <= CHECKPOINT_NAME_CHARACTERS
            else None
        )
        if found is None:
            what = printable(key, 100)
            raise _bad(name, f"its entry {what} is no plain tensor of floats or integers")
        tensors[key] = found
    if all(k == COUNTER or k.startswith(PREFIXES[0]) for k in tensors):
        tensors.pop(COUNTER, None)
    for prefix in PREFIXES * 2:
        if tensors and all(k.startswith(prefix) for k in tensors):
            tensors = {k.removeprefix(prefix): t for k, t in tensors.items()}
    return tensors


def _plain(value: object) -> Tensor | None:
    """A dense tensor of real numbers in one of the layouts that networks have, made so where it has another."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_quantized:
        return None
    if value.is_complex() or value.dtype is torch.bool or value.device.type != "cpu":
        return None
    if value.ndim > CHECKPOINT_DIMENSIONS:
        return None
    if value.is_contiguous() or (
        value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
    ):
        return value
    held = value.untyped_storage().nbytes()
    return value.contiguous() if value.numel() * value.element_size() <= held else None


def _bad(name: str, why: str, help: str = "fetch or write the file again") -> Problem:
    return Problem("bad-weights", f"{printable(name)} cannot be used: {why}", help=help)
