"""The resolved network: every width, depth and group settled, nothing left to compute but its costs."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

from . import complexity, regnet
from .complexity import BlockType, Counts, Order, Pool, Shortcut, StemType, Style
from .regnet import Rounding

Activation = Literal["relu", "silu", "gelu"]
NormType = Literal["batch", "group"]
Convention = Literal["macs", "pycls", "fvcore", "mmcv", "torch2"]


class Stem(NamedTuple):
    """`simple`: 3x3, stride 2. `resnet`: 7x7, stride 2, then max-pooling. `cifar`: 3x3, stride 1.

    `tiered`: three 3x3, of 3/8, 1/2 and all of the width, with strides 2, 1 and 2.
    """

    type: StemType
    w: int


class Stage(NamedTuple):
    """`d` blocks of width `w`: `inner` = w / b channels inside, in groups of `g`.

    `se` holds the channels that each block squeezes to, 0 where there is no squeeze-and-excitation.
    `inner_first` are the channels inside the first block, which may be others than in the rest;
    `dilation` is that of the 3x3 convolution in the first block and in the rest.
    """

    w: int
    d: int
    stride: int
    b: int | float
    inner: int
    g: int
    se: tuple[int, ...]
    inner_first: int
    dilation: tuple[int, int] = (1, 1)

    @property
    def groups(self) -> int:
        return self.inner // self.g

    @property
    def groups_first(self) -> int:
        return self.inner_first // self.g


class Norm(NamedTuple):
    """Batch norm, or group norm over `g` channels at a time."""

    type: NormType = "batch"
    g: int = 0


class Extras(NamedTuple):
    """What a backbone does beside its arithmetic.

    `drop_path`: the rate at which the last block is skipped in training (others in proportion);
    `checkpointing`: whether stages recompute their activations in the backward pass; `frozen`: how many
    stages stay as they are, the stem with them, 0 for none of either.
    """

    drop_path: float = 0.0
    checkpointing: bool = False
    frozen: int = 0


class Row(NamedTuple):
    """A published row: its source, how it counted, and its numbers as they were printed."""

    source: str
    counting: Convention
    image: int
    printed: tuple[tuple[str, str], ...]
    erratum: str = ""


class Origin(NamedTuple):
    """The spec that a network was written in: its file name and the SHA-256 of its text.

    The text has LF line ends and no byte order mark; of most specs it is the SHA-256 of the file.
    """

    file: str = ""
    sha256: str = "0" * 64


class Network(NamedTuple):
    """A network that can be emitted. `parameters` are the numbers that it was written with.

    `se_activation` and `shortcut` are None where they are the usual ones, so that one network has one
    spelling.
    """

    name: str
    doc: str
    block: BlockType
    activation: Activation
    rounding: Rounding
    image: int
    channels: int
    classes: int
    stem: Stem
    stages: tuple[Stage, ...]
    head: int
    parameters: tuple[tuple[str, int | float], ...]
    published: tuple[Row, ...] = ()
    origin: Origin = Origin()
    se_activation: Activation | None = None
    norm: Norm = Norm()
    shortcut: Shortcut | None = None
    order: Order = "post"
    tail: bool = False
    pool: Pool = "avg"
    extras: Extras = Extras()

    def means(self, other: Network) -> bool:
        """Whether both are one network, whatever they are called and whoever published them."""
        a, b = (
            n._replace(
                name="", doc="", rounding="paper", parameters=(), published=(), origin=Origin()
            )
            for n in (self, other)
        )
        return a == b

    @property
    def se_act(self) -> Activation:
        """The activation inside squeeze-and-excitation: the network's, unless another is named."""
        return self.se_activation or self.activation

    @property
    def carried_by(self) -> Shortcut:
        """What carries a shortcut whose shape changes: a convolution, in Z blocks nothing does."""
        return self.shortcut or usual_shortcut(self.block)

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Channels after each convolution of the stem."""
        return complexity.tiers(self.stem.w) if self.stem.type == "tiered" else (self.stem.w,)

    @property
    def style(self) -> Style:
        return Style(self.block, self.carried_by, self.order, self.tail, self.pool)

    @property
    def head_w(self) -> int:
        """Channels that are pooled."""
        return self.head or self.stages[-1].w

    @property
    def seen(self) -> int:
        """Numbers that the classifier sees of an image."""
        return self.head_w * (2 if self.pool == "catavgmax" else 1)

    def parts(self, image: int | None = None) -> list[complexity.Part]:
        """Stem, stages and head with the sides of their outputs and their tallies, for one image."""
        shapes = [
            complexity.StageShape(
                s.w, s.d, s.stride, s.inner, s.g, s.se[0], s.se[-1], s.inner_first
            )
            for s in self.stages
        ]
        return complexity.parts(
            self.style, image=image or self.image, channels=self.channels, stem_type=self.stem.type,
            stem_w=self.stem.w, stages=shapes, head_w=self.head, classes=self.classes,
        )  # fmt: skip

    def counts_of(self, tally: complexity.Tally) -> Counts:
        return Counts.of(
            tally,
            relu=self.activation == "relu",
            se_relu=self.se_act == "relu",
            group_norm=self.norm.g > 0,
        )

    def counts_at(self, image: int) -> Counts:
        """Params, activations and flops in every convention, for one image of this side."""
        return _counts(self, image)

    @property
    def counts(self) -> Counts:
        """The counts at the network's own image size."""
        return self.counts_at(self.image)

    @property
    def reductions(self) -> tuple[int, ...]:
        """How many times smaller than the image the output of each stage is."""
        at = STEM_STRIDES[self.stem.type]
        out = []
        for stage in self.stages:
            at *= stage.stride
            out.append(at)
        return tuple(out)


STEM_STRIDES = {"simple": 2, "resnet": 4, "cifar": 1, "tiered": 4}


def usual_shortcut(block: BlockType) -> Shortcut:
    """What carries a shortcut whose shape changes, where nothing is said."""
    return "none" if block == "Z" else "conv"


@lru_cache(maxsize=256)
def squeeze_rule(n: Network) -> tuple[str, int]:
    """What `se` is a share of and what the channels it keeps are multiples of: the first rule that fits."""
    se = Fraction(dict(n.parameters).get("se", 0)).limit_denominator(2**20)
    rules = [("in", 1), ("inner", 1), ("inner", 8), ("in", 8)]
    return next((rule for rule in rules if se and _squeezes(n, se, *rule)), rules[0])


def _squeezes(n: Network, se: Fraction, of: str, by: int) -> bool:
    w_in = n.stem.w
    for s in n.stages:
        sizes = [(w_in, s.inner_first), (s.w, s.inner)]
        found = [regnet.squeeze_by(inner if of == "inner" else w, se, by) for w, inner in sizes]
        if s.se != (found[0], *found[1:] * (s.d - 1)):
            return False
        w_in = s.w
    return True


@lru_cache(maxsize=256)
def _counts(network: Network, image: int) -> Counts:
    return network.counts_of(complexity.total([part.tally for part in network.parts(image)]))
