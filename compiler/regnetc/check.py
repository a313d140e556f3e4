"""What is wrong with the lines of a declaration by themselves, before any value is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .diagnostics import Diagnostic, Label, Span, error
from .limits import PUBLISHED_ROWS, STAGES
from .tree import (
    Block,
    Bound,
    Call,
    Chain,
    Declaration,
    Draw,
    Expr,
    Fix,
    Keyword,
    Line,
    Listing,
    Member,
    Number,
    Range,
    Ref,
    String,
)
from .vocabulary import (
    BLOCKS,
    CONVENTIONS,
    COUNTS,
    DISTRIBUTIONS,
    FUNCTIONS,
    PARAMETERS,
    PUBLISHED,
    PUBLISHED_COUNTS,
    PUBLISHED_TEXT,
    STAGE_INDEX,
    Parameter,
    nearest_word,
)

Problems = Iterator[Diagnostic]


def check(declaration: Declaration) -> Problems:
    """Unknown words, indices, functions and blocks that do not fit where they stand."""
    if declaration.kind in ("recipe", "sweep"):
        message = f"this version of regnetc does not know what to do with a {declaration.kind}"
        yield error("unsupported", message, declaration.name.span, help="it compiles models and the spaces they extend")
        return
    rows = 0
    seen: set[str] = set()
    for line in declaration.lines:
        if isinstance(line, Block):
            yield from _block(line, declaration, seen)
            rows += line.name.text == "published"
            if rows == PUBLISHED_ROWS + 1:
                message = f"a model has at most {PUBLISHED_ROWS} `published` blocks"
                yield error("too-many", message, line.name.span, help="leave the least of them out")
        else:
            yield from _line(line)


def _line(line: Line) -> Problems:
    match line:
        case Fix():
            yield from _fix(line)
        case Draw():
            yield from _target(line.target)
            if line.call.name.text not in DISTRIBUTIONS:
                yield _unknown_function(line.call, DISTRIBUTIONS)
            message = "this version of regnetc does not draw values"
            yield error("unsupported", message, line.span, help="fix the value with `=`, or bound it")
        case Bound():
            for operand in line.operands:
                yield from expression(operand)
        case Member():
            yield from expression(line.value)
            yield from _range(line.range)
        case Block():
            raise AssertionError("a block is checked by what it is")


def _fix(line: Fix) -> Problems:
    for target in line.targets:
        yield from _target(target)
    names = [t.name for t in line.targets]
    value = line.value
    if isinstance(value, Call) and value.name.text == "quantized_linear":
        yield from _quantized(line, value)
        return
    if len(names) > 1:
        message = "one value does not fix several parameters"
        yield error("many-targets", message, line.targets[1].span, help="write a line for each")
        return
    parameter = PARAMETERS.get(names[0])
    if parameter is not None and parameter.kind == "word":
        yield from _word(value, parameter)
    elif isinstance(value, Listing):
        yield from _listing(line.targets[0], value)
    else:
        yield from expression(value, counts=False)


def _quantized(line: Fix, value: Call) -> Problems:
    if [(t.name, t.index is not None) for t in line.targets] != [("w", True), ("d", True)]:
        message = "`quantized_linear` gives the widths and the depths of all stages"
        span = line.targets[0].span.to(line.targets[-1].span)
        yield error("many-targets", message, span, help="write `w[i], d[i] = quantized_linear(d, w0, wa, wm)`")
    yield from _arguments(value, 4, "d, w0, wa, wm")


def _target(target: Ref) -> Problems:
    name = target.name
    if name in COUNTS:
        message = f"`{name}` is computed, not set"
        yield error("computed", message, target.span, help=f"bound it, as in `{name} <= ...`, or put it into `expect {{ }}`")
        return
    parameter = PARAMETERS.get(name)
    if parameter is None:
        yield _unknown_parameter(name, target.span, PARAMETERS)
        return
    if target.index is None and parameter.shape == "stages":
        message = f"there is a `{name}` for each stage"
        yield error("index", message, target.span, help=f"write `{name}[{STAGE_INDEX}] = ...`")
    elif target.index is not None and parameter.shape == "scalar":
        message = f"`{name}` has one value, not one for each stage"
        yield error("index", message, target.span, help=f"write `{name} = ...`")
    elif target.index is not None and target.index != Ref(STAGE_INDEX, None, target.span):
        message = f"a value is given to `{name}[{STAGE_INDEX}]`, all stages at once"
        yield error("index", message, target.index.span, help=f"write `{name}[{STAGE_INDEX}] = [...]`, a value for each stage")


def _unknown_parameter(name: str, span: Span, known: Sequence[str] | dict[str, Parameter]) -> Diagnostic:
    if name == STAGE_INDEX:
        message = f"`{STAGE_INDEX}` counts stages, inside `[ ]` only"
        return error("index", message, span)
    near = nearest_word(name, known)
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{k}`' for k in known)}"
    return error("unknown-parameter", f"there is no parameter `{name[:60]}`", span, help=help_)


def _unknown_function(call: Call, known: Sequence[str]) -> Diagnostic:
    name = call.name.text
    near = nearest_word(name, known)
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{k}`' for k in known)}"
    if name in DISTRIBUTIONS:
        help_ = f"a value is drawn with `~`: `x ~ {name}(...)`"
    return error("unknown-function", f"there is no function `{name[:60]}` here", call.name.span, help=help_)


def _word(value: Expr, parameter: Parameter) -> Problems:
    if isinstance(value, Ref) and value.index is None and value.name in parameter.words:
        return
    shown = value.span.text if len(value.span.text) <= 60 else "this"
    near = nearest_word(value.name, parameter.words) if isinstance(value, Ref) else None
    yield error(
        "unknown-word", f"`{parameter.name}` cannot be `{shown}`", value.span,
        f"{parameter.meaning} is {parameter.range_text}", help=f"did you mean `{near}`?" if near else None,
    )  # fmt: skip


def _listing(target: Ref, value: Listing) -> Problems:
    if target.index is None:
        message = f"`{target.name}` has one value, not a list"
        yield error("list", message, value.span, help="a list gives one value for each stage: `x[i] = [...]`")
        return
    if len(value.items) > STAGES:
        message = f"a network has at most {STAGES} stages, this list {len(value.items):,} values"
        yield error("list-length", message, value.items[STAGES].span, "one too many")
        return
    for item in value.items:
        yield from expression(item, counts=False)


def expression(e: Expr, *, counts: bool = True) -> Problems:
    """Names, indices and functions of an expression; `counts` where `flops` and the like may stand."""
    match e:
        case Number():
            pass
        case String():
            yield error("string", "a string is no number", e.span, help="only `use`, `source` and `erratum` take one")
        case Listing():
            message = "a list does not belong inside an expression"
            yield error("list", message, e.span, help="a list gives one value for each stage: `x[i] = [...]`")
        case Ref():
            yield from _ref(e, counts=counts)
        case Call():
            yield from _call(e, counts=counts)
        case Chain():
            for operand in e.operands:
                yield from expression(operand, counts=counts)


def _ref(e: Ref, *, counts: bool) -> Problems:
    if e.name in COUNTS:
        if e.index is not None:
            yield error("index", f"`{e.name}` counts the network, not a stage", e.span, help=f"write `{e.name}`")
        elif not counts:
            message = f"`{e.name}` is known only when every value is"
            yield error("computed", message, e.span, help="it can be bounded and expected, not used in a value")
        return
    parameter = PARAMETERS.get(e.name)
    if parameter is None:
        yield _unknown_parameter(e.name, e.span, [*PARAMETERS, *COUNTS] if counts else [*PARAMETERS])
        return
    if parameter.kind == "word":
        yield error("word", f"`{e.name}` is a word, not a number", e.span)
    elif e.index is None and parameter.shape == "stages":
        yield error("index", f"there is a `{e.name}` for each stage", e.span, help=f"write `{e.name}[{STAGE_INDEX}]`, or `{e.name}[1]`")
    elif e.index is not None and parameter.shape == "scalar":
        yield error("index", f"`{e.name}` has one value, not one for each stage", e.span, help=f"write `{e.name}`")
    elif e.index is not None and stage_offset(e.index) is None:
        yield error(
            "index", "stages are counted by a whole number, `i`, `i+1` or `i-1`", e.index.span,
            help=f"write `{e.name}[{STAGE_INDEX}]`, or `{e.name}[1]`",
        )  # fmt: skip


def stage_offset(index: Expr) -> tuple[bool, int] | None:
    """`i+1` is (True, 1), `3` is (False, 3), anything else None."""
    match index:
        case Ref(name=name, index=None) if name == STAGE_INDEX:
            return True, 0
        case Number() if index.is_integer_literal and index.value <= 1_000:
            return False, int(index.value)
        case Chain(operands=(Ref(name=name, index=None), Number() as n), operators=("+" | "-" as sign,)) if (
            name == STAGE_INDEX and n.is_integer_literal and n.value <= STAGES
        ):
            return True, int(n.value) if sign == "+" else -int(n.value)
    return None


def _call(e: Call, *, counts: bool) -> Problems:
    if e.name.text not in FUNCTIONS:
        yield _unknown_function(e, FUNCTIONS)
    elif e.name.text == "quantized_linear":
        message = "`quantized_linear` gives widths and depths, not a number"
        yield error("many-targets", message, e.span, help="write `w[i], d[i] = quantized_linear(d, w0, wa, wm)`")
    else:
        yield from _arguments(e, 1, "x", counts=counts)


def _arguments(call: Call, wanted: int, names: str, *, counts: bool = False) -> Problems:
    name = call.name.text
    if len(call.arguments) != wanted:
        got = len(call.arguments)
        message = f"`{name}` takes {wanted} {'value' if wanted == 1 else 'values'}, not {got}"
        yield error("arguments", message, call.span, help=f"write `{name}({names})`")
        return
    for argument in call.arguments:
        if isinstance(argument, Range | Keyword):
            message = f"`{name}` takes plain values"
            yield error("arguments", message, argument.span, help=f"write `{name}({names})`")
        else:
            yield from expression(argument, counts=counts)


def _range(r: Range) -> Problems:
    for part in (r.low, r.high, r.step):
        if part is not None:
            yield from expression(part)


def _block(block: Block, owner: Declaration, seen: set[str]) -> Problems:
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
        yield error("misplaced", message, block.name.span, help="move it into a model, or write bounds")
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
            yield error("fixed-twice", f"`{key[:60]}` is said twice", line.span, also=also, help="delete one of the lines")
        yield from _claim(line) if name == "expect" else _row(line)


def _claim(line: Fix) -> Problems:
    target = line.targets[0]
    if target.name in COUNTS:
        if target.index is not None:
            yield error("index", f"`{target.name}` counts the network, not a stage", target.span, help=f"write `{target.name}`")
    elif target.name in PARAMETERS:
        yield from _target(target)
        parameter = PARAMETERS[target.name]
        if parameter.kind == "word":
            yield from _word(line.value, parameter)
            return
    else:
        yield _unknown_parameter(target.name, target.span, [*PARAMETERS, *COUNTS])
        return
    if isinstance(line.value, Listing):
        yield from _listing(target, line.value)
    else:
        yield from expression(line.value)


def _row(line: Fix) -> Problems:
    target, value = line.targets[0], line.value
    key = target.name
    if key not in PUBLISHED or target.index is not None:
        near = nearest_word(key, PUBLISHED)
        help_ = f"did you mean `{near}`?" if near and near != key else f"there are {', '.join(f'`{k}`' for k in PUBLISHED)}"
        yield error("unknown-parameter", f"`published` has no `{target.span.text[:60]}`", target.span, help=help_)
    elif key in PUBLISHED_TEXT:
        if not isinstance(value, String):
            yield error("string", f"`{key}` is a string", value.span, help='write `"..."`')
    elif key == "counting":
        if not (isinstance(value, Ref) and value.index is None and value.name in CONVENTIONS):
            yield _unknown_convention(value)
    elif not isinstance(value, Number):
        yield error("not-a-number", f"`{key}` is a number as it was printed", value.span)
    elif key == "image" and not value.is_integer_literal:
        yield error("not-an-integer", "`image` is a side in pixels", value.span)
    elif value.unit == "F" and key not in ("flops",):
        yield unit_problem(key, value)
    elif value.unit == "%" and key in PUBLISHED_COUNTS:
        yield error("unit", f"`{key}` is a number, not a percentage", value.span)


def _unknown_convention(value: Expr) -> Diagnostic:
    near = nearest_word(value.name, CONVENTIONS) if isinstance(value, Ref) else None
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{k}`' for k in CONVENTIONS)}"
    return error("unknown-word", "this is no way of counting flops", value.span, help=help_)


def unit_problem(name: str, value: Number) -> Diagnostic:
    """A number of flops where something else is counted."""
    help_ = f"write `{value.text.rstrip('F')}`"
    return error("unit", f"`{name}` does not count flops", value.span, "this unit means flops", help=help_)
