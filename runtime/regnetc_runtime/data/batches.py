"""What data sets have in common: batches of labelled pixels on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..problems import Problem


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (N x channels x side x side, uint8 or float32 in 0..255), and a class index for each.

    `unreadable` names the files that should have been among them. N may be 0. `indices` (N, int64) are
    the images' numbers in their part.
    """

    images: Tensor
    labels: Tensor
    unreadable: tuple[str, ...] = ()
    indices: Tensor | None = None


def check_classes(data: str, found: int, classes: int, help: str | None = None) -> None:
    """Raise `class-count` unless the data has as many classes as the network."""
    if found != classes:
        raise Problem(
            "class-count",
            f"{data} has {found:,} classes, the network has {classes:,}",
            help=help or "take the data set that the network is for",
        )
