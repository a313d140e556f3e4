"""The shipped networks and what others publish of them, from the specs alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import library, regnet
from .driver import check_file
from .network import Network
from .published import Publication, publications
from .resolve import Resolution
from .values import Quantity
from .vocabulary import nearest_word


class Entry(NamedTuple):
    """A shipped network: its spec, and every publisher's row of it."""

    path: str
    network: Network
    rows: tuple[Publication, ...]
    others: tuple[str, ...]

    @property
    def stem(self) -> str:
        return Path(self.path).stem

    @property
    def names(self) -> tuple[str, ...]:
        """Everything it is called: by its spec, by itself, by its publishers."""
        found = (self.stem, self.network.name, *(r.name for r in self.rows if r.name))
        return tuple(dict.fromkeys(found))

    @property
    def family(self) -> str:
        """X, Y or Z by its block; V where that is Y in pre-activation order."""
        return "V" if self.network.order == "pre" else self.network.block

    @property
    def best(self) -> tuple[str, Publication] | None:
        """The best top-1 that anybody printed, and where."""
        said = [
            (dict(r.row.printed)["top1"], r) for r in self.rows if "top1" in dict(r.row.printed)
        ]
        return max(said, key=lambda x: float(x[0].rstrip("%")), default=None)


class UnknownNetworkError(Exception):
    """A name that no shipped network has; `near` is one that may have been meant."""

    def __init__(self, name: str, near: str | None) -> None:
        super().__init__(name)
        self.near = near


@cache
def entries() -> tuple[Entry, ...]:
    """Every shipped network, by cost."""
    found = [
        Entry(path, r.network, publications(r.scope.declaration), tuple(_other_widths(r)))
        for path in library.specs()
        for r in check_file(path).resolutions.values()
    ]
    return tuple(sorted(found, key=lambda e: (e.network.counts.macs, e.network.name)))


_FIRST = ("pycls", "torchvision", "timm", "mmpretrain", "transformers")
"""Whose name counts where two publishers call different networks alike, as `regnet_x_400mf`."""


def find(name: str) -> Entry:
    """The network that is called so by us or by a publisher. Raises UnknownNetworkError.

    Case does not matter, nor does what follows the publisher's name (`regnetx_004.pycls_in1k`);
    `classyvision:regnet_x_400mf` says whose name it is.
    """
    source, _, wanted = name.lower().rpartition(":")
    for exact in (True, False):
        found = [
            (_rank(who), entry)
            for entry in entries()
            for who, known in _called(entry)
            if wanted == (known if exact else known.partition(".")[0]) and source in ("", who)
        ]
        if found:
            return min(found, key=lambda x: x[0])[1]
    known_names = [n for entry in entries() for n in entry.names]
    raise UnknownNetworkError(name, nearest_word(name, known_names))


def published_as(sha256: str) -> tuple[Entry, Publication] | None:
    """The network and the row of published weights, by the digest of their file in hexadecimal digits."""
    for entry in entries():
        for row in entry.rows:
            if row.sha256 and sha256.startswith(row.sha256):
                return entry, row
    return None


def _called(entry: Entry) -> Iterator[tuple[str, str]]:
    """Who calls a network what, in small letters."""
    yield "", entry.stem.lower()
    yield "", entry.network.name.lower()
    yield from ((r.row.source.lower(), r.name.lower()) for r in entry.rows if r.name)


def _rank(source: str) -> int:
    order = ("", *_FIRST)
    return order.index(source) if source in order else len(order)


def _other_widths(r: Resolution) -> Iterator[str]:
    """The stages that the other rule of rounding would build with other widths."""
    if r.line is None:
        return
    rule: regnet.Rounding = "torchvision" if r.network.rounding == "paper" else "paper"
    for i, (w, stage) in enumerate(zip(r.line.w, r.network.stages, strict=True), 1):
        b, g = (r.values[name, i] for name in ("b", "g"))
        if isinstance(b, Quantity) and isinstance(g, Quantity):
            other = regnet.fit(w, b.value, int(g.value), rule).w
            if other != stage.w:
                yield f"stage {i}: {stage.w:,}, and {other:,} by the rule of {rule_name(rule)}"


def rule_name(rule: regnet.Rounding) -> str:
    return "the paper" if rule == "paper" else "torchvision"
