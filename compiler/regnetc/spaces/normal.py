"""The normal form of a space as a spec of its own, and back."""

from __future__ import annotations

from ..diagnostics import SpecError
from ..driver import check_file
from .space import Space, read


def as_spec(name: str, text: str) -> str:
    """A spec that holds nothing but a space in its normal form; it uses no other file."""
    body = "".join(f"  {line}\n" for line in text.split("\n"))
    return f"# Everything that holds in {name}, its own lines and inherited ones.\nspace {name} {{\n{body}}}\n"


def parse(name: str, text: str) -> Space:
    """The space that a normal form says. Raises SpecError if it says none."""
    checked = check_file("space.regnet", as_spec(name, text).encode())
    if checked.failed:
        raise SpecError(checked.problems)
    return read(checked.scopes[name])
