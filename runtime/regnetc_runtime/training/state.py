"""Everything that the next step of a training depends on, and nothing else.

Chance is not part of it (chance.py), nor is the position in the data: both follow from `step`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..problems import Problem
from . import parallel
from .average import Average
from .checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images, just finished.

    `loss` is the mean on the training images while they were learnt, `top1` how many percent of them
    were right then (for mixed images, by their own label); `validation_loss` and `validation_top1` are
    those of the validation images afterwards, None without any, and `raw_top1` that of the weights
    themselves where the others are those of their average. `lr` is the rate of the last step,
    `seconds` and `images_per_s` are those of learning, `memory_mib` the most that was allocated.
    """

    epoch: int
    epochs: int
    loss: float
    top1: float
    lr: float
    validation_loss: float | None
    validation_top1: float | None
    raw_top1: float | None
    images_per_s: float
    seconds: float
    memory_mib: float

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self)


@dataclass(slots=True)
class State:
    """`step` steps are done; `sums` are loss, hits and images of the epoch so far (float64, device).

    `split` is into how many parts a chunk is cut since memory ran out. `unreadable` names images that
    were replaced.
    """

    net: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None
    sums: Tensor
    step: int = 0
    split: int = 1
    history: list[Epoch] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def save(self) -> Checkpoint:
        """All of it, gathered on the CPU; every process has to ask."""
        tensors = {n: parallel.whole(t).contiguous() for n, t in self._tensors()}
        facts: dict[str, Any] = {
            "step": self.step,
            "split": self.split,
            "history": [e.to_json() for e in self.history],
            "unreadable": self.unreadable,
            "scaler": self.scaler.state_dict(),
        }
        return Checkpoint(tensors, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Be as `save` found it. Raises `changed-run` for the state of another network or recipe."""
        self._make_room(checkpoint)
        ours = dict(self._tensors())
        if ours.keys() != checkpoint.tensors.keys() or any(
            t.shape != checkpoint.tensors[n].shape for n, t in ours.items()
        ):
            raise Problem("changed-run", "the state that was saved is that of another training")
        for name, tensor in ours.items():
            parallel.fill(tensor, checkpoint.tensors[name])
        facts = checkpoint.facts
        self.step, self.split = facts["step"], facts["split"]
        self.history = [Epoch(**e) for e in facts["history"]]
        self.unreadable = list(facts["unreadable"])
        if facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "sums", self.sums
        for name, tensor in self.net.state_dict().items():
            yield f"net.{name}", tensor
        if self.average is not None:
            for name, tensor in self.average.averages.items():
                yield f"average.{name}", tensor
        names = {id(p): n for n, p in self.net.named_parameters()}
        for parameter, kept in self.optimizer.state.items():
            for key, value in kept.items():
                if isinstance(value, Tensor):
                    yield f"optimizer.{names[id(parameter)]}/{key}", value

    def _make_room(self, checkpoint: Checkpoint) -> None:
        """Give the optimiser, which keeps nothing before its first step, what the state has of it."""
        for name, parameter in self.net.named_parameters():
            prefix = f"optimizer.{name}/"
            for key, value in checkpoint.tensors.items():
                if key.startswith(prefix):
                    like = parameter.detach() if value.shape == parameter.shape else value
                    place = torch.zeros_like(like)
                    self.optimizer.state[parameter][key.removeprefix(prefix)] = place
