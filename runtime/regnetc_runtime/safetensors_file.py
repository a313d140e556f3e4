"""The bytes of a .safetensors file to named tensors and text.

The library accepts duplicate keys and headers of any size, so the header is read here first.
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

from torch import Tensor

from .limits import (
    CHECKPOINT_DIMENSIONS,
    CHECKPOINT_ENTRIES,
    CHECKPOINT_HEADER_BYTES,
    CHECKPOINT_NAME_CHARACTERS,
)
from .problems import Problem, printable, require

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
}


class BadFileError(ValueError):
    """What is wrong with the file, in words that follow "it"."""


def looks_like(data: bytes) -> bool:
    """Whether the file begins as a .safetensors file does: a length, then a JSON object."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)


def parse(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors in the order of their names, and the metadata. Raises `bad-weights`."""
    try:
        meta = _check(data)
        tensors: dict[str, Tensor] = require("safetensors.torch", "run").load(data)
    except Problem:
        raise
    except Exception as e:
        raise Problem(
            "bad-weights",
            f"{printable(name)} is no sound safetensors file: it {printable(e)}",
            help="fetch or write the file again",
        ) from e
    return dict(sorted(tensors.items())), meta


def encode(tensors: dict[str, Tensor], meta: dict[str, str]) -> bytes:
    """The bytes of a file with these tensors, the same for the same content.

    The library writes metadata in no fixed order, so it is put into the header here.
    """
    data: bytes = require("safetensors.torch", "run").save(tensors)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header = {"__metadata__": dict(sorted(meta.items())), **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _check(data: bytes) -> dict[str, str]:
    """Hold the header against the format and the file's length; the metadata."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise BadFileError("ends inside its header")
    if length > CHECKPOINT_HEADER_BYTES:
        raise BadFileError(f"has a header of more than {CHECKPOINT_HEADER_BYTES:,} bytes")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as e:
        raise BadFileError("has a header that is no JSON") from e
    if not isinstance(header, dict):
        raise BadFileError("has a header that is no JSON object")
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict) or not all(isinstance(v, str) for v in meta.values()):
        raise BadFileError("has metadata other than text")
    if len(header) > CHECKPOINT_ENTRIES:
        raise BadFileError(f"has more than {CHECKPOINT_ENTRIES:,} tensors")
    spans = sorted(_span(key, entry) for key, entry in header.items())
    ends = [(0, 0), *spans, (len(data) - 8 - length,) * 2]
    if any(before[1] != after[0] for before, after in pairwise(ends)):
        raise BadFileError("has tensors that overlap, leave gaps or end outside of it")
    return meta


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadFileError("has the same key twice in its header")
    return found


def _span(key: str, entry: object) -> tuple[int, int]:
    """First byte and end of a tensor, which hold exactly its shape and type."""
    match entry:
        case {
            "dtype": str(dtype),
            "shape": list(shape),
            "data_offsets": [int(start), int(end)],
        } if (
            len(key) <= CHECKPOINT_NAME_CHARACTERS
            and dtype in ITEM_BYTES
            and len(shape) <= CHECKPOINT_DIMENSIONS
            and all(type(n) is int and n >= 0 for n in shape)
            and end - start == math.prod(shape) * ITEM_BYTES[dtype]
        ):
            return start, end
    raise BadFileError(f"has an entry that is no tensor of floats or integers: {printable(key)}")
