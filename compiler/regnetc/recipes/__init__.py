"""Recipes: how networks are trained, from lines of specs to the JSON that the runtime reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .finding import find
    from .resolve import ResolvedRecipe

__all__ = ["ResolvedRecipe", "find"]


def __getattr__(name: str) -> Any:
    """What is public, imported when it is asked for: `check` needs the lines alone."""
    from importlib import import_module

    homes = {"find": "finding", "ResolvedRecipe": "resolve"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{homes[name]}", __name__), name)
