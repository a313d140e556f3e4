"""Params, activations and flops of a network in closed form, stage by stage.

Five conventions of "flops" are in use; each has its name here and in every report. The formulas are
plain arithmetic without branches on sizes, so arrays of networks go through them as one network
does. Nothing of ours is imported here.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal, NamedTuple

StemType = Literal["simple", "resnet", "cifar", "tiered"]
BlockType = Literal["X", "Y", "Z"]
Shortcut = Literal["conv", "avg", "none"]
Order = Literal["post", "pre"]
Pool = Literal["avg", "max", "avgmax", "catavgmax"]

CONVENTIONS = ("macs", "pycls", "fvcore", "mmcv", "torch2")


class Style(NamedTuple):
    """What the layers of a network are, whatever their widths.

    `shortcut`: what carries a shortcut whose shape changes; `order`: activations after convolutions or
    before them; `tail`: whether an activation follows the last stage; `pool`: of the head.
    """

    block: BlockType = "X"
    shortcut: Shortcut = "conv"
    order: Order = "post"
    tail: bool = False
    pool: Pool = "avg"


class StageShape(NamedTuple):
    """A stage: `d` blocks of width `w`, `inner` channels inside in groups of `g`.

    `se_first` and `se_rest` are the squeezed channels in the first block and in the others,
    `inner_first` the channels inside the first block where they are others.
    """

    w: int
    d: int
    stride: int
    inner: int
    g: int
    se_first: int
    se_rest: int
    inner_first: int | None = None


class Tally(NamedTuple):
    """What is counted, layer by layer, for one image; tallies add up.

    `macs`: multiply-adds of convolutions and linear layers, no bias. `conv_bias`, `linear_bias`:
    outputs that get one. `norm`, `activated`, `se_activated`: elements that leave normalisations,
    activation functions, and those of squeeze-and-excitation. `global_pooled`: elements that are
    averaged over the whole image, `pooled`: that enter any other pooling. `acts`: elements that leave
    convolutions, linear layers and the stem's max-pooling.
    """

    params: int = 0
    macs: int = 0
    conv_bias: int = 0
    linear_bias: int = 0
    norm: int = 0
    activated: int = 0
    se_activated: int = 0
    global_pooled: int = 0
    pooled: int = 0
    acts: int = 0

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(*map(operator.add, self, other))

    def __mul__(self, times: int) -> Tally:  # type: ignore[override]
        return Tally(*(value * times for value in self))


class Counts(NamedTuple):
    """Totals of a network for one image, or of a part of it.

    `macs`: what the paper calls flops. `pycls`: and one add for every biased output. `fvcore`: macs,
    2 for every element of a batch norm, 5 of a group norm, and 1 for every element that is averaged
    over the image. `mmcv`: 2 for either norm, 1 for every pooled and every rectified element, and the
    convolutions' biases. `torch2`: 2 for every multiply-add.
    """

    params: int
    macs: int
    pycls: int
    fvcore: int
    mmcv: int
    torch2: int
    acts: int

    @classmethod
    def of(
        cls, t: Tally, *, relu: bool, se_relu: bool | None = None, group_norm: bool = False
    ) -> Counts:
        """The conventions of a tally. `relu`: the activation function is one; `se_relu`: that inside SE."""
        pooled = t.macs + t.global_pooled
        rectified = relu * t.activated + (relu if se_relu is None else se_relu) * t.se_activated
        return cls(
            params=t.params,
            macs=t.macs,
            pycls=t.macs + t.conv_bias + t.linear_bias,
            fvcore=pooled + (5 if group_norm else 2) * t.norm,
            mmcv=pooled + 2 * t.norm + t.pooled + t.conv_bias + rectified,
            torch2=2 * t.macs,
            acts=t.acts,
        )

    def as_dict(self) -> dict[str, int]:
        return self._asdict()


def size_after(side: int, stride: int) -> int:
    """Side of what a padded convolution or pooling of this stride makes of a square image."""
    return (side - 1) // stride + 1


def conv(w_in: int, w_out: int, kernel: int, side: int, g: int = 0) -> Tally:
    """A convolution without bias whose output is `side` pixels square; in groups of `g` channels."""
    weights = kernel * kernel * (g or w_in) * w_out
    area = side * side
    return Tally(params=weights, macs=weights * area, acts=w_out * area)


def norm(w: int, side: int) -> Tally:
    return Tally(params=2 * w, norm=w * side * side)


def activation(w: int, side: int) -> Tally:
    return Tally(activated=w * side * side)


def excitation(w: int, se: int, side: int) -> Tally:
    """Squeeze-and-excitation of `w` channels to `se` and back, with biases; nothing where `se` is 0."""
    on = se > 0
    bias = (se + w) * on
    weights = 2 * w * se
    return Tally(
        params=weights + bias,
        macs=weights,
        conv_bias=bias,
        se_activated=se,
        global_pooled=w * side * side * on,
        acts=bias,
    )


def stem(
    kind: StemType, channels: int, w: int, image: int, order: Order = "post"
) -> tuple[Tally, int]:
    """The stem, and the side of what leaves it. In pre-activation order its last convolution is bare."""
    if kind == "tiered":
        return _tiered(channels, w, image, order)
    kernel, stride = {"simple": (3, 2), "resnet": (7, 2), "cifar": (3, 1)}[kind]
    side = size_after(image, stride)
    tally = conv(channels, w, kernel, side)
    if order == "post":
        tally += norm(w, side) + activation(w, side)
    if kind != "resnet":
        return tally, side
    pooled = size_after(side, 2)
    pool = Tally(pooled=w * side * side, acts=w * pooled * pooled)
    return tally + pool, pooled


def tiers(w: int) -> tuple[int, int, int]:
    """Widths of the three convolutions of a tiered stem: 3/8, 1/2 and all of its width."""
    return 3 * w // 8, w // 2, w


def _tiered(channels: int, w: int, image: int, order: Order) -> tuple[Tally, int]:
    tally, side, w_in = Tally(), image, channels
    for k, (w_out, stride) in enumerate(zip(tiers(w), (2, 1, 2), strict=True)):
        side = size_after(side, stride)
        tally += conv(w_in, w_out, 3, side)
        if order == "post" or k < 2:
            tally += norm(w_out, side) + activation(w_out, side)
        w_in = w_out
    return tally, side


def block(
    style: Style,
    w_in: int,
    s: StageShape,
    stride: int,
    se: int,
    side: int,
    *,
    inner: int | None = None,
    reshaped: bool | None = None,
) -> tuple[Tally, int]:
    """One block on an input of `side` pixels, and the side of its output.

    `inner` are the channels inside where they are not those of the stage, `reshaped` whether the
    shortcut changes its shape, where that is not to be found out.
    """
    out = size_after(side, stride)
    inner = s.inner if inner is None else inner
    tally = conv(w_in, inner, 1, side) + norm(inner, side) + activation(inner, side)
    tally += conv(inner, inner, 3, out, s.g) + norm(inner, out) + activation(inner, out)
    tally += excitation(inner, se, out)
    tally += conv(inner, s.w, 1, out)
    if style.order == "pre":
        tally += norm(w_in, side) + activation(w_in, side)
    else:
        tally += norm(s.w, out)
        if style.block != "Z":
            tally += activation(s.w, out)
    if style.shortcut == "none":
        return tally, out
    carried = conv(w_in, s.w, 1, out)
    if style.order == "post":
        carried += norm(s.w, out)
    if style.shortcut == "avg" and stride > 1:
        carried += Tally(pooled=w_in * side * side)
    if reshaped is None:
        reshaped = (w_in != s.w) | (stride != 1)
    return tally + carried * reshaped, out


def stage(
    style: Style, w_in: int, s: StageShape, side: int, *, reshaped: bool | None = None
) -> tuple[Tally, int]:
    """A stage: its first block, then `d - 1` equal ones."""
    first, side = block(
        style, w_in, s, s.stride, s.se_first, side, inner=s.inner_first, reshaped=reshaped
    )
    rest, _ = block(style, s.w, s, 1, s.se_rest, side)
    return first + rest * (s.d - 1), side


def head(w_in: int, w: int, classes: int, side: int, style: Style) -> Tally:
    """An activation where there is one, a 1x1 convolution, global pooling, a classifier.

    `w` is the width of the convolution, 0 where there is none; 0 classes are no classifier.
    """
    tally = Tally()
    if style.tail:
        tally += activation(w_in, side)
    if w:
        tally += conv(w_in, w, 1, side) + norm(w, side) + activation(w, side)
        w_in = w
    area = w_in * side * side
    seen = w_in * 2 if style.pool == "catavgmax" else w_in
    return tally + Tally(
        params=seen * classes + classes,
        macs=seen * classes,
        linear_bias=classes,
        global_pooled=area * (style.pool != "max"),
        pooled=area * (style.pool != "avg"),
        acts=classes,
    )


class Part(NamedTuple):
    """A part of a network: what it is called, the side of its output, what it costs."""

    name: str
    side: int
    tally: Tally


def parts(
    style: Style,
    *,
    image: int,
    channels: int,
    stem_type: StemType,
    stem_w: int,
    stages: Sequence[StageShape],
    head_w: int,
    classes: int,
) -> list[Part]:
    """Stem, stages and head of a network, in order, for one image of `image` pixels square."""
    tally, side = stem(stem_type, channels, stem_w, image, style.order)
    out = [Part("stem", side, tally)]
    w_in = stem_w
    for number, s in enumerate(stages, 1):
        tally, side = stage(style, w_in, s, side)
        out.append(Part(f"s{number}", side, tally))
        w_in = s.w
    out.append(Part("head", 1, head(w_in, head_w, classes, side, style)))
    return out


def total(tallies: Sequence[Tally]) -> Tally:
    return sum(tallies, start=Tally())
