"""One candidate, exactly: the network that the compiler makes of drawn values, and every line's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..bounds import Budget, unsatisfied, violations
from ..cells import Cell
from ..facts import Facts
from ..resolve import Resolution, drawn
from ..tree import Bound, Member
from .space import Demand, Space


def resolve(space: Space, name: str, values: Mapping[Cell, Fraction]) -> Resolution | None:
    """The network of drawn values, or None where they make none that the space may hold."""
    resolution, problems = drawn(space.scope, name, values)
    return None if problems else resolution


def lies_in(space: Space, values: Mapping[Cell, Fraction]) -> bool:
    """Whether a candidate is a member: it makes a network, and that satisfies every line."""
    resolution = resolve(space, "candidate", values)
    return resolution is not None and not [*violations(resolution, Budget())]


def holds(space: Space, demand: Demand, values: Mapping[Cell, Fraction]) -> bool:
    """Whether a candidate that makes a network satisfies one line."""
    resolution = resolve(space, "candidate", values)
    assert resolution is not None
    assert isinstance(demand.line, Bound | Member)
    return not unsatisfied(demand.line, Facts(resolution))
