"""Scope to network: the quantised line, widths that fit their groups, the squeeze of every block.

`Resolution` keeps how each number came about, for `explain` and for messages that point at lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from . import complexity, regnet
from .cells import Cell, Cells, Value
from .diagnostics import Diagnostic, Label, Note, Span, has_errors
from .limits import DILATION, STAGE_DEPTH, STAGES, TOTAL_DEPTH, WIDTH
from .network import STEM_STRIDES, Extras, Network, Norm, Row, Stage, Stem, usual_shortcut
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
    _order_suits(cells, words)
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


def _order_suits(cells: Cells, words: dict[str, Any]) -> None:
    """Pre-activation blocks end without an activation as they are, and tap no width before their norm."""
    if words["order"] == "pre" and words["block"] == "Z":
        message = "a Z block ends without an activation; in pre-activation order every block does"
        _say_at(cells, "order", "conflict", message, "write `block = Y`, or `order = post`")


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


def _stages(
    cells: Cells, words: dict[str, Any], rows: Sequence[_Row], fits: Sequence[regnet.Fit]
) -> list[Stage]:
    """The stages with their squeezes; from the output stride on, dilation in the place of strides."""
    stages: list[Stage] = []
    w_in, se = int(words["stem"].value), words["se"].value
    wanted, reached = int(words["output_stride"].value), STEM_STRIDES[words["stem_type"]]
    dilation = 1
    for i, (row, fit) in enumerate(zip(rows, fits, strict=True), 1):
        first = _inner_first(cells, i, row, fit, w_in) if words["b_of"] == "in" else fit.inner
        sizes = ((w_in, first), *[(fit.w, fit.inner)] * (row.d - 1))
        squeezed = tuple(_squeezed(words, se, *pair) for pair in sizes)
        if se and not all(squeezed) and not cells.problems:
            none = w_in if not squeezed[0] else fit.w
            message = f"stage {i} squeezes {none} channels to none"
            _say_at(cells, "se", "out-of-range", message, "write a larger `se`")
        stride, before = row.stride, dilation
        if wanted and reached * stride > wanted:
            dilation, stride = dilation * stride, 1
        reached *= stride
        inside = (fit.inner, fit.g, squeezed, first, (before, dilation))
        stages.append(Stage(fit.w, row.d, stride, plain(row.b), *inside))
        w_in = fit.w
    _reaches(cells, reached, wanted)
    if dilation > DILATION:
        message = f"the last stage would be dilated by {dilation}, more than {DILATION}"
        _say_at(cells, "output_stride", "out-of-range", message, "write a larger `output_stride`")
    return stages


def _network(
    cells: Cells,
    words: dict[str, Any],
    rows: Sequence[_Row],
    fits: Sequence[regnet.Fit],
    line: regnet.Line | None,
) -> Network:
    def number(name: str) -> int:
        return int(words[name].value)

    se = words["se"].value
    stages = _stages(cells, words, rows, fits)
    _norms_suit(cells, words, stages)
    if words["drop_path"].value == 1:
        message = "a network whose last block is always skipped does not learn it"
        _say_at(cells, "drop_path", "out-of-range", message, "write less than 1")
    if number("frozen") > len(stages):
        message = f"there are {len(stages)} stages, and `frozen` says {number('frozen')}"
        _say_at(cells, "frozen", "out-of-range", message, "name no more stages than there are")
    shortcut, block, act = words["shortcut"], words["block"], words["se_activation"]
    return Network(
        name=cells.title,
        doc=cells.scope.declaration.doc,
        block=block,
        activation=words["activation"],
        rounding=words["rounding"],
        image=number("image"),
        channels=number("channels"),
        classes=number("classes"),
        stem=Stem(words["stem_type"], number("stem")),
        stages=tuple(stages),
        head=number("head"),
        parameters=_parameters(cells, line, se),
        se_activation=act if se and act and act != words["activation"] else None,
        norm=Norm("group", number("norm_g")) if words["norm"] == "group" else Norm(),
        shortcut=shortcut if shortcut and shortcut != usual_shortcut(block) else None,
        order=words["order"],
        tail=words["tail"] == "activation",
        pool=words["pool"],
        extras=Extras(
            float(words["drop_path"].value), number("checkpointing") > 0, number("frozen")
        ),
    )


def _inner_first(cells: Cells, i: int, row: _Row, fit: regnet.Fit, w_in: int) -> int:
    """Channels inside the first block of a stage where `b` divides the width that comes in."""
    inner = Fraction(w_in) / row.b
    if inner.denominator != 1 or inner % fit.g:
        what = shown(inner) if inner.denominator != 1 else f"{int(inner):,}"
        message = f"stage {i}: {w_in:,} channels come in, and {what} do not split into groups of {fit.g:,}"
        remedy = "change the width before, `b` or `g`, or write `b_of = out`"
        _indivisible(cells, i, message, "g", remedy)
        return fit.inner
    if inner > WIDTH:
        cells.say("out-of-range", f"stage {i} is {int(inner):,} channels wide, more than {WIDTH:,}")
    return int(inner)


def _squeezed(words: dict[str, Any], se: Fraction, w_in: int, inner: int) -> int:
    """Channels that squeeze-and-excitation keeps in one block."""
    return regnet.squeeze_by(
        inner if words["se_of"] == "inner" else w_in, se, int(words["se_by"].value)
    )


def _reaches(cells: Cells, reached: int, wanted: int) -> None:
    if wanted and reached != wanted:
        message = f"the strides make {reached}, so no dilation makes an output stride of {wanted}"
        remedy = (
            f"write `output_stride = {reached}`"
            if wanted > reached
            else "change `stride[i]` or the stem"
        )
        _say_at(cells, "output_stride", "conflict", message, remedy)


def _norms_suit(cells: Cells, words: dict[str, Any], stages: Sequence[Stage]) -> None:
    """Whether group norm splits every width that it normalises."""
    if words["norm"] != "group":
        return
    g, stem, head = (int(words[k].value) for k in ("norm_g", "stem", "head"))
    stems = complexity.tiers(stem) if words["stem_type"] == "tiered" else (stem,)
    named = [("the stem", w) for w in stems]
    for i, s in enumerate(stages, 1):
        named += [(f"stage {i}", w) for w in (s.w, s.inner, s.inner_first)]
    named += [("the head", head)] if head else []
    wrong = next(((where, w) for where, w in named if w % g), None)
    if wrong is not None:
        message = f"{wrong[0]}: group norm cannot take {wrong[1]:,} channels {g:,} at a time"
        _say_at(cells, "norm_g", "indivisible", message, "change the widths, or `norm_g`")


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
