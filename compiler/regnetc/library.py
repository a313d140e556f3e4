"""Where the shipped specs live: beside the package when installed, in `spec/` of a checkout."""

from __future__ import annotations

import os


def folder() -> str:
    """The folder of the shipped specs, `families.regnet` among them."""
    package = os.path.dirname(os.path.realpath(__file__))
    shipped = os.path.join(package, "spec")
    return shipped if os.path.isdir(shipped) else os.path.join(package, "..", "..", "spec")


def specs() -> list[str]:
    """The paths of all shipped specs, in order of name."""
    home = folder()
    return [
        os.path.join(home, name) for name in sorted(os.listdir(home)) if name.endswith(".regnet")
    ]
