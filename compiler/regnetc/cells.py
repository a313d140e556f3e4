"""A scope to the values of its parameters, each worked out once and only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .diagnostics import Diagnostic, Label, Note, Span, error
from .scopes import Binding, Scope
from .tree import Call, Expr, Listing, Ref
from .values import Quantity, Wrong, evaluate, shown
from .vocabulary import PARAMETERS, Parameter

Cell = tuple[str, int | None]
"""A parameter's name, and the stage if there is one for each: ("w", 2) is `w[2]`."""

Value = Quantity | str | None
"""A number, a word, or None after a problem."""


class Cells:
    """The values of a model's parameters. Problems are gathered, and said once.

    `stages` has to be known before values that there are for each stage; `line` holds widths and
    depths of the stages where they come from a quantised line. `given` are values drawn from a space.
    """

    def __init__(
        self, scope: Scope, name: str = "", given: Mapping[Cell, Fraction] | None = None
    ) -> None:
        self.scope = scope
        self.name = scope.declaration.name
        self.title = name or self.name.text
        self.drawn = given is not None
        self.problems: list[Diagnostic] = []
        self.values: dict[Cell, Value] = {c: Quantity(x, "plain") for c, x in (given or {}).items()}
        self.spans: dict[Cell, Span] = {}
        self.stages = 0
        self.line: dict[str, tuple[int, ...]] = {}
        self._active: list[Cell] = []
        self._open: set[str] = set()

    def say(
        self, name: str, message: str, span: Span | None = None, label: str = "", **more: Any
    ) -> None:
        """Gather a problem; without a place it is one of the model."""
        self.problems.append(error(name, message, span or self.name.span, label, **more))

    def value(self, name: str, stage: int | None = None, needed: Span | None = None) -> Any:
        """The value of a parameter; `needed` is the place that asks for it."""
        cell = (name, stage)
        if cell not in self.values:
            self._active.append(cell)
            self.values[cell] = self._work_out(name, stage, needed)
            self._active.pop()
        return self.values[cell]

    def number(self, e: Any, parameter: Parameter, stage: int | None = None) -> Quantity | None:
        """The value of an expression that has to suit a parameter."""
        try:
            quantity = evaluate(e, self.lookup, stage)
        except Wrong as wrong:
            if wrong.problem is not None:
                self.problems.append(wrong.problem)
            return None
        problem = misfit(parameter, quantity, e.span)
        if problem is not None:
            self.problems.append(problem)
            return None
        return quantity

    def lookup(self, ref: Ref, stage: int | None) -> Quantity:
        """The value of a reference in an expression; raises Wrong where there is none."""
        if stage is not None and not 1 <= stage <= self.stages:
            message = f"there is no stage {stage}; stages count from 1 to {self.stages}"
            if not self.stages:
                message = "the number of stages does not depend on a stage"
            raise Wrong(error("index", message, ref.span))
        if (ref.name, stage) in self._active:
            raise Wrong(circle(ref.name, stage, ref.span))
        value = self.value(ref.name, stage, ref.span)
        if not isinstance(value, Quantity):
            raise Wrong(None)
        return value

    def _work_out(self, name: str, stage: int | None, needed: Span | None) -> Value:
        parameter = PARAMETERS[name]
        binding = self.scope.bindings.get((name, stage is not None))
        if binding is None:
            return self._unbound(parameter, stage, needed)
        value: Expr = binding.fix.value
        if isinstance(value, Listing) and stage is not None:
            if len(value.items) != self.stages:
                self._list_length(binding, value)
                return None
            value = value.items[stage - 1]
        self.spans[name, stage] = value.span
        if parameter.kind == "word":
            return value.name if isinstance(value, Ref) else None
        if isinstance(value, Call) and value.name.text == "quantized_linear":
            return self._on_line(name, stage, needed)
        return self.number(value, parameter, stage)

    def _on_line(self, name: str, stage: int | None, needed: Span | None) -> Value:
        if self.line and stage is not None:
            return Quantity(Fraction(self.line[name][stage - 1]), "plain")
        if not self.problems:  # nothing but a value that the line needs can ask before it is there
            self.problems.append(circle(name, stage, needed or self.spans[name, stage]))
        return None

    def _unbound(self, parameter: Parameter, stage: int | None, needed: Span | None) -> Value:
        if parameter.default is not None:
            default = parameter.default
            return default if isinstance(default, str) else Quantity(Fraction(default))
        name = parameter.name if stage is None else f"{parameter.name}[i]"
        if name not in self._open:
            self._open.add(name)
            notes = (Note("needed here", (Label(needed),)),) if needed is not None else ()
            self.say(
                "left-open", f"`{self.name.text}` leaves `{name}` open",
                label="a model fixes every parameter", notes=notes,
                help=f"add a line `{name} = ...`: {parameter.meaning}",
            )  # fmt: skip
        return None

    def _list_length(self, binding: Binding, value: Listing) -> None:
        wanted = self.spans.get(("stages", None))
        count = len(value.items)
        message = (
            f"`{binding.fix.targets[0].span.text}` has {count} values for {self.stages} stages"
        )
        if any(p.message == message for p in self.problems):
            return
        notes = (Note("the number of stages", (Label(wanted),)),) if wanted is not None else ()
        remedy = f"give one value for each stage, or set `stages = {count}`"
        self.say("list-length", message, value.span, notes=notes, help=remedy)


def circle(name: str, stage: int | None, span: Span) -> Diagnostic:
    called = name if stage is None else f"{name}[{stage}]"
    remedy = "fix one of the values in the circle to a number"
    return error("value-circle", f"`{called}` depends on itself", span, help=remedy)


def misfit(parameter: Parameter, quantity: Quantity, span: Span) -> Diagnostic | None:
    """Why a value cannot be this parameter's, or None."""
    x, name = quantity.value, parameter.name
    wanted = f"{parameter.meaning}: {parameter.range_text}"
    if quantity.unit == "flops":
        message = f"`{name}` does not count flops"
        return error("unit", message, span, "this unit means flops", help=wanted)
    if parameter.kind == "integer" and x.denominator != 1:
        return error(
            "not-an-integer", f"`{name}` is a whole number, not {shown(x)}", span, help=wanted
        )
    outside = not parameter.low <= x <= parameter.high or (parameter.above and x == parameter.low)
    if outside or (parameter.multiple > 1 and x % parameter.multiple):
        return error("out-of-range", f"`{name}` cannot be {shown(x)}", span, help=wanted)
    if parameter.kind == "ratio" and 1 not in (x.numerator, x.denominator):
        remedy = f"{parameter.meaning}: a whole number, or one over a whole number"
        return error("out-of-range", f"`{name}` cannot be {shown(x)}", span, help=remedy)
    return None
