"""Millions of names in two arrays, which forked processes share and other processes are sent fast."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Names by number, kept as bytes one behind the other; `ends` (N, int64) say where each ends.

    A list of strings would cost 100 bytes a name, and every worker that looks at it would copy it,
    since Python counts references inside the strings.
    """

    text: bytes
    ends: np.ndarray

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Keep names; any that a file can have."""
        encoded = [os.fsencode(n) for n in names]
        return cls.joined(encoded)

    @classmethod
    def joined(cls, encoded: Sequence[bytes]) -> Names:
        """Keep names that are bytes already."""
        return cls(b"".join(encoded), np.cumsum([len(n) for n in encoded], dtype=np.int64))

    @classmethod
    def chained(cls, parts: Sequence[Names]) -> Names:
        """The names of several, in order."""
        starts = np.cumsum([0, *(len(p.text) for p in parts)])
        ends = [p.ends + start for p, start in zip(parts, starts[:-1], strict=True)]
        empty = np.empty(0, np.int64)
        return cls(b"".join(p.text for p in parts), np.concatenate([empty, *ends]))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        return os.fsdecode(self.encoded(index))

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def encoded(self, index: int) -> bytes:
        """One name as the bytes it has on disk."""
        if not 0 <= index < len(self.ends):
            raise IndexError(index)
        start = int(self.ends[index - 1]) if index else 0
        return self.text[start : int(self.ends[index])]
