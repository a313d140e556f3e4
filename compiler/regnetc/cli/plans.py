"""Which trainings a command line asks for, and what the manifest of one says that it was made by."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import printable
from . import modules

if TYPE_CHECKING:
    from regnetc_runtime.training.job import Job
    from regnetc_runtime.training.parallel import Group

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


def asked_for(generated: modules.Generated, given: dict[str, Any]) -> Iterator[Plan]:
    """The runs that the command line asks for."""
    seeds = given["seeds"] or (None,)
    if given["resume"] and len(seeds) > 1:
        raise click.UsageError("--resume goes on with one run, so it takes one seed")
    if len(set(seeds)) < len(seeds):
        raise click.UsageError("a seed is given twice, which would make the same run twice")
    for seed in seeds:
        folder = given["out"]
        if folder is None:
            folder = _last_unfinished(generated) if given["resume"] else None
            folder = folder or next_free(Path(generated.file).stem)
        elif len(seeds) > 1:
            folder = folder / f"seed-{seed}"
        yield _plan(folder, seed, given)


def _plan(folder: Path, seed: int | None, given: dict[str, Any]) -> Plan:
    """What is not said is taken from the run that is gone on with, or from the kind of the data."""
    from ..recipes import find
    from ..recipes.finding import is_shipped

    before = _before(folder) if given["resume"] else None
    place = given["data"] or (before.data if before is not None else None)
    if place is None:
        raise click.UsageError("--train needs --data digits, or another place")
    overrides = tuple(given["overrides"])
    if before is not None and given["recipe"] is None and not overrides:
        recipe, overrides = before.recipe, before.overrides
    else:
        of_before = before.recipe["name"] if before is not None else None
        if of_before is not None and given["recipe"] is None and not is_shipped(of_before):
            raise click.UsageError(
                f"the run's recipe `{printable(of_before)}` is of a file: say --recipe FILE:{printable(of_before)} beside --set"
            )
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
    place, path = (data.get(k) if isinstance(data, dict) else None for k in ("place", "path"))
    if isinstance(path, str) and not Path(str(place)).exists() and Path(path).exists():
        place = path  # named from another folder than this
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


def made_by(
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
        "module": {"file": plan.file or generated.file, "sha256": generated.digest},
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


def _path_of(place: str) -> str | None:
    """Where data lie, whatever folder the command was given in; None for words and URLs."""
    path = Path(place)
    return str(path.absolute()) if path.exists() else None
