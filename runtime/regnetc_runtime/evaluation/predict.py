"""A network and image files to classes and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data import decode
from ..modes import enough_memory, evaluating
from ..preprocess import Preprocess
from ..problems import Problem

BATCH = 32


@dataclass(frozen=True, slots=True)
class Guess:
    """A class by index, its name where names were given, and its softmax score in 0..1."""

    index: int
    name: str | None
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest classes of an image, best first; or why it could not be read."""

    path: Path
    classes: tuple[Guess, ...] = ()
    problem: Problem | None = None


def predict(
    net: nn.Module,
    paths: Sequence[Path],
    preprocess: Preprocess,
    device: torch.device,
    *,
    top: int = 5,
    class_names: Sequence[str] | None = None,
) -> Iterator[Prediction]:
    """Classify image by image, giving at most `top` classes; the network moves to the device.

    Networks trained on digits expect light ink on a dark ground. An image that cannot be read has a
    problem in place of classes. Raises `class-count` where the names do not fit the network, and
    `not-finite`.
    """
    net = net.to(device)
    for start in range(0, len(paths), BATCH):
        read = [_read(path, preprocess) for path in paths[start : start + BATCH]]
        images = [image for image in read if isinstance(image, Tensor)]
        rows = iter(_logits(net, images, preprocess, device))
        for path, image in zip(paths[start : start + BATCH], read, strict=True):
            if isinstance(image, Problem):
                yield Prediction(path, problem=image)
            else:
                yield Prediction(path, _guesses(next(rows), top, class_names))


def _read(path: Path, preprocess: Preprocess) -> Tensor | Problem:
    try:
        return preprocess.fit(decode.read(path, preprocess.channels), str(path))
    except Problem as e:
        return e


def _logits(
    net: nn.Module, images: list[Tensor], preprocess: Preprocess, device: torch.device
) -> Tensor:
    """The outputs for some images, a row each, on the CPU."""
    if not images:
        return torch.empty(0, 0)
    with evaluating(net), torch.inference_mode(), enough_memory(BATCH):
        logits: Tensor = net(preprocess.normalise(torch.stack(images).to(device)))
        return logits.cpu()


def _guesses(logits: Tensor, top: int, names: Sequence[str] | None) -> tuple[Guess, ...]:
    """The best of one image's logits."""
    if not logits.isfinite().all():
        raise Problem(
            "not-finite", "the network's outputs are not finite numbers", help="look at the weights"
        )
    if names is not None and len(names) != len(logits):
        raise Problem(
            "class-count",
            f"there are {len(names):,} class names, the network has {len(logits):,} classes",
        )
    scores, indices = logits.float().softmax(0).topk(min(top, len(logits)))
    return tuple(
        Guess(i, names[i] if names is not None else None, score)
        for i, score in zip(indices.tolist(), scores.tolist(), strict=True)
    )
