"""What is wrong with the lines of a recipe by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from ..diagnostics import Diagnostic, Span, error
from ..tree import Block, Declaration, Draw, Fix, Line
from .fields import FIELDS
from .reading import Reader
from .words import nearest_field, there


def problems(declaration: Declaration) -> Iterator[Diagnostic]:
    """Fields that there are not, values that they cannot have, lines that no recipe holds."""
    reader = Reader()
    for line in declaration.lines:
        if isinstance(line, Fix):
            yield from fix_problems(line, reader)
        else:
            yield _misplaced(line)


def fix_problems(line: Fix, reader: Reader) -> Iterator[Diagnostic]:
    """What is wrong with `field = value`."""
    target = line.targets[0]
    if len(line.targets) > 1:
        message = "one value does not fix several fields"
        yield error("many-targets", message, line.targets[1].span, help="write a line for each")
    elif target.name not in FIELDS:
        yield unknown_field(target.name, target.span)
    elif target.at is not None:
        message = f"`{target.name}` has one value; a recipe knows no stages"
        yield error("index", message, target.span, help=f"write `{target.name} = ...`")
    else:
        yield from reader.read(FIELDS[target.name], line.value)[1]


def unknown_field(name: str, span: Span) -> Diagnostic:
    """The problem of a field that there is not."""
    near = nearest_field(name, FIELDS)
    remedy = f"did you mean `{near}`?" if near else there(list(FIELDS))
    return error("unknown-field", f"a recipe has no field `{name[:60]}`", span, help=remedy)


def _misplaced(line: Line) -> Diagnostic:
    match line:
        case Draw():
            message, remedy = "a recipe draws nothing", "write `=` and a value"
            return error("misplaced", message, line.span, help=remedy)
        case Block():
            message = f"a recipe holds no block such as `{line.name.text[:60]}`"
            remedy = "`expect` and `published` speak of a network: move it into a model"
            return error("misplaced", message, line.name.span, help=remedy)
        case _:
            message, remedy = "a recipe has no bounds", "fix the value: `x = ...`"
            return error("misplaced", message, line.span, help=remedy)
