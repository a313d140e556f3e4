"""A network with fresh weights to a trained one, in a file. Read it from top to bottom.

So far the data are scikit-learn's digits, small enough to train on a laptop while one watches.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from .. import files, weights
from ..data import digits
from ..data.batches import check_classes
from ..device import Precision
from ..evaluation.accuracy import evaluate
from ..limits import BATCH, EPOCHS, IMAGE_SIDE
from ..modes import classes_of, enough_memory
from ..preprocess import Preprocess
from ..problems import Problem, printable


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. Raises `bad-recipe` for numbers out of bounds.

    Batches hold `batch` images or a few more. SGD with Nesterov's momentum; the learning rate rises
    to `lr` during the first `warmup` of all steps (a share) and falls to 0 along a cosine.
    `weight_decay` leaves biases and batch norms alone. Every training image is moved by up to
    `shift` pixels, turned by up to `turn` degrees and enlarged or shrunk by up to `zoom` (a share),
    anew in each epoch. `seed` decides all of that and the order of the images. More `threads` sum
    in another order, which changes the last bits.
    """

    epochs: int = 30
    batch: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    label_smoothing: float = 0.1
    shift: float = 2.0
    turn: float = 9.0
    zoom: float = 0.1
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "epochs": (1, EPOCHS),
            "batch": (2, BATCH),
            "lr": (0, 1000),
            "momentum": (0, 1),
            "weight_decay": (0, 1),
            "warmup": (0, 1),
            "label_smoothing": (0, 1),
            "shift": (0, IMAGE_SIDE),
            "turn": (0, 180),
            "zoom": (0, 0.9),
            "seed": (0, 2**63 - 1),
            "threads": (1, 1024),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise Problem(
                    "bad-recipe", f"{name} is {getattr(self, name)}, but goes from {low} to {high}"
                )


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training images, just finished.

    `loss` is the mean on the training images while they were learnt, `validation_loss` and
    `validation_top1` (percent) are those of the validation images afterwards. `images_per_s` is the
    speed of training, `eta_s` the time that is left for the other epochs.
    """

    number: int
    epochs: int
    loss: float
    validation_loss: float
    validation_top1: float
    images_per_s: float
    eta_s: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What has been saved: the weights after the last finished epoch, the last of `history`.

    The learning rate has fallen to 0 there, while a choice among epochs by 179 validation images
    would be a choice by chance. `digest` is the file's SHA-256; `interrupted` tells that Ctrl-C ended
    the training early.
    """

    path: Path
    digest: str
    history: tuple[Epoch, ...]
    seconds: float
    interrupted: bool


def train(
    net: nn.Module,
    channels: int,
    image: int,
    data: str,
    recipe: Recipe,
    device: torch.device,
    path: Path,
    *,
    name: str,
    on_epoch: Callable[[Epoch], None],
) -> Trained:
    """Train the network, which `path` and the metadata there call `name`, and save its weights.

    The same network, recipe, processor and version of torch give the same weights. The test part of
    the data is not looked at. Ctrl-C saves those after the last finished epoch, if there is one. The
    network ends on the device, in evaluation mode, with the weights saved. Raises `not-trainable`,
    `class-count`, `wrong-input`, `cannot-write` (before any work too), `diverged`, `out-of-memory`.
    """
    preprocess = _check(net, channels, image, data, path)
    start = time.monotonic()
    history: list[Epoch] = []
    state: dict[str, Tensor] = {}
    try:
        with _threads(recipe.threads), enough_memory(recipe.batch):
            for epoch in _epochs(net.to(device), digits.load(image), preprocess, recipe, device):
                state = {k: t.clone() for k, t in net.state_dict().items()}
                history.append(epoch)
                on_epoch(epoch)
    except KeyboardInterrupt:
        if not history:
            raise
    net.load_state_dict(state)
    net.eval()
    digest = weights.save(path, net, _meta(name, image, recipe, history[-1], preprocess))
    seconds = time.monotonic() - start
    return Trained(path, digest, tuple(history), seconds, interrupted=len(history) < recipe.epochs)


