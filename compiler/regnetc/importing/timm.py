"""timm's RegNetCfg, or the config.json of a model of its, to a draft."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .drafts import ACTIVATIONS, Draft, on_a_line, unused
from .reading import Called, ConfigError
from .table import Table

_SHORTCUTS = {"conv1x1": "conv", "": "conv", "avg": "avg"}
_POOLS = {p: p for p in ("avg", "max", "avgmax", "catavgmax")}
_NORMS = ("batchnorm", "batchnorm2d", "batchnormact2d")
_ZERO = Fraction(0)


def matches(data: Mapping[str, Any]) -> bool:
    return "depth" in data and "w0" in data


def read(data: Mapping[str, Any]) -> Draft:
    t = Table(data)
    lines = on_a_line(
        t.whole("depth", 21), t.whole("w0", 80), t.number("wa", Fraction("42.63")), t.number("wm", Fraction("2.66")),
        t.whole("group_size", 24), t.number("bottle_ratio", 1),
    )  # fmt: skip
    linear, pre = t.flag("linear_out", False), t.flag("preact", False)
    se, head = t.number("se_ratio", _ZERO), t.whole("num_features", 0)
    lines |= {
        "block": "Z" if linear and not pre else "Y" if se else "X", "se": str(se), "head": str(head),
        "rounding": "torchvision" if t.number("group_min_ratio", _ZERO) else "paper",
        "stem": str(t.whole("stem_width", 32)), "activation": t.word("act_layer", ACTIVATIONS, "relu"),
        "shortcut": _shortcut(t), "tail": "activation" if (linear or pre) and not head else "plain",
        **({"order": "pre"} if pre else {}), **_norm(t), **arguments(t),
    }  # fmt: skip
    t.closed("drop_rate", "pretrained", "pretrained_cfg", "zero_init_last", "linear_out")
    return Draft("RegNet", lines, tuple(unused(t)))


def arguments(t: Table) -> dict[str, str]:
    """What is given to `create_model` beside the RegNetCfg, where it is."""
    lines = {}
    for theirs, ours in (("num_classes", "classes"), ("in_chans", "channels")):
        if theirs in t:
            lines[ours] = str(t.whole(theirs))
    if "drop_path_rate" in t:
        lines["drop_path"] = str(t.number("drop_path_rate"))
    if "output_stride" in t and (stride := t.whole("output_stride")) != 32:
        lines["output_stride"] = str(stride)
    if "global_pool" in t:
        lines["pool"] = t.word("global_pool", _POOLS, "avg")
    return lines


def _shortcut(t: Table) -> str:
    given = "downsample" in t
    said = t.take("downsample")
    if given and said is None:
        return "none"
    if said is not None and said not in _SHORTCUTS:
        raise t.cannot("downsample", f"`{str(said)[:40]}`, not conv1x1, avg or None")
    return _SHORTCUTS[said or ""]


def _norm(t: Table) -> dict[str, str]:
    """Batch norm, or group norm over a fixed number of channels."""
    said = t.take("norm_layer")
    if said is None or (isinstance(said, str) and said.lower() in _NORMS):
        return {}
    name, size = said, None
    if isinstance(said, Called) and said.name == "partial" and said.positional:
        name, size = said.positional[0], said.named.get("group_size")
    elif isinstance(said, Mapping):
        name, size = said.get("partial"), said.get("group_size")
    if name != "GroupNormAct" or not isinstance(size, int):
        raise ConfigError(
            "no-network", "`norm_layer` is neither batch norm nor group norm with a `group_size`"
        )
    return {"norm": "group", "norm_g": str(size)}
