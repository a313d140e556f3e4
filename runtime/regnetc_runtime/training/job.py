"""What is to be trained, and how it is to be computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ..augment.images import evaluated_size
from ..data.parts import Data, Part
from ..data.subsets import Subset, split
from ..device import Precision
from ..preprocess import Preprocess
from ..problems import Problem
from .parallel import How
from .recipe import Recipe
from .state import Epoch


@dataclass(frozen=True, slots=True)
class Options:
    """How a training is computed; none of it is meant to change what comes out.

    The same `threads` on the same processor give the same bits; `deterministic` asks a GPU for them,
    too. `workers` processes decode images, 0 decodes in this one. `save_s` is how many seconds pass
    between two saved states within an epoch, `keep` how many states stay. `bad_share` of the training
    images may be unreadable.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = field(default_factory=Precision)
    compiled: bool = False
    deterministic: bool = False
    threads: int = 1
    workers: int = 2
    parallel: How = "ddp"
    save_s: float = 600.0
    keep: int = 2
    bad_share: float = 0.001
    tensorboard: bool = False

    @contextmanager
    def kernels(self) -> Iterator[None]:
        """Inside, a GPU takes its fastest kernels, or with `deterministic` those that repeat themselves."""
        if self.device.type != "cuda":
            yield
            return
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(self.deterministic)
        flags = torch.backends.cudnn.flags(
            enabled=True, benchmark=not self.deterministic, deterministic=self.deterministic
        )
        try:
            with flags:
                yield
        finally:
            torch.use_deterministic_algorithms(before)

    def facts(self, world: int) -> dict[str, Any]:
        """Those that may change the last bits, for the manifest."""
        return {
            "dtype": self.precision.dtype,
            "channels_last": self.precision.channels_last,
            "compiled": self.compiled,
            "deterministic": self.deterministic,
            "threads": self.threads,
            "parallel": self.parallel if world > 1 else "none",
            "processes": world,
        }


@dataclass(frozen=True, slots=True)
class Job:
    """A network's name and input (`channels` x `image` x `image`), data, recipe and seed."""

    name: str
    channels: int
    image: int
    data: Data
    recipe: Recipe
    seed: int
    options: Options

    @property
    def classes(self) -> int:
        return len(self.data.classes)

    def parts(self) -> tuple[Part, Part]:
        """The images to learn from, and those that are kept back. Raises `no-training-images`."""
        if self.data.train is None:
            raise Problem("no-training-images", f"{self.data.name} has no images to train with")
        recipe = self.recipe
        learnt, kept = split(self.data.train.labels, recipe.validation, recipe.split_seed)
        return Subset(self.data.train, learnt), Subset(self.data.train, kept)

    def preprocess(self) -> Preprocess:
        """How an image is prepared when it is not learnt from."""
        resize, crop = evaluated_size(self.recipe, self.image)
        return Preprocess(
            resize=resize, crop=crop, mean=self.data.mean, std=self.data.std, channels=self.channels
        )


class Watch(Protocol):
    """Whoever wants to know how far a training is; the first process alone tells."""

    def step(self, done: int, total: int, text: str) -> None:
        """So many steps are done; `text` has the loss and the speed."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over."""

    def note(self, text: str) -> None:
        """Something that should be known, and stops nothing."""
