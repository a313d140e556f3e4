"""What is wrong with a declaration by itself, before any value is known."""

from __future__ import annotations

from collections.abc import Iterator

from . import draws
from .check_blocks import block
from .check_bounds import bound_problems
from .check_lines import line_problems
from .diagnostics import Diagnostic, error
from .limits import PUBLISHED_ROWS
from .tree import Block, Bound, Declaration, Draw, Member


def check(declaration: Declaration) -> Iterator[Diagnostic]:
    """Unknown words, indices, functions and blocks that do not fit where they stand."""
    if declaration.kind == "recipe":
        from .recipes import lines  # not for those who only check networks

        yield from lines.problems(declaration)
        return
    if declaration.kind == "sweep":
        message = "this version of regnetc does not know what to do with a sweep"
        remedy = "it compiles models and the spaces they extend, and reads recipes"
        yield error("unsupported", message, declaration.name.span, help=remedy)
        return
    rows = 0
    for line in declaration.lines:
        if isinstance(line, Block):
            yield from block(line, declaration)
            rows += line.name.text == "published"
            if rows == PUBLISHED_ROWS + 1:
                message = f"a model has at most {PUBLISHED_ROWS} `published` blocks"
                yield error("too-many", message, line.name.span, help="leave the least of them out")
        elif isinstance(line, Draw):
            yield from _draw(line, declaration)
        else:
            found = list(line_problems(line))
            yield from found
            if not found and isinstance(line, Bound | Member):
                yield from bound_problems(line)


def _draw(line: Draw, owner: Declaration) -> Iterator[Diagnostic]:
    if owner.kind == "model":
        message = "a model fixes every parameter; only a space draws"
        yield error(
            "misplaced", message, line.span, help="write `=` and a value, or declare a space"
        )
    else:
        yield from draws.problems(line)
