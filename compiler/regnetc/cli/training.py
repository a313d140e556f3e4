"""`regnetc run --train`: a generated module trained by a recipe, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regnetc_runtime.problems import Problem

from ..network import Network
from . import console, modules, opening, outcomes, plans, processes, reports
from .plans import Plan
from .progress import bar

if TYPE_CHECKING:
    from regnetc_runtime.training.job import Job, Options
    from regnetc_runtime.training.parallel import Group
    from regnetc_runtime.training.run_folder import RunFolder
    from regnetc_runtime.training.state import Epoch, State
    from torch import nn


def train(generated: modules.Generated, given: dict[str, Any], *, evaluating: bool) -> int:
    """Train it once for each seed, and say what came of it."""
    processes.fill_streams()
    code, runs = carry_out(
        generated, plans.asked_for(generated, given), given, evaluating=evaluating
    )
    if runs:
        outcomes.say(generated, runs, given)
    return code


def carry_out(
    generated: modules.Generated,
    plans: Iterable[Plan],
    given: dict[str, Any],
    *,
    evaluating: bool,
) -> tuple[int, list[dict[str, Any]]]:
    """Make one run after the other; the exit code, and for the first process what came of them."""
    from regnetc_runtime import device
    from regnetc_runtime.training import parallel
    from regnetc_runtime.training.signals import Stopped

    target = device.pick(given["device"])
    if target.type == "cuda" and parallel.launched():
        import torch

        target = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(target)
    done = []
    if given["deterministic"]:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with (
        processes.together(),
        processes.threads(given["threads"] or 1),
        parallel.joined(target) as group,
    ):
        for plan in plans:
            try:
                done.append(_run(generated, plan, given, target, group, evaluating=evaluating))
            except Stopped as stop:
                if group.leads:
                    outcomes.say_stopped(generated, plan, stop.signal, stop.step)
                return 128 + stop.signal, []
            except KeyboardInterrupt:  # before or after the steps, or twice
                if group.leads:
                    outcomes.say_stopped(generated, plan, signal.SIGINT, None)
                return 128 + signal.SIGINT, []
        return console.OK, done if group.leads else []


def _run(
    generated: modules.Generated,
    plan: Plan,
    given: dict[str, Any],
    target: Any,
    group: Group,
    *,
    evaluating: bool,
) -> dict[str, Any]:
    """One run from its beginning, or from where it stands, to its end."""
    from regnetc_runtime.training import loop, parallel

    network = modules.resolved(generated)
    job, net, start = processes.agreed(
        lambda: _prepare(generated, plan, given, target, group), group
    )
    data = job.data
    made_by = plans.made_by(generated, plan, job, start, group)
    with contextlib.ExitStack() as stack:
        run, finished = processes.open_run(stack, plan, made_by, generated, group)
        if finished:
            return (
                outcomes.finished(run, generated, evaluating=evaluating) if run is not None else {}
            )
        with bar(f"training {network.name}") as progress:
            training = loop.Training(net, job, group, run, _Watch(progress, leads=group.leads))
            try:
                state = training.go()
            except BaseException:
                if run is not None:
                    with contextlib.suppress(Problem):
                        run.state("stopped")
                raise
        done = _finish(generated, run, state, job)
        if evaluating and data.test is not None:
            _test(generated, run, state, job, done)
        if data.test is None:
            done["testable"] = False
            if evaluating:
                console.say_warning(f"{data.name} has no images to test with")
        if run is not None:
            _draw(run, state)
            run.state("finished")
        parallel.said_by_first(None)  # nobody leaves before the files are written
    return done


def _prepare(
    generated: modules.Generated, plan: Plan, given: dict[str, Any], target: Any, group: Group
) -> tuple[Job, nn.Module, str | None]:
    """The job, the network, and the digest of the weights that it begins with."""
    from regnetc_runtime.data import sources
    from regnetc_runtime.training import loop
    from regnetc_runtime.training.job import Job
    from regnetc_runtime.training.recipe import Recipe

    network = modules.resolved(generated)
    data = sources.open_data(
        plan.data,
        channels=network.channels,
        side=network.image,
        classes=network.classes,
        alone="train",
    )
    for note in (*data.notes, *_other_data(plan, data.kind, given, group)) if group.leads else ():
        console.say_warning(note)
    recipe, options = Recipe.from_json(plan.recipe), _options(given, target)
    job = Job(network.name, network.channels, network.image, data, recipe, plan.seed, options)
    loop.plan(job, group)
    net = modules.build(generated, plan.seed)
    return job, net, _initial(net, network, given["weights"])


def _other_data(plan: Plan, kind: str, given: dict[str, Any], group: Group) -> Iterator[str]:
    """What was said and does not count: the recipe's data beside --data, a way to share without others."""
    said = str(plan.recipe.get("data"))
    named = "cifar" if said.startswith("cifar") else said
    kind = "cifar" if kind.startswith("cifar") else kind
    kind = {"folder": "imagenet", "shards": "imagenet"}.get(kind, kind)
    if named not in (kind, "synthetic"):  # a recipe for made-up images is one for anything
        yield f"the recipe is for {said}, and --data names other images: these are taken"
    if given["parallel"] == "fsdp" and group.world == 1:
        yield "--parallel fsdp does nothing in one process: torchrun starts several"


