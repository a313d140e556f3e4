"""Everything that the next step of a training depends on, and nothing else.

Chance is not part of it (chance.py), nor is the position in the data: both follow from `step`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
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
        try:
            self._make_room(checkpoint)
            self._fill(checkpoint)
            facts = checkpoint.facts
            self.step, self.split = _count(facts["step"]), _count(facts["split"])
            self.history = [_epoch(e) for e in facts["history"]]
            self.unreadable = [str(name) for name in facts["unreadable"]]
            if facts["scaler"]:
                self.scaler.load_state_dict(facts["scaler"])
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise Problem(
                "changed-run",
                f"the state after {checkpoint.facts.get('step')} steps is that of another training",
                help="remove its file from checkpoints/, or begin a new run in another folder with -o",
            ) from e

    def _fill(self, checkpoint: Checkpoint) -> None:
        """Take the tensors over. Raises ValueError where they are not those of this training."""
        ours = dict(self._tensors())
        if ours.keys() != checkpoint.tensors.keys():
            raise ValueError("other tensors")
        for name, tensor in ours.items():
            value = checkpoint.tensors[name]
            if (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"another {name}")
        for name, tensor in ours.items():
            parallel.fill(tensor, checkpoint.tensors[name])

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
                    # What is not as large as the parameter is a count of steps.
                    like = value if value.ndim == 0 < parameter.ndim else parameter.detach()
                    place = torch.zeros_like(like)
                    self.optimizer.state[parameter][key.removeprefix(prefix)] = place


def _count(found: object) -> int:
    if type(found) is not int or found < 0:
        raise ValueError("no count")
    return found


def _epoch(found: Any) -> Epoch:
    """An epoch as `Epoch.to_json` gave it. Raises TypeError and ValueError for anything else."""
    epoch = Epoch(**found)
    for f in fields(Epoch):
        value = getattr(epoch, f.name)
        missing = value is None and "None" in str(f.type)
        if not missing and type(value) is not int and type(value) is not float:
            raise ValueError(f"no {f.name}")
    return epoch
