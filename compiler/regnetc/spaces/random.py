"""Random numbers by counting: what is drawn for candidate i follows from a key and i, and nothing else.

Word i of a key is output i of the SplitMix64 generator that starts at the key (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014): six operations on 64-bit integers,
the same in any order, in pieces of any size, in any language.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Indices = NDArray[np.int64]

_GOLDEN = 0x9E3779B97F4A7C15
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_GUIDE_BITS = 14
_STEPS = 3  # comparisons that are still faster than a search


def key(digest: str, seed: int, what: str) -> int:
    """The key of one drawn parameter of a space: from the space's digest, the seed and its name."""
    text = f"regnetc draw 1\n{digest}\n{seed}\n{what}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


class Stream:
    """The words of a key: `block(first, n)` in a row, `at(i)` for any candidates."""

    def __init__(self, key: int, most: int) -> None:
        self.key = key
        self._steps = np.arange(most, dtype=np.uint64) * np.uint64(_GOLDEN)
        self._z = np.empty(most, np.uint64)
        self._t = np.empty(most, np.uint64)

    def block(self, first: int, n: int) -> Words:
        """Words `first` to `first + n - 1`, in a buffer that the next call uses again."""
        start = (self.key + (first + 1) * _GOLDEN) % 2**64
        z = np.add(self._steps[:n], np.uint64(start), out=self._z[:n])
        return _mixed(z, self._t[:n])

    def at(self, candidates: Indices) -> Words:
        """The words of some candidates."""
        z = candidates.astype(np.uint64)
        z += np.uint64(1)
        z *= np.uint64(_GOLDEN)
        z += np.uint64(self.key)
        return _mixed(z, np.empty_like(z))


def _mixed(z: Words, t: Words) -> Words:
    """The finaliser of SplitMix64, in place; `t` is room to work in."""
    for shift, factor in zip(_SHIFTS, _MIX, strict=False):
        np.right_shift(z, shift, out=t)
        np.bitwise_xor(z, t, out=z)
        np.multiply(z, factor, out=z)
    np.right_shift(z, _SHIFTS[2], out=t)
    return np.bitwise_xor(z, t, out=z)


class Table:
    """A distribution on 0 to n - 1, drawn by inversion: word u gives the number of shares <= u.

    `weights` are whole numbers, none of them 0; shares are kept to 2**-64. The leading bits of a
    word say nearly where it falls, and a comparison or two the rest.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        self.count = len(weights)
        total, running, shares = sum(weights), 0, []
        for weight in weights[:-1]:
            running += weight
            shares.append((running << 64) // total)
        below = [max(share, 1) - 1 for share in shares]  # u >= share, said as u > share - 1
        self._below: Words = np.array([*below, 2**64 - 1], np.uint64)
        self._shift = np.uint64(64 - _GUIDE_BITS)
        starts = np.arange(2**_GUIDE_BITS, dtype=np.uint64) << self._shift
        self._guide: Indices = np.searchsorted(self._below[:-1], starts, "left").astype(np.int64)
        inside = np.diff(np.append(self._guide, self.count - 1))
        self._steps = int(inside.max())

    def pick(self, words: Words) -> Indices:
        """The index that each word draws."""
        if self.count == 1:
            return np.zeros(len(words), np.int64)
        if self._steps > _STEPS:
            return np.searchsorted(self._below[:-1], words, "left").astype(np.int64)
        at: Any = np.right_shift(words, self._shift).view(np.int64)
        index: Indices = self._guide.take(at, mode="clip")
        for _ in range(self._steps):
            index += words > self._below.take(index, mode="clip")
        return index
