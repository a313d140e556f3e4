"""A network and labelled images to its accuracy under common corruptions of every severity."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..device import Precision
from ..modes import enough_memory, evaluating
from ..preprocess import Preprocess
from ..problems import Problem
from ..progress import Progress, silent
from .accuracy import Tally
from .corruptions import KINDS, SEVERITIES, corrupt

CLEAN = "clean"

# AlexNet's errors on ImageNet-C in percent, means over the five severities (the paper's table 3).
ALEXNET = {
    "gaussian_noise": 88.6428, "shot_noise": 89.4468, "impulse_noise": 92.264, "defocus_blur": 81.988,
    "motion_blur": 78.5948, "zoom_blur": 79.836, "fog": 81.9324, "brightness": 56.4592, "contrast": 85.3204,
    "elastic": 64.6056, "pixelate": 71.784, "jpeg": 60.65,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Robustness:
    """Top-1 in percent on `images` images: `clean`, and `top1` by corruption for severities 1 to 5.

    These are not the files of ImageNet-C (see corruptions.py), so that no number here is one of its
    leader board.
    """

    data: str
    images: int
    clean: float
    top1: dict[str, tuple[float, ...]]
    seconds: float

    @property
    def errors(self) -> dict[str, float]:
        """The error of each corruption in percent, the mean over its severities."""
        return {kind: 100 - sum(row) / len(row) for kind, row in self.top1.items()}

    @property
    def mean_error(self) -> float:
        """The mean of `errors` in percent: over corruptions, every one as heavy as another."""
        return sum(self.errors.values()) / len(self.errors)

    @property
    def relative_error(self) -> float:
        """The mean over corruptions of the error divided by AlexNet's on ImageNet-C, in percent.

        As the paper's mCE (section 4.1), over the 12 corruptions here instead of its 15. It means
        something for ImageNet's 1,000 classes at 224 pixels only.
        """
        return sum(100 * e / ALEXNET[k] for k, e in self.errors.items()) / len(self.errors)


def evaluate_corrupted(
    net: nn.Module,
    batches: Iterable[Batch],
    preprocess: Preprocess,
    device: torch.device,
    precision: Precision,
    *,
    data: str,
    kinds: Sequence[str] = KINDS,
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
    workers: int = 1,
    total: int | None = None,
    progress: Progress = silent,
) -> Robustness:
    """Classify every image as it is and corrupted in every way; the data are read once.

    Batches are those of `accuracy.classify`, not yet normalised. An image is corrupted by its place in
    the data and the `seed`, in `workers` threads. Raises `bad-corruption` and what `evaluate` raises.
    """
    net = precision.place_net(net, device)
    start = time.monotonic()
    ways = _ways(kinds, severities)
    tallies = {way: Tally(device) for way in ways}
    first = 0
    with ThreadPoolExecutor(workers, "corrupt") as pool, evaluating(net), torch.inference_mode():
        for batch in batches:
            indices = batch.indices
            if indices is None:
                indices = torch.arange(first, first + len(batch.labels))
            first += len(batch.labels)
            if not len(batch.labels):
                continue
            for way, images in _corrupted(batch.images, indices.tolist(), ways, seed, pool):
                with enough_memory(len(batch.labels)), precision.autocast(device):
                    placed = precision.place_batch(images, device)
                    logits = net(preprocess.normalise(placed))
                tallies[way].add(logits.float(), batch.labels, indices)
            progress(first, total, "evaluating corrupted images")
    return _result(tallies, data, kinds, severities, time.monotonic() - start)


_Way = tuple[str, int]


def _ways(kinds: Sequence[str], severities: Sequence[int]) -> list[_Way]:
    """Clean, and each corruption with each severity."""
    if not kinds or not severities:
        raise Problem("bad-corruption", "say at least one corruption and one severity")
    return [(CLEAN, 0), *((kind, severity) for kind in kinds for severity in severities)]


def _corrupted(
    images: Tensor, indices: list[int], ways: Sequence[_Way], seed: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[_Way, Tensor]]:
    """A batch (N x channels x side x side, uint8 or float32 in 0..255) in every way, as uint8."""
    plain = images if images.dtype == torch.uint8 else images.round().clamp(0, 255).to(torch.uint8)

    def one(way: _Way, i: int) -> Tensor:
        return corrupt(plain[i], *way, seed, indices[i])

    for way in ways:
        if way[0] == CLEAN:
            yield way, images
        else:
            yield way, torch.stack(list(pool.map(one, [way] * len(plain), range(len(plain)))))


def _result(
    tallies: dict[_Way, Tally],
    data: str,
    kinds: Sequence[str],
    severities: Sequence[int],
    seconds: float,
) -> Robustness:
    found = {way: tally.together().accuracy(data) for way, tally in tallies.items()}
    clean = found[CLEAN, 0]
    top1 = {kind: tuple(found[kind, s].top1 for s in severities) for kind in kinds}
    return Robustness(data, clean.images, clean.top1, top1, seconds)
