"""A .pth as torch wrote it before 1.6, and as mmpretrain still publishes it: pickles, then raw storages.

torch allocates each storage by the size that the pickle says, and leaves those that the file does not
hold as the memory was. So all is held against the bytes that are there before torch sees any of it.
"""

from __future__ import annotations

from .pickle_program import DamagedError, Global, Inert, Program, UnsafeError, run

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch.save begins such a file with, pickled."""

ITEM_BYTES = {
    "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "HalfStorage": 2,
    "BFloat16Storage": 2, "IntStorage": 4, "FloatStorage": 4, "LongStorage": 8, "DoubleStorage": 8,
}  # fmt: skip
SIZE_BYTES = 8  # before each storage: how many items it has
BEFORE_OBJECT = 3  # magic number, protocol, and the sizes of integers where the file was written


def looks_like(data: bytes) -> bool:
    """Whether the file begins as such a file does."""
    return data.startswith(MAGIC)


def program(data: bytes, inert: Inert) -> Program:
    """Check that all storages are there, each of its size, and nothing else; what the object asks for.

    Raises what `pickle_program.run` raises.
    """
    at = 0
    for _ in range(BEFORE_OBJECT):
        at += _plain(data, at).length
    content = run(data, at, inert)
    keys = _plain(data, at + content.length)
    at += content.length + keys.length
    sizes = _sizes(content)
    if sorted(keys.strings) != sorted(sizes):
        raise DamagedError("the list of its storages is not that of its tensors'")
    for key in keys.strings:
        items, item_bytes = sizes[key]
        if int.from_bytes(data[at : at + SIZE_BYTES], "little") != items:
            raise DamagedError("a storage has not the size that its tensor says")
        at += SIZE_BYTES + items * item_bytes
    if at != len(data):
        raise DamagedError("it is cut off" if at > len(data) else "something follows its end")
    return content


def _plain(data: bytes, at: int) -> Program:
    """A pickle around the object, of numbers and strings alone."""
    found = run(data, at)
    if found.names or found.storages:
        raise UnsafeError(min(found.names, default="a storage where none belongs"))
    return found


def _sizes(content: Program) -> dict[str, tuple[int, int]]:
    """Items and bytes of an item of each storage: "storage", type, key, device, items, and no view."""
    sizes: dict[str, tuple[int, int]] = {}
    for asked in content.storages:
        match asked:
            case ["storage", Global(kind), str(key), str(), int(items), None] if type(items) is int:
                module, _, name = kind.rpartition(".")
                item_bytes = ITEM_BYTES.get(name) if module in ("torch", "torch.cuda") else None
                if item_bytes is not None and items >= 0:
                    if sizes.setdefault(key, (items, item_bytes)) != (items, item_bytes):
                        raise DamagedError("it says two sizes of one storage")
                    continue
        raise DamagedError("a storage of it is not written as torch.save writes it")
    return sizes
