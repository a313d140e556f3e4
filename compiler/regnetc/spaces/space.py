"""A scope as a space to draw from: its free parameters, its demands, and the text that is its identity."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any, NamedTuple

from ..canonical import draw_line, fix_line, lines_of, requirement
from ..cells import Cell, Cells
from ..check_lines import stage_offset
from ..complexity import Style
from ..diagnostics import Span, SpecError, has_errors
from ..distributions import Distribution
from ..draws import distribution
from ..limits import STAGES
from ..network import usual_shortcut
from ..refinement import narrowest
from ..scopes import Drawn, Scope
from ..tree import Bound, Call, Declaration, Draw, Fix, Member, Ref, references
from ..values import Quantity
from ..vocabulary import COUNTS, PARAMETERS, Parameter

LINE = ("d", "w0", "wa", "wm")
SCALARS = tuple(p.name for p in PARAMETERS.values() if p.shape == "scalar" and p.name not in LINE)
STAGED = ("w", "d", "stride", "b", "g")

_SOMETIMES = ("out-of-range", "not-an-integer", "division-by-zero", "negative-root")
"""What may be wrong with a worked-out value under some draws and not under others."""


class Variable(NamedTuple):
    """A free parameter: its cell, what it is drawn from, and the line that says so."""

    cell: Cell
    distribution: Distribution
    drawn: Drawn

    @property
    def name(self) -> str:
        """`wm`, or `w[2]`."""
        return called(self.cell)


class Demand(NamedTuple):
    """A line that every member satisfies: a bound, a draw of what another line fixes, the line of widths.

    The last (equations 2 to 4) demands that the widths make as many stages as there are to be, none
    of them skipped. `normal` is the line in normal form.
    """

    owner: Declaration
    line: Bound | Member | Draw | Fix
    normal: str

    @property
    def text(self) -> str:
        """The line as it is written."""
        return " ".join(self.line.span.text.split())


class Space(NamedTuple):
    """A space that can be drawn from.

    `stages` are the fewest and the most that its networks may have, `line` whether their widths come
    from a quantised line. `text` are its lines in one normal form, whoever says them and in whatever
    order; `digest` is the SHA-256 of that.
    """

    scope: Scope
    variables: tuple[Variable, ...]
    fixed: dict[Cell, Quantity | str]
    demands: tuple[Demand, ...]
    stages: tuple[int, int]
    line: Call | None
    text: str
    digest: str

    @property
    def name(self) -> str:
        return self.scope.declaration.name.text

    @property
    def span(self) -> Span:
        return self.scope.declaration.name.span

    @property
    def style(self) -> Style:
        """What the layers of all its networks are: words are not drawn."""
        word: Any = {name: self.fixed.get((name, None)) for name in _STYLE}
        shortcut = word["shortcut"] or usual_shortcut(word["block"])
        return Style(
            word["block"], shortcut, word["order"], word["tail"] == "activation", word["pool"]
        )


_STYLE = ("block", "shortcut", "order", "tail", "pool")
_UNDRAWN = {"b_of": "out", "se_of": "in", "norm": "batch", "se_by": 1, "output_stride": 0}
"""What models may say otherwise, and spaces that are drawn from may not."""


def called(cell: Cell) -> str:
    name, stage = cell
    return name if stage is None else f"{name}[{stage}]"


def read(scope: Scope) -> Space:
    """The space of a scope that has been checked. Raises SpecError where it cannot be drawn from."""
    probe = Probe(scope)
    probe.explore()
    if has_errors(probe.problems):
        raise SpecError(probe.problems)
    text = "\n".join(lines_of(scope))
    fixed = {
        cell: value
        for cell, value in probe.values.items()
        if value is not None and not probe.depends(cell)
    }
    return Space(
        scope, tuple(probe.variables.values()), fixed, tuple(_demands(scope, probe)), probe.range, probe.quantized,
        text, hashlib.sha256(text.encode()).hexdigest(),
    )  # fmt: skip


class Probe(Cells):
    """Asks for everything that a network of the space needs, to see what is drawn and what is open."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.variables: dict[Cell, Variable] = {}
        self.range = (1, STAGES)
        self.quantized: Call | None = None
        self._uses: dict[Cell, set[Cell]] = {}
        self._asking: list[Cell] = []

    def explore(self) -> None:
        """Ask for stages, the line, every stage and every scalar, in the order of a network."""
        binding = self.scope.bindings.get(("w", True))
        if binding is not None and isinstance(binding.fix.value, Call):
            self.quantized = binding.fix.value
        self.stages = STAGES
        self._stages()
        if self.quantized is not None:
            for e, name in zip(self.quantized.arguments, LINE, strict=True):
                self.number(e, PARAMETERS[name])
        for name in SCALARS:
            if name != "stages":
                self.value(name)
        for stage in range(1, self.range[1] + 1):
            for name in STAGED:
                self.value(name, stage)
        self._excitation()
        self._usual()
        self._bounded()

    def _stages(self) -> None:
        said = {**self.scope.bindings, **self.scope.drawn}
        if self.quantized is not None and ("stages", False) not in said:
            return  # the line makes them
        value = self.value("stages")
        variable = self.variables.get(("stages", None))
        if variable is not None:
            d = variable.distribution
            self.range = (int(d.low), int(d.high))
        elif isinstance(value, Quantity):
            self.range = (int(value.value), int(value.value))
        self.stages = self.range[1]

    def _excitation(self) -> None:
        block, se = self.value("block"), self.value("se")
        if not isinstance(block, str) or not isinstance(se, Quantity):
            return
        if block == "X" and se.value > 0:
            self.say(
                "conflict", "an X block has no squeeze-and-excitation", self.spans.get(("se", None))
            )
        elif block == "Y" and se.value == 0:
            self.say("conflict", "a Y block without squeeze-and-excitation is an X block")

    def _usual(self) -> None:
        """Networks that are drawn have the usual arithmetic of widths."""
        for name, usual in _UNDRAWN.items():
            value = self.value(name)
            found = value.value if isinstance(value, Quantity) else value
            if value is not None and found != usual:
                self.say(
                    "not-drawn", f"`{name}` is something that only a model can say",
                    self.spans.get((name, None)),
                    help=f"leave it out (it is then {usual}), or write a model",
                )  # fmt: skip

    def _bounded(self) -> None:
        """Every parameter that a bound speaks of has a value in this space."""
        for _, line in self.scope.requirements():
            for ref in references(line):
                if ref.name in COUNTS or ref.name == "stages":
                    continue
                self._there(ref)
                stage = None if ref.at is None else 1
                if not self.known(ref.name, stage):
                    message = f"`{ref.name}` has no value in `{self.name.text}`"
                    self.say(
                        "no-value", message, ref.span, help="bound what its networks are made from"
                    )

    def _there(self, ref: Ref) -> None:
        """Whether a stage that a bound names is one that some network has."""
        at = stage_offset(ref.at) if ref.at is not None else None
        most = self.range[1]
        if at is not None and not at[0] and not 1 <= at[1] <= most:
            message = f"there is no stage {at[1]}; stages count from 1 to {most}"
            self.say("index", message, ref.span)

    def known(self, name: str, stage: int | None) -> bool:
        key = (name, stage is not None)
        made = self.quantized is not None and key in (("w", True), ("d", True))
        return (name, stage) in self.values or key in self.scope.bindings or made

    def number(self, e: Any, parameter: Parameter, stage: int | None = None) -> Quantity | None:
        """The value of an expression; one that changes with what is drawn may not suit everywhere."""
        before = len(self.problems)
        found = super().number(e, parameter, stage)
        only = all(p.name in _SOMETIMES for p in self.problems[before:])
        if found is None and only and self._varies(e):
            del self.problems[before:]
            return Quantity(Fraction(parameter.low), "plain")
        return found

    def _varies(self, e: Any) -> bool:
        names = {ref.name for ref in references(e)}
        return any(cell[0] in names and self.depends(cell) for cell in [*self.values])

    def value(self, name: str, stage: int | None = None, needed: Span | None = None) -> object:
        cell = (name, stage)
        for asking in self._asking:
            self._uses.setdefault(asking, set()).add(cell)
        for other in self._uses.get(cell, ()):
            for asking in self._asking:
                self._uses[asking].add(other)
        self._asking.append(cell)
        found = super().value(name, stage, needed)
        self._asking.pop()
        return found

    def depends(self, cell: Cell) -> bool:
        """Whether a value changes with what is drawn, or with the line."""
        made = {("w", True), ("d", True)} if self.quantized is not None else set()
        return any(
            c in self.variables or (c[0], c[1] is not None) in made
            for c in {cell, *self._uses.get(cell, ())}
        )

    def _on_line(self, name: str, stage: int | None, needed: Span | None) -> Quantity:
        return Quantity(Fraction(8), "plain")

    def _unbound(
        self, parameter: Parameter, stage: int | None, needed: Span | None
    ) -> Quantity | str | None:
        cell = (parameter.name, stage)
        drawn = self.source(parameter.name, stage)
        if drawn is None and parameter.default is not None:
            return super()._unbound(parameter, stage, needed)
        if drawn is None:
            self._leaves_open(parameter, stage)
            return None
        d = distribution(drawn.draw)
        self.variables[cell] = Variable(cell, d, drawn)
        return Quantity(d.low, "plain")

    def _leaves_open(self, parameter: Parameter, stage: int | None) -> None:
        name = parameter.name if stage is None else f"{parameter.name}[i]"
        if name not in self._open:
            self._open.add(name)
            self.say(
                "left-open", f"`{self.name.text}` leaves `{name}` open",
                label="nothing is drawn from a space that does not say all",
                help=f"add a line `{name} ~ ...` or `{name} = ...`: {parameter.meaning}",
            )  # fmt: skip

    def source(self, name: str, stage: int | None) -> Drawn | None:
        """The draw of a cell: its own, or one that passes to it from a tie such as `b[i] = b`."""
        key = (name, stage is not None)
        if key in self.scope.drawn:
            return narrowest(self.scope.drawn[key])
        tied = [d for k, d in self.scope.drawn.items() if self.scope.tie(k) == key]
        return narrowest(tied[0]) if tied else None


