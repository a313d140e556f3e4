"""What is wrong with `expect` and `published` blocks by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from .check_lines import expression, listing, target_problems, unknown_parameter, word_problems
from .diagnostics import Diagnostic, Label, error
from .limits import IMAGE
from .tree import Block, Declaration, Expr, Fix, Listing, Number, Ref, String
from .vocabulary import (
    BLOCKS,
    CONVENTIONS,
    COUNTS,
    INTERPOLATIONS,
    PARAMETERS,
    PUBLISHED,
    PUBLISHED_COUNTS,
    PUBLISHED_TEXT,
    nearest_word,
)

Problems = Iterator[Diagnostic]

CHANNELS = 3


def block(block: Block, owner: Declaration) -> Problems:
    name = block.name.text
    if name not in BLOCKS:
        near = nearest_word(name, BLOCKS)
        yield error(
            "unknown-block", f"there is no block `{name[:60]}`", block.name.span,
            help=f"did you mean `{near}`?" if near else "there are `expect` and `published`",
        )  # fmt: skip
        return
    if owner.kind != "model":
        message = f"`{name}` speaks of one network; a space holds many"
        yield error(
            "misplaced", message, block.name.span, help="move it into a model, or write bounds"
        )
        return
    lines: dict[str, Fix] = {}
    for line in block.lines:
        if not isinstance(line, Fix) or line.default or len(line.targets) != 1:
            yield error("misplaced", f"`{name}` holds lines `x = ...` only", line.span)
            continue
        key = line.targets[0].span.text.replace(" ", "")
        first = lines.setdefault(key, line)
        if first is not line:
            also = (Label(first.span, "first here", primary=False),)
            yield error(
                "fixed-twice",
                f"`{key[:60]}` is said twice",
                line.span,
                also=also,
                help="delete one of the lines",
            )
        yield from _claim(line) if name == "expect" else _row(line)


def _claim(line: Fix) -> Problems:
    target = line.targets[0]
    if target.name in COUNTS:
        if target.at is not None:
            yield error(
                "index",
                f"`{target.name}` counts the network, not a stage",
                target.span,
                help=f"write `{target.name}`",
            )
    elif target.name in PARAMETERS:
        yield from target_problems(target)
        parameter = PARAMETERS[target.name]
        if parameter.kind == "word":
            yield from word_problems(line.value, parameter)
            return
    else:
        yield unknown_parameter(target.name, target.span, [*PARAMETERS, *COUNTS])
        return
    if isinstance(line.value, Listing):
        yield from listing(target, line.value)
    else:
        yield from expression(line.value)


def _row(line: Fix) -> Problems:
    target, value = line.targets[0], line.value
    key = target.name
    if key not in PUBLISHED or target.at is not None:
        near = nearest_word(key, PUBLISHED)
        help_ = (
            f"did you mean `{near}`?"
            if near and near != key
            else f"there are {', '.join(f'`{k}`' for k in PUBLISHED)}"
        )
        yield error(
            "unknown-parameter",
            f"`published` has no `{target.span.text[:60]}`",
            target.span,
            help=help_,
        )
    elif key in PUBLISHED_TEXT:
        if not isinstance(value, String):
            yield error("string", f"`{key}` is a string", value.span, help='write `"..."`')
        elif key in _FORMS and not _FORMS[key][0](value.value):
            yield error("malformed", f"this is no `{key}`", value.span, help=_FORMS[key][1])
    elif key == "counting":
        if not (isinstance(value, Ref) and value.at is None and value.name in CONVENTIONS):
            yield _unknown_convention(value)
    elif key == "interpolation":
        if not (isinstance(value, Ref) and value.at is None and value.name in INTERPOLATIONS):
            known = " or ".join(f"`{w}`" for w in INTERPOLATIONS)
            yield error("unknown-word", f"`interpolation` is {known}", value.span)
    elif key in ("mean", "std"):
        yield from _of_channels(key, value)
    elif not isinstance(value, Number):
        yield error("not-a-number", f"`{key}` is a number as it was printed", value.span)
    elif key in _WHOLE and not value.is_integer_literal:
        yield error("not-an-integer", f"`{key}` is {_WHOLE[key]}", value.span)
    elif key in ("image", "resize") and not 1 <= value.value <= IMAGE:
        yield error("out-of-range", f"`{key}` goes from 1 to {IMAGE:,}", value.span)
    elif value.unit == "F" and key != "flops":
        yield _unit_problem(key, value)
    elif value.unit == "%" and key in (*PUBLISHED_COUNTS, "size"):
        yield error("unit", f"`{key}` is a number, not a percentage", value.span)


_WHOLE = {
    "image": "a side in pixels",
    "resize": "a side in pixels",
    "size": "a number of bytes",
}


def _of_channels(key: str, value: Expr) -> Problems:
    """A number for each channel, red first, or one for all; pixels are 0 to 1."""
    numbers = value.items if isinstance(value, Listing) else (value,)
    if len(numbers) not in (1, CHANNELS):
        yield error(
            "list", f"`{key}` is one number, or one for red, green and blue each", value.span
        )
    for number in numbers:
        if not isinstance(number, Number) or number.unit:
            yield error("not-a-number", f"`{key}` is made of plain numbers", number.span)
        elif number.value > 1 or (key == "std" and number.value == 0):
            least = "above 0 and at most 1" if key == "std" else "between 0 and 1"
            yield error("out-of-range", f"`{key}` is {least}, as pixels are", number.span)


def _is_url(text: str) -> bool:
    rest = text.removeprefix("https://")
    return (
        rest != text
        and "/" in rest.strip("/")
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def _is_digest(text: str) -> bool:
    return 8 <= len(text) <= 64 and all(c in "0123456789abcdef" for c in text)


_FORMS = {
    "weights": (_is_url, 'write the address of a file, `"https://..."`'),
    "sha256": (
        _is_digest,
        "write 8 to 64 hexadecimal digits in small letters: all of the digest, or its beginning",
    ),
}


def _unknown_convention(value: Expr) -> Diagnostic:
    near = nearest_word(value.name, CONVENTIONS) if isinstance(value, Ref) else None
    help_ = (
        f"did you mean `{near}`?"
        if near
        else f"there are {', '.join(f'`{k}`' for k in CONVENTIONS)}"
    )
    return error("unknown-word", "this is no way of counting flops", value.span, help=help_)


def _unit_problem(name: str, value: Number) -> Diagnostic:
    """A number of flops where something else is counted."""
    help_ = f"write `{value.text.rstrip('F')}`"
    return error(
        "unit", f"`{name}` does not count flops", value.span, "this unit means flops", help=help_
    )
