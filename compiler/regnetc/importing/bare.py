"""Widths and depths, and nothing else, to a draft."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from .drafts import Draft, by_stage


def read(
    widths: Sequence[int],
    depths: Sequence[int],
    groups: Sequence[int],
    block: str,
    se: Fraction | None,
    inside: Fraction | None,
) -> Draft:
    """Stages by their widths and depths. One group width may hold for all, narrower stages are one group.

    Without `se` and `inside` they are those of the block's family.
    """
    if len(groups) == 1:
        groups = [min(groups[0], _inner(w, block, inside)) for w in widths]
    ratio = _inside(block, inside)
    lines = by_stage(widths, depths, groups, [ratio] * len(widths))
    share = se if se is not None else Fraction(0) if block == "X" else Fraction(1, 4)
    lines |= {"block": block, "se": str(share), "activation": "silu" if block == "Z" else "relu"}
    return Draft("AnyNet", lines)


def _inside(block: str, inside: Fraction | None) -> Fraction:
    return inside if inside is not None else Fraction(4 if block == "Z" else 1)


def _inner(w: int, block: str, inside: Fraction | None) -> int:
    return max(1, int(w * _inside(block, inside)))
