"""The paper once more, slowly: widths from its equations with numpy, costs layer by layer.

Written apart from the compiler, to be compared with it. It imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


def quantized_line(d: int, w0: int, wa: float, wm: float) -> tuple[list[int], list[int]]:
    """Widths and depths of the stages: equations 2, 3 and 4, each over all blocks at once."""
    u = w0 + wa * np.arange(d)
    s = np.log(u / w0) / np.log(wm)
    w = w0 * np.power(wm, np.rint(s))
    w = (np.rint(w / 8) * 8).astype(int)
    widths = sorted(set(w.tolist()))
    return widths, [int((w == width).sum()) for width in widths]


def fit_to_groups(w: int, b: Fraction, g: int) -> tuple[int, int, int]:
    """The paper's code: (outer width, inner width, group width). `mul` is 1 / b as a float."""
    mul = float(1 / b)
    inner = int(max(1, w * mul))
    g = int(min(g, inner))
    multiple = int(np.lcm(g, int(mul))) if mul > 1 else g
    inner = max(multiple, int(round(inner / multiple) * multiple))
    return int(inner / mul), inner, g


def fit_like_torchvision(w: int, b: Fraction, g: int) -> tuple[int, int, int]:
    """Nearest multiple, halves up, never below nine tenths: (outer, inner width, group width)."""
    mul = float(1 / b)
    inner = int(w * mul)
    g = min(g, inner)
    new = max(g, int(inner + g / 2) // g * g)
    if new < 0.9 * inner:
        new += g
    outer = int(new / mul)
    return outer, int(round(outer * mul)), g


@dataclass
class Layer:
    """A layer and what enters it: `kind` is conv, norm, act, gap, max or linear."""

    kind: str
    w_in: int
    w_out: int = 0
    k: int = 1
    side_out: int = 1
    side_in: int = 1
    groups: int = 1
    bias: bool = False


def layers(
    block: str, image: int, channels: int, stem: tuple[str, int],
    stages: list[tuple[int, int, int, int, int, Fraction]], head: int, classes: int,
) -> Iterator[Layer]:  # fmt: skip
    """Every layer of a network, one by one. A stage is (w, d, stride, inner, g, se)."""

    def out(side: int, k: int, stride: int) -> int:
        return (side + 2 * (k // 2) - k) // stride + 1

    side = image
    kind, w_in = stem
    k, stride = {"simple": (3, 2), "resnet": (7, 2), "cifar": (3, 1)}[kind]
    after = out(side, k, stride)
    yield Layer("conv", channels, w_in, k, after, side)
    side = after
    yield from (Layer("norm", w_in, side_in=side), Layer("act", w_in, side_in=side))
    if kind == "resnet":
        after = out(side, 3, 2)
        yield Layer("max", w_in, w_in, side_out=after, side_in=side)
        side = after
    for w, d, stage_stride, inner, g, se in stages:
        for j in range(d):
            stride = stage_stride if j == 0 else 1
            after = out(side, 3, stride)
            if block != "Z" and (w_in != w or stride != 1):
                yield Layer("conv", w_in, w, 1, out(side, 1, stride), side)
                yield Layer("norm", w, side_in=after)
            yield Layer("conv", w_in, inner, 1, side, side)
            yield from (Layer("norm", inner, side_in=side), Layer("act", inner, side_in=side))
            yield Layer("conv", inner, inner, 3, after, side, groups=inner // g)
            yield from (Layer("norm", inner, side_in=after), Layer("act", inner, side_in=after))
            if se:
                squeezed = int(round(w_in * float(se)))
                yield Layer("gap", inner, side_in=after)
                yield Layer("conv", inner, squeezed, bias=True)
                yield Layer("act", squeezed)
                yield Layer("conv", squeezed, inner, bias=True)
            yield Layer("conv", inner, w, 1, after, after)
            yield Layer("norm", w, side_in=after)
            if block != "Z":
                yield Layer("act", w, side_in=after)
            side, w_in = after, w
    if head:
        yield Layer("conv", w_in, head, 1, side, side)
        yield from (Layer("norm", head, side_in=side), Layer("act", head, side_in=side))
        w_in = head
    yield Layer("gap", w_in, side_in=side)
    yield Layer("linear", w_in, classes, bias=True)


def counts(network: list[Layer], *, relu: bool) -> dict[str, int]:
    """Params, activations and flops in every convention, summed over the layers."""
    c = dict.fromkeys(("params", "macs", "pycls", "fvcore", "mmcv", "torch2", "acts"), 0)
    for x in network:
        elements = x.w_in * x.side_in**2
        if x.kind in ("conv", "linear"):
            weights = x.k * x.k * (x.w_in // x.groups) * x.w_out
            outputs = x.w_out * x.side_out**2
            macs = weights * x.side_out**2
            c["params"] += weights + (x.w_out if x.bias else 0)
            c["acts"] += outputs
            c["torch2"] += 2 * macs
            for name in ("macs", "pycls", "fvcore", "mmcv"):
                c[name] += macs
            c["pycls"] += outputs if x.bias else 0
            c["mmcv"] += outputs if x.bias and x.kind == "conv" else 0
        elif x.kind == "norm":
            c["params"] += 2 * x.w_in
            c["fvcore"] += 2 * elements
            c["mmcv"] += 2 * elements
        elif x.kind == "gap":
            c["fvcore"] += elements
            c["mmcv"] += elements
        elif x.kind == "max":
            c["mmcv"] += elements
            c["acts"] += x.w_out * x.side_out**2
        elif x.kind == "act" and relu:
            c["mmcv"] += elements
    return c
