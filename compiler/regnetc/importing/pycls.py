"""pycls's YAML to a draft. Its defaults are those of its config module."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .drafts import ACTIVATIONS, EPSILON, Draft, by_stage, listed, on_a_line, unused
from .reading import ConfigError
from .table import Table

_STEMS = {"simple_stem_in": "simple", "res_stem_in": "resnet", "res_stem_cifar": "cifar"}
_BLOCKS = {"res_bottleneck_block": "X", "res_bottleneck_linear_block": "Z"}
_QUARTER = Fraction(1, 4)


def matches(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("MODEL"), Mapping) and ("REGNET" in data or "ANYNET" in data)


def read(data: Mapping[str, Any]) -> Draft:
    top = Table(data)
    model = top.inner("MODEL") or Table({}, "MODEL")
    kind = model.text("TYPE").lower()
    if kind not in ("regnet", "anynet"):
        raise ConfigError("no-network", f"`MODEL.TYPE` is `{kind[:40]}`, not regnet or anynet")
    table = top.inner(kind.upper())
    if table is None:
        raise ConfigError("bad-config", f"`{kind.upper()}` is not given")
    notes = []
    lines = _regnet(table) if kind == "regnet" else _anynet(table)
    block = table.word("BLOCK_TYPE", _BLOCKS, "res_bottleneck_block")
    se = table.number("SE_R", _QUARTER) if table.flag("SE_ON", False) else Fraction(0)
    lines |= {
        "block": "Y" if block == "X" and se else block, "se": str(se),
        "activation": model.word("ACTIVATION_FUN", ACTIVATIONS, "relu"),
        "stem_type": table.word("STEM_TYPE", _STEMS, "simple_stem_in"),
        "stem": str(table.whole("STEM_W", 32)), "head": str(table.whole("HEAD_W", 0)),
    }  # fmt: skip
    table.closed("SE_R")
    if "NUM_CLASSES" not in model:
        notes.append("`MODEL.NUM_CLASSES` is not given: pycls's own default is 10")
    lines["classes"] = str(model.whole("NUM_CLASSES", 10))
    train = top.inner("TRAIN")
    lines["image"] = str(train.whole("IM_SIZE", 224) if train is not None else 224)
    norm = top.inner("BN")
    if norm is not None:
        norm.must("EPS", EPSILON, "batch norm has 1e-5 here")
    notes.append("pycls trains on images in the order blue, green, red (`--channel-order bgr`)")
    return Draft("RegNet" if kind == "regnet" else "AnyNet", lines, (*notes, *unused(top)))


def _regnet(table: Table) -> dict[str, str]:
    lines = on_a_line(
        table.whole("DEPTH"), table.whole("W0"), table.number("WA"), table.number("WM"), table.whole("GROUP_W"),
        table.number("BOT_MUL", 1),
    )  # fmt: skip
    return lines | {"stride[i]": str(table.whole("STRIDE", 2))}


def _anynet(table: Table) -> dict[str, str]:
    widths = table.wholes("WIDTHS")
    inside = table.numbers("BOT_MULS", []) or [Fraction(1)] * len(widths)
    lines = by_stage(widths, table.wholes("DEPTHS"), table.wholes("GROUP_WS"), inside)
    return lines | {"stride[i]": listed(map(str, table.wholes("STRIDES")))}