def _check(net: nn.Module, channels: int, image: int, data: str, path: Path) -> Preprocess:
    """How the data are prepared for this network; refuses what could only fail later."""
    if data != "digits":
        raise Problem(
            "not-trainable",
            f"this version does not train on {printable(data)}",
            help="train on digits; other data can be used to evaluate weights",
        )
    check_classes("digits", digits.CLASSES, classes_of(net, channels, image))
    preprocess = digits.preprocess(image)
    if channels != preprocess.channels:
        raise Problem("wrong-input", f"digits have 1 channel, the network takes {channels}")
    files.check_writable(path)
    return preprocess


def _epochs(
    net: nn.Module,
    data: digits.Digits,
    preprocess: Preprocess,
    recipe: Recipe,
    device: torch.device,
) -> Iterator[Epoch]:
    """Train for one epoch after the other, and look at the validation images after each."""
    generator = torch.Generator().manual_seed(recipe.seed)
    inputs, labels = preprocess.normalise(data.train.images), data.train.labels
    optimizer = _optimizer(net, recipe)
    start = time.monotonic()
    for number in range(1, recipe.epochs + 1):
        begun = time.monotonic()
        loss = _learn(net, inputs, labels, number, optimizer, recipe, generator, device)
        seconds = time.monotonic() - begun
        if not math.isfinite(loss):
            raise Problem(
                "diverged", f"the loss is no number in epoch {number}", help="take a smaller lr"
            )
        validation = data.validation.batches(recipe.batch)
        seen = evaluate(net, validation, preprocess, device, Precision(), data="validation")
        yield Epoch(
            number=number,
            epochs=recipe.epochs,
            loss=loss,
            validation_loss=seen.loss,
            validation_top1=seen.top1,
            images_per_s=len(inputs) / seconds,
            eta_s=(time.monotonic() - start) / number * (recipe.epochs - number),
        )


def _learn(
    net: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    number: int,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
) -> float:
    """Show the network every training image once, in a new order; the mean loss of epoch `number`."""
    net.train()
    total = 0.0
    steps = max(1, len(inputs) // recipe.batch)  # equal shares, so that no batch is one image
    order = torch.randperm(len(inputs), generator=generator).tensor_split(steps)
    for step, chosen in enumerate(order, start=(number - 1) * steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe.epochs * steps, recipe)
        x = distort(inputs[chosen], recipe, generator).to(device)
        y = labels[chosen].to(device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            loss = cross_entropy(net(x), y, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
        optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(inputs)


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """The rate of a step, counted from 0: linear up to `lr`, then a cosine down to 0."""
    rising = recipe.warmup * steps
    if step < rising:
        return recipe.lr * min((step + 1) / rising, 1)
    return recipe.lr * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


def distort(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Move, turn and resize each image (N x C x H x W) a little in its own way; edges go on."""
    n, side = len(images), images.shape[-1]

    def draw(most: float) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * most

    angle, scale = draw(math.radians(recipe.turn)), 1 + draw(recipe.zoom)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    # The grid goes from -1 to 1, so that a pixel is 2 / side of it.
    right, down = draw(2 * recipe.shift / side), draw(2 * recipe.shift / side)
    maps = torch.stack([cos, -sin, right, sin, cos, down], dim=1).view(n, 2, 3)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD that lets only weights decay, which have more than one dimension."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in net.parameters() if p.ndim > 1]},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """Compute with n threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _meta(
    name: str, image: int, recipe: Recipe, last: Epoch, preprocess: Preprocess
) -> dict[str, str]:
    """What evaluating and predicting need to know, and where the weights came from."""
    return {
        "name": name,
        "classes": str(digits.CLASSES),
        "image": str(image),
        "preprocess": preprocess.to_json(),
        "data": "digits",
        "recipe": json.dumps(asdict(recipe)),
        "seed": str(recipe.seed),
        "epoch": str(last.number),
        "validation_top1": f"{last.validation_top1:.2f}",
        "torch": str(torch.__version__),
    }
