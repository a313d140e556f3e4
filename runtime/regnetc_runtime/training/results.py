"""What a training has come to: validation, weights in files, metrics."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import files, safetensors_file
from ..augment.chunks import ChunkAugment
from ..augment.images import prepare_for
from ..chance import seed_of
from ..data import loader
from ..data.bad import BadImages
from ..data.parts import Chunk, Part
from ..data.subsets import side_in_memory
from ..evaluation.accuracy import Accuracy, Tally, classify
from ..evaluation.reading import read
from ..progress import Progress, silent
from . import parallel, statistics
from .job import Job
from .order import shuffled
from .parallel import Group
from .run_folder import BEST, RAW, WEIGHTS, RunFolder
from .state import State


@dataclass(frozen=True, slots=True)
class Seen:
    """Accuracies on the validation images: of the weights, and of their average; None without."""

    raw: Accuracy | None
    average: Accuracy | None


@dataclass(frozen=True, slots=True)
class Parts:
    """Images to learn from and images kept back, and the account of those of each that cannot be read."""

    learnt: Part
    kept: Part
    bad: BadImages
    bad_kept: BadImages


def validate(state: State, parts: Parts, job: Job, group: Group) -> Seen:
    """Make batch norm's statistics precise where the recipe asks for it, then look at what was kept back.

    Both for the weights and for their average. Every process has to ask.
    """
    raw = _validate(state, parts, job, group)
    if state.average is None:
        return Seen(raw, None)
    with state.average.in_place():
        return Seen(raw, _validate(state, parts, job, group))


def _validate(state: State, parts: Parts, job: Job, group: Group) -> Accuracy | None:
    if job.recipe.precise_bn:
        with job.options.precision.autocast(job.options.device):
            statistics.precise(state.net, _precise_batches(state, parts, job, group))
    kept = parts.kept
    if not len(kept.labels):
        return None
    alone = job.options.parallel == "fsdp"  # shards are gathered by all, so all see every image
    share = Group() if alone else group
    tally = classify(
        state.net,
        read(
            kept, job.preprocess(), job.options.workers, share.rank, share.world, bad=parts.bad_kept
        ),
        job.preprocess(),
        job.options.device,
        job.options.precision,
    )
    return (tally if alone else tally.together()).accuracy("validation")


def _precise_batches(state: State, parts: Parts, job: Job, group: Group) -> Iterator[Tensor]:
    """Training images, drawn and changed as in training, in equally many chunks for each process."""
    learnt = parts.learnt
    size, epoch = job.recipe.chunk, len(state.history)
    each = max(1, min(job.recipe.precise_bn, len(learnt.labels)) // size // group.world)
    chosen = shuffled(len(learnt.labels), job.seed)(epoch)[: each * group.world * size]
    firsts = range(group.rank * each * size, (group.rank + 1) * each * size, size)
    chunks = (Chunk(epoch, first, chosen[first : first + size]) for first in firsts)
    side = side_in_memory(learnt)
    prepare = prepare_for(job.recipe, job.image, job.channels, epoch, side)
    augment = ChunkAugment(job.recipe, job.data.mean, job.data.std)
    device = job.options.device
    batches = loader.load(
        learnt, chunks, prepare, seed=job.seed, workers=job.options.workers, bad=parts.bad
    )
    for first, batch in zip(firsts, batches, strict=True):
        place = (job.seed, "precise", epoch, first)
        images = batch.images.to(device)
        images, _ = augment(images, batch.labels.to(device), place, job.classes)
        torch.manual_seed(seed_of(*place, "drop_path"))
        yield job.options.precision.place_batch(images, device)


def held_out(state: State, job: Job, part: Part, progress: Progress = silent) -> Tally:
    """What the final weights say of images that no training saw; the average where there is one.

    Raises `too-many-bad-images` where more cannot be read than in training.
    """
    inside = state.average.in_place() if state.average is not None else nullcontext()
    bad = BadImages(limit=job.options.bad_share, replace=False)
    with inside:
        return classify(
            state.net,
            read(part, job.preprocess(), job.options.workers, bad=bad),
            job.preprocess(),
            job.options.device,
            job.options.precision,
            total=len(part.labels),
            progress=progress,
        )


def save_best(state: State, job: Job, run: RunFolder | None) -> None:
    """Write the weights that have just been validated; every process has to ask."""
    with state.average.in_place() if state.average is not None else nullcontext():
        _save(state, job, run, BEST)


def save_final(state: State, job: Job, run: RunFolder | None) -> dict[str, str]:
    """Write the weights at the end, their average first; name and SHA-256 of the file to be used."""
    if state.average is not None:
        _save(state, job, run, RAW)
    with state.average.in_place() if state.average is not None else nullcontext():
        return {"file": WEIGHTS, "sha256": _save(state, job, run, WEIGHTS)}


def metrics(state: State, weights: dict[str, str]) -> dict[str, Any]:
    """What came out of the training; nobody has looked at the test part yet."""
    last = state.history[-1]
    validation = None
    if last.validation_top1 is not None:
        best = max(state.history, key=lambda e: e.validation_top1 or 0)
        validation = {
            "loss": last.validation_loss,
            "top1": last.validation_top1,
            "raw_top1": last.raw_top1,
            "best_top1": best.validation_top1,
            "best_epoch": best.epoch,
        }
    return {
        "epochs": last.epoch,
        "loss": last.loss,
        "validation": validation,
        "test": None,
        "seconds": sum(e.seconds for e in state.history),
        "weights": weights,
        "unreadable": state.unreadable,
    }


def _save(state: State, job: Job, run: RunFolder | None, name: str) -> str:
    """Write the network's weights; the SHA-256, or nothing where there is no folder."""
    tensors = {k: parallel.whole(t).contiguous() for k, t in state.net.state_dict().items()}
    if run is None:
        return ""
    data = safetensors_file.encode(tensors, _meta(state, job))
    files.write(run.root / name, data)
    return hashlib.sha256(data).hexdigest()


def _meta(state: State, job: Job) -> dict[str, str]:
    """What evaluating and predicting need to know, and where the weights came from."""
    last = state.history[-1]
    facts = {
        "name": job.name,
        "classes": str(job.classes),
        "image": str(job.image),
        "preprocess": job.preprocess().to_json(),
        "data": job.data.name,
        "data_digest": job.data.digest,
        "recipe": job.recipe.name,
        "recipe_digest": job.recipe.digest,
        "seed": str(job.seed),
        "epoch": str(last.epoch),
        "torch": str(torch.__version__),
    }
    if last.validation_top1 is not None:
        facts["validation_top1"] = f"{last.validation_top1:.2f}"
    return facts


def peak_mib(device: torch.device) -> float:
    """The most memory so far, in MiB: that torch allocated on a GPU, else that of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
