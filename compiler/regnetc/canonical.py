"""A scope in one normal form: every line that counts, whoever says it, in one spelling and order.

Two spaces with the same lines in this form are the same space. The lines are lines of the language:
put into a body they make a declaration that means the same and needs no other file.
"""

from __future__ import annotations

from fractions import Fraction

from .distributions import Distribution
from .draws import distribution
from .refinement import narrowest
from .scopes import Scope
from .tree import (
    Bound,
    Call,
    Chain,
    Draw,
    Expr,
    Fix,
    Keyword,
    Listing,
    Member,
    Number,
    Range,
    Ref,
    String,
)
from .values import Quantity, Wrong, evaluate

_LONGEST = 30  # digits of a number that takes the place of an expression


def lines_of(scope: Scope) -> list[str]:
    """The lines of a scope in normal form, sorted, none twice."""
    return sorted(owners(scope))


def owners(scope: Scope) -> dict[str, str]:
    """The lines of a scope in normal form, each with a declaration that says it."""
    found = {}
    for binding in scope.bindings.values():
        found[fix_line(binding.fix)] = binding.owner.name.text
    for draws in scope.drawn.values():
        drawn = narrowest(draws)
        found[draw_line(drawn.draw)] = drawn.owner.name.text
    for owner, line in scope.requirements():
        found[requirement(line)] = owner.name.text
    return found


def fix_line(line: Fix) -> str:
    targets = ", ".join(expression(t) for t in line.targets)
    return f"{targets} = {expression(line.value)}"


def draw_line(line: Draw) -> str:
    return f"{expression(line.target)} ~ {drawing(distribution(line))}"


def requirement(line: Bound | Member) -> str:
    if isinstance(line, Member):
        return f"{expression(line.value)} in {_range(line.range)}"
    words = [expression(line.operands[0])]
    for sign, operand in zip(line.signs, line.operands[1:], strict=True):
        words += [sign, expression(operand)]
    return " ".join(words)


def drawing(d: Distribution) -> str:
    """A distribution with everything said that may be left out."""
    if d.kind == "choice":
        return f"choice({', '.join(number(v) for v in d.values())})"
    ends = f"{number(d.low)}..{number(d.high)}"
    return f"power2({ends})" if d.kind == "power2" else f"{d.kind}({ends} by {number(d.step)})"


def number(x: Fraction) -> str:
    """A value in decimals where it has them, else as a quotient."""
    if x.denominator == 1:
        return str(x.numerator)
    twos, fives, rest = 0, 0, x.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return f"{x.numerator} / {x.denominator}"
    places = max(twos, fives)
    digits = str(x.numerator * 10**places // x.denominator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


def expression(e: Expr | Range | Keyword) -> str:
    match e:
        case Number():
            return f"{number(e.value / 10**6)}MF" if e.unit == "F" else number(e.value)
        case String():
            return f'"{e.value}"'
        case Ref():
            return e.name if e.at is None else f"{e.name}[{expression(e.at).replace(' ', '')}]"
        case Call():
            return f"{e.name.text}({', '.join(expression(a) for a in e.arguments)})"
        case Listing():
            return f"[{', '.join(expression(item) for item in e.items)}]"
        case Chain():
            return _chain(e)
        case Range():
            return _range(e)
        case Keyword():
            return f"{e.name.text} = {expression(e.value)}"


def _chain(e: Chain) -> str:
    folded = _folded(e)
    if folded is not None:
        return folded
    words = [_operand(e.operands[0], e)]
    for sign, operand in zip(e.operators, e.operands[1:], strict=True):
        words += [sign, _operand(operand, e)]
    return " ".join(words)


def _folded(e: Chain) -> str | None:
    """What a chain of nothing but numbers comes to, if the language can write that as one number."""
    try:
        value, unit = evaluate(e, _none, None)
    except (Wrong, LookupError):
        return None
    text = number(value / 10**6 if unit == "flops" else value)
    if value < 0 or "/" in text or len(text) > _LONGEST:
        return None
    return f"{text}MF" if unit == "flops" else text


def _none(ref: Ref, _: int | None) -> Quantity:
    raise LookupError(ref.name)


def _operand(e: Expr, whole: Chain) -> str:
    """An operand in the brackets that it needs: a product in a sum needs none."""
    text = expression(e)
    if not isinstance(e, Chain) or (e.operators[0] in "*/" and whole.operators[0] in "+-"):
        return text
    return f"({text})"


def _range(r: Range) -> str:
    ends = f"{expression(r.low)}..{expression(r.high)}"
    return ends if r.step is None else f"{ends} by {expression(r.step)}"
