"""Expressions to the values of a recipe: numbers, words, lists and calls, as JSON has them.

A value is made of numbers alone, so each is worked out by itself; it names no other field.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..diagnostics import Diagnostic, Label, Span, error
from ..tree import Call, Chain, Expr, Keyword, Listing, Number, Range, Ref, String
from ..values import Quantity, Wrong, evaluate, shown
from ..vocabulary import nearest_word
from .forms import Calls, Entry, Function, Numbers, Words
from .forms import Number as Kind
from .words import nearest_argument, there

Value = Any
"""A value of a recipe as JSON: int, float, str, None, a list of numbers, or a call's name and arguments."""


class Reader:
    """Reads each expression once; what is wrong with it is kept beside its value."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Expr, Value, tuple[Diagnostic, ...]]] = {}

    def read(self, entry: Entry, e: Expr) -> tuple[Value, tuple[Diagnostic, ...]]:
        """The value of a field, None after a problem."""
        if id(e) not in self._read:
            problems: list[Diagnostic] = []
            value = _value(entry, e, problems)
            self._read[id(e)] = (e, value, tuple(problems))  # `e` is kept, or its id would pass on
        return self._read[id(e)][1:]


def _value(entry: Entry, e: Expr, problems: list[Diagnostic]) -> Value:
    if entry.none and isinstance(e, Ref) and e.at is None and e.name == "none":
        return None
    match entry.form:
        case Words():
            return _word(entry, entry.form, e, problems)
        case Numbers():
            return _list(entry, entry.form, e, problems)
        case Calls():
            return _call(entry, entry.form, e, problems)
        case Kind():
            return _number(entry, entry.form, e, problems)


def _word(entry: Entry, form: Words, e: Expr, problems: list[Diagnostic]) -> str | None:
    if isinstance(e, Ref) and e.at is None and e.name in form.words:
        return e.name
    near = nearest_word(e.name, form.words) if isinstance(e, Ref) else None
    remedy = f"did you mean `{near}`?" if near else there(form.words)
    problems.append(
        error("unknown-word", f"`{entry.name}` cannot be {_named(e)}", e.span, help=remedy)
    )
    return None


def _number(entry: Entry, form: Kind, e: Expr, problems: list[Diagnostic]) -> int | float | None:
    found = _plain(entry, e)
    if isinstance(found, Diagnostic):
        problems.append(found)
        return None
    try:
        quantity = evaluate(e, _no_name)
    except Wrong as wrong:
        problems.extend([wrong.problem] if wrong.problem is not None else [])
        return None
    problem = _misfit(entry, form, quantity, e.span)
    if problem is not None:
        problems.append(problem)
        return None
    return int(quantity.value) if form.whole else float(quantity.value)


def _no_name(ref: Ref, stage: int | None) -> Quantity:
    raise AssertionError(f"checked before: {ref.name} {stage}")


def _misfit(entry: Entry, form: Kind, quantity: Quantity, span: Span) -> Diagnostic | None:
    """Why a number cannot be this field's, or None."""
    x, wanted = quantity.value, f"{entry.meaning}: {entry.text}"
    if quantity.unit == "flops":
        message = f"`{entry.name}` does not count flops"
        return error("unit", message, span, "this unit means flops", help=wanted)
    if form.whole and x.denominator != 1:
        message = f"`{entry.name}` is a whole number, not {shown(x)}"
        return error("not-an-integer", message, span, help=wanted)
    if not form.holds(x) or not form.holds(Fraction(float(x))):  # 1 - 1e-30 is 1 as a float
        message = f"`{entry.name}` cannot be {_digits(form, x, span)}"
        return error("out-of-range", message, span, help=wanted)
    return None


def _digits(form: Kind, x: Fraction, span: Span) -> str:
    """A refused number for a message: as it was written where six digits would make it a good one."""
    text = shown(x)
    misleads = form.holds(Fraction(text.replace(",", "")))
    return span.text[:60] if misleads else text


def _plain(entry: Entry, e: Expr) -> Diagnostic | None:
    """Why an expression is none of numbers, signs and roots, or None."""
    wanted = f"{entry.meaning}: {entry.text}"
    match e:
        case Number():
            return None
        case Chain():
            problems = (_plain(entry, operand) for operand in e.operands)
            return next((p for p in problems if p is not None), None)
        case Call() if e.name.text == "sqrt":
            argument = e.arguments[0]
            if len(e.arguments) != 1 or isinstance(argument, Range | Keyword):
                return error(
                    "arguments", "`sqrt` takes one plain value", e.span, help="write `sqrt(x)`"
                )
            return _plain(entry, argument)
        case Call():
            message = f"there is no function `{e.name.text[:60]}` here"
            return error("unknown-function", message, e.name.span, help=wanted)
        case Listing():
            return error("list", f"`{entry.name}` is one number, not a list", e.span, help=wanted)
        case String():
            return error("string", "a string is no number", e.span, help=wanted)
        case Ref():
            message = f"`{entry.name}` is a number, not {_named(e)}"
            return error("not-a-number", message, e.span, help=wanted)


def _named(e: Expr) -> str:
    return f"`{e.span.text}`" if len(e.span.text) <= 60 else "this"


