"""What code bases call the parameters of a network: names to ours and back, in each one's own order.

Ours are pycls's, which has no other words for what it does not build. Only names are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from .buildable import beyond
from .problems import Problem, some

T = TypeVar("T")

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Dialect:
    """A code base's names. `outside` are those of stem and head, `inside` those of a block.

    Both go from our name to theirs in the order of theirs. `block` is what stands before the names of a
    block, with the stage and the block counted from 1 (`s`, `b`) or from 0 (`s0`, `b0`); `r` is one more
    than `s`. `between` are words that may stand in it and say nothing. `bgr`: whether the code base's
    checkpoints take their images in the order blue, green, red.
    """

    name: str
    block: str
    outside: Mapping[str, str]
    inside: Mapping[str, str]
    between: str = ""
    bgr: bool = False

    def theirs(self, ours: str) -> str | None:
        """Their name for one of ours, None where they have none."""
        stem, _, leaf = ours.rpartition(".")
        found = _BLOCK.fullmatch(stem)
        if found is None:
            there = self.outside.get(stem)
            return None if there is None or leaf not in LEAVES else f"{there}.{leaf}"
        inside = self.inside.get(found[3])
        if inside is None or leaf not in LEAVES:
            return None
        s, b = int(found[1]), int(found[2])
        return f"{self.block.format(s=s, b=b, s0=s - 1, b0=b - 1, r=s + 1)}{inside}.{leaf}"

    def ours(self, theirs: str) -> str | None:
        """Our name for one of theirs, None where it is none of theirs."""
        stem, _, leaf = theirs.rpartition(".")
        if leaf not in LEAVES:
            return None
        if stem in self._outside:
            return f"{self._outside[stem]}.{leaf}"
        found = self._pattern.fullmatch(stem)
        if found is None or found["leaf"] not in self._inside:
            return None
        said = found.groupdict()
        s = int(said["s"]) if said.get("s") else int(said["s0"]) + 1
        b = int(said["b"]) if said.get("b") else int(said["b0"]) + 1
        if not s or not b or int(said.get("r") or s + 1) != s + 1:
            return None
        return f"s{s}.b{b}.{self._inside[found['leaf']]}.{leaf}"

    def place(self, ours: str) -> tuple[int, ...]:
        """Where a parameter of ours stands among theirs; names sort by it."""
        stem, _, leaf = ours.rpartition(".")
        found = _BLOCK.fullmatch(stem)
        last = LEAVES.index(leaf) if leaf in LEAVES else len(LEAVES)
        if found is None:
            names = list(self.outside)
            at = names.index(stem) if stem in names else len(names)
            return (2 if stem.startswith("head") else 0, at, 0, 0, last)
        names = list(self.inside)
        at = names.index(found[3]) if found[3] in names else len(names)
        return (1, int(found[1]), int(found[2]), at, last)

    @cached_property
    def _outside(self) -> dict[str, str]:
        return {v: k for k, v in self.outside.items()}

    @cached_property
    def _inside(self) -> dict[str, str]:
        return {v: k for k, v in self.inside.items()}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        seen: set[str] = set()

        def field(found: re.Match[str]) -> str:
            name = found[1]
            again = name in seen
            seen.add(name)
            return f"(?P={name})" if again else rf"(?P<{name}>0|[1-9]\d{{0,3}})"

        pattern = re.sub(r"\\\{(\w+)\\\}", field, re.escape(self.block))
        if self.between:
            at = pattern.index("block", pattern.index("res"))
            pattern = f"{pattern[:at]}(?:{self.between})?{pattern[at:]}"
        return re.compile(rf"{pattern}(?P<leaf>.+)", re.ASCII)


_BLOCK = re.compile(r"s(\d+)\.b(\d+)\.(.+)")


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_TIERS = {f"stem.{kind}{k}": f"stem.conv{k}.{kind}" for k in (1, 2, 3) for kind in ("conv", "bn")}
_LAST = {"head.conv": "final_conv.conv", "head.bn": "final_conv.bn", "head.fc": "head.fc"}
_FB = {
    "proj": "proj", "bn": "bn", "f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1",
    "f.se.f_ex.0": "f.se.excitation.0", "f.se.f_ex.2": "f.se.excitation.2", "f.c": "f.c", "f.c_bn": "f.final_bn",
}  # fmt: skip
_TF = "convolution", "normalization"


def _transformers(prefix: str, *, se: bool) -> Dialect:
    last = "layer.3" if se else "layer.2"
    inside = {"proj": "shortcut.convolution", "bn": "shortcut.normalization"}
    for ours, theirs in (("a", "layer.0"), ("b", "layer.1")):
        inside |= {f"f.{ours}": f"{theirs}.{_TF[0]}", f"f.{ours}_bn": f"{theirs}.{_TF[1]}"}
    if se:
        inside |= {"f.se.f_ex.0": "layer.2.attention.0", "f.se.f_ex.2": "layer.2.attention.2"}
    inside |= {"f.c": f"{last}.{_TF[0]}", "f.c_bn": f"{last}.{_TF[1]}"}
    stem = f"{prefix}embedder.embedder"
    outside = {"stem.conv": f"{stem}.{_TF[0]}", "stem.bn": f"{stem}.{_TF[1]}"}
    if prefix:
        outside["head.fc"] = "classifier.1"
    block = f"{prefix}encoder.stages.{{s0}}.layers.{{b0}}."
    return Dialect("transformers", block, outside, inside)


_POST = _same(
    "proj", "bn", "f.a", "f.a_bn", "f.b", "f.b_bn", "f.se.f_ex.0", "f.se.f_ex.2", "f.c", "f.c_bn"
)
_OUTSIDE = _same(
    "stem.conv", "stem.bn", *(f"stem.{kind}{k}" for k in (1, 2, 3) for kind in ("conv", "bn")),
    "head.conv", "head.bn", "head.fc",
)  # fmt: skip
PYCLS = Dialect("pycls", "s{s}.b{b}.", _OUTSIDE, _POST, bgr=True)
_OURS_AVG = Dialect(
    "pycls", "s{s}.b{b}.", _OUTSIDE, {"proj.conv": "proj.conv"} | dict(list(_POST.items())[1:]), bgr=True
)  # fmt: skip
_PRE = _same("f.a", "f.a_bn", "f.b", "f.se.f_ex.0", "f.se.f_ex.2", "f.b_bn", "f.c")
_OURS_PRE = Dialect(
    "pycls", "s{s}.b{b}.", _OUTSIDE, _same("bn", "proj", "proj.conv") | _PRE, bgr=True
)

DIALECTS: tuple[Dialect, ...] = (
    PYCLS,
    _OURS_AVG,
    _OURS_PRE,
    Dialect(
        "timm", "s{s}.b{b}.",
        _same("stem.conv", "stem.bn") | _LAST,
        {"f.a": "conv1.conv", "f.a_bn": "conv1.bn", "f.b": "conv2.conv", "f.b_bn": "conv2.bn",
         "f.se.f_ex.0": "se.fc1", "f.se.f_ex.2": "se.fc2", "f.c": "conv3.conv", "f.c_bn": "conv3.bn",
         "proj": "downsample.conv", "bn": "downsample.bn"},
    ),
    Dialect(  # regnetv
        "timm", "s{s}.b{b}.",
        {"stem.conv": "stem"} | _LAST,
        {"bn": "norm1", "f.a": "conv1", "f.a_bn": "norm2", "f.b": "conv2", "f.se.f_ex.0": "se.fc1",
         "f.se.f_ex.2": "se.fc2", "f.b_bn": "norm3", "f.c": "conv3", "proj": "downsample", "proj.conv": "downsample.1"},
    ),
    Dialect(  # regnetz of byobnet
        "timm", "stages.{s0}.{b0}.",
        _same("stem.conv", "stem.bn") | _TIERS | _LAST,
        {"f.a": "conv1_1x1.conv", "f.a_bn": "conv1_1x1.bn", "f.b": "conv2_kxk.conv", "f.b_bn": "conv2_kxk.bn",
         "f.se.f_ex.0": "attn.fc1", "f.se.f_ex.2": "attn.fc2", "f.c": "conv3_1x1.conv", "f.c_bn": "conv3_1x1.bn"},
    ),
    Dialect(
        "torchvision", "trunk_output.block{s}.block{s}-{b0}.",
        {"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"},
        {"proj": "proj.0", "bn": "proj.1", "f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1",
         "f.se.f_ex.0": "f.se.fc1", "f.se.f_ex.2": "f.se.fc2", "f.c": "f.c.0", "f.c_bn": "f.c.1"},
    ),
    Dialect(
        "mmpretrain", "backbone.layer{s}.{b0}.",
        {"stem.conv": "backbone.conv1", "stem.bn": "backbone.bn1", "head.fc": "head.fc"},
        {"f.a": "conv1", "f.a_bn": "bn1", "f.b": "conv2", "f.b_bn": "bn2", "f.c": "conv3", "f.c_bn": "bn3",
         "proj": "downsample.0", "bn": "downsample.1"},
        bgr=True,
    ),
    _transformers("regnet.", se=False),
    _transformers("regnet.", se=True),
    _transformers("", se=False),
    _transformers("", se=True),
    Dialect(
        "classyvision", "trunk_output.block{s}.block{s}-{b0}.",
        {"stem.conv": "stem.stem.0", "stem.bn": "stem.stem.1", "head.conv": "heads.conv", "head.bn": "heads.bn",
         "head.fc": "heads.fc"},
        _FB,
    ),
    Dialect(
        "vissl", "_feature_blocks.res{r}.block{s}-{b0}.",
        {"stem.conv": "_feature_blocks.conv1.stem.0", "stem.bn": "_feature_blocks.conv1.stem.1",
         "head.fc": "heads.0.clf.0"},
        _FB,
        between=r"block\d+-part\d+\.",
    ),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(d.name for d in DIALECTS))


@dataclass(frozen=True, slots=True)
class Read:
    """A state dict under our names and in our order; `strange` are names that nobody knows."""

    dialect: Dialect
    names: Mapping[str, str]  # ours to theirs
    strange: tuple[str, ...]


def recognise(names: Sequence[str]) -> Read:
    """The dialect that most names of a state dict are of. Raises `unknown-dialect`."""
    best: Read | None = None
    for dialect in DIALECTS:
        pairs = {ours: name for name in names if (ours := dialect.ours(name)) is not None}
        if "stem.conv.weight" not in pairs and "stem.conv1.weight" not in pairs:
            continue
        strange = tuple(n for n in names if dialect.ours(n) is None)
        if best is None or len(strange) < len(best.strange):
            best = Read(dialect, pairs, strange)
    if best is None or len(best.strange) > len(best.names):
        raise Problem(
            "unknown-dialect",
            "these are no weights of a RegNet that any known code base has written",
            details=[f"it holds {some(list(names), 4)}"] if names else (),
            help=f"known are {', '.join(NAMES)}",
        )
    _refuse_evonorm(best)
    ordered = in_our_order(best.names)
    return Read(best.dialect, {n: best.names[n] for n in ordered}, best.strange)


def _refuse_evonorm(read: Read) -> None:
    """Raise `unknown-dialect` for norms that keep a `v`: the language has none, and without it they are others."""
    if any(n.endswith(".v") and read.dialect.ours(f"{n[:-1]}weight") for n in read.strange):
        raise Problem(
            "unknown-dialect",
            f"these are weights of a network of {read.dialect.name} with EvoNorm, which the language does not have",
            help="take its twin with batch norm",
        )


def in_our_order(names: Iterable[str]) -> list[str]:
    """Our names in the order of a generated module's state dict."""
    names = list(names)
    return sorted(names, key=(_OURS_PRE if _is_pre(names) else _ours_post(names)).place)


