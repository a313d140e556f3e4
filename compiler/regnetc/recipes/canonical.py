"""Recipes as canonical JSON, their digest, and the schema that what leaves the compiler has to meet.

The digest is that of the runtime's `Recipe.digest`: of all that a recipe says but its name.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ..diagnostics import printable


class RecipeError(Exception):
    """Data that is no recipe; the message stands alone."""


def digest(data: dict[str, Any]) -> str:
    """SHA-256 (64 hexadecimal digits) of a recipe as JSON, its name left out."""
    said = {k: v for k, v in data.items() if k != "name"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def to_json(data: dict[str, Any]) -> str:
    """One line of canonical JSON. Raises RecipeError if the schema refuses it, which is a bug of ours."""
    validate(data)
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema = json.loads((Path(__file__).parent / "recipe.schema.json").read_text("utf-8"))
    return Draft202012Validator(schema, registry=Registry())


def validate(data: object) -> None:
    """Hold data against `recipe.schema.json`. Raises RecipeError with the first place that differs."""
    for problem in _validator().iter_errors(data):
        where = "/".join(str(p) for p in problem.absolute_path) or "the whole"
        raise RecipeError(f"{printable(where)}: {printable(problem.message, 160)}")
