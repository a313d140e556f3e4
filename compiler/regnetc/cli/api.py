"""`regnetc.load` and `regnetc.predict`: what the command line does, for Python. Nothing is printed here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from regnetc_runtime.problems import Problem, require

from ..diagnostics import printable
from ..published import Publication
from . import modules as files
from . import opening, preprocessing
from .opening import Opened

if TYPE_CHECKING:
    import torch
    from regnetc_runtime.preprocess import Preprocess
    from regnetc_runtime.weights import Weights
    from torch import nn

_PREPARED: WeakKeyDictionary[nn.Module, Preprocess] = WeakKeyDictionary()
"""How images become input for each network that was loaded here."""

Given: TypeAlias = str | os.PathLike[str] | bool | None
_HEAD = ("head.fc.weight", "head.fc.bias")


class Loaded(NamedTuple):
    """A network with its weights, how its images are prepared, and whose weights they are."""

    net: nn.Module
    opened: Opened
    prepare: Preprocess
    weights: Weights | None
    published: Publication | None


def load(
    name_or_file: str | os.PathLike[str],
    weights: Given = None,
    *,
    classes: int | None = None,
    device: str = "cpu",
    trust: str | None = None,
    seed: int = 0,
) -> nn.Module:
    """A network by its name in the zoo, of a spec, or of a generated file, which is verified first.

    `weights` is a file in anybody's names, the folder of a run or of transformers, or whose published
    ones to fetch (`"torchvision"`; True where there is one file); fresh ones depend on `seed` alone. With `classes` the classifier is
    made anew where the weights have another, with a warning. `trust` is the SHA-256 (16 digits or more)
    of a changed file that is to run all the same. Raises `regnetc_runtime.problems.Problem`, and
    `SpecError` for a spec with mistakes.
    """
    return loaded(name_or_file, weights, classes=classes, device=device, trust=trust, seed=seed).net


def predict(
    network: nn.Module | str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    weights: Given = None,
    top: int = 5,
    *,
    device: str = "cpu",
) -> list[list[tuple[int, float]]]:
    """The likeliest classes of each image with their scores in 0..1, best first.

    `network` is what `load` returned, or what it takes, with its `weights`. Images are files; they are
    prepared as the weights say. Raises what `load` raises, and `bad-image`.
    """
    require("torch", "run")
    from regnetc_runtime.evaluation import predict as run
    from torch import nn

    if not isinstance(network, nn.Module):
        network = load(network, weights, device=device)
    elif weights is not None:
        raise Problem(
            "wrong-use", "this network has its weights already", help="give them to `load`"
        )
    prepare = _PREPARED.get(network)
    if prepare is None:
        raise Problem(
            "no-preprocess", "how images become input for this network is not known",
            help="load it with `regnetc.load`",
        )  # fmt: skip
    paths = [images] if isinstance(images, str | os.PathLike) else images
    where = next(network.parameters()).device
    found = run.predict(network, [Path(p) for p in paths], prepare, where, top=top)
    scores = []
    for prediction in found:
        if prediction.problem is not None:
            raise prediction.problem
        scores.append([(guess.index, guess.score) for guess in prediction.classes])
    return scores


def loaded(
    name_or_file: str | os.PathLike[str],
    weights: Given = None,
    *,
    classes: int | None = None,
    device: str = "cpu",
    trust: str | None = None,
    seed: int = 0,
) -> Loaded:
    """What `load` loads, with all that is known of it."""
    require("torch", "run")
    from regnetc_runtime import load as runtime
    from regnetc_runtime import weights as reader

    opened = opening.open_network(os.fspath(name_or_file), trust)
    code = opened.generated
    where = _device(device)
    net = runtime.build(runtime.load(code.code, str(code.path)), classes, seed)
    read, row = None, None
    if weights is not None and weights is not False:
        path, row = opening.located(weights, opened)
        read = reader.read(opening.weights_file(path)[0])
        for note in read.notes:
            _warn(f"{printable(str(path))}: {note}")
        if classes is not None:
            read = _with_classes(net, read, classes)
        files.put(net, code.network, read)
    prepare = _prepare(opened, read, row)
    net = net.to(where)
    if prepare is not None:
        _PREPARED[net] = prepare
    return Loaded(net, opened, prepare or _unprepared(), read, row)


def _with_classes(net: nn.Module, read: Weights, classes: int) -> Weights:
    """The weights with the network's own new classifier, where theirs is of other classes."""
    state = net.state_dict()
    theirs = read.tensors.get(_HEAD[0])
    ours = state.get(_HEAD[0])
    count = 0 if theirs is None else len(theirs)
    if count == classes or (
        ours is not None and theirs is not None and ours.shape[1:] != theirs.shape[1:]
    ):
        return read
    if classes:
        _warn(
            f"the weights are for {count:,} classes; the classifier for {classes:,} is new and has learnt nothing"
        )
    else:
        _warn(f"the classifier for {count:,} classes is left out")
    kept = {k: v for k, v in read.tensors.items() if k not in _HEAD}
    return replace(read, tensors=kept | {k: state[k] for k in _HEAD if k in state})


def _prepare(opened: Opened, read: Weights | None, row: Publication | None) -> Preprocess | None:
    """How the weights' images were prepared."""
    if opened.generated.network is None:
        return None
    given = dict.fromkeys(("resize", "crop", "channel_order", "mean", "std"))
    return preprocessing.chosen(opened.generated.network, read, given, row)


def _unprepared() -> Preprocess:
    from regnetc_runtime.preprocess import Preprocess

    return Preprocess()


def _device(name: str) -> torch.device:
    import torch
    from regnetc_runtime import device

    if name in ("auto", "cpu", "cuda"):
        return device.pick(name)  # type: ignore[arg-type]
    try:
        return torch.device(name)
    except (RuntimeError, TypeError):
        raise Problem(
            "unknown-device", f"there is no device `{printable(name, 40)}`", help="cpu, cuda, cuda:1, auto"
        ) from None  # fmt: skip


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)
