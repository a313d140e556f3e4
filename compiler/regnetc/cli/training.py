"""`regnetc run --train`: a generated module trained by a recipe, in a folder of its own."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import printable
from ..network import Network
from . import console, modules, reports
from .progress import bar

if TYPE_CHECKING:
    from regnetc_runtime.training.job import Job, Options
    from regnetc_runtime.training.parallel import Group
    from regnetc_runtime.training.run_folder import RunFolder
    from regnetc_runtime.training.state import Epoch, State
    from torch import nn

Found = TypeVar("Found")

HOME = Path("runs")
DEFAULTS = {"digits": "digits", "synthetic": "smoke", "cifar": "cifar"}
"""The recipe for each kind of data that has one of its own."""


@dataclass(frozen=True)
class Plan:
    """One run: where, from what, with which seed. `data` is the place that the user named."""

    folder: Path
    recipe: dict[str, Any]
    overrides: tuple[str, ...]
    data: str
    seed: int
    resume: bool
    file: str = ""


def train(generated: modules.Generated, given: dict[str, Any], *, evaluating: bool) -> int:
    """Train it once for each seed, and say what came of it."""
    _fill_streams()
    code, runs = carry_out(generated, _plans(generated, given), given, evaluating=evaluating)
    if runs:
        _say(generated, runs, given)
    return code


def _fill_streams() -> None:
    """Let closed standard streams lead nowhere, and take their numbers.

    Else a file of the run could have one of these, and a library's warning would go into it.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= LAST_STREAM:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", closefd=False))


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
    with _together(), _threads(given["threads"] or 1), parallel.joined(target) as group:
        for plan in plans:
            try:
                done.append(_run(generated, plan, given, target, group, evaluating=evaluating))
            except Stopped as stop:
                if group.leads:
                    _say_stopped(generated, plan, stop.signal, stop.step)
                return 128 + stop.signal, []
            except KeyboardInterrupt:  # before or after the steps, or twice
                if group.leads:
                    _say_stopped(generated, plan, signal.SIGINT, None)
                return 128 + signal.SIGINT, []
        return console.OK, done if group.leads else []


def _plans(generated: modules.Generated, given: dict[str, Any]) -> Iterator[Plan]:
    """The runs that the command line asks for."""
    seeds = given["seeds"] or (None,)
    if given["resume"] and len(seeds) > 1:
        raise click.UsageError("--resume goes on with one run, so it takes one seed")
    for seed in seeds:
        folder = given["out"]
        if folder is None:
            folder = _last_unfinished(generated) if given["resume"] else None
            folder = folder or next_free(generated.path.stem)
        elif len(seeds) > 1:
            folder = folder / f"seed-{seed}"
        yield _plan(folder, seed, given)


def _plan(folder: Path, seed: int | None, given: dict[str, Any]) -> Plan:
    """What is not said is taken from the run that is gone on with, or from the kind of the data."""
    from ..recipes import find

    before = _before(folder) if given["resume"] else None
    place = given["data"] or (before.data if before is not None else None)
    if place is None:
        raise click.UsageError("--train needs --data digits, or another place")
    overrides = tuple(given["overrides"])
    if before is not None and given["recipe"] is None and not overrides:
        recipe, overrides = before.recipe, before.overrides
    else:
        of_before = before.recipe["name"] if before is not None else None
        recipe = find(given["recipe"] or of_before or _default_recipe(place), overrides).json
    if seed is None:
        seed = before.seed if before is not None else 0
    return Plan(folder, recipe, overrides, place, seed, given["resume"])


def _before(folder: Path) -> Plan | None:
    """What made the run in a folder, where one has begun. Raises `not-a-run`."""
    from regnetc_runtime.training import run_folder

    from ..recipes import canonical

    if not run_folder.begun(folder):
        return None
    found = run_folder.read_manifest(folder)
    data, overrides, seed = found.get("data"), found.get("overrides"), found.get("seed")
    place = data.get("place") if isinstance(data, dict) else None
    why = "what it says of data, seed or overrides is nothing that a run is made by"
    try:
        canonical.validate(found.get("recipe"))
        if (
            isinstance(place, str)
            and type(seed) is int
            and 0 <= seed <= 2**53
            and isinstance(overrides, list)
            and all(isinstance(o, str) for o in overrides)
        ):
            return Plan(folder, found["recipe"], tuple(overrides), place, seed, resume=True)
    except canonical.RecipeError as e:
        why = f"its recipe is none: {e}"
    raise Problem("not-a-run", f"the manifest of {printable(str(folder))} was changed: {why}")


def _default_recipe(place: str) -> str:
    from regnetc_runtime.data import sources

    from ..recipes.finding import shipped

    kind = sources.look(place, alone="train").kind
    if kind not in DEFAULTS:
        raise click.UsageError(
            f"say how to train: --recipe NAME, where NAME is {', '.join(shipped())} or FILE[:NAME]"
        )
    return DEFAULTS[kind]


