"""The published networks' parameters and exact counts, from `regnets.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "regnets.json").read_text("utf-8"))
CODE_BASES = ("mmpretrain", "pycls", "torchvision")
ROWS: list[tuple[str, dict[str, Any]]] = [(base, row) for base in CODE_BASES for row in FACTS[base]]
SHIPPED = {
    "x400mf": "regnetx-400mf_8xb128_in1k",
    "x800mf": "regnetx-800mf_8xb128_in1k",
    "x1_6gf": "regnetx-1.6gf_8xb128_in1k",
    "x3_2gf": "regnetx-3.2gf_8xb64_in1k",
    "x4_0gf": "regnetx-4.0gf_8xb64_in1k",
    "x6_4gf": "regnetx-6.4gf_8xb64_in1k",
    "x8_0gf": "regnetx-8.0gf_8xb64_in1k",
    "x12gf": "regnetx-12gf_8xb64_in1k",
}


def measured(stem: str) -> dict[str, int]:
    """What was counted on the publisher's own implementation of a shipped network."""
    row = next(r for r in FACTS["mmpretrain"] if r["name"] == SHIPPED[stem])
    counts: dict[str, int] = row["measured"]
    return counts
