"""`regnetc rerun`: what made a run, made again, and both held against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from . import console, modules
from .plans import Plan, next_free
from .training import carry_out


@click.command("rerun")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder of the new run [runs/STEM-N]."
)
@click.option("--data", metavar="DATA", help="Where the data lie now [where they lay].")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=2,
    show_default=True,
    help="Processes that decode images.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    run: Path, out: Path | None, data: str | None, device: str, workers: int, as_json: bool
) -> None:
    """Train again what a run's folder says that it was made by, and compare the weights bit by bit.

    Exit 1 where they differ.

    \b
    regnetc rerun runs/digits-1
    """
    from regnetc_runtime.training import run_folder

    manifest = run_folder.read_manifest(run)
    before = _weights(run)
    generated = modules.read(run / run_folder.MODULE, None)
    plan = _plan(run, manifest, out, data)
    how = manifest.get("how") or {}
    if how.get("processes", 1) != 1:
        console.say_warning(
            f"the run was made by {how['processes']} processes; to repeat it to the bit, start as many with torchrun"
        )
    given = {
        "device": device, "dtype": how.get("dtype", "float32"), "channels_last": bool(how.get("channels_last")),
        "compiled": bool(how.get("compiled")), "deterministic": bool(how.get("deterministic")),
        "threads": how.get("threads") or 1, "parallel": "ddp" if how.get("parallel") != "fsdp" else "fsdp",
        "workers": workers, "save_every": 10.0, "keep": 2, "tensorboard": False, "weights": None,
    }  # fmt: skip
    code, runs = carry_out(generated, [plan], given, evaluating=False)
    if runs:
        code = _say(run, manifest, before, runs[0], as_json=as_json)
    sys.exit(code)


def _plan(run: Path, manifest: dict[str, Any], out: Path | None, data: str | None) -> Plan:
    """The same run in another folder. Raises Problem for a manifest that does not say enough."""
    module, place = manifest.get("module"), (manifest.get("data") or {}).get("place")
    recipe, seed = manifest.get("recipe"), manifest.get("seed")
    if manifest.get("weights") is not None:
        raise Problem(
            "cannot-rerun", f"the run in {printable(str(run))} began with weights that are not in its folder",
            help="`regnetc run ... --train --weights FILE` repeats it",
        )  # fmt: skip
    if not (
        isinstance(module, dict)
        and isinstance(recipe, dict)
        and type(seed) is int
        and isinstance(data or place, str)
    ):
        raise Problem("not-a-run", f"the manifest in {printable(str(run))} does not say what to do")
    file = Path(str(module.get("file"))).name
    folder = out or next_free(Path(file).stem)
    overrides = tuple(str(o) for o in manifest.get("overrides") or ())
    path = (manifest.get("data") or {}).get("path")
    if (
        data is None
        and isinstance(path, str)
        and not Path(str(place)).exists()
        and Path(path).exists()
    ):
        place = path  # named from another folder than this
    return Plan(folder, recipe, overrides, str(data or place), seed, resume=False, file=file)


def _weights(run: Path) -> str:
    """The digest of the weights that a run ended with."""
    from regnetc_runtime.limits import RUN_MANIFEST_BYTES
    from regnetc_runtime.training.run_folder import METRICS

    try:
        found = json.loads(files.read(run / METRICS, RUN_MANIFEST_BYTES))["weights"]["sha256"]
    except (Problem, ValueError, KeyError, TypeError) as e:
        raise Problem(
            "unfinished-run", f"the run in {printable(str(run))} has not come to its end",
            help="`--train --resume -o RUN` goes on with it",
        ) from e  # fmt: skip
    return str(found)


def _say(
    run: Path, manifest: dict[str, Any], before: str, done: dict[str, Any], *, as_json: bool
) -> int:
    """Whether the weights are the same, and if not, what else is different."""
    from regnetc_runtime.training import run_folder

    now = done["weights"]["sha256"]
    equal = before == now or _same_tensors(run, Path(done["folder"]))
    new = run_folder.read_manifest(Path(done["folder"]))
    changed = run_folder.differences(manifest, new)
    if as_json:
        console.say_json(
            {"run": str(run), "again": done["folder"], "equal": equal, "weights": [before, now],
             "changed": changed}
        )  # fmt: skip
    else:
        out = console.rich_console()
        same = "equal, bit for bit" if equal else "DIFFERENT"
        out.print(f"weights of {printable(str(run))} and {printable(done['folder'])}: {same}")
        for line in changed:
            out.print(f"  {line}")
    return console.OK if equal else console.PROBLEMS


def _same_tensors(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same weights; their files also say where the data lay."""
    from regnetc_runtime import weights
    from regnetc_runtime.training.run_folder import WEIGHTS

    one, two = (weights.read(folder / WEIGHTS).tensors for folder in (a, b))
    return list(one) == list(two) and all(
        t.dtype == two[k].dtype and t.numpy().tobytes() == two[k].numpy().tobytes()
        for k, t in one.items()
    )
