"""Scope to network: values, widths and depths, groups.

`Resolution` keeps how each number came about, for `explain` and for messages that point at lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from . import regnet
from .diagnostics import Diagnostic, Label, Note, Span, error, has_errors
from .limits import STAGE_DEPTH, TOTAL_DEPTH, WIDTH
from .network import Network, Origin, Row, Stage, Stem
from .scopes import Binding, Scope
from .tree import Call, Expr, Listing, Ref
from .values import Quantity, Wrong, evaluate, shown
from .vocabulary import PARAMETERS, Parameter

_CELLS = Quantity | str


@dataclass(frozen=True)
class Resolution:
    """A model's network, the line its widths were quantised from, and how each stage was fitted."""

    network: Network
    scope: Scope
    line: regnet.Line | None = None
    fits: tuple[regnet.Fit, ...] = ()
    spans: dict[tuple[str, int | None], Span] = field(default_factory=dict)
    cells: dict[tuple[str, int | None], Quantity | str | None] = field(default_factory=dict)


def resolve(scope: Scope, origin: Origin, published: Sequence[Row]) -> tuple[Resolution | None, list[Diagnostic]]:
    """The network of a model whose lines have been checked, or every reason why there is none."""
    return _Resolver(scope).run(origin, published)


class _Resolver:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.model = scope.declaration
        self.problems: list[Diagnostic] = []
        self.cells: dict[tuple[str, int | None], _CELLS | None] = {}
        self.active: list[tuple[str, int | None]] = []
        self.spans: dict[tuple[str, int | None], Span] = {}
        self.stages = 0
        self.line: regnet.Line | None = None
        self.arguments: dict[str, int | float] = {}

    def run(self, origin: Origin, published: Sequence[Row]) -> tuple[Resolution | None, list[Diagnostic]]:
        stages = self.value("stages")
        self.stages = int(stages.value) if isinstance(stages, Quantity) else 0
        if self.stages:
            self.quantize()
        scalars = {name: self.value(name) for name in _NEEDED}
        rows = [self.row(i) for i in range(1, self.stages + 1)]
        if has_errors(self.problems):
            return None, self.problems
        fitted = [self.fitted(i, row) for i, row in enumerate(rows, 1)]
        self.depths(rows)
        self.excitation(scalars)
        if has_errors(self.problems) or not all(fitted):
            return None, self.problems
        fits: list[regnet.Fit] = [f for f in fitted if f is not None]
        network = self.network(scalars, rows, fits, origin, published)
        if has_errors(self.problems):
            return None, self.problems
        resolution = Resolution(network, self.scope, self.line, tuple(fits), self.spans, self.cells)
        return resolution, self.problems

    # Values.

    def value(self, name: str, stage: int | None = None, needed: Span | None = None) -> Any:
        """The value of a parameter, worked out once; None after a problem."""
        key = (name, stage)
        if key not in self.cells:
            self.active.append(key)
            self.cells[key] = self.work_out(name, stage, needed)
            self.active.pop()
        return self.cells[key]

    def work_out(self, name: str, stage: int | None, needed: Span | None) -> _CELLS | None:
        parameter = PARAMETERS[name]
        binding = self.scope.bindings.get((name, stage is not None))
        if binding is None:
            return self.unbound(parameter, stage, needed)
        value: Expr = binding.fix.value
        if isinstance(value, Listing) and stage is not None:
            if len(value.items) != self.stages:
                self.list_length(binding, value)
                return None
            value = value.items[stage - 1]
        self.spans[name, stage] = value.span
        if parameter.kind == "word":
            return value.name if isinstance(value, Ref) else None
        if isinstance(value, Call) and value.name.text == "quantized_linear":
            return self.on_line(name, stage)
        try:
            quantity = evaluate(value, self.lookup, stage)
        except Wrong as wrong:
            self.report(wrong)
            return None
        problem = _misfit(parameter, quantity, value.span)
        if problem is not None:
            self.problems.append(problem)
            return None
        return quantity

    def report(self, wrong: Wrong) -> None:
        if wrong.problem is not None:
            self.problems.append(wrong.problem)

    def lookup(self, ref: Ref, stage: int | None) -> Quantity:
        key = (ref.name, stage)
        if stage is not None and not 1 <= stage <= self.stages:
            message = f"there is no stage {stage}; stages count from 1 to {self.stages}"
            raise Wrong(error("index", message, ref.span))
        if key in self.active:
            message = f"`{_called(ref.name, stage)}` depends on itself"
            raise Wrong(error("value-circle", message, ref.span, help="fix one of the values in the circle to a number"))
        value = self.value(ref.name, stage, ref.span)
        if not isinstance(value, Quantity):
            raise Wrong(None)
        return value

    def unbound(self, parameter: Parameter, stage: int | None, needed: Span | None) -> _CELLS | None:
        if parameter.default is not None:
            default = parameter.default
            return default if isinstance(default, str) else Quantity(Fraction(default))
        if parameter.shape == "scalar" or stage in (None, 1):
            self.left_open(parameter, stage, needed)
        return None

    def left_open(self, parameter: Parameter, stage: int | None, needed: Span | None) -> None:
        name = parameter.name if stage is None else f"{parameter.name}[i]"
        if any(p.name == "left-open" and f"leaves `{name}` open" in p.message for p in self.problems):
            return
        message = f"`{self.model.name.text}` leaves `{name}` open"
        remedy = f"add a line `{name} = ...`: {parameter.meaning}"
        notes = (Note("needed here", (Label(needed),)),) if needed is not None else ()
        self.problems.append(
            error("left-open", message, self.model.name.span, "a model fixes every parameter", notes=notes, help=remedy)
        )

    def list_length(self, binding: Binding, value: Listing) -> None:
        wanted = self.spans.get(("stages", None))
        message = f"`{binding.fix.targets[0].span.text}` has {len(value.items)} values for {self.stages} stages"
        notes = (Note("the number of stages", (Label(wanted),)),) if wanted is not None else ()
        self.problems.append(
            error("list-length", message, value.span, notes=notes, help=f"give one value for each stage, or set `stages = {len(value.items)}`")
        )

    # The quantised line.

    def quantize(self) -> None:
        """Widths and depths of a model whose stages lie on a quantised line."""
        binding = self.scope.bindings.get(("w", True))
        call = binding.fix.value if binding is not None else None
        if not isinstance(call, Call) or call.name.text != "quantized_linear":
            return
        values = [self.argument(a, PARAMETERS[p]) for a, p in zip(call.arguments, ("d", "w0", "wa", "wm"), strict=True)]
        if any(v is None for v in values):
            return
        d, w0, wa, wm = values
        self.arguments = dict(zip(("d", "w0", "wa", "wm"), map(plain, values), strict=True))
        line = regnet.quantized_linear(int(d), int(w0), float(wa), float(wm))
        if max(line.w) > WIDTH:
            message = f"the line ends {max(line.w):,} channels wide, more than {WIDTH:,}"
            self.problems.append(error("out-of-range", message, self.model.name.span, help="lower `wa` or `d`"))
        elif len(line.w) != self.stages:
            self.stage_count(line, call)
        else:
            self.line = line

    def argument(self, e: Any, parameter: Parameter) -> Fraction | None:
        try:
            quantity = evaluate(e, self.lookup)
        except Wrong as wrong:
            self.report(wrong)
            return None
        problem = _misfit(parameter, quantity, e.span)
        if problem is not None:
            self.problems.append(problem)
            return None
        if parameter.name == "wm" and float(quantity.value) <= 1:
            self.problems.append(error("out-of-range", "`wm` is too near to 1", e.span, help="write a larger one"))
            return None
        return quantity.value

    def stage_count(self, line: regnet.Line, call: Call) -> None:
        made = len(line.w)
        notes = [Note("by this line", (Label(call.span),))]
        if ("stages", None) in self.spans:
            notes.append(Note("the number of stages", (Label(self.spans["stages", None]),)))
        widths = ", ".join(str(w) for w in line.w[:16])
        message = f"the quantised line makes {made} {'stage' if made == 1 else 'stages'}, `stages` says {self.stages}"
        remedy = f"write `stages = {made}`, or change `d`, `wa` or `wm`" if made <= 8 else "change `d`, `wa` or `wm`"
        self.problems.append(
            error("stage-count", message, self.model.name.span, f"widths {widths}", notes=notes, help=remedy)
        )

    def on_line(self, name: str, stage: int | None) -> Quantity | None:
        if self.line is None or stage is None:
            if not self.problems:  # only a value that the line itself needs can ask before it is there
                span = self.spans[name, stage]
                self.problems.append(error("value-circle", f"`{_called(name, stage)}` depends on itself", span))
            return None
        return Quantity(Fraction((self.line.w if name == "w" else self.line.d)[stage - 1]), "plain")

    # Stages.

    def row(self, i: int) -> dict[str, Fraction] | None:
        values = {name: self.value(name, i) for name in ("w", "d", "stride", "b", "g")}
        if not all(isinstance(v, Quantity) for v in values.values()):
            return None
        return {name: v.value for name, v in values.items()}

    def fitted(self, i: int, row: dict[str, Fraction] | None) -> regnet.Fit | None:
        """The widths of a stage: adjusted on a quantised line, exact or refused where written out."""
        if row is None:
            return None
        w, b, g = int(row["w"]), row["b"], int(row["g"])
        if self.line is None:
            inner = Fraction(w) / b
            if inner.denominator != 1:
                self.indivisible(i, f"{w:,} channels do not divide by b = {shown(b)}", Fraction(w), b)
                return None
            if inner > WIDTH:
                self.too_wide(i, int(inner))
                return None
            if inner % g:
                self.indivisible(i, f"{int(inner):,} channels do not split into groups of {g:,}", inner, Fraction(g))
                return None
            return regnet.Fit(w, int(inner), g, int(inner), g)
        rounding: regnet.Rounding = self.value("rounding")
        fit = regnet.fit(w, b, g, rounding)
        if fit.inner % fit.g:
            self.indivisible(i, f"{fit.inner:,} channels do not split into groups of {fit.g:,}", Fraction(fit.inner), Fraction(fit.g))
            return None
        if max(fit.inner, fit.w) > WIDTH:
            self.too_wide(i, max(fit.inner, fit.w))
            return None
        return fit

    def too_wide(self, i: int, width: int) -> None:
        span = self.spans.get(("w", i), self.model.name.span)
        self.problems.append(error("out-of-range", f"stage {i} is {width:,} channels wide, more than {WIDTH:,}", span))

    def indivisible(self, i: int, message: str, width: Fraction, by: Fraction) -> None:
        """Explicit widths must split; the label points at the width, its other half at the divisor."""
        span = self.spans.get(("w", i))
        if span is None or self.line is not None:
            span = self.model.name.span
        other = "g" if "groups" in message else "b"
        where = self.spans.get((other, i)) or self.spans.get((other, None))
        also = []
        if where is not None and where.source is span.source:
            also.append(Label(where, "width of a group" if other == "g" else "bottleneck ratio", primary=False))
        count, rest = divmod(width, by)
        label = f"{shown(width)} = {count} x {shown(by)} + {shown(rest)}" if count else f"a group is wider than {shown(width)}"
        fit = regnet.fit(int(self.value("w", i).value), self.value("b", i).value, int(self.value("g", i).value), "paper")
        near = sorted({fit.w, fit.w + (fit.multiple if fit.inner < width else -fit.multiple)} - {0})
        remedy = None
        if other == "g" and self.line is None and self.value("b", i).value == 1:
            remedy = f"the nearest widths that do are {' and '.join(f'{n:,}' for n in near if n > 0)}"
        elif self.line is not None:
            remedy = "write `rounding = paper`, which fits widths to groups and to b < 1"
        self.problems.append(error("indivisible", f"stage {i}: {message}", span, label, also=also, help=remedy))

    def depths(self, rows: Sequence[dict[str, Fraction] | None]) -> None:
        depths = [int(row["d"]) for row in rows if row is not None]
        for i, d in enumerate(depths, 1):
            if d > STAGE_DEPTH:
                span = self.model.name.span if self.line is not None else self.spans.get(("d", i), self.model.name.span)
                message = f"stage {i} has {d:,} blocks, more than {STAGE_DEPTH}"
                self.problems.append(error("out-of-range", message, span))
        if sum(depths) > TOTAL_DEPTH:
            message = f"the network has {sum(depths):,} blocks, more than {TOTAL_DEPTH:,}"
            self.problems.append(error("out-of-range", message, self.model.name.span))

    def excitation(self, scalars: dict[str, Any]) -> None:
        block, se = scalars["block"], scalars["se"]
        if block is None or se is None:
            return
        span = self.spans.get(("se", None), self.model.name.span)
        if block == "X" and se.value > 0:
            message = "an X block has no squeeze-and-excitation"
            self.problems.append(self.at(span, "conflict", message, "write `block = Y`, or leave `se` out"))
        elif block == "Y" and se.value == 0:
            message = "a Y block without squeeze-and-excitation is an X block"
            self.problems.append(self.at(span, "conflict", message, "write `se = 1/4`, or `block = X`"))

    def at(self, span: Span, name: str, message: str, remedy: str) -> Diagnostic:
        """A problem of this model whose cause may stand in another file."""
        if span.source is self.model.name.span.source:
            return error(name, message, span, help=remedy)
        return error(name, message, self.model.name.span, notes=(Note("because of", (Label(span),)),), help=remedy)

    # The network.

    def network(
        self,
        scalars: dict[str, Any],
        rows: Sequence[dict[str, Fraction] | None],
        fits: Sequence[regnet.Fit],
        origin: Origin,
        published: Sequence[Row],
    ) -> Network:
        stages: list[Stage] = []
        w_in = int(scalars["stem"].value)
        se = scalars["se"].value
        for i, (row, fit) in enumerate(zip(rows, fits, strict=True), 1):
            if row is None:
                raise AssertionError("a row without values has been reported")
            squeezed = [regnet.squeeze(w, se) for w in (w_in, *[fit.w] * (int(row["d"]) - 1))]
            if se and not all(squeezed):
                message = f"stage {i} squeezes {w_in if not squeezed[0] else fit.w} channels to none"
                span = self.spans.get(("se", None), self.model.name.span)
                self.problems.append(self.at(span, "out-of-range", message, "write a larger `se`"))
            stages.append(
                Stage(fit.w, int(row["d"]), int(row["stride"]), plain(row["b"]), fit.inner, fit.g, tuple(squeezed))
            )
            w_in = fit.w
        return Network(
            name=self.model.name.text,
            doc=self.model.doc,
            origin=origin,
            block=scalars["block"],
            activation=scalars["activation"],
            rounding=scalars["rounding"],
            image=int(scalars["image"].value),
            channels=int(scalars["channels"].value),
            classes=int(scalars["classes"].value),
            stem=Stem(scalars["stem_type"], int(scalars["stem"].value)),
            stages=tuple(stages),
            head=int(scalars["head"].value),
            parameters=self.parameters(se),
            published=tuple(replace(r, image=r.image or int(scalars["image"].value)) for r in published),
        )

    def parameters(self, se: Fraction) -> tuple[tuple[str, int | float], ...]:
        """The numbers that the paper would print for this network."""
        found = dict(self.arguments)
        for name in ("g", "b") if self.line is not None else ():
            value = self.cells.get((name, None))
            if isinstance(value, Quantity):
                found[name] = plain(value.value)
        if se:
            found["se"] = plain(se)
        return tuple(found.items())


