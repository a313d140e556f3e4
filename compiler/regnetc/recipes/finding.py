"""The recipe that a command names: a shipped one, the one of a file, or one of several in a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import library
from ..diagnostics import Source, Span, SpecError, error, has_errors, in_order, printable
from ..driver import Checked, check_file, origin
from ..scopes import Scope
from ..vocabulary import nearest_word
from . import canonical
from .overrides import apply, parse_overrides
from .reading import Reader
from .resolve import ResolvedRecipe, values
from .words import there, ticked

SHIPPED = "recipes.regnet"
ARGUMENT = "recipe"  # what messages call the text of the command line


def find(name: str, overrides: Sequence[str] = ()) -> ResolvedRecipe:
    """A recipe with every value filled in.

    `name` is that of a shipped recipe (`paper10`), `FILE` with one recipe, or `FILE:NAME`; `overrides`
    are the texts of `--set`, which replace lines of the recipe, `epochs=2`, or arguments of its calls,
    `optimizer.lr=0.2`. Raises SpecError with all problems, UnreadableError without a file.
    """
    path, wanted, at = _address(name)
    checked = check_file(path)
    if checked.failed:
        raise SpecError([p for p in checked.problems if p.severity == "error"])
    return resolved(checked, path, _choose(checked, name, wanted, at), overrides)


def resolved(
    checked: Checked, path: str, name: str, overrides: Sequence[str] = ()
) -> ResolvedRecipe:
    """A recipe of a spec without errors, by its name. Raises SpecError for overrides."""
    scope = checked.scopes[name]
    data = _with_overrides(scope, overrides) if overrides else checked.recipes[name]
    canonical.validate(data)
    return ResolvedRecipe(
        name, data, canonical.digest(data), origin(checked, path), tuple(overrides)
    )


def _with_overrides(scope: Scope, overrides: Sequence[str]) -> dict[str, object]:
    reader = Reader()
    lines, problems = parse_overrides(overrides)
    given, wrong = apply(lines, scope, reader) if not problems else ({}, problems)
    data, more = values(scope, reader, given) if not wrong else ({}, wrong)
    if has_errors(more):
        raise SpecError(in_order(more))
    return data


def shipped() -> list[str]:
    """The names of the recipes in the library."""
    return list(check_file(shipped_path()).recipes)


def is_shipped(name: str) -> bool:
    """Whether a text of the command line is the name of a shipped recipe, and of no file."""
    return _plain(name) and not _exists(name) and name in shipped()


def shipped_path() -> str:
    """Where the shipped recipes are, as seen from here if that is below."""
    path = (Path(library.folder()) / SHIPPED).resolve()
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _plain(name: str) -> bool:
    """Whether a text can only be a name: it is no path, and has no ending."""
    return bool(name) and not any(c in name for c in "/.:\0")


def _exists(name: str) -> bool:
    return os.path.lexists(name)


def _address(name: str) -> tuple[str, str | None, int]:
    """The file and the recipe in it that a text means, and where in the text that recipe is named."""
    file, colon, wanted = name.rpartition(":")
    if _exists(name) or not (_plain(name) or (colon and file)):
        return name, None, 0
    return (file, wanted, len(file) + 1) if colon else (shipped_path(), name, 0)


def _choose(checked: Checked, text: str, wanted: str | None, at: int) -> str:
    known = list(checked.recipes)
    if wanted is None and len(known) == 1:
        return known[0]
    if wanted is None and known:
        message = f"{len(known)} recipes are declared here"
        remedy = f"say which: {ticked(f'{printable(text)}:{n}' for n in known[:8])}"
        raise _refused(text, 0, "which-recipe", message, remedy)
    if wanted is None:
        raise _refused(text, 0, "unknown-name", "no recipe is declared here", None)
    if wanted not in known:
        near = nearest_word(wanted, known)
        remedy = f"did you mean `{near}`?" if near else there(known[:20])
        message = f"no recipe is called `{printable(wanted, 60)}`"
        raise _refused(text, at, "unknown-name", message, remedy if known else None)
    return wanted


def _refused(text: str, at: int, name: str, message: str, remedy: str | None) -> SpecError:
    source = Source(ARGUMENT, printable(text))
    end = len(source.text)
    return SpecError([error(name, message, Span(source, min(at, end), end), help=remedy)])
