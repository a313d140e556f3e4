"""What is wrong with a declaration by itself, before any value is known."""

from __future__ import annotations

from collections.abc import Iterator

from .check_blocks import block
from .check_lines import line_problems
from .diagnostics import Diagnostic, error
from .limits import PUBLISHED_ROWS
from .tree import Block, Declaration


def check(declaration: Declaration) -> Iterator[Diagnostic]:
    """Unknown words, indices, functions and blocks that do not fit where they stand."""
    if declaration.kind in ("recipe", "sweep"):
        message = f"this version of regnetc does not know what to do with a {declaration.kind}"
        yield error(
            "unsupported",
            message,
            declaration.name.span,
            help="it compiles models and the spaces they extend",
        )
        return
    rows = 0
    for line in declaration.lines:
        if isinstance(line, Block):
            yield from block(line, declaration)
            rows += line.name.text == "published"
            if rows == PUBLISHED_ROWS + 1:
                message = f"a model has at most {PUBLISHED_ROWS} `published` blocks"
                yield error("too-many", message, line.name.span, help="leave the least of them out")
        else:
            yield from line_problems(line)
