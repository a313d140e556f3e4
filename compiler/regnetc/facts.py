"""The values of a resolved network by the names of the language."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from .diagnostics import error
from .resolve import Resolution
from .tree import Ref
from .values import Quantity, Wrong
from .vocabulary import COUNTS, FLOPS


class Facts:
    """The values of a resolved network by the names of the language: parameters, stages and counts."""

    def __init__(self, resolution: Resolution) -> None:
        self.network = resolution.network
        self.cells = resolution.cells
        self.counts = self.network.counts.as_dict()

    def lookup(self, ref: Ref, stage: int | None) -> Quantity:
        """The value of a checked reference; raises Wrong for a stage or a value that is not there."""
        name = ref.name
        if name in COUNTS:
            unit: Literal["flops", "plain"] = "flops" if name in FLOPS else "plain"
            counts = (
                self.counts if ref.image is None else self.network.counts_at(ref.image).as_dict()
            )
            return Quantity(Fraction(counts[COUNTS[name]]), unit)
        if name == "stages":
            return Quantity(Fraction(len(self.network.stages)), "plain")
        if stage is not None and not 1 <= stage <= len(self.network.stages):
            message = (
                f"there is no stage {stage}; stages count from 1 to {len(self.network.stages)}"
            )
            raise Wrong(error("index", message, ref.span))
        if stage is not None and name != "b":  # as fitted, not as written
            return Quantity(Fraction(getattr(self.network.stages[stage - 1], name)), "plain")
        cell = self.cells.value(name, stage) if self.has(name, stage) else None
        if isinstance(cell, Quantity):
            return Quantity(cell.value, "plain")
        message = f"`{name}` has no value in `{self.network.name}`"
        raise Wrong(
            error("no-value", message, ref.span, help="only what the model fixes can be compared")
        )

    def has(self, name: str, stage: int | None) -> bool:
        return (name, stage) in self.cells.values or (name, False) in self.cells.scope.bindings

    def word(self, name: str) -> str:
        return self.network.stem.type if name == "stem_type" else str(getattr(self.network, name))