def _options(given: dict[str, Any], target: Any) -> Options:
    from regnetc_runtime.device import Precision
    from regnetc_runtime.training.job import Options

    return Options(
        device=target,
        precision=Precision(given["dtype"], given["channels_last"]),
        compiled=given["compiled"],
        deterministic=given["deterministic"],
        threads=given["threads"] or 1,
        workers=given["workers"],
        parallel=given["parallel"],
        save_s=60 * given["save_every"],
        keep=given["keep"],
        tensorboard=given["tensorboard"],
    )


def _initial(net: Any, network: Network, path: Path | None) -> str | None:
    """Load the weights to begin with; their SHA-256."""
    if path is None:
        return None
    return modules.load_weights(net, network, opening.weights_file(path)[0]).digest


def _finish(
    generated: modules.Generated, run: RunFolder | None, state: State, job: Job
) -> dict[str, Any]:
    """Write weights, metrics, and what they say of the images kept back; what there is to say."""
    from regnetc_runtime.training import results
    from regnetc_runtime.training.run_folder import METRICS

    found = results.metrics(state, results.save_final(state, job, run))
    _, kept = job.parts()
    tally = results.held_out(state, job, kept) if len(kept.labels) else None
    if run is None:
        return {}
    if tally is not None:
        digests = {
            "module_digest": generated.digest,
            "weights_digest": found["weights"]["sha256"],
        }
        reports.keep_predictions(
            run.root,
            "validation",
            tally.scores(),
            job.preprocess(),
            kept,
            job.data,
            digests,
            job.name,
        )
    run.write(METRICS, found)
    return outcomes.summary(run, found) | {"history": [e.to_json() for e in state.history]}


def _test(
    generated: modules.Generated,
    run: RunFolder | None,
    state: State,
    job: Job,
    done: dict[str, Any],
) -> None:
    """The last look, at images that no training and no choice has seen; the manifest notes it."""
    from regnetc_runtime.training import results, run_folder

    part = job.data.test
    if part is None:
        return
    with bar("evaluating") as progress:
        tally = results.held_out(state, job, part, progress)
    if run is None:
        return
    name = f"{job.data.name}, held-out test part"
    seen = reports.found(tally, name, job.preprocess(), job.data.classes)
    digests = {"module_digest": generated.digest, "weights_digest": done["weights"]["sha256"]}
    reports.keep(run.root, seen, part, job.data, digests, job.name)
    done["test"] = seen.to_json()
    done["seen"] = seen
    kept = {
        k: v
        for k, v in done.items()
        if k not in ("seen", "folder", "place", "history", "tested", "testable")
    }
    run.write(run_folder.METRICS, kept)
    used = run.manifest.setdefault("test_split_used", [])
    used.append(
        {"weights": done["weights"]["sha256"], "data": job.data.digest,
         "images": seen.accuracy.images, "top1": seen.accuracy.top1}
    )  # fmt: skip


def _draw(run: RunFolder, state: State) -> None:
    """The curves, where matplotlib is."""
    from regnetc_runtime import files
    from regnetc_runtime.evaluation import pictures

    try:
        curve = pictures.Curve(run.root.name, [state.history])
        files.write(run.root / "curves.png", pictures.of_training([curve], ".png"))
    except Problem as e:
        if e.name != "missing-package":
            raise
        console.say_warning(f"no curves: {e.message} ({e.help})")


class _Watch:
    """Tells the progress, and warns; only the first process speaks."""

    def __init__(self, progress: Any, *, leads: bool) -> None:
        self.progress, self.leads = progress, leads
        self.said = ""

    def step(self, done: int, total: int, text: str) -> None:
        if self.leads:
            with contextlib.suppress(OSError):  # whoever listened has gone, and training goes on
                self.progress(done, total, text)

    def epoch(self, epoch: Epoch) -> None:
        if self.leads:
            with contextlib.suppress(OSError):
                self.progress(epoch.epoch, epoch.epochs, _epoch_text(epoch))

    def note(self, text: str) -> None:
        if self.leads:
            with contextlib.suppress(OSError):
                console.say_warning(text)


def _epoch_text(epoch: Epoch) -> str:
    seen = "" if epoch.validation_top1 is None else f", validation {epoch.validation_top1:.1f}%"
    speed = f"{epoch.images_per_s:,.0f} images/s, {epoch.memory_mib:,.0f} MiB"
    return f"epoch {epoch.epoch}, loss {epoch.loss:.3f}{seen}, {speed}"
