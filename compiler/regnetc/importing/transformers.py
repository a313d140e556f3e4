"""transformers' config.json of a RegNet to a draft, and a network to such a config."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..network import Network
from .drafts import ACTIVATIONS, Draft, by_stage, listed, unused
from .reading import ConfigError
from .table import Table

_LAYERS = {"x": "X", "y": "Y"}
_THEIRS = {"relu": "relu", "silu": "silu", "gelu": "gelu"}


def matches(data: Mapping[str, Any]) -> bool:
    return data.get("model_type") == "regnet"


def read(data: Mapping[str, Any]) -> Draft:
    t = Table(data)
    t.take("model_type")
    notes: list[str] = []
    widths, depths = (
        t.wholes("hidden_sizes", [128, 192, 512, 1088]),
        t.wholes("depths", [2, 6, 12, 2]),
    )
    size = t.whole("groups_width", 64)
    groups = [_group(t, w, size) for w in widths]
    lines = by_stage(widths, depths, groups, [Fraction(1)] * len(widths))
    block = t.word("layer_type", _LAYERS, "y")
    activation = t.word("hidden_act", ACTIVATIONS, "relu")
    first = 2 if t.flag("downsample_in_first_stage", True) else 1
    lines |= {
        "block": block, "se": "1/4" if block == "Y" else "0", "activation": activation,
        "stem": str(t.whole("embedding_size", 32)), "channels": str(t.whole("num_channels", 3)),
        "stride[i]": listed([str(first), *["2"] * (len(widths) - 1)]), "classes": str(_classes(t, notes)),
    }  # fmt: skip
    if block == "Y" and activation != "relu":
        lines["se_activation"] = "relu"
    return Draft("AnyNet", lines, (*notes, *unused(t)))


def _group(t: Table, w: int, size: int) -> int:
    """Channels of a group: the number of groups is width // groups_width, and at least 1."""
    if size < 1 or w < 1:
        raise t.cannot("groups_width", "not above 0")
    groups = max(1, w // size)
    if w % groups:
        raise ConfigError(
            "no-network",
            f"a width of {w:,} does not split into the {groups} groups that `groups_width` {size} makes of it",
            help="transformers cannot build it either",
        )
    return w // groups


def _classes(t: Table, notes: list[str]) -> int:
    labels, said = t.take("id2label"), t.take("num_labels")
    heads = t.take("architectures")
    if heads == ["RegNetModel"]:
        notes.append("it is a RegNetModel: pooled features without a classifier")
        return 0
    if isinstance(labels, Mapping):
        notes.append("`id2label`: names of classes are no part of a network")
        return len(labels)
    if said is None:
        notes.append("it names no labels: transformers' own default is 2")
        return 2
    return Table({"num_labels": said}).whole("num_labels")


def written(n: Network) -> dict[str, Any]:
    """The config of a network. Raises `cannot-hold` for one that transformers does not build."""
    from .drafts import build, same

    widths = [s.w for s in n.stages]
    data: dict[str, Any] = {
        "architectures": ["RegNetForImageClassification" if n.classes else "RegNetModel"],
        "depths": [s.d for s in n.stages],
        "downsample_in_first_stage": n.stages[0].stride == 2,
        "embedding_size": n.stem.w,
        "groups_width": 0,
        "hidden_act": _THEIRS[n.activation],
        "hidden_sizes": widths,
        "layer_type": "y" if n.block == "Y" else "x",
        "model_type": "regnet",
        "num_channels": n.channels,
        "torch_dtype": "float32",
    }
    if n.classes:
        labels = {str(k): f"LABEL_{k}" for k in range(n.classes)}
        data |= {"id2label": labels, "label2id": {v: int(k) for k, v in labels.items()}}
    for size in sorted({s.g for s in n.stages}, reverse=True):
        data["groups_width"] = size
        try:
            found = build(read(data), "Again", "")
        except ConfigError:
            continue
        if same(found.network._replace(image=n.image), n._replace(extras=found.network.extras)):
            return data
    raise ConfigError(
        "cannot-hold", f"transformers' RegNet has no fields for {n.name}",
        help="it builds X and Y blocks with b = 1, a quarter squeezed, batch norm, and nothing before the pooling",
    )  # fmt: skip
