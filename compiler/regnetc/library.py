"""Where the shipped specs live: beside the package when installed, in `spec/` of a checkout."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder of the shipped specs, `families.regnet` among them."""
    package = Path(__file__).resolve().parent
    shipped = package / "spec"
    return shipped if shipped.is_dir() else package.parent.parent / "spec"


def specs() -> list[Path]:
    """Every shipped spec, in order of name."""
    return sorted(folder().glob("*.regnet"))
