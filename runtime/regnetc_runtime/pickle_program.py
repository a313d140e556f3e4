"""What a pickle would do, worked out without doing any of it.

A pickle is a program for a machine with a stack. torch's own reader with `weights_only` runs those parts
of it that it takes for safe; among these are some that allocate as much as a file asks for, leave memory
as it was, or take for ever. So the program is run here first with kinds in the place of values, and
refused where it asks for more than tensors over the file's own storages, plain values, and what may stand
beside them.
"""

from __future__ import annotations

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .limits import CHECKPOINT_OPERATIONS, CHECKPOINT_PICKLE_BYTES

Inert = Callable[[str], bool]


class DamagedError(ValueError):
    """The file is not what it says."""


class UnsafeError(ValueError):
    """The file asks for what is more than tensors; its text says what."""


@dataclass(frozen=True, slots=True)
class Global:
    """A class or a function by its name in Python 3."""

    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """A tuple."""

    items: tuple[Any, ...]


@dataclass(slots=True)
class Heap:
    """A list, a dictionary, or what a call makes; `deep` says whether more than plain values is in it."""

    deep: bool = False


@dataclass(slots=True)
class Program:
    """What was found in a pickle: globals asked for, persistent ids, its strings in order, its length."""

    names: set[str] = field(default_factory=set)
    storages: list[tuple[Any, ...]] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    length: int = 0


CALLED = {
    "_codecs.encode", "builtins.complex", "builtins.set", "collections.Counter", "collections.OrderedDict",
    "torch.Size", "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_meta_tensor_no_storage", "torch._utils._rebuild_sparse_tensor", "torch.device",
    "torch.nn.parameter.Parameter", "torch.serialization._get_layout",
}  # fmt: skip
"""What torch's reader calls, and what neither allocates by what it is told nor makes memory of anything."""
HASHED = {"builtins.set", "collections.Counter", "collections.OrderedDict"}
PUSHED = {
    "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "NONE", "NEWTRUE", "NEWFALSE",
}  # fmt: skip
STRINGS = {"BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING"}
ROWS = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PROTOCOL = 2


def run(data: bytes, at: int = 0, inert: Inert = lambda name: False) -> Program:
    """The program that begins there. `inert` says which names nothing is called for.

    Raises `DamagedError`, and `UnsafeError` with the name of what it must not ask for.
    """
    stream = io.BytesIO(data[at : at + CHECKPOINT_PICKLE_BYTES])
    try:
        operations = list(islice(pickletools.genops(stream), CHECKPOINT_OPERATIONS + 1))
    except Exception as e:  # whatever a parser says of bytes that are no pickle
        if stream.tell() >= CHECKPOINT_PICKLE_BYTES:
            raise DamagedError(f"its pickle has more than {CHECKPOINT_PICKLE_BYTES:,} bytes") from e
        raise DamagedError("its pickle is damaged") from e
    if len(operations) > CHECKPOINT_OPERATIONS:
        raise DamagedError(f"its pickle has more than {CHECKPOINT_OPERATIONS:,} operations")
    machine = _Machine(inert)
    try:
        for operation, argument, _ in operations:
            machine.step(operation.name, argument)
    except (IndexError, KeyError) as e:  # an empty stack, or nothing in memory
        raise DamagedError("its pickle is damaged") from e
    machine.found.length = stream.tell()
    return machine.found


class _Machine:
    def __init__(self, inert: Inert) -> None:
        self.inert = inert
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.found = Program()

    def step(self, name: str, argument: Any) -> None:
        """One operation."""
        stack = self.stack
        if name in PUSHED:
            stack.append(argument if name not in ("NEWTRUE", "NEWFALSE") else name == "NEWTRUE")
            if name in STRINGS:
                self.found.strings.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
            if isinstance(stack[-1], str):
                self.found.strings.append(stack[-1])
        elif name in ROWS:
            count = ROWS[name]
            items = [stack.pop() for _ in range(count)]
            stack.append(Row(tuple(reversed(items))))
        elif name == "TUPLE":
            row = Row(tuple(self._to_mark()))
            self.stack.append(row)
        elif name == "MARK":
            self.marks.append(stack)
            self.stack = []
        elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"):
            stack.append(Heap())
        elif name == "APPEND":
            self._fill([stack.pop()])
        elif name == "APPENDS":
            self._fill(self._to_mark())
        elif name == "SETITEM":
            _value, key = stack.pop(), stack.pop()
            self._keyed([key])
        elif name == "SETITEMS":
            self._keyed(self._to_mark()[::2])
        elif name == "GLOBAL":
            stack.append(Global(self._named(argument)))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            self._call(called, arguments)
        elif name == "BUILD":
            stack.pop()
            stack[-1]
        elif name == "BINPERSID":
            self._persistent(stack.pop())
        elif name == "PROTO":
            if argument != PROTOCOL:
                raise DamagedError(
                    f"it was pickled by protocol {argument}; torch reads {PROTOCOL}, which it writes"
                )
        elif name != "STOP":
            raise DamagedError(f"its pickle has an operation that torch does not read: {name}")

    def _to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Heap) and any(isinstance(i, Row | Heap) for i in items):
            target.deep = True

    def _keyed(self, keys: list[Any]) -> None:
        """A tuple of tuples of the same tuples takes for ever to hash, and is the key of no state."""
        self.stack[-1]
        if any(isinstance(key, Row) for key in keys):
            raise DamagedError("it has tuples for keys")

    def _named(self, argument: str) -> str:
        module, _, name = argument.partition(" ")
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[module, name]
        else:
            module = IMPORT_MAPPING.get(module, module)
        self.found.names.add(f"{module}.{name}")
        return f"{module}.{name}"

    def _call(self, called: Any, arguments: Any) -> None:
        name = called.name if isinstance(called, Global) else None
        if name is None:
            raise UnsafeError("a call of something that it made itself")
        if name not in CALLED and not self.inert(name):
            raise UnsafeError(name)
        given = arguments.items if isinstance(arguments, Row) else ()
        if name in HASHED and any(
            isinstance(a, Row) or (isinstance(a, Heap) and a.deep) for a in given
        ):
            raise DamagedError("it has tuples in a set")
        if name == "_codecs.encode" and not all(isinstance(a, str) for a in given):
            raise DamagedError("it encodes what it has encoded")  # which may double it, and again
        self.stack.append(Heap())

    def _persistent(self, asked: Any) -> None:
        items = asked.items if isinstance(asked, Row) else ()
        if items[:1] == ("module",):
            raise UnsafeError("a whole module, with its class")
        if items[:1] != ("storage",):
            raise DamagedError("it refers to something that is no storage")
        self.found.storages.append(items)
        self.stack.append(Heap())
