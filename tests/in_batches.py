"""Images in memory, some at a time."""

from __future__ import annotations

from collections.abc import Iterator

from regnetc_runtime.data.batches import Batch
from regnetc_runtime.data.digits import Split


def in_batches(split: Split, size: int) -> Iterator[Batch]:
    """All images in order, `size` at a time."""
    for start in range(0, len(split.labels), size):
        chosen = slice(start, start + size)
        yield Batch(split.images[chosen], split.labels[chosen])
