"""A .pth as torch wrote it before 1.6, and as mmpretrain still publishes it: pickles, then raw storages.

torch allocates each storage by the size that the pickle says, and leaves those that the file does not
hold as the memory was. So all is held against the bytes that are there before torch sees any of it. The
pickles are taken apart into their operations, and nothing of them is carried out.
"""

from __future__ import annotations

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .limits import CHECKPOINT_OPERATIONS, CHECKPOINT_PICKLE_BYTES

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch.save begins such a file with, pickled."""

ITEM_BYTES = {
    "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "HalfStorage": 2,
    "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8,
}  # fmt: skip
SIZE_BYTES = 8  # before each storage: how many items it has
BEFORE_OBJECT = 3  # magic number, protocol, and the sizes of integers where the file was written

Operation = tuple[str, Any]


class DamagedError(ValueError):
    """The file is not what it says."""


def looks_like(data: bytes) -> bool:
    """Whether the file begins as such a file does."""
    return data.startswith(MAGIC)


def names(data: bytes) -> set[str]:
    """Check that all storages are there, each of its size, and nothing else; the globals asked for.

    Raises `DamagedError`.
    """
    at = 0
    for _ in range(BEFORE_OBJECT):
        at += _operations(data, at)[1]
    content, length = _operations(data, at)
    keys, behind = _operations(data, at + length)
    at += length + behind
    sizes = dict(_storages(content))
    order = [arg for name, arg in keys if name in STRINGS]
    if sorted(order) != sorted(sizes) or any(name in GETS for name, _ in keys):
        raise DamagedError("the list of its storages is not that of its tensors'")
    for key in order:
        items, item_bytes = sizes[key]
        if int.from_bytes(data[at : at + SIZE_BYTES], "little") != items:
            raise DamagedError("a storage has not the size that its tensor says")
        at += SIZE_BYTES + items * item_bytes
    if at != len(data):
        raise DamagedError("it is cut off" if at > len(data) else "something follows its end")
    return globals_in(content)


def operations(pickled: bytes) -> list[Operation]:
    """Names and arguments of a pickle's operations. Raises `DamagedError`."""
    return _operations(pickled, 0)[0]


def globals_in(content: list[Operation]) -> set[str]:
    """What a pickle asks for by name, as `module.name` of Python 3."""
    found = set()
    for operation, arg in content:
        if operation == "GLOBAL":
            module, _, name = arg.partition(" ")
            if (module, name) in NAME_MAPPING:
                module, name = NAME_MAPPING[module, name]
            else:
                module = IMPORT_MAPPING.get(module, module)
            found.add(f"{module}.{name}")
    return found


STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING")
VALUES = (*STRINGS, "BININT", "BININT1", "BININT2", "LONG1", "NONE", "GLOBAL")
PUTS, GETS = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")


def _operations(data: bytes, at: int) -> tuple[list[Operation], int]:
    """The operations of the pickle that begins there, and its length in bytes."""
    stream = io.BytesIO(data[at : at + CHECKPOINT_PICKLE_BYTES])
    try:
        operations = pickletools.genops(stream)
        found = [(op.name, arg) for op, arg, _ in islice(operations, CHECKPOINT_OPERATIONS + 1)]
    except Exception as e:  # whatever a parser says of bytes that are no pickle
        if stream.tell() >= CHECKPOINT_PICKLE_BYTES:
            raise DamagedError(f"its pickle has more than {CHECKPOINT_PICKLE_BYTES:,} bytes") from e
        raise DamagedError("its pickle is damaged") from e
    if len(found) > CHECKPOINT_OPERATIONS:
        raise DamagedError(f"its pickle has more than {CHECKPOINT_OPERATIONS:,} operations")
    return found, stream.tell()


def _storages(content: list[Operation]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Key, number of items and bytes of an item of each storage, as torch.save asks for them."""
    memo: dict[int, Any] = {}
    frame: list[Any] = []
    seen: dict[str, tuple[int, int]] = {}
    for name, arg in content:
        if name in VALUES:
            frame.append(arg)
        elif name in GETS:
            frame.append(memo.get(arg))
        elif name in PUTS:
            if frame:
                memo[arg] = frame[-1]
        elif name == "MARK":
            frame = []
        elif name == "BINPERSID":
            key, size = _storage(frame)
            if seen.setdefault(key, size) != size:
                raise DamagedError("it says two sizes of one storage")
            yield key, size
            frame = []
        elif name != "TUPLE":
            frame = []


def _storage(frame: list[Any]) -> tuple[str, tuple[int, int]]:
    """What six values say: "storage", type, key, device, number of items, and no view."""
    match frame:
        case ["storage", str(kind), str(key), str(), int(items), None]:
            item_bytes = ITEM_BYTES.get(kind.removeprefix("torch ").removeprefix("torch.cuda "))
            if item_bytes is not None and items >= 0:
                return key, (items, item_bytes)
    raise DamagedError("a storage of it is not written as torch.save writes it")
