"""What a network has that its names do not show, and which code bases build no such RegNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Shapes = Mapping[str, Sequence[int]]

_NONE_BUILT: Mapping[str, frozenset[str]] = {
    "group norm": frozenset({"transformers", "mmpretrain", "classyvision", "vissl"}),
    "a block that drops its shortcut where the width changes": frozenset(
        {"torchvision", "transformers", "mmpretrain"}
    ),
    "a first block of another width inside than the rest": frozenset(
        {"torchvision", "transformers", "mmpretrain", "classyvision", "vissl"}
    ),
    "a block of another width inside than outside": frozenset({"transformers"}),
    "a squeeze to other than a quarter of what comes in": frozenset({"transformers"}),
    "a stem of 7x7": frozenset({"timm", "torchvision", "transformers", "mmpretrain"}),
}
"""By what a network has: the code bases whose RegNets have it not."""


def beyond(base: str, shapes: Shapes) -> str:
    """What a network (our names) has that no RegNet of a code base has; nothing where it can build it."""
    return next((what for what in _found(shapes) if base in _NONE_BUILT[what]), "")


def _found(shapes: Shapes) -> Iterator[str]:
    if not any(name.endswith(".running_mean") for name in shapes):
        yield "group norm"
    if tuple(shapes.get("stem.conv.weight", ()))[2:] == (7, 7):
        yield "a stem of 7x7"
    w_in, stage = _rows(shapes, "stem.conv3.weight") or _rows(shapes, "stem.conv.weight"), 1
    while (first := f"s{stage}.b1") + ".f.c.weight" in shapes:
        w, inside, block = (
            _rows(shapes, f"{first}.f.c.weight"),
            _rows(shapes, f"{first}.f.a.weight"),
            1,
        )
        carried = {f"{first}.proj.weight", f"{first}.proj.conv.weight"} & shapes.keys()
        if w != w_in and not carried:
            yield "a block that drops its shortcut where the width changes"
        while (name := f"s{stage}.b{block}") + ".f.a.weight" in shapes:
            rows, kept = (
                _rows(shapes, f"{name}.f.a.weight"),
                _rows(shapes, f"{name}.f.se.f_ex.0.weight"),
            )
            if rows != inside:
                yield "a first block of another width inside than the rest"
            if rows != w:
                yield "a block of another width inside than outside"
            if kept and kept != round(w_in / 4):
                yield "a squeeze to other than a quarter of what comes in"
            w_in, block = w, block + 1
        stage += 1


def _rows(shapes: Shapes, name: str) -> int:
    return next(iter(shapes.get(name, ())), 0)
