"""mmpretrain's config, a Python file of which nothing is run, to a draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .drafts import Draft, listed, on_a_line, unused
from .reading import ConfigError, Literals
from .table import Table

# The lines of its named networks: w0, wa, wm, width of a group, depth.
_ARCHS = ("400mf", "800mf", "1.6gf", "3.2gf", "4.0gf", "6.4gf", "8.0gf", "12gf")
_NORMS = {"bn": "batch", "syncbn": "batch"}


def matches(found: Literals) -> bool:
    return "model" in found.values or "_base_" in found.values


def read(found: Literals) -> Draft:
    """The draft of a file's `model`; files that it builds on are named, and not looked into."""
    base = found.values.get("_base_", [])
    bases = [str(b) for b in ([base] if isinstance(base, str) else base)]
    backbone = _backbone(found.values, bases)
    notes = [f"`_base_` {b} is not followed" for b in bases]
    notes += [f"{line} is not run" for line in found.other]
    top = Table({k: v for k, v in found.values.items() if k != "_base_"})
    model = top.inner("model") or Table({}, "model")
    model.take("type")
    inside = model.inner("backbone") or Table({}, "backbone")
    inside.take("type")
    lines = {"block": "X", **_arch(backbone.get("arch"), inside), **_parts(inside, notes)}
    head = model.inner("head")
    if head is None:
        notes.append("`model.head` is not given: 1,000 classes are assumed")
    lines["classes"] = str(head.whole("num_classes", 1000) if head is not None else 1000)
    if head is not None:
        for key in ("type", "in_channels"):
            head.take(key)
    neck = model.inner("neck")
    if neck is not None and neck.text("type", "") != "GlobalAveragePooling":
        raise neck.cannot("type", "another neck than GlobalAveragePooling")
    notes.append("mmpretrain's own weights take images in the order blue, green, red")
    return Draft("RegNet", lines, (*notes, *unused(top)))


def _backbone(values: Mapping[str, Any], bases: list[str]) -> Mapping[str, Any]:
    model = values.get("model")
    backbone = model.get("backbone") if isinstance(model, Mapping) else None
    if not isinstance(backbone, Mapping) or "arch" not in backbone:
        shown = f"import the file that it builds on: {bases[0]}" if bases else None
        raise ConfigError(
            "no-network", "its `model` names no `backbone` with an `arch`", help=shown
        )
    if backbone.get("type") != "RegNet":
        raise ConfigError(
            "no-network", f"its backbone is `{str(backbone.get('type'))[:40]}`, not RegNet"
        )
    return backbone


def _arch(arch: Any, inside: Table) -> dict[str, str]:
    if isinstance(arch, str):
        inside.take("arch")
        return _named(arch)
    table = inside.inner("arch")
    assert table is not None
    return on_a_line(
        table.whole("depth"), table.whole("w0"), table.number("wa"), table.number("wm"), table.whole("group_w"),
        table.number("bot_mul", 1),
    )  # fmt: skip


def _named(arch: str) -> dict[str, str]:
    """The line of a network that mmpretrain has a name for, as the zoo knows it."""
    from .. import fitting, zoo

    short = arch.lower().removeprefix("regnetx_")
    if short not in _ARCHS or not arch.lower().startswith("regnetx_"):
        raise ConfigError("no-network", f"mmpretrain has no arch `{arch[:40]}`")
    network = zoo.find(f"RegNetX-{short}").network
    line, shared = fitting.parameters(network), fitting.shared(network)
    assert line is not None
    assert shared is not None
    return on_a_line(*line, shared[1], 1 / shared[0])


def _parts(inside: Table, notes: list[str]) -> dict[str, str]:
    """Everything of the backbone but its line."""
    lines = {
        "stem": str(inside.whole("base_channels", 32)), "channels": str(inside.whole("in_channels", 3)),
        "stride[i]": listed(map(str, inside.wholes("strides", [2, 2, 2, 2]))),
        "checkpointing": str(int(inside.flag("with_cp", False))),
    }  # fmt: skip
    inside.take("stem_channels")
    if set(inside.wholes("dilations", [1])) != {1}:
        raise inside.cannot("dilations", "not 1: here `output_stride` dilates, by another rule")
    if inside.text("style", "pytorch") != "pytorch":
        raise inside.cannot("style", "caffe, with the stride in the first 1x1 convolution")
    frozen = inside.whole("frozen_stages", -1)
    if frozen == 0:
        notes.append(
            "`model.backbone.frozen_stages` 0 freezes the stem alone, which is not said here"
        )
    lines["frozen"] = str(max(0, frozen))
    norm = inside.inner("norm_cfg")
    if norm is not None:
        norm.word("type", _NORMS, "bn")
    inside.closed("out_indices", "norm_eval", "zero_init_residual", "init_cfg", "conv_cfg")
    return lines
