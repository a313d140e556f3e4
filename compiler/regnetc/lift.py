"""The names and shapes of a network's parameters to the network, and a network to its names and shapes.

Names are ours (pycls's). Strides, activations and the image cannot be seen in shapes: a shipped network
with the same shapes lends them, else they are what its family has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import gcd
from typing import NamedTuple

from . import fitting, regnet, zoo
from .complexity import BlockType, Order, Shortcut, StemType
from .network import Activation, Network, Norm, Stage, Stem
from .writing import Line, as_spec
from .zoo import Entry

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


class LiftError(Exception):
    """Shapes that are those of no network of the language; the message stands alone."""


class Lifted(NamedTuple):
    """A network, the shipped ones with the same shapes, and what was assumed of it."""

    network: Network
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def shapes_of(n: Network) -> dict[str, Shape]:
    """Every parameter and buffer of the emitted module by name, in the order of its state dict."""
    return dict(_tensors(n))


def _tensors(n: Network) -> Iterator[tuple[str, Shape]]:
    kinds = {"simple": 3, "resnet": 7, "cifar": 3, "tiered": 3}
    widths, w_in = n.stem_widths, n.channels
    for k, w in enumerate(widths, 1):
        mark = str(k) if len(widths) > 1 else ""
        yield f"stem.conv{mark}.weight", (w, w_in, kinds[n.stem.type], kinds[n.stem.type])
        if n.order == "post" or k < len(widths):
            yield from _norm(n, f"stem.bn{mark}", w)
        w_in = w
    for i, s in enumerate(n.stages, 1):
        for j in range(1, s.d + 1):
            inner = s.inner_first if j == 1 else s.inner
            yield from _block(
                n, f"s{i}.b{j}", w_in, s, inner, s.se[j - 1], s.stride if j == 1 else 1
            )
            w_in = s.w
    if n.head:
        yield "head.conv.weight", (n.head, w_in, 1, 1)
        yield from _norm(n, "head.bn", n.head)
    if n.classes:
        yield "head.fc.weight", (n.classes, n.seen)
        yield "head.fc.bias", (n.classes,)


def _norm(n: Network, name: str, w: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (w,)
    yield f"{name}.bias", (w,)
    if n.norm.type == "batch":
        yield f"{name}.running_mean", (w,)
        yield f"{name}.running_var", (w,)
        yield f"{name}.num_batches_tracked", ()


def _block(
    n: Network, at: str, w_in: int, s: Stage, inner: int, se: int, stride: int
) -> Iterator[tuple[str, Shape]]:
    pre = n.order == "pre"
    if pre:
        yield from _norm(n, f"{at}.bn", w_in)
    if n.carried_by != "none" and (w_in != s.w or stride != 1):
        proj = "proj.conv" if n.carried_by == "avg" else "proj"
        yield f"{at}.{proj}.weight", (s.w, w_in, 1, 1)
        if not pre:
            yield from _norm(n, f"{at}.bn", s.w)
    yield f"{at}.f.a.weight", (inner, w_in, 1, 1)
    yield from _norm(n, f"{at}.f.a_bn", inner)
    yield f"{at}.f.b.weight", (inner, s.g, 3, 3)
    if not pre:
        yield from _norm(n, f"{at}.f.b_bn", inner)
    if se:
        yield f"{at}.f.se.f_ex.0.weight", (se, inner, 1, 1)
        yield f"{at}.f.se.f_ex.0.bias", (se,)
        yield f"{at}.f.se.f_ex.2.weight", (inner, se, 1, 1)
        yield f"{at}.f.se.f_ex.2.bias", (inner,)
    if pre:
        yield from _norm(n, f"{at}.f.b_bn", inner)
    yield f"{at}.f.c.weight", (s.w, inner, 1, 1)
    if not pre:
        yield from _norm(n, f"{at}.f.c_bn", s.w)


def lift(shapes: Shapes, name: str = "Lifted") -> Lifted:
    """The network whose parameters have these names and shapes. Raises LiftError.

    Buffers may be missing; what classifier there is, is part of it.
    """
    wanted = {k: v for k, v in shapes.items() if not k.endswith("num_batches_tracked")}
    entries = tuple(e for e in zoo.entries() if _same(e.network, wanted))
    if entries:
        first = min(entries, key=lambda e: (e.network.tail, e.network.name))
        network = first.network._replace(classes=_classes(wanted))
        assumed = "strides, activations and the image are those of"
        return Lifted(network, entries, (f"{assumed} {first.network.name}",))
    network = _read(wanted, name)
    if _plain(shapes_of(network)) != wanted:
        found = _plain(shapes_of(network))
        odd = next(k for k in [*wanted, *found] if wanted.get(k) != found.get(k))
        raise LiftError(
            f"`{odd}` is {_shown(wanted.get(odd))}, and {_shown(found.get(odd))} in such a network"
        )
    notes = [
        f"strides (2), activation ({network.activation}) and image (224) cannot be seen in weights and are assumed"
    ]
    if network.carried_by == "avg" or network.norm.type == "group":
        notes.append("so is what averages, or what group norm takes together")
    return Lifted(network, (), tuple(notes))


def _shown(shape: Shape | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape))


def _plain(shapes: Shapes) -> dict[str, Shape]:
    return {k: v for k, v in shapes.items() if not k.endswith("num_batches_tracked")}


def _same(n: Network, wanted: Shapes) -> bool:
    """Whether it is this network, whatever its number of classes."""
    classes = _classes(wanted)
    sizes = n.stages[-1]
    last = f"s{len(n.stages)}.b{sizes.d}.f.c.weight"  # most networks differ here already
    if wanted.get(last) != (sizes.w, sizes.inner if sizes.d > 1 else sizes.inner_first, 1, 1):
        return False
    return _plain(shapes_of(n._replace(classes=classes))) == wanted


def _classes(shapes: Shapes) -> int:
    found = shapes.get("head.fc.weight")
    return found[0] if found else 0


class _Blocks(NamedTuple):
    """What the blocks of a stage say: width, depth, channels inside, group, squeezes, a shortcut that is carried."""

    w: int
    d: int
    first: int
    inner: int
    g: int
    se: tuple[int, ...]
    carried: bool


def _read(shapes: Shapes, name: str) -> Network:
    try:
        return _network(shapes, name)
    except KeyError as e:
        raise LiftError(f"it has no {e.args[0]}") from None
    except (IndexError, ZeroDivisionError, ValueError):
        raise LiftError("its shapes are those of no convolutions, norms and blocks") from None


def _network(shapes: Shapes, name: str) -> Network:
    stem_type, stem_w, channels = _stem(shapes)
    stages = _stages(shapes)
    pre = "stem.bn.weight" not in shapes and "stem.bn3.weight" not in shapes
    order: Order = "pre" if pre else "post"
    drops = _drops(stages, stem_w)
    averaged = any(k.endswith(".proj.conv.weight") for k in shapes)
    se = any(s.se[0] for s in stages)
    block: BlockType = "Z" if drops and not pre else "Y" if se else "X"
    shortcut: Shortcut | None = "avg" if averaged else "none" if drops and pre else None
    activation: Activation = "silu" if block == "Z" or pre else "relu"
    grouped = not any(k.endswith("running_mean") for k in shapes)
    head = shapes["head.conv.weight"][0] if "head.conv.weight" in shapes else 0
    ratio = _share(stages, stem_w) if se else Fraction(0)
    seen = shapes["head.fc.weight"][1] if "head.fc.weight" in shapes else 0
    network = Network(
        name=name, doc="", block=block, activation=activation, rounding="paper", image=224, channels=channels,
        classes=_classes(shapes), stem=Stem(stem_type, stem_w),
        stages=tuple(_strided(stages, stem_type, stem_w, drops=drops)), head=head,
        parameters=(("se", float(ratio)),) if ratio else (), order=order, tail=pre,
        shortcut=shortcut, norm=_group_norm(shapes) if grouped else Norm(),
        pool="catavgmax" if seen and seen == 2 * (head or stages[-1].w) else "avg",
    )  # fmt: skip
    return on_line(network)


def _stem(shapes: Shapes) -> tuple[StemType, int, int]:
    if "stem.conv1.weight" in shapes:
        return "tiered", shapes["stem.conv3.weight"][0], shapes["stem.conv1.weight"][1]
    w, channels, kernel, _ = shapes["stem.conv.weight"]
    return ("resnet" if kernel == 7 else "simple"), w, channels


def _stages(shapes: Shapes) -> list[_Blocks]:
    found: list[_Blocks] = []
    while f"s{len(found) + 1}.b1.f.a.weight" in shapes:
        i, depth = len(found) + 1, 1
        while f"s{i}.b{depth + 1}.f.a.weight" in shapes:
            depth += 1
        inner = [shapes[f"s{i}.b{j}.f.a.weight"][0] for j in range(1, depth + 1)]
        se = [shapes.get(f"s{i}.b{j}.f.se.f_ex.0.weight", (0,))[0] for j in range(1, depth + 1)]
        w, g = shapes[f"s{i}.b1.f.c.weight"][0], shapes[f"s{i}.b1.f.b.weight"][1]
        carried = f"s{i}.b1.proj.weight" in shapes or f"s{i}.b1.proj.conv.weight" in shapes
        found.append(_Blocks(w, depth, inner[0], inner[-1], g, tuple(se), carried))
    if not found:
        raise LiftError("it has no stage")
    return found


def _group_norm(shapes: Shapes) -> Norm:
    """Group norm over 16 channels, as timm's, or over the most up to there that split every width."""
    norms = [s[0] for k, s in shapes.items() if len(s) == 1 and "bn" in k.split(".")[-2]]
    return Norm("group", gcd(16, *norms))


