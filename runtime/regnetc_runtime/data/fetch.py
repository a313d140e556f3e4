"""A shard from afar: what an index says of it, and the file, held to that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import files
from ..limits import SHARD_BYTES
from ..problems import Problem
from ..transfer import CHUNK, Order, fetch_bytes, shown
from ..transfer import download as transfer
from .tars import read_bytes

__all__ = ["Remote", "download", "fetch_bytes", "shown"]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file behind an http or https URL; its bytes, digest and number of samples, where an index says.

    `digest` is `sha256:` or `md5:` and hexadecimal digits.
    """

    url: str
    bytes: int | None = None
    digest: str | None = None
    samples: int | None = None

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        return shown(self.url)


def download(remote: Remote, path: Path, source: Path) -> int:
    """Put a shard at `path`; how many bytes it has.

    What is there already of the same version is kept, as `source` remembers it. Raises `cannot-fetch`,
    `cannot-write`, and `wrong-shard` where size or digest are not what the index says; nothing is left
    then.
    """
    order = Order(remote.url, remote.bytes, SHARD_BYTES, lambda why: _wrong(remote, why))
    size = transfer(order, path, source)
    if remote.digest is not None and _digest(remote, path, size) != remote.digest:
        files.remove(path)
        raise _wrong(remote, "its digest is another")
    return size


def _digest(remote: Remote, path: Path, size: int) -> str:
    kind = (remote.digest or "").partition(":")[0]
    digest: Any = hashlib.new(kind, usedforsecurity=False)
    for offset in range(0, size, CHUNK):
        digest.update(read_bytes(path, offset, min(CHUNK, size - offset)))
    return f"{kind}:{digest.hexdigest()}"


def _wrong(remote: Remote, why: str) -> Problem:
    return Problem("wrong-shard", f"{remote.shown} is not what the index describes: {why}")
