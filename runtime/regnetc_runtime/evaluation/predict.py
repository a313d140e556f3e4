"""A network and image files to classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
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
    """The likeliest classes of an image, best first."""

    path: Path
    classes: tuple[Guess, ...]


def predict(
    net: nn.Module,
    paths: Sequence[Path],
    preprocess: Preprocess,
    device: torch.device,
    *,
    top: int = 5,
    class_names: Sequence[str] | None = None,
) -> list[Prediction]:
    """Classify each image, giving at most `top` classes; the network moves to the device.

    Networks trained on digits expect light ink on a dark ground. Raises `bad-image`, `class-count`
    where the names do not fit the network, `not-finite`, and what `files.read` raises.
    """
    net = net.to(device)
    found: list[Prediction] = []
    with evaluating(net), torch.inference_mode(), enough_memory(BATCH):
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            images = [preprocess.fit(decode.read(p, preprocess.channels), str(p)) for p in part]
            logits = net(preprocess.normalise(torch.stack(images).to(device)))
            for path, row in zip(part, logits.cpu(), strict=True):
                found.append(Prediction(path, _guesses(row, top, class_names)))
    return found


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