def _drops(stages: list[_Blocks], w_in: int) -> bool:
    """Whether a block changes the width and carries no shortcut, as Z blocks do."""
    ins = (w_in, *(s.w for s in stages))
    return any(s.w != w and not s.carried for s, w in zip(stages, ins, strict=False))


def _strided(stages: list[_Blocks], stem: StemType, w_in: int, *, drops: bool) -> Iterator[Stage]:
    """The stages with strides: seen where the width stays, by whether a shortcut is carried, else usual."""
    of_in = _of_what_comes_in(stages)
    for i, s in enumerate(stages):
        stride = 1 if stem == "tiered" and i == 0 else 2
        if s.w == w_in and not drops:
            stride = 2 if s.carried else 1
        yield _stage(s, stride, w_in if of_in else s.w)
        w_in = s.w


def _of_what_comes_in(stages: list[_Blocks]) -> bool:
    """Whether the first block of a stage is as wide inside as what comes in says."""
    return any(s.first != s.inner for s in stages) or any(
        1 not in Fraction(s.w, s.inner).as_integer_ratio() for s in stages
    )


def _stage(s: _Blocks, stride: int, w_first: int) -> Stage:
    """A stage whose first block has a bottleneck of `w_first`: the width outside, or what comes in."""
    b = Fraction(w_first, s.first)
    inner = s.inner if s.d > 1 else s.w / b
    if 1 not in b.as_integer_ratio() or b * inner != s.w:
        raise LiftError(f"{s.w} channels around {s.inner} are no bottleneck ratio of the language")
    plain = b.numerator if b.denominator == 1 else float(b)
    return Stage(s.w, s.d, stride, plain, int(inner), s.g, s.se, s.first)