def _list(
    entry: Entry, form: Numbers, e: Expr, problems: list[Diagnostic]
) -> list[int | float] | None:
    each = entry._replace(form=form.each, none="")
    if not isinstance(e, Listing):
        if form.single:
            alone = _number(each, form.each, e, problems)
            return None if alone is None else [alone]
        example = ", ".join(["..."] * form.least)
        message = f"`{entry.name}` is a list, not {_named(e)}"
        problems.append(error("list", message, e.span, help=f"write `{entry.name} = [{example}]`"))
        return None
    count = len(e.items)
    if not form.least <= count <= form.most:
        message = f"`{entry.name}` has {count:,} {'value' if count == 1 else 'values'}"
        span = e.items[form.most].span if count > form.most else e.span
        label = "one too many" if count > form.most else ""
        wanted = f"{entry.meaning}: {entry.text}"
        problems.append(error("list-length", message, span, label, help=wanted))
        return None
    values = [_number(each, form.each, item, problems) for item in e.items]
    found = [v for v in values if v is not None]
    if len(found) < len(values) or (form.increasing and not _increases(entry, e, found, problems)):
        return None
    return found


def _increases(
    entry: Entry, e: Listing, found: list[int | float], problems: list[Diagnostic]
) -> bool:
    for k in range(1, len(found)):
        if found[k] <= found[k - 1]:
            also = (Label(e.items[k - 1].span, "after this", primary=False),)
            message = f"the values of `{entry.name}` increase"
            problems.append(
                error("out-of-order", message, e.items[k].span, "no larger", also=also,
                      help="write the smaller value first")
            )  # fmt: skip
            return False
    return True


def _call(entry: Entry, form: Calls, e: Expr, problems: list[Diagnostic]) -> dict[str, Any] | None:
    known = {f.name: f for f in form.functions}
    name = _called(e)
    if name is None or name not in known:
        problems.append(_no_function(entry, form, e, name))
        return None
    function = known[name]
    arguments = _arguments(function, e, problems)
    return None if arguments is None else {"name": name, "arguments": arguments}


def _called(e: Expr) -> str | None:
    """The name of the function in a call; a word alone calls it with nothing but defaults."""
    if isinstance(e, Call):
        return e.name.text
    return e.name if isinstance(e, Ref) and e.at is None else None


def _no_function(entry: Entry, form: Calls, e: Expr, name: str | None) -> Diagnostic:
    names = [f.name for f in form.functions]
    if name is None:
        message = f"`{entry.name}` cannot be {_named(e)}"
        remedy = f"{entry.meaning}: {entry.text}"
        return error("unknown-function", message, e.span, help=remedy)
    near = nearest_word(name, [*names, *(["none"] if entry.none else [])])
    remedy = f"did you mean `{near}`?" if near else there(names)
    if not near and entry.none:
        remedy += ", and the word `none`"
    span = e.name.span if isinstance(e, Call) else e.span
    message = f"`{entry.name}` knows no function `{name[:60]}`"
    return error("unknown-function", message, span, help=remedy)


def _arguments(function: Function, e: Expr, problems: list[Diagnostic]) -> dict[str, Value] | None:
    """The values of all arguments, in the order of the function; None after a problem."""
    known = {a.name: a for a in function.arguments}
    given: dict[str, Keyword] = {}
    before = len(problems)
    for argument in e.arguments if isinstance(e, Call) else ():
        if not isinstance(argument, Keyword):
            problems.append(_nameless(function, argument, given))
        elif argument.name.text not in known:
            problems.append(_unknown_argument(function, argument))
        elif argument.name.text in given:
            first = Label(given[argument.name.text].span, "given first", primary=False)
            name = argument.name.text
            problems.append(
                error("fixed-twice", f"`{name}` is given twice", argument.span, "given again",
                      also=(first,), help="delete one of them")
            )  # fmt: skip
        else:
            given[argument.name.text] = argument
    values: dict[str, Value] = {}
    for a in function.arguments:
        if a.name in given:
            values[a.name] = _value(a, given[a.name].value, problems)
        elif a.required:
            if len(problems) == before:  # a nameless or misspelt one may be what is missing
                problems.append(_missing(function, a, e))
        else:
            values[a.name] = values.get(a.like) if a.like else a.default
    return values if len(problems) == before else None


def _nameless(function: Function, e: Expr | Range, given: dict[str, Keyword]) -> Diagnostic:
    free = next((a.name for a in function.arguments if a.name not in given), None)
    remedy = f"write `{free} = ...`" if free else "delete it"
    message = f"the arguments of `{function.name}` have names"
    return error("arguments", message, e.span, help=remedy)


def _unknown_argument(function: Function, argument: Keyword) -> Diagnostic:
    names = [a.name for a in function.arguments]
    near = nearest_argument(argument.name.text, names)
    remedy = f"did you mean `{near}`?" if near else there(names)
    message = f"`{function.name}` has no argument `{argument.name.text[:60]}`"
    return error("unknown-argument", message, argument.name.span, help=remedy)


def _missing(function: Function, a: Entry, e: Expr) -> Diagnostic:
    message = f"`{function.name}` needs `{a.name}`"
    remedy = f"write `{function.example}`: {a.meaning}, {a.text}"
    span = e.name.span if isinstance(e, Call) else e.span
    return error("missing-argument", message, span, help=remedy)
