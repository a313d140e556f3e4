"""The words of the language: parameters, counts, functions, and what `published` may say."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, NamedTuple

from . import limits

Shape = Literal["scalar", "stages", "both"]


class Parameter(NamedTuple):
    """A parameter of a network: `kind` of its value, whether there is one for each stage, its range.

    `default` holds where no declaration says anything: the network simply has no such part. `quantum`
    is what a real one is drawn in (those of pycls for wa and wm).
    """

    name: str
    meaning: str
    kind: Literal["integer", "real", "ratio", "word"]
    shape: Shape = "scalar"
    low: int | Fraction = 1
    high: int | Fraction = limits.WIDTH
    multiple: int = 1
    above: bool = False  # `low` itself is not allowed
    words: tuple[str, ...] = ()
    default: int | str | None = None
    quantum: Fraction | None = None

    @property
    def step(self) -> Fraction:
        """What a range of it goes by where a draw does not say."""
        return Fraction(self.multiple) if self.quantum is None else self.quantum

    @property
    def range_text(self) -> str:
        if self.kind == "word":
            return f"one of {', '.join(self.words)}"
        noun = {"integer": "a whole number", "real": "a number"}.get(self.kind, "a number")
        if self.multiple > 1:
            noun = f"a multiple of {self.multiple}"
        if self.above:
            return f"{noun} above {self.low}, at most {self.high:,}"
        return f"{noun} from {self.low} to {self.high:,}"


_ALL = (
    Parameter("block", "the residual block", "word", words=("X", "Y", "Z")),
    Parameter("activation", "the activation function", "word", words=("relu", "silu", "gelu"), default="relu"),
    Parameter(
        "rounding", "how a quantised width meets its groups", "word", words=("paper", "torchvision"), default="paper",
    ),
    Parameter("stem", "width of the stem", "integer"),
    Parameter("stem_type", "kind of stem", "word", words=("simple", "resnet", "cifar", "tiered"), default="simple"),
    Parameter("norm", "the normalisation", "word", words=("batch", "group"), default="batch"),
    Parameter("norm_g", "channels that group norm takes together", "integer", default=16),
    Parameter(
        "order", "whether activations follow convolutions or precede them", "word", words=("post", "pre"),
        default="post",
    ),
    Parameter(
        "shortcut", "what carries a shortcut whose shape changes", "word", words=("conv", "avg", "none"), default="",
    ),
    Parameter(
        "tail", "what the last stage goes through before the head", "word", words=("plain", "activation"),
        default="plain",
    ),
    Parameter("pool", "the global pooling", "word", words=("avg", "max", "avgmax", "catavgmax"), default="avg"),
    Parameter("head", "width of a 1x1 convolution before the classifier, 0 for none", "integer", low=0, default=0),
    Parameter("channels", "channels of the image", "integer", high=1024, default=3),
    Parameter("classes", "outputs of the classifier, 0 for none", "integer", low=0, high=limits.CLASSES),
    Parameter("image", "side of the square image, in pixels", "integer", high=limits.IMAGE),
    Parameter(
        "se", "share of the channels that squeeze-and-excitation keeps, 0 for none", "real", low=0, high=1, default=0,
        quantum=Fraction(1, 128),
    ),
    Parameter("se_of", "the channels that `se` is a share of", "word", words=("in", "inner"), default="in"),
    Parameter("se_by", "what the squeezed channels are a multiple of", "integer", high=64, default=1),
    Parameter(
        "se_activation", "the activation inside squeeze-and-excitation", "word", words=("relu", "silu", "gelu"),
        default="",
    ),
    Parameter("b_of", "the width that `b` divides", "word", words=("out", "in"), default="out"),
    Parameter(
        "output_stride", "pixels of the image to one of the last stage, 0 for what strides make", "integer", low=0,
        high=64, default=0,
    ),
    Parameter("drop_path", "rate at which the last block is skipped in training", "real", low=0, high=1, default=0),
    Parameter("checkpointing", "1: recompute activations in the backward pass", "integer", low=0, high=1, default=0),
    Parameter(
        "frozen", "how many stages stay as they are, and the stem with them", "integer", low=0, high=limits.STAGES,
        default=0,
    ),
    Parameter("stages", "number of stages", "integer", high=limits.STAGES),
    Parameter("stride", "stride of the first block of a stage", "integer", "stages", high=4),
    Parameter("w", "width of a stage, in channels", "integer", "stages"),
    Parameter("d", "depth: blocks of the network, or of a stage", "integer", "both", high=limits.TOTAL_DEPTH),
    Parameter(
        "b", "bottleneck ratio: width of a block over the width inside", "ratio", "both", low=Fraction(1, 64), high=64,
    ),
    Parameter("g", "width of a group, in channels", "integer", "both"),
    Parameter("w0", "initial width (equation 2)", "integer", low=8, multiple=8),
    Parameter("wa", "slope of the line (equation 2)", "real", low=0, quantum=Fraction(1, 10)),
    Parameter(
        "wm", "ratio of neighbouring widths (equation 3)", "real", low=1, high=1000, above=True,
        quantum=Fraction(1, 1000),
    ),
)  # fmt: skip

PARAMETERS = {p.name: p for p in _ALL}

# What other code bases call them.
ALIASES = {
    "depth": "d", "depths": "d[i]", "ds": "d[i]", "width": "w[i]", "widths": "w[i]", "ws": "w[i]",
    "w_0": "w0", "w_a": "wa", "w_m": "wm", "initial_width": "w0", "slope": "wa",
    "group_w": "g", "group_width": "g", "group_size": "g", "groups": "g", "gs": "g[i]",
    "bottleneck": "b", "bottleneck_ratio": "b", "bot_mul": "b", "bottle_ratio": "b", "bs": "b[i]",
    "strides": "stride[i]", "ss": "stride[i]", "num_classes": "classes", "num_stages": "stages",
    "in_chans": "channels", "in_channels": "channels", "image_size": "image", "resolution": "image",
    "input_size": "image", "stem_w": "stem", "stem_width": "stem", "head_w": "head",
    "se_r": "se", "se_ratio": "se", "act": "activation", "block_type": "block", "act_layer": "activation",
    "norm_layer": "norm", "downsample": "shortcut", "preact": "order", "bottle_in": "b_of", "global_pool": "pool",
    "num_features": "head", "drop_path_rate": "drop_path", "frozen_stages": "frozen",
    "grad_checkpointing": "checkpointing",
}  # fmt: skip

# flops-like counts may carry the unit F; the bare word means the convention of the paper's code.
FLOPS = {"flops": "pycls", "macs": "macs", "fvcore": "fvcore", "mmcv": "mmcv", "torch2": "torch2"}
COUNTS = {**FLOPS, "params": "params", "acts": "acts"}

CONVENTIONS: dict[str, Literal["macs", "pycls", "fvcore", "mmcv", "torch2"]] = {
    "paper": "macs",
    "macs": "macs",
    "pycls": "pycls",
    "fvcore": "fvcore",
    "mmcv": "mmcv",
    "torch2": "torch2",
}

PUBLISHED_TEXT = ("source", "name", "recipe", "weights", "sha256", "licence", "erratum")
PUBLISHED_COUNTS = ("params", "flops", "acts")
PUBLISHED_RESULTS = ("top1", "top5")
PUBLISHED_IMAGES = ("resize", "interpolation", "mean", "std")
PUBLISHED = (
    *PUBLISHED_TEXT, "counting", "image", "size", *PUBLISHED_IMAGES, *PUBLISHED_COUNTS, *PUBLISHED_RESULTS,
)  # fmt: skip
INTERPOLATIONS = ("bilinear", "bicubic")

MEASURED = (
    "latency",
    "runtime",
    "speed",
    "throughput",
    "energy",
    "power",
    "memory",
    "accuracy",
    "top1",
    "top5",
)
"""What only a machine or a training tells: no line of a space can speak of it."""

BLOCKS = ("expect", "published")
FUNCTIONS = ("quantized_linear", "sqrt")
DISTRIBUTIONS = (
    "uniform",
    "log_uniform",
    "choice",
    "power2",
    "power2_or_multiple",
    "normal",
    "log_normal",
)
STAGE_INDEX = "i"


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant, if one is near enough."""
    import difflib

    folded = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), folded, 1, 0.6)
    return folded[near[0]] if near else None
