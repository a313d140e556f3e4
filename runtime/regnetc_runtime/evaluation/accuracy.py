"""A network and labelled images to its accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.batches import Batch
from ..device import Precision
from ..modes import enough_memory, evaluating
from ..preprocess import Preprocess
from ..problems import Problem, printable
from ..progress import Progress, silent

TOP = 5


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
    net = precision.place_net(net, device)
    start = time.monotonic()
    tally = _Tally()
    unreadable: list[str] = []
    with evaluating(net), torch.inference_mode():
        for batch in batches:
            unreadable += batch.unreadable
            if len(batch.labels):
                with enough_memory(len(batch.labels)), precision.autocast(device):
                    images = precision.place_batch(batch.images, device)
                    logits = net(preprocess.normalise(images))
                tally.add(logits.float(), batch.labels.to(device))
            progress(tally.images + len(unreadable), total, "evaluating")
    return tally.result(data, time.monotonic() - start, tuple(unreadable))


class _Tally:
    """Sums over the images so far."""

    def __init__(self) -> None:
        self.images = 0
        self.classes = 0
        self.sums = torch.zeros(3, dtype=torch.float64)  # first, among the first five, loss

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: logits N x classes, labels N."""
        self.classes = logits.shape[1]
        best = logits.topk(min(TOP, self.classes), dim=1).indices
        hits = best == labels[:, None]
        loss = cross_entropy(logits, labels, reduction="sum")
        sums = torch.stack([hits[:, 0].sum(), hits.sum(), loss])
        self.sums += sums.to("cpu", torch.float64)
        self.images += len(labels)

    def result(self, data: str, seconds: float, unreadable: tuple[str, ...]) -> Accuracy:
        if not self.images:
            raise Problem("no-images", f"{printable(data)} has no image that can be read")
        top1, top5, loss = (self.sums / self.images).tolist()
        if not math.isfinite(loss):
            raise Problem(
                "not-finite",
                "the network's outputs are not finite numbers",
                help="look at the weights, or take float32 instead of fp16",
            )
        return Accuracy(
            data=data,
            images=self.images,
            top1=100 * top1,
            top5=100 * top5 if self.classes >= TOP else None,
            loss=loss,
            seconds=seconds,
            images_per_s=self.images / seconds,
            unreadable=unreadable,
        )