def _is_pre(names: Container[str]) -> bool:
    """Whether these are names of a network in pre-activation order: nothing follows its stem."""
    return "stem.bn.weight" not in names and "stem.bn3.weight" not in names


def _ours_post(names: Sequence[str]) -> Dialect:
    return _OURS_AVG if any(".proj.conv." in n for n in names) else PYCLS


def renamed(shapes: Mapping[str, Sequence[int]], to: str) -> dict[str, str]:
    """Our names, with the shapes of their tensors, to those of a dialect, in its order.

    Raises `cannot-hold` where it has no words for some.
    """
    variants = [d for d in DIALECTS if d.name == to]
    if not variants:
        raise Problem(
            "unknown-dialect", f"there is no dialect {to}", help=f"known are {', '.join(NAMES)}"
        )
    more = beyond(to, shapes)
    if more:
        raise _cannot_hold(to, f"it has {more}, and no RegNet of {to} has")
    least: list[str] | None = None
    for dialect in variants:
        missing = [n for n in shapes if dialect.theirs(n) is None]
        if not missing and _is_its(dialect, shapes):
            return {n: str(dialect.theirs(n)) for n in sorted(shapes, key=dialect.place)}
        if least is None or len(missing) < len(least):
            least = missing
    raise _cannot_hold(to, f"it has no {some(least)}" if least else "")