def next_free(stem: str) -> Path:
    """The first folder of runs of a module that is not there yet."""
    taken = [n for n, _ in _numbered(stem)]
    return HOME / f"{stem}-{max(taken, default=0) + 1}"


def _last_unfinished(generated: modules.Generated) -> Path | None:
    """The run of this very module that was begun last and has not come to its end."""
    from regnetc_runtime.training import run_folder

    found: list[tuple[float, Path]] = []
    for folder in HOME.iterdir() if HOME.is_dir() else ():
        with contextlib.suppress(Problem, OSError):
            if run_folder.begun(folder):
                manifest = run_folder.read_manifest(folder)
                module = manifest.get("module")
                ours = isinstance(module, dict) and module.get("sha256") == generated.digest
                if ours and manifest.get("state") != "finished":
                    found.append(((folder / run_folder.MODULE).stat().st_mtime, folder))
    return max(found)[1] if found else None


def _numbered(stem: str) -> list[tuple[int, Path]]:
    pattern = re.compile(re.escape(stem) + r"-([0-9]{1,9})")
    try:
        names = os.listdir(HOME)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    found = ((pattern.fullmatch(name), name) for name in names)
    return [(int(m[1]), HOME / name) for m, name in found if m is not None]


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
    job, net, start = _agreed(lambda: _prepare(generated, plan, given, target, group), group)
    data = job.data
    made_by = _made_by(generated, plan, job, start, group)
    with contextlib.ExitStack() as stack:
        run, finished = _open(stack, plan, made_by, generated, group)
        if finished:
            return _finished(run) if run is not None else {}
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
        elif evaluating:
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
    kind = {"folder": "imagenet", "shards": "imagenet"}.get(kind, kind)
    if named not in (kind, "synthetic"):  # a recipe for made-up images is one for anything
        yield f"the recipe is for {said}, and --data names other images: these are taken"
    if given["parallel"] == "fsdp" and group.world == 1:
        yield "--parallel fsdp does nothing in one process: torchrun starts several"


def _agreed(work: Callable[[], Found], group: Group) -> Found:
    """What each process does for itself. Where one cannot, the first says why, and all of them end."""
    from regnetc_runtime.training import parallel

    found, problem = None, None
    try:
        found = work()
    except Problem as e:
        problem = e
    said = parallel.said_by_all(
        None if problem is None else (problem.name, problem.message, problem.details, problem.help)
    )
    wrong = next((k for k, s in enumerate(said) if s is not None), None)
    if wrong is None:
        return cast("Found", found)
    if not group.leads:
        raise _FollowerError
    if problem is not None:
        raise problem
    name, message, details, help_ = said[wrong]
    raise Problem(name, f"process {wrong}: {message}", details=details, help=help_)


def _open(
    stack: contextlib.ExitStack,
    plan: Plan,
    made_by: dict[str, Any],
    generated: modules.Generated,
    group: Group,
) -> tuple[RunFolder | None, bool]:
    """The run's folder for the first process, and whether the run has come to its end.

    All end here if it cannot be opened.
    """
    from regnetc_runtime.training import parallel, run_folder

    run, problem = None, None
    if group.leads:
        try:
            opened = run_folder.opened(plan.folder, made_by, generated.code, resume=plan.resume)
            run = stack.enter_context(opened)
        except Problem as e:
            problem = e
    finished = parallel.said_by_first(run.finished if run is not None else None)
    if problem is not None:
        raise problem
    if finished is None:
        raise _FollowerError
    return run, finished


class _FollowerError(Exception):
    """The first process has said why all of them end."""


