"""Chance that depends on nothing but where it is asked for.

Every draw of a run comes from a generator that is made anew from the run's seed and a place: the epoch
and the number of an image, the step, the chunk of a step. So nothing about chance has to be saved or
restored: it does not matter how many workers decode, how many processes train, or how often the run was
killed, because whoever comes to a place draws the same numbers there.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

Place = int | str


def seed_of(*place: Place) -> int:
    """A seed from 0 to 2^63 - 1 for a place, such as `seed_of(seed, "order", epoch)`.

    Different places have unrelated seeds; the same place has the same one on every machine.
    """
    text = "\0".join(map(str, place)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(*place: Place) -> torch.Generator:
    """torch's generator on the CPU for a place."""
    return torch.Generator().manual_seed(seed_of(*place))


def numpy_generator(*place: Place) -> np.random.Generator:
    """numpy's generator for a place; faster than torch's where single numbers are drawn."""
    return np.random.Generator(np.random.Philox(key=seed_of(*place)))
