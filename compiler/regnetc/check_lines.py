"""What is wrong with the lines of a declaration by themselves, before any value is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .diagnostics import Diagnostic, Span, error
from .limits import IMAGE, STAGES
from .tree import (
    Block,
    Bound,
    Call,
    Chain,
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
    ALIASES,
    COUNTS,
    DISTRIBUTIONS,
    FUNCTIONS,
    MEASURED,
    PARAMETERS,
    STAGE_INDEX,
    Parameter,
    nearest_word,
)

Problems = Iterator[Diagnostic]


def line_problems(line: Line) -> Problems:
    match line:
        case Fix():
            yield from _fix(line)
        case Draw():
            raise AssertionError("a draw is checked by `draws`")
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
        yield from target_problems(target)
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
        yield from word_problems(value, parameter)
    elif isinstance(value, Listing):
        yield from listing(line.targets[0], value)
    else:
        yield from expression(value, counts=False)


def _quantized(line: Fix, value: Call) -> Problems:
    if [(t.name, t.at is not None) for t in line.targets] != [("w", True), ("d", True)]:
        message = "`quantized_linear` gives the widths and the depths of all stages"
        span = line.targets[0].span.to(line.targets[-1].span)
        yield error(
            "many-targets",
            message,
            span,
            help="write `w[i], d[i] = quantized_linear(d, w0, wa, wm)`",
        )
    yield from _arguments(value, 4, "d, w0, wa, wm")


def target_problems(target: Ref) -> Problems:
    name = target.name
    if name in COUNTS:
        message = f"`{name}` is computed, not set"
        yield error(
            "computed",
            message,
            target.span,
            help=f"bound it, as in `{name} <= ...`, or put it into `expect {{ }}`",
        )
        return
    parameter = PARAMETERS.get(name)
    if parameter is None:
        yield unknown_parameter(name, target.span, PARAMETERS)
        return
    if target.at is None and parameter.shape == "stages":
        message = f"there is a `{name}` for each stage"
        yield error("index", message, target.span, help=f"write `{name}[{STAGE_INDEX}]`")
    elif target.at is not None and parameter.shape == "scalar":
        message = f"`{name}` has one value, not one for each stage"
        yield error("index", message, target.span, help=f"write `{name} = ...`")
    elif target.at is not None and stage_offset(target.at) != (True, 0):
        message = f"a value is given to `{name}[{STAGE_INDEX}]`, all stages at once"
        yield error(
            "index",
            message,
            target.at.span,
            help=f"write `{name}[{STAGE_INDEX}] = [...]`, a value for each stage",
        )


def unknown_parameter(
    name: str, span: Span, known: Sequence[str] | dict[str, Parameter]
) -> Diagnostic:
    if name == STAGE_INDEX:
        message = f"`{STAGE_INDEX}` counts stages, inside `[ ]` only"
        return error("index", message, span)
    if name.lower() in MEASURED:
        message = f"`{name}` is measured, not counted: no bound can speak of it"
        remedy = "bound `flops`, `params` or `acts`; run times follow `acts` most closely"
        return error("uncounted", message, span, help=remedy)
    near = ALIASES.get(name.lower()) or nearest_word(name, known)
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{k}`' for k in known)}"
    return error("unknown-parameter", f"there is no parameter `{name[:60]}`", span, help=help_)


def unknown_function(call: Call, known: Sequence[str]) -> Diagnostic:
    name = call.name.text
    near = nearest_word(name, known)
    help_ = f"did you mean `{near}`?" if near else f"there are {', '.join(f'`{k}`' for k in known)}"
    if name in DISTRIBUTIONS:
        help_ = f"a value is drawn with `~`: `x ~ {name}(...)`"
    return error(
        "unknown-function", f"there is no function `{name[:60]}` here", call.name.span, help=help_
    )


def word_problems(value: Expr, parameter: Parameter) -> Problems:
    if isinstance(value, Ref) and value.at is None and value.name in parameter.words:
        return
    shown = value.span.text if len(value.span.text) <= 60 else "this"
    near = nearest_word(value.name, parameter.words) if isinstance(value, Ref) else None
    yield error(
        "unknown-word", f"`{parameter.name}` cannot be `{shown}`", value.span,
        f"{parameter.meaning} is {parameter.range_text}", help=f"did you mean `{near}`?" if near else None,
    )  # fmt: skip


def listing(target: Ref, value: Listing) -> Problems:
    if target.at is None:
        message = f"`{target.name}` has one value, not a list"
        yield error(
            "list",
            message,
            value.span,
            help="a list gives one value for each stage: `x[i] = [...]`",
        )
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
            yield error(
                "string",
                "a string is no number",
                e.span,
                help="only `use`, `source` and `erratum` take one",
            )
        case Listing():
            message = "a list does not belong inside an expression"
            yield error(
                "list",
                message,
                e.span,
                help="a list gives one value for each stage: `x[i] = [...]`",
            )
        case Ref():
            yield from _ref(e, counts=counts)
        case Call():
            yield from _call(e, counts=counts)
        case Chain():
            for operand in e.operands:
                yield from expression(operand, counts=counts)


def _ref(e: Ref, *, counts: bool) -> Problems:
    if e.name in COUNTS:
        if e.at is not None:
            yield error(
                "index",
                f"`{e.name}` counts the network, not a stage",
                e.span,
                help=f"write `{e.name}`",
            )
        elif not counts:
            message = f"`{e.name}` is known only when every value is"
            yield error(
                "computed",
                message,
                e.span,
                help="it can be bounded and expected, not used in a value",
            )
        return
    parameter = PARAMETERS.get(e.name)
    if parameter is None:
        yield unknown_parameter(e.name, e.span, [*PARAMETERS, *COUNTS] if counts else [*PARAMETERS])
        return
    if parameter.kind == "word":
        yield error("word", f"`{e.name}` is a word, not a number", e.span)
    elif e.at is None and parameter.shape == "stages":
        yield error(
            "index",
            f"there is a `{e.name}` for each stage",
            e.span,
            help=f"write `{e.name}[{STAGE_INDEX}]`, or `{e.name}[1]`",
        )
    elif e.at is not None and parameter.shape == "scalar":
        yield error(
            "index",
            f"`{e.name}` has one value, not one for each stage",
            e.span,
            help=f"write `{e.name}`",
        )
    elif e.at is not None and stage_offset(e.at) is None:
        yield error(
            "index", "stages are counted by a whole number, `i`, `i+1` or `i-1`", e.at.span,
            help=f"write `{e.name}[{STAGE_INDEX}]`, or `{e.name}[1]`",
        )  # fmt: skip


def stage_offset(index: Expr) -> tuple[bool, int] | None:
    """`i+1` is (True, 1), `3` is (False, 3), anything else None."""
    match index:
        case Ref(name=name, at=None) if name == STAGE_INDEX:
            return True, 0
        case Number() if index.is_integer_literal and index.value <= 1_000:
            return False, int(index.value)
        case Chain(
            operands=(Ref(name=name, at=None), Number() as n), operators=("+" | "-" as sign,)
        ) if name == STAGE_INDEX and n.is_integer_literal and n.value <= STAGES:
            return True, int(n.value) if sign == "+" else -int(n.value)
    return None


def _call(e: Call, *, counts: bool) -> Problems:
    if e.name.text in COUNTS:
        yield from _count_at(e, counts=counts)
    elif e.name.text not in FUNCTIONS:
        yield unknown_function(e, FUNCTIONS)
    elif e.name.text == "quantized_linear":
        message = "`quantized_linear` gives widths and depths, not a number"
        yield error(
            "many-targets",
            message,
            e.span,
            help="write `w[i], d[i] = quantized_linear(d, w0, wa, wm)`",
        )
    else:
        yield from _arguments(e, 1, "x", counts=counts)


def _count_at(e: Call, *, counts: bool) -> Problems:
    """A count at another image size: `flops(image = 160)`."""
    name = e.name.text
    if not counts:
        yield from _ref(Ref(name, None, e.span), counts=False)
        return
    argument = e.arguments[0]
    given = argument.value if isinstance(argument, Keyword) else None
    if len(e.arguments) != 1 or not isinstance(argument, Keyword) or argument.name.text != "image":
        message = f"`{name}` can be counted at another image size, and in no other way"
        yield error("arguments", message, e.span, help=f"write `{name}(image = 160)`")
    elif not isinstance(given, Number) or not given.is_integer_literal:
        message = "the side of an image is a whole number of pixels"
        yield error(
            "not-an-integer", message, argument.value.span, help=f"write `{name}(image = 160)`"
        )
    elif not 1 <= given.value <= IMAGE:
        yield error("out-of-range", f"the side of an image goes from 1 to {IMAGE:,}", given.span)


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