LAST_STREAM = 2  # the number of standard error
LOST = ("closed by peer", "reset by peer", "pair closure", "Broken pipe", "Timed out waiting")
"""What gloo says where another process is gone."""


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Processes of a group end together. Raises `lost-process` where another ended without a word."""
    from regnetc_runtime.training import parallel

    try:
        yield
    except _FollowerError:
        sys.exit(console.PROBLEMS)
    except RuntimeError as e:
        if not parallel.launched() or not any(sign in str(e) for sign in LOST):
            raise
        raise Problem(
            "lost-process",
            "another process of the run has ended, so this one cannot go on",
            details=(printable(str(e).partition("\n")[0]),),
            help="see what the other said or what killed it; --resume goes on from the last saved state",
        ) from e


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


def _path_of(place: str) -> str | None:
    """Where data lie, whatever folder the command was given in; None for words and URLs."""
    path = Path(place)
    return str(path.absolute()) if path.exists() else None


def _initial(net: Any, network: Network, path: Path | None) -> str | None:
    """Load the weights to begin with; their SHA-256."""
    if path is None:
        return None
    return modules.load_weights(net, network, modules.weights_file(path)[0]).digest


def _made_by(
    generated: modules.Generated,
    plan: Plan,
    job: Job,
    start: str | None,
    group: Group,
) -> dict[str, Any]:
    """What the manifest says of where a run comes from."""
    from regnetc_runtime import device
    from regnetc_runtime.training import run_folder

    network = modules.resolved(generated)
    recipe, data, options = job.recipe, job.data, job.options
    how = options.facts(group.world)
    return {
        "name": plan.folder.name,
        "network": ir.to_data(network),
        "module": {"file": plan.file or generated.path.name, "sha256": generated.digest},
        "recipe": recipe.to_json(),
        "recipe_digest": recipe.digest,
        "overrides": list(plan.overrides),
        "data": {"place": plan.data, "path": _path_of(plan.data), "kind": data.kind, "digest": data.digest, "classes": list(data.classes)},
        "data_digest": data.digest,
        "seed": plan.seed,
        "weights": start,
        "device": device.describe(options.device),
        "precision": how["dtype"],
        "how": how,
        "versions": run_folder.versions(),
        "command": ["regnetc", *sys.argv[1:]],
    }  # fmt: skip


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
    return _said(run, found) | {"history": [e.to_json() for e in state.history]}


def _finished(run: RunFolder) -> dict[str, Any]:
    """What is said of a run that has come to its end before. Raises `not-a-run` without sound metrics."""
    import json

    from regnetc_runtime import files
    from regnetc_runtime.limits import RUN_MANIFEST_BYTES
    from regnetc_runtime.training.run_folder import METRICS

    console.say_warning(f"the run in {printable(str(run.root))} has come to its end before")
    try:
        found = json.loads(files.read(run.root / METRICS, RUN_MANIFEST_BYTES))
        seen = [found[part]["top1"] for part in ("validation", "test") if found[part] is not None]
        numbers = [found["epochs"], found["seconds"], *seen]
    except (Problem, ValueError, TypeError, KeyError, RecursionError):
        found, numbers = {}, [None]
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise Problem(
            "not-a-run",
            f"{METRICS} of the run in {printable(str(run.root))}, which has come to its end, is gone or changed",
            help="`regnetc run --eval --weights RUN` evaluates its weights, `regnetc rerun RUN` makes it again",
        )
    return _said(run, found)


def _said(run: RunFolder, found: dict[str, Any]) -> dict[str, Any]:
    place = (run.manifest.get("data") or {}).get("place")
    return {"folder": str(run.root), "place": place, "seed": run.manifest["seed"], **found}


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
    kept = {k: v for k, v in done.items() if k not in ("seen", "folder", "place", "history")}
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


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    """Compute with n threads inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _say_stopped(generated: modules.Generated, plan: Plan, number: int, step: int | None) -> None:
    """Say how to go on after a signal; `step` is None where nothing was saved on account of it."""
    name = signal.Signals(number).name
    what = f" after {step:,} steps, which are saved" if step is not None else ""
    console.say_error(
        "stopped",
        f"stopped by {'Ctrl-C' if name == 'SIGINT' else name}{what}",
        help=f"regnetc run {printable(str(generated.path))} --train --resume -o {printable(str(plan.folder))}",
    )


def _say(generated: modules.Generated, runs: list[dict[str, Any]], given: dict[str, Any]) -> None:
    """What came of the runs: on the screen, or as JSON."""
    network = modules.resolved(generated)
    if given["as_json"]:
        said = [{k: v for k, v in run.items() if k != "seen"} for run in runs]
        console.say_json(
            {"name": network.name, "digest": generated.digest, "runs": said, **_spreads(runs)}
        )
        return
    out = console.rich_console()
    for run in runs:
        seen = run.get("validation")
        validation = "" if seen is None else f"; {seen['top1']:.2f}% of the validation part"
        epochs = "1 epoch" if run["epochs"] == 1 else f"{run['epochs']:,} epochs"
        out.print(
            f"{network.name}, seed {run['seed']}: {epochs} in {run['seconds']:.1f} s{validation}"
        )
        if run.get("seen") is not None:
            reports.show(out, run["seen"])
        out.print(f"wrote {printable(run['folder'])}/")
        if run.get("test") is None and run["place"]:
            again = f"--eval --data {printable(run['place'])} --weights {printable(run['folder'])}"
            out.print(
                f"not looked at the test part yet: regnetc run {printable(str(generated.path))} {again}"
            )
    for what, spread in _spreads(runs).items():
        out.print(
            f"{what} top-1 over {len(runs)} seeds: {spread['mean']:.2f}% +- {spread['deviation']:.2f} "
            f"({spread['least']:.2f} to {spread['most']:.2f})"
        )


def _spreads(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and spread of validation and test over several runs."""
    found = {}
    for what in ("validation", "test"):
        values = [run[what]["top1"] for run in runs if run.get(what)]
        if len(values) > 1:
            found[what] = {
                "mean": statistics.mean(values), "deviation": statistics.stdev(values),
                "least": min(values), "most": max(values),
            }  # fmt: skip
    return found
