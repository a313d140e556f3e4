"""Scope to network: the quantised line, widths that fit their groups, the squeeze of every block.

`Resolution` keeps how each number came about, for `explain` and for messages that point at lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from . import regnet
from .cells import Cell, Cells, Value
from .diagnostics import Diagnostic, Label, Note, Span, has_errors
from .limits import STAGE_DEPTH, STAGES, TOTAL_DEPTH, WIDTH
from .network import Network, Row, Stage, Stem
from .scopes import Scope
from .tree import Call
from .values import Quantity, shown
from .vocabulary import PARAMETERS


class Resolution(NamedTuple):
    """A model's network, the line its widths were quantised from, and how each stage was fitted.

    `values` and `spans` hold what the model's parameters are and where that is written.
    """

    network: Network
    scope: Scope
    line: regnet.Line | None
    fits: tuple[regnet.Fit, ...]
    cells: Cells

    @property
    def values(self) -> dict[Cell, Value]:
        return self.cells.values

    @property
    def spans(self) -> dict[Cell, Span]:
        return self.cells.spans


class _Row(NamedTuple):
    """A stage as it is written, before its width is fitted to its groups."""

    w: int
    d: int
    stride: int
    b: Fraction
    g: int


def resolve(scope: Scope, published: Sequence[Row]) -> tuple[Resolution | None, list[Diagnostic]]:
    """The network of a model whose lines have been checked, or every reason why there is none.

    A published row with image 0 was counted at the network's own image size.
    """
    cells = Cells(scope)
    resolution = _resolve(cells, published)
    return (None if has_errors(cells.problems) else resolution), cells.problems


def drawn(
    scope: Scope, name: str, values: Mapping[Cell, Fraction]
) -> tuple[Resolution | None, list[Diagnostic]]:
    """The network that values drawn from a space make, or why they make none.

    Widths that are drawn meet their groups as quantised ones do; a quantised line skips no power.
    """
    cells = Cells(scope, name, values)
    resolution = _resolve(cells, ())
    line = resolution.line if resolution is not None else None
    if line is not None and line.blocks[-1].k != len(line.w) - 1:
        cells.say("skipped", f"no block of `{name}` takes one of the powers of `wm`")
    return (None if has_errors(cells.problems) else resolution), cells.problems


def _resolve(cells: Cells, published: Sequence[Row]) -> Resolution | None:
    line = _line(cells)
    words = {name: cells.value(name) for name in _SCALARS}
    rows = [_row(cells, i) for i in range(1, cells.stages + 1)]
    if has_errors(cells.problems):
        return None
    written = [row for row in rows if row is not None]
    _depths(cells, written, line)
    _excitation_suits(cells, words)
    fits = [_fitted(cells, i, row, line) for i, row in enumerate(written, 1)]
    if has_errors(cells.problems):
        return None
    fitted = [fit for fit in fits if fit is not None]
    network = _network(cells, words, written, fitted, line)
    rows_at = tuple(row._replace(image=row.image or network.image) for row in published)
    network = network._replace(published=rows_at)
    return Resolution(network, cells.scope, line, tuple(fitted), cells)


def _line(cells: Cells) -> regnet.Line | None:
    """The quantised line, once the number of stages is known; or that number, once the line is."""
    if ("stages", False) not in cells.scope.bindings and ("stages", None) not in cells.values:
        line = _quantize(cells)
        if line is None:
            if _call(cells) is None:
                cells.value("stages")
            return None
        cells.stages = min(len(line.w), STAGES)
        cells.values["stages", None] = Quantity(Fraction(len(line.w)), "plain")
        if len(line.w) > STAGES:
            many = f"the quantised line makes {len(line.w):,} stages, more than {STAGES}"
            cells.say("out-of-range", many, help="change `d`, `wa` or `wm`")
        return line
    stages = cells.value("stages")
    if not isinstance(stages, Quantity):
        return None
    cells.stages = int(stages.value)
    return _quantize(cells)


def _call(cells: Cells) -> Call | None:
    """The call of `quantized_linear` that gives widths and depths."""
    binding = cells.scope.bindings.get(("w", True))
    value = binding.fix.value if binding is not None else None
    return value if isinstance(value, Call) and value.name.text == "quantized_linear" else None


_SCALARS = tuple(
    p.name for p in PARAMETERS.values() if p.shape == "scalar" and p.name not in ("w0", "wa", "wm")
)
_LINE = ("d", "w0", "wa", "wm")


def _quantize(cells: Cells) -> regnet.Line | None:
    """Widths and depths of a model whose stages lie on a quantised line."""
    call = _call(cells)
    if call is None:
        return None
    found = [cells.number(e, PARAMETERS[p]) for e, p in zip(call.arguments, _LINE, strict=True)]
    values = [quantity.value for quantity in found if quantity is not None]
    if len(values) < len(_LINE):
        return None
    d, w0, wa, wm = values
    if float(wm) <= 1:
        span = cells.spans.get(("wm", None), call.arguments[3].span)
        cells.say("out-of-range", "`wm` is too near to 1", span, help="write a larger one")
        return None
    line = regnet.quantized_linear(int(d), int(w0), float(wa), float(wm))
    if max(line.w) > WIDTH:
        message = f"the line ends {max(line.w):,} channels wide, more than {WIDTH:,}"
        cells.say("out-of-range", message, help="lower `wa` or `d`")
    elif cells.stages and len(line.w) != cells.stages:
        _stage_count(cells, line, call)
    cells.line = {"w": line.w, "d": line.d}
    return line


def _stage_count(cells: Cells, line: regnet.Line, call: Call) -> None:
    made = len(line.w)
    notes = [Note("by this line", (Label(call.span),))]
    if ("stages", None) in cells.spans:
        notes.append(Note("the number of stages", (Label(cells.spans["stages", None]),)))
    many = "stage" if made == 1 else "stages"
    remedy = "change `d`, `wa` or `wm`"
    if made <= STAGES:
        remedy = f"write `stages = {made}`, or {remedy}"
    cells.say(
        "stage-count", f"the quantised line makes {made} {many}, `stages` says {cells.stages}",
        label=f"widths {', '.join(str(w) for w in line.w[:16])}", notes=notes, help=remedy,
    )  # fmt: skip


def _row(cells: Cells, i: int) -> _Row | None:
    if cells.line and len(cells.line["w"]) != cells.stages:
        return None
    w, d, stride, b, g = (cells.value(name, i) for name in ("w", "d", "stride", "b", "g"))
    if not all(isinstance(v, Quantity) for v in (w, d, stride, b, g)):
        return None
    return _Row(int(w.value), int(d.value), int(stride.value), b.value, int(g.value))


def _depths(cells: Cells, rows: Sequence[_Row], line: regnet.Line | None) -> None:
    for i, row in enumerate(rows, 1):
        if row.d > STAGE_DEPTH:
            span = None if line is not None else cells.spans.get(("d", i))
            cells.say(
                "out-of-range", f"stage {i} has {row.d:,} blocks, more than {STAGE_DEPTH}", span
            )
    if sum(row.d for row in rows) > TOTAL_DEPTH:
        total = sum(row.d for row in rows)
        cells.say("out-of-range", f"the network has {total:,} blocks, more than {TOTAL_DEPTH:,}")


def _excitation_suits(cells: Cells, words: dict[str, Any]) -> None:
    block, se = words["block"], words["se"].value
    if block == "X" and se > 0:
        message = "an X block has no squeeze-and-excitation"
        _say_at(cells, "se", "conflict", message, "write `block = Y`, or leave `se` out")
    elif block == "Y" and se == 0:
        message = "a Y block without squeeze-and-excitation is an X block"
        _say_at(cells, "se", "conflict", message, "write `se = 1/4`, or `block = X`")


def _say_at(cells: Cells, parameter: str, name: str, message: str, remedy: str) -> None:
    """A problem of the model with a value that may stand in another file."""
    span = cells.spans.get((parameter, None))
    if span is None or span.source is cells.name.span.source:
        cells.say(name, message, span, help=remedy)
    else:
        cells.say(name, message, notes=(Note("because of", (Label(span),)),), help=remedy)


# Widths and groups.


def _fitted(cells: Cells, i: int, row: _Row, line: regnet.Line | None) -> regnet.Fit | None:
    """The widths of a stage: adjusted on a quantised line, exact or refused where written out."""
    if line is not None or cells.drawn:
        fit = regnet.fit(row.w, row.b, row.g, cells.value("rounding"))
    else:
        inner = row.w / row.b
        if inner.denominator != 1:
            message = f"stage {i}: {row.w:,} channels do not divide by b = {shown(row.b)}"
            _indivisible(cells, i, message, "b", "write a multiple of it")
            return None
        fit = regnet.Fit(row.w, int(inner), row.g, int(inner), row.g)
    if max(fit.inner, fit.w) > WIDTH:
        message = f"stage {i} is {max(fit.inner, fit.w):,} channels wide, more than {WIDTH:,}"
        cells.say("out-of-range", message, None if line is not None else cells.spans.get(("w", i)))
        return None
    if fit.inner % fit.g:
        message = f"stage {i}: {fit.inner:,} channels do not split into groups of {fit.g:,}"
        remedy = "write `rounding = paper`, which fits widths to groups and to b < 1"
        if line is None:
            remedy = _nearest(fit, row.b)
        count, rest = divmod(fit.inner, fit.g)
        label = f"{fit.inner:,} = {count} x {fit.g:,} + {rest:,}"
        _indivisible(
            cells, i, message, "g", remedy, label if count else "narrower than a group", line
        )
        return None
    return fit


def _indivisible(
    cells: Cells,
    i: int,
    message: str,
    by: str,
    remedy: str,
    label: str = "",
    line: regnet.Line | None = None,
) -> None:
    """Widths that do not split; the label points at the width, its other half at the divisor."""
    span = cells.spans.get(("w", i)) if line is None else None
    span = span or cells.name.span
    where = cells.spans.get((by, i)) or cells.spans.get((by, None))
    also = []
    if where is not None and where.source is span.source:
        meaning = "width of a group" if by == "g" else "bottleneck ratio"
        also.append(Label(where, meaning, primary=False))
    cells.say("indivisible", message, span, label, also=also, help=remedy)


def _nearest(fit: regnet.Fit, b: Fraction) -> str:
    """The widths on either side whose insides split into the groups."""
    below = fit.inner // fit.g * fit.g
    widths = [inner * b for inner in (below, below + fit.g) if inner]
    whole = [f"{int(w):,}" for w in widths if w.denominator == 1]
    if not whole:
        return "change the width or the group width"
    near = "widths that do are" if len(whole) > 1 else "width that does is"
    return f"the nearest {near} {' and '.join(whole)}"


# The network.


def _network(
    cells: Cells,
    words: dict[str, Any],
    rows: Sequence[_Row],
    fits: Sequence[regnet.Fit],
    line: regnet.Line | None,
) -> Network:
    def number(name: str) -> int:
        return int(words[name].value)

    stages: list[Stage] = []
    w_in = number("stem")
    se = words["se"].value
    for i, (row, fit) in enumerate(zip(rows, fits, strict=True), 1):
        squeezed = [regnet.squeeze(w, se) for w in (w_in, *[fit.w] * (row.d - 1))]
        if se and not all(squeezed) and not cells.problems:
            none = w_in if not squeezed[0] else fit.w
            message = f"stage {i} squeezes {none} channels to none"
            _say_at(cells, "se", "out-of-range", message, "write a larger `se`")
        stages.append(
            Stage(fit.w, row.d, row.stride, plain(row.b), fit.inner, fit.g, tuple(squeezed))
        )
        w_in = fit.w
    return Network(
        name=cells.title,
        doc=cells.scope.declaration.doc,
        block=words["block"],
        activation=words["activation"],
        rounding=words["rounding"],
        image=number("image"),
        channels=number("channels"),
        classes=number("classes"),
        stem=Stem(words["stem_type"], number("stem")),
        stages=tuple(stages),
        head=number("head"),
        parameters=_parameters(cells, line, se),
    )


def _parameters(
    cells: Cells, line: regnet.Line | None, se: Fraction
) -> tuple[tuple[str, int | float], ...]:
    """The numbers that the paper would print for this network."""
    found: dict[str, int | float] = {}
    binding = cells.scope.bindings.get(("w", True))
    if line is not None and binding is not None and isinstance(binding.fix.value, Call):
        for name, e in zip(_LINE, binding.fix.value.arguments, strict=True):
            quantity = cells.number(e, PARAMETERS[name])
            if quantity is not None:
                found[name] = plain(quantity.value)
        for name in ("g", "b"):
            value = cells.values.get((name, None))
            if isinstance(value, Quantity):
                found[name] = plain(value.value)
    if se:
        found["se"] = plain(se)
    return tuple(found.items())


def plain(x: Fraction) -> int | float:
    """A whole number as an integer, any other as the float nearest to it."""
    return x.numerator if x.denominator == 1 else float(x)