def _share(stages: list[_Blocks], stem_w: int) -> Fraction:
    """The share that squeezes are of, by the widths that come in or those inside."""
    for of_inner, by in ((False, 1), (True, 8), (True, 1), (False, 8)):
        for share in (Fraction(1, 4), *(Fraction(1, k) for k in (2, 8, 16, 3, 6, 12, 32, 1))):
            if all(_squeezes(stages, stem_w, share, of_inner=of_inner, by=by)):
                return share
    raise LiftError("its squeezes follow no rule of the language")


def _squeezes(
    stages: list[_Blocks], w_in: int, share: Fraction, *, of_inner: bool, by: int
) -> Iterator[bool]:
    for s in stages:
        for j, kept in enumerate(s.se):
            inner = s.first if j == 0 else s.inner
            yield regnet.squeeze_by(inner if of_inner else w_in, share, by) == kept
            w_in = s.w


def on_line(n: Network) -> Network:
    """With the line that gives it, where there is one; torchvision's rule is tried where the paper's fails."""
    rules: tuple[regnet.Rounding, ...] = ("paper", "torchvision")
    shared = fitting.shared(n)
    if shared is None or any(s.inner_first != s.inner for s in n.stages) or len(n.stages) < 2:
        return n
    for rounding in rules:
        tried = n._replace(rounding=rounding)
        line = fitting.exact(tried)
        if line is not None:
            b, g = shared
            found = (
                ("d", line.d), ("w0", line.w0), ("wa", _number(line.wa)), ("wm", _number(line.wm)),
                ("g", g), ("b", _number(b)),
            )  # fmt: skip
            return tried._replace(parameters=(*found, *n.parameters))
    return n


def _number(x: Fraction) -> int | float:
    return x.numerator if x.denominator == 1 else float(x)


def spec_of(n: Network, name: str, doc: str) -> str:
    """The spec that one would type for it: on its line where it has one, else stage by stage."""
    line, shared = fitting.parameters(n), fitting.shared(n)
    if line is None or shared is None:
        return as_spec(n, name, doc)
    return as_spec(n, name, doc, Line(*line, *shared))
