"""Logits to one row of numbers for each image: all that an evaluation keeps of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

TOP = 5
_PLAIN = 5  # columns of a row before those of the best classes


@dataclass(frozen=True, slots=True)
class Scores:
    """What a network made of N images, in order of `index`, on the CPU.

    `index` (N, int64) is an image's place in the data, `label` (N, int64) its class. `top` (N x k,
    int64) are the k = min(5, `classes`) likeliest classes, best first, `probability` (N x k, float32)
    their softmax, and `of_label` (N, float32) that of the label. `loss` (N, float32) is the cross
    entropy in nats, `squares` (N, float32) the sum of the squares of all probabilities.
    """

    classes: int
    index: Tensor
    label: Tensor
    top: Tensor
    probability: Tensor
    of_label: Tensor
    loss: Tensor
    squares: Tensor

    def __len__(self) -> int:
        return len(self.label)

    @property
    def right(self) -> Tensor:
        """Whether the likeliest class is the label (N, bool)."""
        return self.top[:, 0] == self.label

    @property
    def among(self) -> Tensor:
        """Whether the label is among the likeliest k (N, bool)."""
        return (self.top == self.label[:, None]).any(dim=1)

    @classmethod
    def of_rows(cls, rows: Tensor, classes: int) -> Scores:
        """Read what `rows_of` packed; an image that is there twice counts once."""
        rows = rows[rows[:, 0].argsort(stable=True)]
        fresh = torch.ones(len(rows), dtype=torch.bool)
        fresh[1:] = rows[1:, 0] != rows[:-1, 0]
        rows = rows[fresh]
        k = (rows.shape[1] - _PLAIN) // 2
        index, label, of_label, loss, squares = rows[:, :_PLAIN].unbind(1)
        top, probability = rows[:, _PLAIN : _PLAIN + k], rows[:, _PLAIN + k :]
        return cls(
            classes, index.long(), label.long(), top.long(), probability.float(), of_label.float(),
            loss.float(), squares.float(),
        )  # fmt: skip


def rows_of(logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
    """Rows (N x (5 + 2k), float64) of logits (N x classes), labels and places (N), on their device.

    float64 holds every column exactly, so that rows can be sent about as one tensor.
    """
    chances = logits.float().softmax(dim=1)
    best = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
    plain = [
        index,
        labels,
        chances.gather(1, labels[:, None])[:, 0],
        cross_entropy(logits.float(), labels, reduction="none"),
        chances.square().sum(dim=1),
    ]
    columns = torch.stack([c.double() for c in plain], dim=1)
    return torch.cat([columns, best.double(), chances.gather(1, best).double()], dim=1)


def gather(rows: Tensor, device: torch.device) -> list[Tensor]:
    """The rows (n x columns, float64, on the CPU) of every process, in the order of processes.

    The processes may have different numbers of rows, or none with 0 columns; all of them have to ask,
    each with the `device` that its group speaks through.
    """
    shape = torch.tensor(rows.shape, device=device)
    shapes = _all(shape)
    longest, widest = torch.stack(shapes).amax(dim=0).tolist()
    padded = pad(rows, (0, widest - rows.shape[1], 0, longest - len(rows)))
    everyones = _all(padded.to(device))
    return [r[: int(s[0])].cpu() for r, s in zip(everyones, shapes, strict=True)]


def gather_names(names: Sequence[str]) -> list[str]:
    """The names of all processes together; all of them have to ask."""
    found: list[list[str]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(found, list(names))
    return [name for part in found for name in part]


def _all(tensor: Tensor) -> list[Tensor]:
    """A tensor of the same shape from every process."""
    found = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(found, tensor)
    return found
