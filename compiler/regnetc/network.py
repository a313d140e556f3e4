"""The resolved network: every width, depth and group settled, nothing left to compute but its costs."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from . import complexity
from .complexity import BlockType, Counts, StemType
from .regnet import Rounding

Activation = Literal["relu", "silu", "gelu"]
Convention = Literal["macs", "pycls", "fvcore", "mmcv", "torch2"]


class Stem(NamedTuple):
    """`simple`: 3x3, stride 2. `resnet`: 7x7, stride 2, then max-pooling. `cifar`: 3x3, stride 1."""

    type: StemType
    w: int


class Stage(NamedTuple):
    """`d` blocks of width `w`: `inner` = w / b channels inside, in groups of `g`.

    `se` holds the channels that each block squeezes to, 0 where there is no squeeze-and-excitation.
    """

    w: int
    d: int
    stride: int
    b: int | float
    inner: int
    g: int
    se: tuple[int, ...]

    @property
    def groups(self) -> int:
        return self.inner // self.g


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
    """A network that can be emitted. `parameters` are the numbers that it was written with."""

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

    @property
    def head_w(self) -> int:
        """Channels that the classifier sees."""
        return self.head or self.stages[-1].w

    def parts(self, image: int | None = None) -> list[complexity.Part]:
        """Stem, stages and head with the sides of their outputs and their tallies, for one image."""
        shapes = [
            complexity.StageShape(s.w, s.d, s.stride, s.inner, s.g, s.se[0], s.se[-1])
            for s in self.stages
        ]
        return complexity.parts(
            self.block, image=image or self.image, channels=self.channels, stem_type=self.stem.type,
            stem_w=self.stem.w, stages=shapes, head_w=self.head, classes=self.classes,
        )  # fmt: skip

    def counts_of(self, tally: complexity.Tally) -> Counts:
        return Counts.of(tally, relu=self.activation == "relu")

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
        at = {"simple": 2, "resnet": 4, "cifar": 1}[self.stem.type]
        out = []
        for stage in self.stages:
            at *= stage.stride
            out.append(at)
        return tuple(out)


@lru_cache(maxsize=256)
def _counts(network: Network, image: int) -> Counts:
    return network.counts_of(complexity.total([part.tally for part in network.parts(image)]))
