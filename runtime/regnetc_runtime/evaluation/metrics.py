"""Scores of images to what can be said of a network: by class, by pair of classes, by confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..problems import Problem
from .accuracy import percent
from .intervals import wilson
from .scores import TOP, Scores

BINS = 15  # of confidence, as in Guo et al. 2017
CONFUSION_CLASSES = 4_096  # of a whole matrix; `most_confused` takes any number


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one pass over `images` images says, as plain numbers.

    `top1` and `top5` are percentages, None below five classes, with their 95% intervals (`wilson`).
    `loss` is the mean negative log likelihood in nats. `brier` is the mean over images of the sum over
    classes of (probability - truth)^2, from 0 to 2 (Brier 1950, Monthly Weather Review 78, 1-3).
    `ece` is the expected calibration error in percent points (`Reliability`), `confidence` the mean
    probability of the likeliest class in percent. `mean_class_top1` is the mean of the classes' own
    top-1 in percent, over those with images.
    """

    images: int
    classes: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float | None
    top5_interval: tuple[float, float] | None
    mean_class_top1: float
    loss: float
    brier: float
    ece: float
    confidence: float


def measure(scores: Scores) -> Metrics:
    """All single numbers at once. Raises `no-images`."""
    if not len(scores):
        raise Problem("no-images", "there are no images to measure by")
    five = scores.classes >= TOP
    seen, right = per_class(scores)
    brier = scores.squares.double() - 2 * scores.of_label.double() + 1
    return Metrics(
        images=len(scores),
        classes=scores.classes,
        top1=percent(scores.right),
        top1_interval=_interval(scores.right),
        top5=percent(scores.among) if five else None,
        top5_interval=_interval(scores.among) if five else None,
        mean_class_top1=100 * (right[seen > 0] / seen[seen > 0]).double().mean().item(),
        loss=scores.loss.double().mean().item(),
        brier=brier.mean().item(),
        ece=reliability(scores).ece,
        confidence=100 * scores.probability[:, 0].double().mean().item(),
    )


def per_class(scores: Scores) -> tuple[Tensor, Tensor]:
    """How many images each class has, and how many of them are right (both classes, int64)."""
    seen = torch.bincount(scores.label, minlength=scores.classes)
    right = torch.bincount(scores.label[scores.right], minlength=scores.classes)
    return seen, right


def confusion(scores: Scores) -> Tensor:
    """How often each class (row) was taken for each class (column): classes x classes, int64.

    Raises `too-many-classes`; `most_confused` says what matters of a large matrix.
    """
    n = scores.classes
    if n > CONFUSION_CLASSES:
        raise Problem(
            "too-many-classes", f"a matrix of {n:,} x {n:,} classes is more than can be looked at"
        )
    return torch.bincount(scores.label * n + scores.top[:, 0], minlength=n * n).view(n, n)


@dataclass(frozen=True, slots=True)
class Confused:
    """`images` images of the class `label`, which has `of` in all, were taken for the class `guess`."""

    label: int
    guess: int
    images: int
    of: int


def most_confused(scores: Scores, most: int = 20) -> tuple[Confused, ...]:
    """The mistakes that are made most often, most frequent first; ties in order of the classes."""
    wrong = ~scores.right
    pairs = scores.label[wrong] * scores.classes + scores.top[wrong, 0]
    kinds, times = pairs.unique(return_counts=True)  # type: ignore[no-untyped-call]
    seen, _ = per_class(scores)
    found = []
    for i in times.argsort(descending=True, stable=True)[:most].tolist():
        label, guess = divmod(int(kinds[i]), scores.classes)
        found.append(Confused(label, guess, int(times[i]), int(seen[label])))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Images sorted by confidence into bins of equal width, each without its lower bound.

    For each bin: how many `images` it has, their mean `confidence` and the share of them that is right
    (`accuracy`), both 0..1, and 0 for a bin without images.
    """

    images: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]

    @property
    def ece(self) -> float:
        """The mean gap between confidence and accuracy, by images, in percent points.

        Guo et al. 2017 (arXiv 1706.04599), equation 3.
        """
        gaps = [abs(a - c) for a, c in zip(self.accuracy, self.confidence, strict=True)]
        weighed = sum(n * gap for n, gap in zip(self.images, gaps, strict=True))
        return 100 * weighed / max(1, sum(self.images))


def reliability(scores: Scores, bins: int = BINS) -> Reliability:
    """The reliability curve of the likeliest class (Guo et al. 2017, equations 1 and 2)."""
    sure = scores.probability[:, 0].double()
    inner = torch.arange(1, bins, dtype=torch.float64) / bins
    place = torch.bucketize(sure, inner)
    images = torch.bincount(place, minlength=bins)
    confidence = torch.bincount(place, weights=sure, minlength=bins) / images.clamp(min=1)
    right = torch.bincount(place, weights=scores.right.double(), minlength=bins)
    accuracy = right / images.clamp(min=1)
    return Reliability(tuple(images.tolist()), tuple(confidence.tolist()), tuple(accuracy.tolist()))


def _interval(flags: Tensor) -> tuple[float, float]:
    low, high = wilson(int(flags.sum()), len(flags))
    return 100 * low, 100 * high
