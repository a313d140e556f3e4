"""JSON that anybody may have written to the values that are asked of it, or to nothing."""

from __future__ import annotations

import json
import math
from typing import Any

from ..problems import printable

_TEXT = 200  # characters of one value
_DEPTH = 8


def parse(data: bytes) -> Any:
    """What the bytes say, None for no JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def obj(found: object) -> dict[str, Any]:
    """An object, an empty one for all else."""
    return found if isinstance(found, dict) else {}


def text(found: object) -> str:
    """A text that a terminal can be trusted with, an empty one for all else."""
    return printable(found, _TEXT) if isinstance(found, str) else ""


def whole(found: object) -> int | None:
    """A whole number of at most 63 bits, or None for all else."""
    return found if type(found) is int and abs(found) < 2**63 else None


def number(found: object) -> float | None:
    """A finite number, or None for all else."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def pair(found: object) -> tuple[float, float] | None:
    """Two finite numbers, or None for all else."""
    if not isinstance(found, list) or len(found) != 2:
        return None
    low, high = number(found[0]), number(found[1])
    return None if low is None or high is None else (low, high)


def flat(found: object, prefix: str = "", depth: int = 0) -> dict[str, str]:
    """A recipe's JSON as `field: text`; `optimizer` is a name, `optimizer.lr` one of its arguments."""
    if not isinstance(found, dict) or depth > _DEPTH:
        return {prefix: shown(found)} if prefix else {}
    if found.keys() == {"name", "arguments"} and prefix:
        return {prefix: shown(found["name"])} | flat(found["arguments"], prefix, depth + 1)
    out: dict[str, str] = {}
    for key, value in found.items():
        name = printable(key, 60)
        out |= flat(value, f"{prefix}.{name}" if prefix else name, depth + 1)
    return out


def shown(found: object) -> str:
    """A value as a few characters."""
    if isinstance(found, str):
        return printable(found, _TEXT)
    if isinstance(found, float):
        return f"{found:.10g}"
    try:
        return printable(json.dumps(found), _TEXT)
    except RecursionError:
        return "..."
