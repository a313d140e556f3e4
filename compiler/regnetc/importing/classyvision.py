"""ClassyVision's JSON, and VISSL's YAML of the same networks, to a draft."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .drafts import ACTIVATIONS, EPSILON, Draft, on_a_line, unused
from .table import Table

_STEMS = {"simple_stem_in": "simple", "res_stem_in": "resnet", "res_stem_cifar": "cifar"}
_BLOCKS = {"res_bottleneck_block": "X", "res_bottleneck_linear_block": "Z"}


_HARMLESS = ("bn_momentum", "relu_in_place", "se_ratio", "freeze_trunk", "input_shape")


def matches(data: Mapping[str, Any]) -> bool:
    model = data.get("model")
    return isinstance(model, Mapping) and str(model.get("name", "")).startswith("regnet")


def matches_vissl(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("config"), Mapping)


def named(data: Mapping[str, Any]) -> str:
    """The network that a config names instead of giving its numbers; empty where it gives them."""
    model = data["model"]
    name = str(model.get("name", ""))
    return name if name != "regnet" else ""


def read(data: Mapping[str, Any]) -> Draft:
    """The draft of a config that gives numbers."""
    top = Table(data)
    model = top.inner("model")
    assert model is not None
    model.take("name")
    lines = _trunk(model)
    head, more = _heads(model)
    model.closed(*_HARMLESS)
    return Draft("RegNet", lines | head, (*more, *unused(top)))


def read_head(data: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What a config that names its network says of the head, and its notes."""
    top = Table(data)
    model = top.inner("model")
    assert model is not None
    model.take("name")
    head, more = _heads(model)
    return head, (*more, *unused(top))


def read_vissl(data: Mapping[str, Any]) -> Draft:
    top = Table(data)
    config = top.inner("config") or Table({})
    model = config.inner("MODEL") or Table({}, "config.MODEL")
    trunk = model.inner("TRUNK") or Table({}, "config.MODEL.TRUNK")
    name = trunk.text("NAME")
    if not name.startswith("regnet"):
        raise trunk.cannot("NAME", f"`{name[:40]}`, no RegNet")
    inside = trunk.inner("REGNET") or Table({}, "config.MODEL.TRUNK.REGNET")
    lines = _trunk(inside)
    inside.closed(*_HARMLESS)
    notes = ["it is the trunk alone: what follows it is no part of the network"]
    return Draft("RegNet", lines | {"classes": "0"}, (*notes, *unused(top)))


def _trunk(t: Table) -> dict[str, str]:
    lines = on_a_line(
        t.whole("depth"), t.whole("w_0"), t.number("w_a"), t.number("w_m"), t.whole("group_width"),
        t.number("bottleneck_multiplier", 1),
    )  # fmt: skip
    block = t.word("block_type", _BLOCKS, "res_bottleneck_block")
    se = (
        t.number("se_ratio", Fraction(1, 4))
        if "se_ratio" not in t or t.take("se_ratio")
        else Fraction(0)
    )
    if not t.flag("use_se", True):
        se = Fraction(0)
    key = "activation_type" if "activation_type" in t else "activation"
    t.must("bn_epsilon", EPSILON, "batch norm has 1e-5 here")
    return lines | {
        "block": "Y" if block == "X" and se else block, "se": str(se), "activation": t.word(key, ACTIVATIONS, "relu"),
        "stem_type": t.word("stem_type", _STEMS, "simple_stem_in"), "stem": str(t.whole("stem_width", 32)),
    }  # fmt: skip


def _heads(model: Table) -> tuple[dict[str, str], list[str]]:
    """The classifier of the one head that a network of the language has."""
    given = model.take("heads") or []
    if not isinstance(given, list) or len(given) > 1:
        raise model.cannot("heads", "more than one head")
    if not given:
        return {"classes": "0"}, []
    head = Table(given[0], f"{model.path('heads')}[0]")
    if head.text("name", "fully_connected") != "fully_connected":
        raise head.cannot("name", "another head than fully_connected")
    for key in ("unique_id", "in_plane", "fork_block"):
        head.take(key)
    lines = {"classes": str(head.whole("num_classes", 0))}
    width = head.take("conv_planes")
    if width:
        lines["head"] = str(Table({"conv_planes": width}).whole("conv_planes"))
    return lines, list(unused(head))
