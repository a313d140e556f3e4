"""What is said of trainings: that one was stopped, had ended before, or what came of it."""

from __future__ import annotations

import json
import math
import shlex
import signal
import statistics
import sys
from typing import TYPE_CHECKING, Any

from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from . import console, modules, reports

if TYPE_CHECKING:
    from regnetc_runtime.training.run_folder import RunFolder

    from .plans import Plan


_UNSAID = ("seen", "tested", "testable")  # in JSON


def finished(run: RunFolder, generated: modules.Generated, *, evaluating: bool) -> dict[str, Any]:
    """What is said of a run that has come to its end before. Raises `not-a-run` without sound metrics."""
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
    done = summary(run, found)
    if evaluating and not done["tested"]:
        console.say_warning(f"--eval looks at no run that has ended: {_look(generated, done)}")
    return done


def summary(run: RunFolder, found: dict[str, Any]) -> dict[str, Any]:
    """Metrics with the folder, the place of the data, the seed, and whether the test part was looked at."""
    place = (run.manifest.get("data") or {}).get("place")
    tested = bool(run.manifest.get("test_split_used"))
    return {
        "folder": str(run.root),
        "place": place,
        "seed": run.manifest["seed"],
        "tested": tested,
        **found,
    }


def _look(generated: modules.Generated, run: dict[str, Any]) -> str:
    """The command that looks at the test part with the weights of a run."""
    file, place, folder = (
        shlex.quote(printable(str(x))) for x in (generated.path, run["place"], run["folder"])
    )
    return f"regnetc run {file} --eval --data {place} --weights {folder}"


def say_stopped(generated: modules.Generated, plan: Plan, number: int, step: int | None) -> None:
    """Say how to go on after a signal; `step` is None where nothing was saved on account of it."""
    name = signal.Signals(number).name
    what = f" after {step:,} steps, which are saved" if step is not None else ""
    console.say_error(
        "stopped",
        f"stopped by {'Ctrl-C' if name == 'SIGINT' else name}{what}",
        help=_again(generated, plan),
    )


ONCE = ("-o", "--out", "--seed")  # with a value, and not said again to go on with one run


def _again(generated: modules.Generated, plan: Plan) -> str:
    """The command that was typed, to go on with one run."""
    typed = sys.argv[1:] if sys.argv[1:2] == ["run"] else ["run", str(generated.path), "--train"]
    words, given = [], iter(typed)
    for word in given:
        if word in ONCE:
            next(given, None)
        elif word != "--resume" and not word.startswith(("--out=", "--seed=")):
            words.append(word)
    return printable(shlex.join(["regnetc", *words, "--resume", "-o", str(plan.folder)]), 2_000)


def say(generated: modules.Generated, runs: list[dict[str, Any]], given: dict[str, Any]) -> None:
    """What came of the runs: on the screen, or as JSON."""
    network = modules.resolved(generated)
    if given["as_json"]:
        said = [{k: v for k, v in run.items() if k not in _UNSAID} for run in runs]
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
        if (
            run.get("test") is None
            and run["place"]
            and not run["tested"]
            and run.get("testable", True)
        ):
            out.print(f"not looked at the test part yet: {_look(generated, run)}")
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