_NEEDED = tuple(p.name for p in PARAMETERS.values() if p.shape == "scalar" and p.name not in ("w0", "wa", "wm"))


def _called(name: str, stage: int | None) -> str:
    return name if stage is None else f"{name}[{stage}]"


def plain(x: Fraction) -> int | float:
    """A whole number as an integer, any other as the float nearest to it."""
    return x.numerator if x.denominator == 1 else float(x)


def _misfit(parameter: Parameter, quantity: Quantity, span: Span) -> Diagnostic | None:
    """Why a value cannot be this parameter's."""
    x, name = quantity.value, parameter.name
    if quantity.unit == "flops":
        return error("unit", f"`{name}` does not count flops", span, "this unit means flops", help=f"it is {parameter.range_text}")
    if parameter.kind == "integer" and x.denominator != 1:
        return error("not-an-integer", f"`{name}` is a whole number, not {shown(x)}", span, help=f"{parameter.meaning}: {parameter.range_text}")
    too_low = x < parameter.low or (parameter.above and x == parameter.low)
    if too_low or x > parameter.high or (parameter.multiple > 1 and x % parameter.multiple):
        return error("out-of-range", f"`{name}` cannot be {shown(x)}", span, help=f"{parameter.meaning}: {parameter.range_text}")
    if parameter.kind == "ratio" and 1 not in (x.numerator, x.denominator):
        message = f"`{name}` cannot be {shown(x)}"
        return error("out-of-range", message, span, help=f"{parameter.meaning}: a whole number, or one over a whole number")
    return None
