"""Arithmetic on columns: one float64 value for each candidate, exact for whole numbers below 2**53."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Room:
    """Arrays that every batch of candidates uses again, by name: nothing is allocated on the way.

    What stands in one holds until somebody asks for the same name again.
    """

    def __init__(self) -> None:
        self._held: dict[str, Floats] = {}

    def __call__(self, name: str, *shape: int) -> Floats:
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or len(held) < size:
            held = self._held[name] = np.empty(size + size // 8)
        return held[:size].reshape(shape)


class Columns:
    """The arithmetic that `regnet.fit` asks for; a quotient of whole numbers is rounded down.

    A float64 quotient of whole numbers below 2**26 is a half or a whole number only if it is one
    exactly, so that rounding it is right. Of two columns the one with more dimensions has the shape
    of the result. Results stand in a room, and hold until `again`; the second operand of `larger`
    is overwritten if it stands there, too.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._made: list[Floats] = []

    def again(self) -> None:
        """Use the room from its beginning."""
        self._made = []

    def _out(self, *parts: Any) -> Floats | None:
        """Where a result goes; None for one that is a single number."""
        shape: tuple[int, ...] = max(map(np.shape, parts), key=len)
        if not shape:
            return None
        made = self._room(f"scratch {len(self._made)}", *shape)
        self._made.append(made)
        return made

    def times(self, a: Any, b: Any) -> Any:
        if _is_one(b):
            return a
        return b if _is_one(a) else np.multiply(a, b, out=self._out(a, b))

    def larger(self, a: Any, b: Any) -> Any:
        ours = any(b is made for made in self._made) and np.ndim(a) <= np.ndim(b)
        return np.maximum(a, b, out=b if ours else self._out(a, b))

    def smaller(self, a: Any, b: Any) -> Any:
        return np.minimum(a, b, out=self._out(a, b))

    def quotient(self, a: Any, b: Any) -> Any:
        if _is_one(b):
            return a
        out = self._out(a, b)
        return np.floor(np.divide(a, b, out=out), out=out)

    def nearest(self, v: Any, m: Any) -> Any:
        out = self._out(v, m)
        q = np.rint(np.divide(v, m, out=out), out=out)
        return np.multiply(q, m, out=out)

    def lcm(self, a: Any, b: Any) -> Any:
        if _is_one(b):
            return a
        return np.lcm(np.asarray(a, np.int64), np.asarray(b, np.int64)).astype(np.float64)


def _is_one(x: Any) -> bool:
    return isinstance(x, int) and x == 1


class Ratios(NamedTuple):
    """Bottleneck ratios in lowest terms, a column each; a whole number where all are alike."""

    numerator: Any
    denominator: Any
