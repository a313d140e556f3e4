"""Params, activations and flops of a network in closed form, stage by stage.

Five conventions of "flops" are in use; each has its name here and in every report. The formulas are
plain arithmetic without branches on sizes, so arrays of networks go through them as one network
does. Nothing of ours is imported here.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Literal, NamedTuple

StemType = Literal["simple", "resnet", "cifar"]
BlockType = Literal["X", "Y", "Z"]

CONVENTIONS = ("macs", "pycls", "fvcore", "mmcv", "torch2")


class StageShape(NamedTuple):
    """A stage: `d` blocks of width `w`, `inner` channels inside in groups of `g`.

    `se_first` and `se_rest` are the squeezed channels in the first block and in the others.
    """

    w: int
    d: int
    stride: int
    inner: int
    g: int
    se_first: int
    se_rest: int


class Tally(NamedTuple):
    """What is counted, layer by layer, for one image; tallies add up.

    `macs`: multiply-adds of convolutions and linear layers, no bias. `conv_bias`, `linear_bias`:
    outputs that get one. `norm`, `activated`: elements that leave batch norms and activation
    functions. `pooled`: elements that enter a pooling, `pool_out`: that leave a max-pooling.
    `acts`: elements that leave convolutions, linear layers and max-poolings.
    """

    params: int = 0
    macs: int = 0
    conv_bias: int = 0
    linear_bias: int = 0
    norm: int = 0
    activated: int = 0
    global_pooled: int = 0
    max_pooled: int = 0
    acts: int = 0

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        return Tally(*map(operator.add, self, other))

    def __mul__(self, times: int) -> Tally:  # type: ignore[override]
        return Tally(*(value * times for value in self))


class Counts(NamedTuple):
    """Totals of a network for one image, or of a part of it.

    `macs`: what the paper calls flops. `pycls`: and one add for every biased output. `fvcore`: macs,
    2 for every batch-norm element and 1 for every element that is averaged. `mmcv`: that, 1 for every
    ReLU and max-pooled element, and the convolutions' biases. `torch2`: 2 for every multiply-add.
    """

    params: int
    macs: int
    pycls: int
    fvcore: int
    mmcv: int
    torch2: int
    acts: int

    @classmethod
    def of(cls, t: Tally, *, relu: bool) -> Counts:
        """The conventions of a tally; `relu` where the activation function is one."""
        fvcore = t.macs + 2 * t.norm + t.global_pooled
        return cls(
            params=t.params,
            macs=t.macs,
            pycls=t.macs + t.conv_bias + t.linear_bias,
            fvcore=fvcore,
            mmcv=fvcore + t.max_pooled + t.conv_bias + relu * t.activated,
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
        activated=se,
        global_pooled=w * side * side * on,
        acts=bias,
    )


def stem(kind: StemType, channels: int, w: int, image: int) -> tuple[Tally, int]:
    """The stem, and the side of what leaves it."""
    kernel, stride = {"simple": (3, 2), "resnet": (7, 2), "cifar": (3, 1)}[kind]
    side = size_after(image, stride)
    tally = conv(channels, w, kernel, side) + norm(w, side) + activation(w, side)
    if kind != "resnet":
        return tally, side
    pooled = size_after(side, 2)
    pool = Tally(max_pooled=w * side * side, acts=w * pooled * pooled)
    return tally + pool, pooled


def block(
    kind: BlockType, w_in: int, s: StageShape, stride: int, se: int, side: int
) -> tuple[Tally, int]:
    """One block on an input of `side` pixels, and the side of its output."""
    out = size_after(side, stride)
    tally = conv(w_in, s.inner, 1, side) + norm(s.inner, side) + activation(s.inner, side)
    tally += conv(s.inner, s.inner, 3, out, s.g) + norm(s.inner, out) + activation(s.inner, out)
    tally += excitation(s.inner, se, out)
    tally += conv(s.inner, s.w, 1, out) + norm(s.w, out)
    if kind == "Z":
        return tally, out
    reshaped = (w_in != s.w) | (stride != 1)
    return tally + (conv(w_in, s.w, 1, out) + norm(s.w, out)) * reshaped + activation(s.w, out), out


def stage(kind: BlockType, w_in: int, s: StageShape, side: int) -> tuple[Tally, int]:
    """A stage: its first block, then `d - 1` equal ones."""
    first, side = block(kind, w_in, s, s.stride, s.se_first, side)
    rest, _ = block(kind, s.w, s, 1, s.se_rest, side)
    return first + rest * (s.d - 1), side


def head(w_in: int, w: int, classes: int, side: int) -> Tally:
    """An optional 1x1 convolution to `w` channels (0: none), global average pooling, a classifier."""
    tally = Tally()
    if w:
        tally = conv(w_in, w, 1, side) + norm(w, side) + activation(w, side)
        w_in = w
    return tally + Tally(
        params=w_in * classes + classes,
        macs=w_in * classes,
        linear_bias=classes,
        global_pooled=w_in * side * side,
        acts=classes,
    )


class Part(NamedTuple):
    """A part of a network: what it is called, the side of its output, what it costs."""

    name: str
    side: int
    tally: Tally


def parts(
    kind: BlockType,
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
    tally, side = stem(stem_type, channels, stem_w, image)
    out = [Part("stem", side, tally)]
    w_in = stem_w
    for number, s in enumerate(stages, 1):
        tally, side = stage(kind, w_in, s, side)
        out.append(Part(f"s{number}", side, tally))
        w_in = s.w
    out.append(Part("head", 1, head(w_in, head_w, classes, side)))
    return out


def total(tallies: Sequence[Tally]) -> Tally:
    return sum(tallies, start=Tally())
