"""Searches that were stopped, kept beside the population that they are to become."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from regnetc_runtime import files
from regnetc_runtime.problems import Problem, printable

from .folders import LIMIT, PARTIAL, held
from .sampling import SAMPLER, Layout, State, check
from .space import Space


def save(folder: Path, space: Space, seed: int, state: State) -> None:
    """Keep an unfinished search, to go on from."""
    out = io.BytesIO()
    rows = np.stack(state.rows) if state.rows else np.zeros((0, 0), np.int64)
    scalars = np.array([state.next, state.accepted, state.newest], np.int64)
    text = json.dumps([space.digest, seed, SAMPLER])
    np.savez(
        out, rows=rows, times=np.array(state.times, np.int64), scalars=scalars,
        refused=state.refused, of=np.array(text),
    )  # fmt: skip
    files.write(folder / PARTIAL, out.getvalue())


def load(folder: Path, space: Space, seed: int) -> State | None:
    """The unfinished search that a folder holds, if it is of this space and seed.

    Raises Problem where it cannot be read.
    """
    if PARTIAL not in held(folder):
        return None
    data = files.read(folder / PARTIAL, LIMIT)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as kept:
            of, state = json.loads(str(kept["of"])), _kept(kept)
        same: bool = of == [space.digest, seed, SAMPLER]
        if same:
            check(state, Layout(space))
    except Exception as e:
        shown = printable(str(folder))
        raise Problem(
            "bad-population", f"`{shown}` holds an unfinished search that cannot be read",
            details=(printable(e),),
            help=f"delete its `{PARTIAL}` to go on without it, or start afresh with `--force`",
        ) from None  # fmt: skip
    return state if same else None


def _kept(arrays: Mapping[str, Any]) -> State:
    rows, times = arrays["rows"].astype(np.int64), [int(x) for x in arrays["times"]]
    looked, accepted, newest = (int(x) for x in arrays["scalars"])
    refused = arrays["refused"].astype(np.int64)
    return State([*rows], times, looked, accepted, newest, refused)
