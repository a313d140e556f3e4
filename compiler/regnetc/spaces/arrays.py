"""Arithmetic on columns: one float64 value for each candidate, exact for whole numbers below 2**53."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


class _Columns:
    """The arithmetic that `regnet.fit` asks for; a quotient of whole numbers is rounded down.

    A float64 quotient of whole numbers below 2**26 is a half or a whole number only if it is one
    exactly, so that rounding it is right.
    """

    @staticmethod
    def larger(a: Any, b: Any) -> Any:
        return np.maximum(a, b)

    @staticmethod
    def smaller(a: Any, b: Any) -> Any:
        return np.minimum(a, b)

    @staticmethod
    def quotient(a: Any, b: Any) -> Any:
        return a if _is_one(b) else np.floor(a / b)

    @staticmethod
    def nearest(v: Any, m: Any) -> Any:
        return np.rint(v / m) * m

    @staticmethod
    def lcm(a: Any, b: Any) -> Any:
        if _is_one(b):
            return a
        return np.lcm(np.asarray(a, np.int64), np.asarray(b, np.int64)).astype(np.float64)


COLUMNS = _Columns()


def _is_one(x: Any) -> bool:
    return isinstance(x, int) and x == 1


class Ratios(NamedTuple):
    """Bottleneck ratios in lowest terms, a column each; a whole number where all are alike."""

    numerator: Any
    denominator: Any
