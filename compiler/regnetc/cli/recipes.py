"""Recipes on standard output."""

from __future__ import annotations

import click
from rich.text import Text

from ..recipes import ResolvedRecipe, canonical, describe
from . import console


def show_recipe(recipe: ResolvedRecipe, *, as_json: bool = False, line: bool = False) -> None:
    """A recipe as a table of values and their meanings, as the JSON that the runtime reads, or in a line."""
    if line:
        click.echo(canonical.to_json(recipe.json))
        return
    if as_json:
        console.say_json(recipe.json)
        return
    out = console.rich_console()
    out.print(f"recipe {recipe.name}", style="bold")
    if recipe.origin is not None and recipe.origin.file:
        out.print(f"  from {recipe.origin.file}, digest {recipe.digest}")
    out.print()
    table = console.table()
    for column in ("field", "value", "what it is"):
        table.add_column(column)
    for row in describe.rows(recipe.json):
        table.add_row(Text(_indented(row.what)), Text(row.value), Text(row.meaning))
    out.print(table)


def _indented(what: str) -> str:
    """An argument stands below its call."""
    field, _, argument = what.partition(".")
    return f"  {argument}" if argument else field
