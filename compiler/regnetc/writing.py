"""A network written down again: the spec that a person would have typed for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from .canonical import number
from .fmt import format_text
from .network import Network, squeeze_rule


class Line(NamedTuple):
    """The parameters of a quantised line, for a network whose widths and depths lie on it."""

    d: int
    w0: int
    wa: Fraction
    wm: Fraction
    b: Fraction
    g: int


NAME = r"[A-Za-z][A-Za-z0-9_]*([-.][A-Za-z0-9_]+)*"
_DEFAULTS: dict[str, str] = {
    "stem": "32", "stem_type": "simple", "head": "0", "activation": "relu", "se": "0", "image": "224",
    "channels": "3", "classes": "1000", "rounding": "paper", "stages": "4", "stride[i]": "2",
    "se_activation": "", "norm": "batch", "norm_g": "", "shortcut": "", "order": "post", "tail": "plain",
    "pool": "avg", "se_of": "in", "se_by": "1", "b_of": "out", "output_stride": "0", "drop_path": "0",
    "checkpointing": "0", "frozen": "0",
}  # fmt: skip
"""What AnyNet says where a model says nothing."""

_FAMILIES: dict[str, dict[str, str]] = {
    "X": {},
    "Y": {"se": "0.25"},
    "Z": {"se": "0.25", "activation": "silu", "b": "0.25"},
    "V": {"se": "0.25", "activation": "silu", "order": "pre", "tail": "activation"},
}
"""What RegNetX, RegNetY, RegNetZ and RegNetV say otherwise."""


def as_spec(network: Network, name: str, doc: str, line: Line | None = None) -> str:
    """A spec whose model is the network: on its line where one is given, else stage by stage.

    `name` has to be a name of the language; of `doc` every line becomes one of the comment above.
    """
    assert re.fullmatch(NAME, name), name
    block = network.block
    if line is not None:
        family = "V" if (block, network.order, network.tail) == ("Y", "pre", True) else block
        parent, defaults = f"RegNet{family}", _DEFAULTS | _FAMILIES[family]
        rows = [*_on_line(line), *_parts(network)]
    else:
        parent, defaults = ("AnyNetX" if block == "X" else "AnyNet"), _DEFAULTS
        rows = [*_parts(network), *_stage_by_stage(network)]
        if block != "X":
            rows.insert(0, ("block", block))
    body = "".join(f"  {k} = {v}\n" for k, v in rows if defaults.get(k) != v)
    comment = "".join(f"# {row}".rstrip() + "\n" for row in doc.split("\n"))
    text = f'use "families.regnet"\n\n{comment}model {name} extends {parent} {{\n{body}}}\n'
    return format_text(text)


def _on_line(line: Line) -> Iterator[tuple[str, str]]:
    for name, value in line._asdict().items():
        yield name, number(Fraction(value))


def _parts(n: Network) -> Iterator[tuple[str, str]]:
    """Everything but the stages' widths, depths and groups."""
    se = dict(n.parameters).get("se", 0)
    of, by = squeeze_rule(n)
    strides = [s.stride * s.dilation[1] // s.dilation[0] for s in n.stages]
    dilated = strides != [s.stride for s in n.stages]
    split = any(s.inner_first != s.inner for s in n.stages)
    yield from (
        ("stem", str(n.stem.w)), ("stem_type", n.stem.type), ("head", str(n.head)),
        ("activation", n.activation), ("se", number(_ratio(se))), ("image", str(n.image)),
        ("channels", str(n.channels)), ("classes", str(n.classes)), ("rounding", n.rounding),
        ("stages", str(len(n.stages))), ("stride[i]", _each([str(x) for x in strides])),
        ("se_of", of), ("se_by", str(by)), ("se_activation", n.se_activation or ""),
        ("b_of", "in" if split else "out"), ("shortcut", n.shortcut or ""), ("order", n.order),
        ("tail", "activation" if n.tail else "plain"), ("pool", n.pool), ("norm", n.norm.type),
        ("norm_g", str(n.norm.g or "")), ("output_stride", str(n.reductions[-1]) if dilated else "0"),
        ("drop_path", number(_ratio(n.extras.drop_path))), ("frozen", str(n.extras.frozen)),
        ("checkpointing", str(int(n.extras.checkpointing))),
    )  # fmt: skip


def _stage_by_stage(n: Network) -> Iterator[tuple[str, str]]:
    yield "w[i]", _listed([str(s.w) for s in n.stages])
    yield "d[i]", _listed([str(s.d) for s in n.stages])
    yield "b[i]", _each([number(_ratio(s.b)) for s in n.stages])
    yield "g[i]", _each([str(s.g) for s in n.stages])


def _ratio(x: float) -> Fraction:
    """The fraction that a float stands for: b is n or 1/n, and a float tells them apart."""
    return Fraction(x).limit_denominator(2**16)


def _each(values: list[str]) -> str:
    """One value for all stages where they share it."""
    return values[0] if len(set(values)) == 1 else _listed(values)


def _listed(values: list[str]) -> str:
    return f"[{', '.join(values)}]"
