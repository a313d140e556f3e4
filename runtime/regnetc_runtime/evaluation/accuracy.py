"""A network and labelled images to its accuracy, and to a row of scores for each image."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..data.batches import Batch
from ..device import Precision
from ..modes import enough_memory, evaluating
from ..preprocess import Preprocess
from ..problems import Problem, printable
from ..progress import Progress, silent
from .scores import TOP, Scores, gather, gather_names, rows_of


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well the network did on `images` images.

    `top1` and `top5` are percentages, `top5` None below five classes; `loss` is the mean cross
    entropy in nats; `seconds` include reading. `unreadable` names files that are counted nowhere.
    """

    data: str
    images: int
    top1: float
    top5: float | None
    loss: float
    seconds: float
    images_per_s: float
    unreadable: tuple[str, ...] = ()


def evaluate(
    net: nn.Module,
    batches: Iterable[Batch],
    preprocess: Preprocess,
    device: torch.device,
    precision: Precision,
    *,
    data: str,
    total: int | None = None,
    progress: Progress = silent,
) -> Accuracy:
    """Classify every image once, in evaluation mode; `data` is what the result calls them.

    The network moves to the device. `total` is how many images to expect, for the progress. Raises
    `no-images`, `not-finite`, `out-of-memory`, and what the batches raise.
    """
    tally = classify(net, batches, preprocess, device, precision, total=total, progress=progress)
    return tally.accuracy(data)


def classify(
    net: nn.Module,
    batches: Iterable[Batch],
    preprocess: Preprocess,
    device: torch.device,
    precision: Precision,
    *,
    total: int | None = None,
    progress: Progress = silent,
) -> Tally:
    """As `evaluate`, but all that was counted, of which everything else can be computed.

    A batch with `indices` (N, int64) says with them which images of the data it has; without, images
    are numbered as they come. Raises `out-of-memory`, and what the batches raise.
    """
    net = precision.place_net(net, device)
    start = time.monotonic()
    tally = Tally(device)
    with evaluating(net), torch.inference_mode():
        for batch in batches:
            tally.unreadable += batch.unreadable
            if len(batch.labels):
                with enough_memory(len(batch.labels)), precision.autocast(device):
                    images = precision.place_batch(batch.images, device)
                    logits = net(preprocess.normalise(images))
                tally.add(logits.float(), batch.labels, batch.indices)
            progress(tally.images + len(tally.unreadable), total, "evaluating")
        tally.settle()
    tally.seconds = time.monotonic() - start
    return tally


class Tally:
    """The images so far of one process, or of all of a group (`together`).

    `seconds` is how long they took, `unreadable` names those that are counted nowhere.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.images = 0
        self.classes = 0
        self.seconds = 0.0
        self.unreadable: list[str] = []
        self.numbered = False
        self._rows: list[Tensor] = []
        self._last: Tensor | None = None

    def add(self, logits: Tensor, labels: Tensor, indices: Tensor | None = None) -> None:
        """Count a batch: logits N x classes, labels and places N."""
        self.classes = logits.shape[1]
        self.numbered = indices is not None
        if indices is None:
            indices = torch.arange(self.images, self.images + len(labels))
        self.images += len(labels)
        rows = rows_of(logits, labels.to(logits.device), indices.to(logits.device))
        # The one before is fetched, not this one: a GPU is given its next batch before that.
        self.settle()
        self._last = rows

    def settle(self) -> None:
        """Fetch what is still on the device."""
        if self._last is not None:
            self._rows.append(self._last.cpu())
            self._last = None

    @property
    def rows(self) -> Tensor:
        """All rows (images x columns, float64) on the CPU, see scores.py; 0 x 0 of none."""
        self.settle()
        return torch.cat(self._rows) if self._rows else torch.empty(0, 0, dtype=torch.float64)

    def scores(self) -> Scores:
        """A row for each image, in the order of their places. Raises `no-images`."""
        if not self.images:
            raise Problem("no-images", "there are no images that can be read")
        return Scores.of_rows(self.rows, self.classes)

    def together(self) -> Tally:
        """The tally of all processes, which each of them gets; all have to ask.

        What two processes counted is counted once, where their batches had `indices`. `seconds` are
        those of the slowest. Without other processes it is this tally.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return self
        everyones = gather(self.rows, self.device)
        if not self._everyone_numbers():
            first = 0
            for rows in everyones:
                rows[:, :1] += first  # a process without images has no columns
                first += len(rows)
        facts = torch.tensor([self.classes, self.seconds], dtype=torch.float64, device=self.device)
        dist.all_reduce(facts, dist.ReduceOp.MAX)
        found = Tally(self.device)
        found.classes, found.seconds = int(facts[0]), float(facts[1])
        found.numbered = True
        found.unreadable = gather_names(self.unreadable)
        found._rows = [rows for rows in everyones if len(rows)]
        found.images = len(Scores.of_rows(found.rows, found.classes)) if found._rows else 0
        return found

    def _everyone_numbers(self) -> bool:
        counted = torch.tensor(int(self.images > 0 and not self.numbered), device=self.device)
        dist.all_reduce(counted)
        return not counted.item()

    def accuracy(self, data: str) -> Accuracy:
        """The shares of right answers. Raises `no-images` and `not-finite`."""
        if not self.images:
            raise Problem("no-images", f"{printable(data)} has no image that can be read")
        scores = self.scores()
        loss = scores.loss.double().mean().item()
        if not math.isfinite(loss):
            raise Problem(
                "not-finite",
                "the network's outputs are not finite numbers",
                help="look at the weights, or take float32 instead of fp16",
            )
        return Accuracy(
            data=data,
            images=len(scores),
            top1=percent(scores.right),
            top5=percent(scores.among) if self.classes >= TOP else None,
            loss=loss,
            seconds=self.seconds,
            images_per_s=len(scores) / self.seconds if self.seconds else 0.0,
            unreadable=tuple(self.unreadable),
        )


def percent(flags: Tensor) -> float:
    """How many percent of the flags (N, bool) are set."""
    return 100 * int(flags.sum()) / len(flags)