def _cannot_hold(to: str, why: str) -> Problem:
    return Problem(
        "cannot-hold",
        f"{to} has no such network, and so no names for it",
        details=[why] if why else (),
        help="convert to another code base: pycls's names hold every network",
    )


def _is_its(dialect: Dialect, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether the variant is the one that such a network has in its code base."""
    se = any(".f.se." in n for n in shapes)
    if dialect.name == "transformers":
        fits = ("f.se.f_ex.0" in dialect.inside) == se
        return fits and ("head.fc" in dialect.outside) == any(n.startswith("head.") for n in shapes)
    pre = _is_pre(shapes)
    if dialect.name in ("pycls", "timm") and ("f.c_bn" not in dialect.inside) != pre:
        return False
    if dialect.name == "timm" and not pre:
        return _by_what_comes_in(shapes) == dialect.block.startswith("stages")
    return True


def _by_what_comes_in(shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether first blocks are of another width inside than those behind them."""
    inner = {n: s[0] for n, s in shapes.items() if n.endswith(".f.a.weight")}
    return "stem.conv1.weight" in shapes or any(
        inner.get(re.sub(r"\.b1\.", ".b2.", n), w) != w for n, w in inner.items() if ".b1." in n
    )


def split(tensors: Mapping[str, T]) -> dict[str, T]:
    """Names without what wrappers put before all of them: `module.`, `model.`."""
    found = dict(tensors)
    for prefix in ("module.", "model."):
        if found and all(k.startswith(prefix) for k in found):
            found = {k.removeprefix(prefix): v for k, v in found.items()}
    return found