def unused(space: Space) -> list[Drawn]:
    """Draws of the space's own that no network of it depends on: `g ~ ...` beside `g[i] = 8`."""
    scope = space.scope
    used = {v.drawn.draw.span for v in space.variables} | {d.line.span for d in space.demands}
    drawn = map(narrowest, scope.drawn.values())
    return [d for d in drawn if d.owner is scope.declaration and d.draw.span not in used]


def _demands(scope: Scope, probe: Probe) -> list[Demand]:
    """The line of widths, every bound, and the draws of parameters that have another source.

    They come in the order of their normal forms, whatever the order in which they are written.
    """
    found = []
    for owner, line in scope.requirements():
        found.append(Demand(owner, line, requirement(line)))
    sources = {v.drawn.draw.span for v in probe.variables.values()}
    found += [
        Demand(drawn.owner, drawn.draw, draw_line(drawn.draw))
        for (name, staged), drawn in ((k, narrowest(d)) for k, d in scope.drawn.items())
        if drawn.draw.span not in sources and probe.known(name, 1 if staged else None)
    ]
    found.sort(key=lambda d: d.normal)
    if probe.quantized is not None:
        binding = scope.bindings["w", True]
        found.insert(0, Demand(binding.owner, binding.fix, fix_line(binding.fix)))
    return [d for k, d in enumerate(found) if d.normal not in [x.normal for x in found[:k]]]
