"""mmpretrain's config, a Python file of which nothing is run, to a draft."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..program import read_bytes
from .drafts import Draft, listed, on_a_line, unused
from .reading import TEXT_BYTES, ConfigError, Literals, from_python
from .table import Table

# The lines of its named networks: w0, wa, wm, width of a group, depth.
_ARCHS = ("400mf", "800mf", "1.6gf", "3.2gf", "4.0gf", "6.4gf", "8.0gf", "12gf")
_NORMS = {"bn": "batch", "syncbn": "batch"}


def matches(found: Literals) -> bool:
    return not {"model", "_base_"}.isdisjoint(found.values) or "read_base" in found.touched


def read(found: Literals, path: Path) -> Draft:
    """The draft of a file's `model`, with what the files that it builds on say of it."""
    model, notes = _Bases().model(found, path)
    bases = _bases(found)
    backbone = _backbone({"model": model}, bases)
    notes += [f"{line} is not run" for line in found.other]
    values: dict[str, Any] = {**found.values, "model": model}
    top = Table({k: v for k, v in values.items() if k != "_base_"})
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


_MOST_BASES = 32


class _Bases:
    """The files that a config builds on, each read once and never run."""

    def __init__(self) -> None:
        self.read = 0

    def model(
        self, found: Literals, path: Path, above: tuple[Path, ...] = ()
    ) -> tuple[Any, list[str]]:
        """A file's `model` over those of its bases, as mmengine merges them; and notes."""
        for name in ("model", "_base_", "read_base"):
            if name in found.touched:
                raise ConfigError(
                    "bad-config", f"{found.touched[name]} is not run, and may change the network",
                    help="write `model` as a mapping, and `_base_` as a list of files",
                )  # fmt: skip
        notes: list[str] = []
        model: Any = None
        trail = (*above, path.absolute())
        for base in _bases(found):
            file = Path(os.path.normpath(path.absolute().parent / base))
            if "::" in base or not file.is_file():
                notes.append(f"`_base_` {base} is not there, and not followed")
                continue
            self.read += 1
            if file in trail or self.read > _MOST_BASES:
                raise ConfigError("bad-config", f"`_base_` {base} goes in a circle, or on and on")
            try:
                inner = from_python(read_bytes(str(file), TEXT_BYTES))
                below, more = self.model(inner, file, trail)
            except ConfigError as e:
                where = "" if str(e).startswith("`_base_`") else f"`_base_` {base}: "
                raise ConfigError(e.name, f"{where}{e}", e.details, e.help) from None
            if below is not None and model is not None:
                raise ConfigError(
                    "bad-config", f"`_base_` {base} has a `model`, and so has one before it, which mmengine refuses",
                    help="let one of them build on the other",
                )  # fmt: skip
            if below is not None:
                notes.append(f"`_base_` {base} is followed")
                model = below
            notes += more
        return _merged(model, found.values.get("model")), notes


def _bases(found: Literals) -> list[str]:
    base = found.values.get("_base_", [])
    return [str(b) for b in (base if isinstance(base, list | tuple) else [base])]


def _merged(base: Any, own: Any) -> Any:
    """mmengine's rule: mappings are merged key by key unless `_delete_` says no; all else is replaced."""
    if own is None:
        return base
    if not isinstance(own, Mapping):
        return own
    kept = base if isinstance(base, Mapping) and not own.get("_delete_") else {}
    inside = {k: _merged(kept.get(k), v) if v is not None else v for k, v in own.items()}
    return {**kept, **{k: v for k, v in inside.items() if k != "_delete_"}}


def _backbone(values: Mapping[str, Any], bases: list[str]) -> Mapping[str, Any]:
    model = values.get("model")
    backbone = model.get("backbone") if isinstance(model, Mapping) else None
    if not isinstance(backbone, Mapping) or backbone.get("arch") is None:
        shown = (
            f"it builds on {bases[0]}, which has to lie where it says and to have one"
            if bases
            else None
        )
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
