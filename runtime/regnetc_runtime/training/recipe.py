"""A recipe: how a network is trained, down to every number. The compiler makes them out of specs.

Everything that is not said is off. Shares go from 0 to 1, epochs may be broken numbers where that makes
sense, pixels are those of the training crop.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from ..limits import BATCH, EPOCHS, IMAGE_SIDE
from ..problems import Problem, printable

Arguments = Mapping[str, float | str | tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Call:
    """A word with arguments, all of them there: `sgd(lr = 0.1, momentum = 0.9, ...)`."""

    name: str
    arguments: dict[str, Any]

    def number(self, name: str) -> float:
        return float(self.arguments[name])

    def numbers(self, name: str) -> tuple[float, ...]:
        return tuple(float(n) for n in self.arguments[name])

    def word(self, name: str) -> str:
        return str(self.arguments[name])


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. Raises `bad-recipe` for what no recipe can say.

    `data` is the kind of data that the recipe was made for. `validation` is the share of the training
    images, the same of every class, that is kept back; `split_seed` chooses them. A step takes `batch`
    images, in chunks of `norm_batch` that batch norm sees at once (None: all); a chunk is the unit that
    is spread over processes and accumulated, so that neither changes a number. What is left of an epoch
    that fills no batch is not used. With `repeats` every image comes that often in an epoch that is as
    long as ever.

    `optimizer` is `sgd(lr, momentum, nesterov, decay, norm_decay, bias_decay)` or `adamw` or `lamb`
    `(lr, beta1, beta2, eps, decay, norm_decay, bias_decay)`. `batch_rule` is None, or `linear(per)` or
    `sqrt(per)`: `lr` holds for batches of `per` images and grows with batch / per or its root.
    `schedule` is `cosine`, `linear` `(floor, begins, ...)`, `step(at, factor, ...)`,
    `exponential(factor, every, ...)` or `constant(...)`, all with `(warmup, start, by)`.

    `crop` is the side of a training image, or several for parts of the training that are equally long
    (progressive resolution); None takes the network's. `scale` and `ratio` are the shares of the area
    and the aspect ratios that are cropped at random and resized to it; None takes the test's crop.
    `pad` crops at random out of the image with so many black pixels around it. `augment` is None,
    `randaugment(n, m, bins)` or `trivialaugment(bins)`. `jitter` is up to how much brightness, contrast
    and saturation are changed, `lighting` the deviation of the noise along the colours' principal
    components, `shift` (pixels), `turn` (degrees) and `zoom` (share) move an image at random, `erase`
    is the probability that a rectangle is erased. `mixup` and `cutmix` are their alphas, `mix` the share
    of the chunks that are mixed at all. `ema` is None or `average(decay, every)`: the weights' average
    moves by 1 - decay every so many steps. `clip` bounds the norm of the gradient, 0 for no bound.
    `drop_path` is the probability with which the last block is skipped; those before it, less, in
    proportion to their place. `precise_bn` is how many training images batch norm's statistics are
    computed from after each epoch, 0 to keep the running ones.
    """

    name: str
    data: Literal["imagenet", "cifar10", "cifar100", "digits", "synthetic"]
    epochs: int
    batch: int
    optimizer: Call
    schedule: Call
    norm_batch: int | None = None
    batch_rule: Call | None = None
    validation: float = 0.01
    split_seed: int = 0
    repeats: int = 1
    crop: tuple[int, ...] | None = None
    test_resize: int | None = None
    test_crop: int | None = None
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    pad: int = 0
    flip: float = 0.0
    augment: Call | None = None
    jitter: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lighting: float = 0.0
    shift: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    erase: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix: float = 1.0
    ema: Call | None = None
    clip: float = 0.0
    drop_path: float = 0.0
    precise_bn: int = 0

    def __post_init__(self) -> None:
        bounds: dict[str, tuple[float, float]] = {
            "epochs": (1, EPOCHS), "batch": (2, BATCH), "norm_batch": (2, self.batch), "validation": (0, 0.5),
            "split_seed": (0, 2**53), "repeats": (1, 64), "test_resize": (1, IMAGE_SIDE),
            "test_crop": (1, IMAGE_SIDE), "pad": (0, IMAGE_SIDE), "flip": (0, 1), "lighting": (0, 10),
            "shift": (0, IMAGE_SIDE), "turn": (0, 180), "zoom": (0, 0.9), "erase": (0, 1),
            "label_smoothing": (0, 0.99), "mixup": (0, 100), "cutmix": (0, 100), "mix": (0, 1),
            "clip": (0, 1e6), "drop_path": (0, 0.99), "precise_bn": (0, 10_000_000),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise _bad(f"{name} is {value}, but goes from {low} to {high}")
        if self.batch % self.chunk:
            raise _bad(f"a batch of {self.batch} does not split into chunks of {self.chunk}")

    @property
    def chunk(self) -> int:
        """How many images go through the network at once."""
        return self.norm_batch or self.batch

    @property
    def chunks(self) -> int:
        """How many chunks a step takes."""
        return self.batch // self.chunk

    @property
    def lr(self) -> float:
        """The rate at the top of the schedule: the reference rate by the batch rule."""
        rate, rule = self.optimizer.number("lr"), self.batch_rule
        if rule is None:
            return rate
        times = self.batch / rule.number("per")
        return rate * (times if rule.name == "linear" else math.sqrt(times))

    def crops(self, image: int) -> tuple[int, ...]:
        """The training crops, for a network that was made for `image` pixels."""
        return self.crop or (image,)

    def crop_of(self, epoch: int, image: int) -> int:
        """The training crop of an epoch, counted from 0."""
        crops = self.crops(image)
        return crops[epoch * len(crops) // self.epochs]

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; every field is there."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all that it says but its name."""
        said = {k: v for k, v in self.to_json().items() if k != "name"}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_json(cls, found: object) -> Recipe:
        """Read what `to_json` wrote, out of a file that anybody may have written.

        Raises `bad-recipe`.
        """
        if not isinstance(found, dict):
            raise _bad("it is no object")
        unknown = found.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise _bad(f"it says {printable(min(map(str, unknown)), 60)}, which no recipe does")
        try:
            return cls(**{k: _value(v) for k, v in found.items()})
        except (TypeError, ValueError, KeyError) as e:
            raise _bad(printable(e)) from e


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        arguments = {k: _value(v) for k, v in value["arguments"].items()}
        return Call(str(value["name"]), arguments)
    return value


def _bad(why: str) -> Problem:
    return Problem("bad-recipe", f"this cannot be a recipe: {why}")
