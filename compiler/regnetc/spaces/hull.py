"""What the networks of a space cannot exceed: least and largest values, and proofs that nothing fits.

Every count grows with every width, depth and group width, so the formulas of `complexity`, taken at
the least and at the largest of each, enclose all networks in between. Nothing here is an estimate:
a line that refuses the whole enclosure refuses every member.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

from .. import complexity, regnet
from ..bounds import stages_of
from ..cells import Cell
from ..complexity import Counts, StageShape
from ..draws import distribution
from ..limits import STAGE_DEPTH, WIDTH
from ..tree import Bound, Call, Chain, Draw, Expr, Fix, Listing, Member, Number, Ref, counted
from ..values import Quantity, stage_of
from ..vocabulary import COUNTS
from .space import Demand, Space

_SLACK = 1e-9
_PAIRS = 64  # values of b and g that are fitted one by one


class Range(NamedTuple):
    """Everything from `low` to `high`; None where nothing is known."""

    low: Fraction | None
    high: Fraction | None


ANYTHING = Range(None, None)
Ranges = Mapping[Cell, Range]


def drawn(space: Space) -> dict[Cell, Range]:
    """The ends of what each free parameter is drawn from."""
    return {v.cell: Range(v.distribution.low, v.distribution.high) for v in space.variables}


Memo = dict[tuple[Any, ...], Any]


class Hull:
    """An enclosure of all networks whose free parameters lie in some ranges.

    Hulls of one space may share a `memo`: most of what one works out for its stages the next needs, too.
    """

    def __init__(self, space: Space, ranges: Ranges, memo: Memo | None = None) -> None:
        self.space = space
        self.ranges = ranges
        self.memo: Memo = {} if memo is None else memo
        self.cells: dict[Cell, Range] = {}
        self.counts: dict[tuple[int, int | None], tuple[Counts, Counts]] = {}
        self.built: dict[int, list[_Stage]] = {}

    # Parameters.

    def cell(self, name: str, stage: int | None) -> Range:
        at = (name, stage)
        if at not in self.cells:
            self.cells[at] = ANYTHING  # until it is known
            self.cells[at] = self._work_out(name, stage)
        return self.cells[at]

    def _work_out(self, name: str, stage: int | None) -> Range:
        at = (name, stage)
        fixed = self.space.fixed.get(at)
        if isinstance(fixed, Quantity):
            return Range(fixed.value, fixed.value)
        if at in self.ranges:
            return self.ranges[at]
        if self.space.line is not None and name in ("w", "d") and stage is not None:
            return self._on_line(name, stage)
        binding = self.space.scope.bindings.get((name, stage is not None))
        if binding is None:
            return ANYTHING
        value: Expr = binding.fix.value
        if isinstance(value, Listing) and stage is not None:
            value = value.items[stage - 1]
        return self.value(value, self._given, stage)

    def _given(self, ref: Ref, stage: int | None) -> Range:
        return self.cell(ref.name, stage)

    def _on_line(self, name: str, stage: int) -> Range:
        """Width and depth of a stage: w0 wm^(stage - 1), to a quantum, and one block or more."""
        assert self.space.line is not None
        d, w0, _, wm = (self.value(e, self._given, None) for e in self._arguments())
        if name == "d":
            others = max(self.space.stages[0], stage) - 1
            return Range(Fraction(1), d.high - others if d.high is not None else None)
        if w0.low is None or w0.high is None or wm.low is None or wm.high is None:
            return ANYTHING
        pairs = ((w0.low, wm.low), (w0.high, wm.high))
        ends = [float(w) * float(m) ** (stage - 1) for w, m in pairs]
        slack = regnet.QUANTUM if stage > 1 else 0
        low = max(regnet.QUANTUM, math.floor(ends[0]) - slack)
        return Range(Fraction(low), Fraction(math.ceil(min(ends[1], 2.0 * WIDTH)) + slack))

    def _arguments(self) -> list[Any]:
        assert self.space.line is not None
        return list(self.space.line.arguments)

    # Expressions.

    def value(self, e: Expr, lookup: Any, stage: int | None) -> Range:
        """The enclosure of an expression."""
        match e:
            case Number():
                return Range(e.value, e.value)
            case Ref():
                found: Range = lookup(e, stage_of(e, stage))
                return found
            case Chain():
                return self._chain(e, lookup, stage)
            case Call():
                ref = counted(e)
                if ref is not None:
                    at_image: Range = lookup(ref, None)
                    return at_image
                argument: Any = e.arguments[0]
                return _root(self.value(argument, lookup, stage))
            case _:
                return ANYTHING

    def _chain(self, e: Chain, lookup: Any, stage: int | None) -> Range:
        x = self.value(e.operands[0], lookup, stage)
        for sign, operand in zip(e.operators, e.operands[1:], strict=True):
            y = self.value(operand, lookup, stage)
            if sign in "+-":
                x = _sum(x, y if sign == "+" else _negative(y))
            else:
                x = _product(x, y if sign == "*" else _inverse(y))
        return x

    # Networks.

    def stages(self, depth: int) -> list[_Stage]:
        """The least and the largest of every stage of networks with so many stages."""
        if depth not in self.built:
            self.built[depth] = [self._stage(i) for i in range(1, depth + 1)]
        return self.built[depth]

    def _stage(self, i: int) -> _Stage:
        w, d, b, g = (self.cell(name, i) for name in ("w", "d", "b", "g"))
        low_w, high_w = _whole(w, 1, WIDTH)
        at = (low_w, high_w, b, g, i)
        if at not in self.memo:
            fits = list(self._fits(*at))
            self.memo[at] = [
                (min(sizes), max(sizes))
                for sizes in ([f.w for f in fits], [f.inner for f in fits], [f.g for f in fits])
            ]
        widths, inners, groups = self.memo[at]
        return _Stage(widths, _whole(d, 1, STAGE_DEPTH), inners, groups)

    def _fits(self, low: int, high: int, b: Range, g: Range, i: int) -> Iterator[regnet.Fit]:
        """The narrowest and the widest that a stage becomes; a fit grows with the width."""
        bs, gs = self._values("b", i, b), self._values("g", i, g)
        rounding: Any = self.space.fixed["rounding", None]
        if bs is not None and gs is not None and len(bs) * len(gs) <= _PAIRS:
            for ratio, group in product(bs, gs):
                for w in (low, high):
                    yield regnet.fit(w, ratio, int(group), rounding)
            return
        ratios = [x for x in (b.low, b.high) if x is not None] or [Fraction(1, 64), Fraction(64)]
        for ratio in ratios:
            small, large = max(1, int(low / ratio)), max(1, math.ceil(high / ratio))
            inner = 2 * large + math.lcm(*(r.denominator for r in ratios)) * 2
            least, most = _whole(g, 1, WIDTH)
            yield regnet.Fit(max(1, low // 2), max(1, small // 2), min(least, max(1, small)), 0, 0)
            yield regnet.Fit(int(inner * ratio) + 1, inner, min(most, large), 0, 0)

    def _values(self, name: str, stage: int, within: Range) -> list[Fraction] | None:
        """The values of `b` or `g`, where they are few."""
        if within.low is not None and within.low == within.high:
            return [within.low]
        for cell in ((name, stage), (name, None)):
            variable = next((v for v in self.space.variables if v.cell == cell), None)
            if variable is not None and variable.distribution.size <= _PAIRS:
                low, high = within
                values = variable.distribution.values()
                return [
                    x for x in values if low is not None and high is not None and low <= x <= high
                ]
        return None

    def most(self, depth: int) -> dict[str, float]:
        """What no width, depth, group or squeeze of networks with so many stages exceeds."""
        stages = self.stages(depth)
        w, d, inner, g = (float(max(getattr(s, k)[1] for s in stages)) for k in _Stage._fields)
        w_in = max(w, float(self._end("stem", 1)))
        return {
            "w_in": w_in, "w": w, "d": d, "inner": inner, "g": g, "se_first": w_in, "se_rest": w, "reshaped": 1.0,
        }  # fmt: skip

    def count(self, depth: int, image: int | None) -> tuple[Counts, Counts]:
        """Counts that no network with so many stages falls below, and that none exceeds."""
        at = (depth, image)
        if at not in self.counts:
            self.counts[at] = (self._total(depth, image, 0), self._total(depth, image, 1))
        return self.counts[at]

    def _total(self, depth: int, image: int | None, end: int) -> Counts:
        """The counts at one end. Blocks beyond one for each stage go where they cost least, or most."""
        fixed: Any = self.space.fixed
        style, relu = self.space.style, fixed["activation", None] == "relu"
        se_relu = (fixed["se_activation", None] or fixed["activation", None]) == "relu"
        side: Any = image or self._end("image", end)
        w_in = self._end("stem", end)
        tally, side = complexity.stem(
            fixed["stem_type", None], self._end("channels", end), w_in, side, style.order
        )
        total, extra = tally, []
        se = self.cell("se", None)[end] or Fraction(0)
        for i, s in enumerate(self.stages(depth), 1):
            stride = self._end("stride", 1 - end, i)
            w, d, inner, g = (pair[end] for pair in s)
            squeezed = [regnet.squeeze(x, se) for x in (w_in, w)]
            shape = StageShape(w, self._own_depth(d), stride, inner, g, *squeezed)
            # At a stride of 1 the shape may stay as it is, or not.
            at = (w_in, shape, side, stride > 1 or end == 1)
            if at not in self.memo:
                tally, after = complexity.stage(style, w_in, shape, side, reshaped=at[-1])
                rest, _ = complexity.block(style, w, shape, 1, squeezed[1], after)
                self.memo[at] = tally, after, Counts.of(rest, relu=relu, se_relu=se_relu)
            tally, side, block = self.memo[at]
            total += tally
            extra.append(block)
            w_in = w
        total += complexity.head(
            w_in, self._end("head", end), self._end("classes", end), side, style
        )
        return _with_blocks(
            Counts.of(total, relu=relu, se_relu=se_relu), extra, self._blocks(depth, end), end
        )

    def _own_depth(self, d: int) -> int:
        return 1 if self.space.line is not None else d

    def _blocks(self, depth: int, end: int) -> int:
        """Blocks of a quantised line beyond one for each stage."""
        if self.space.line is None:
            return 0
        d = self.value(self._arguments()[0], self._given, None)[end]
        most = STAGE_DEPTH * depth if d is None else int(d)
        return max(0, most - depth)

    def _end(self, name: str, end: int, stage: int | None = None) -> int:
        value = self.cell(name, stage)[end]
        return int(value) if value is not None else (1 if end == 0 else WIDTH)

    # Demands.

    def refuses(self, demand: Demand) -> bool:
        """Whether no network in the ranges satisfies a line."""
        few, many = self.space.stages
        return all(self._refuses(demand, depth) for depth in range(few, many + 1))

    def _refuses(self, demand: Demand, depth: int) -> bool:
        line = demand.line
        if isinstance(line, Fix):
            return self._off_line(depth)

        def lookup(ref: Ref, stage: int | None) -> Range:
            return self._built(ref, stage, depth)

        if isinstance(line, Draw):
            d = distribution(line)
            stages = range(1, depth + 1) if line.target.at is not None else (None,)
            ends = [self.cell(line.target.name, stage) for stage in stages]
            return any(_apart(x, Range(d.low, d.high)) for x in ends)
        for stage in stages_of(line, depth):
            if isinstance(line, Member):
                x = self.value(line.value, lookup, stage)
                low = self.value(line.range.low, lookup, stage)
                high = self.value(line.range.high, lookup, stage)
                if _apart(x, Range(low.low, high.high)):
                    return True
            elif self._breaks(line, lookup, stage):
                return True
        return False

    def _off_line(self, depth: int) -> bool:
        """Whether the last block of every line rises too far or not far enough for so many stages."""
        d, w0, wa, wm = (self.value(e, self._given, None) for e in self._arguments())
        ends = (*d, *w0, *wa, *wm)
        if None in ends or d.low is None or d.low < 1:
            return False
        least, most = ((float(d[k] - 1) * float(wa[k]) / float(w0[1 - k])) for k in (0, 1))  # type: ignore[arg-type, operator]
        low = float(wm.low or 0) ** (depth - 1.5) - 1 if depth > 1 else -1.0
        high = float(wm.high or 0) ** (depth - 0.5) - 1
        return most < low * (1 - _SLACK) or least > high * (1 + _SLACK)

    def _breaks(self, line: Bound, lookup: Any, stage: int | None) -> bool:
        values = [self.value(operand, lookup, stage) for operand in line.operands]
        for a, b, sign in zip(values, values[1:], line.signs, strict=False):
            small, large = (a, b) if sign[0] == "<" else (b, a)
            if small.low is None or large.high is None:
                continue
            if small.low > large.high or (len(sign) == 1 and small.low == large.high):
                return True
        return False

    def _built(self, ref: Ref, stage: int | None, depth: int) -> Range:
        if ref.name in COUNTS:
            low, high = self.count(depth, ref.image)
            name = COUNTS[ref.name]
            return Range(Fraction(getattr(low, name)), Fraction(getattr(high, name)))
        if ref.name == "stages":
            return Range(Fraction(depth), Fraction(depth))
        if stage is not None and ref.name in ("w", "d", "g"):
            if not 1 <= stage <= depth:
                return ANYTHING
            pair = getattr(self.stages(depth)[stage - 1], ref.name)
            return Range(Fraction(pair[0]), Fraction(pair[1]))
        return self.cell(ref.name, stage)


class _Stage(NamedTuple):
    """The least and the largest width, depth, inner width and group width of a stage."""

    w: tuple[int, int]
    d: tuple[int, int]
    inner: tuple[int, int]
    g: tuple[int, int]


def _with_blocks(total: Counts, extra: list[Counts], blocks: int, end: int) -> Counts:
    pick = min if end == 0 else max
    return Counts(*(t + blocks * pick(costs) for t, *costs in zip(total, *extra, strict=True)))


def _whole(x: Range, least: int, most: int) -> tuple[int, int]:
    low = least if x.low is None else min(most, max(least, math.ceil(x.low)))
    high = most if x.high is None else max(least, min(most, math.floor(x.high)))
    return low, max(low, high)


def _apart(a: Range, b: Range) -> bool:
    return (a.low is not None and b.high is not None and a.low > b.high) or (
        a.high is not None and b.low is not None and a.high < b.low
    )


def _sum(a: Range, b: Range) -> Range:
    return Range(
        None if a.low is None or b.low is None else a.low + b.low,
        None if a.high is None or b.high is None else a.high + b.high,
    )


def _negative(a: Range) -> Range:
    return Range(None if a.high is None else -a.high, None if a.low is None else -a.low)


def _product(a: Range, b: Range) -> Range:
    if None in (*a, *b):
        return ANYTHING
    ends = [x * y for x in a for y in b]  # type: ignore[operator]
    return Range(min(ends), max(ends))


def _inverse(a: Range) -> Range:
    if a.low is None or a.high is None or a.low <= 0 <= a.high:
        return ANYTHING
    return Range(1 / a.high, 1 / a.low)


def _root(a: Range) -> Range:
    """Square roots, rounded outwards."""
    if a.low is None or a.high is None or a.low < 0:
        return ANYTHING
    slack = Fraction(1, 10**12)
    low, high = Fraction(math.sqrt(a.low)), Fraction(math.sqrt(a.high))
    return Range(low * (1 - slack), high * (1 + slack))
