"""A compiler for network design spaces: .regnet specs in, standalone PyTorch modules out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.api import load, predict
    from .diagnostics import SpecError
    from .driver import check_file, compile_file
    from .program import UnreadableError

__version__ = "0.1.0"
__all__ = [
    "SpecError",
    "UnreadableError",
    "__version__",
    "check_file",
    "compile_file",
    "load",
    "predict",
]

_HOMES = {
    "SpecError": "diagnostics",
    "UnreadableError": "program",
    "check_file": "driver",
    "compile_file": "driver",
    "load": "cli.api",
    "predict": "cli.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and nothing else: the command line has to start at once."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
