"""The folder of a run: what made it, how far it is, what it found.

manifest.json         what made it: module, recipe, data, seed, versions, how it was computed
module.py             the generated module, byte for byte
log.jsonl             a line for every epoch, and for a step now and then
checkpoints/          the last states; a killed run goes on from the newest
weights.safetensors   the weights at the end (their average, if the recipe has one)
best.safetensors      those of the epoch with the best validation
metrics.json          what came out
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .. import files
from ..limits import RUN_LOG_BYTES, RUN_MANIFEST_BYTES
from ..problems import Problem, printable, some
from . import checkpoint
from .checkpoint import Checkpoint

MANIFEST, MODULE, LOG = "manifest.json", "module.py", "log.jsonl"
METRICS, LOCK, CHECKPOINTS = "metrics.json", ".lock", "checkpoints"
WEIGHTS, BEST, RAW = "weights.safetensors", "best.safetensors", "raw.safetensors"

MAKES = ("module", "recipe_digest", "data_digest", "seed", "weights")
"""What decides the result; a run whose parts differ in these is none."""
BITS = ("device", "how", "versions")
"""What may change the last bits of it."""
_NAMES = ("name", "file")  # of recipes and modules, which change nothing


@dataclass(slots=True)
class RunFolder:
    """An open folder of a run, locked; `notes` say what is worth knowing about going on with it.

    `damaged` names states that were found not to be sound.
    """

    root: Path
    manifest: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return bool(self.manifest.get("state") == "finished")

    def state(self, state: str, **more: object) -> None:
        """Say `running`, `stopped`, `failed` or `finished`, and more."""
        self.manifest |= {"state": state, **more}
        self.write(MANIFEST, self.manifest)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file. Raises `cannot-write`."""
        files.write(self.root / name, _json(content))

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to the log. Raises `cannot-write`."""
        files.append(self.root / LOG, (json.dumps(entry) + "\n").encode())

    def rewind_log(self, step: int) -> None:
        """Drop from the log what was said after so many steps; it will be said again."""
        path = self.root / LOG
        if _is_there(path):
            kept = [e for e in read_log(path) if _step_of(e) <= step]
            files.write(path, b"".join((json.dumps(e) + "\n").encode() for e in kept))

    def save(self, step: int, state: Checkpoint, keep: int) -> None:
        """Save the state after so many steps, and keep the last few. Raises `cannot-write`."""
        checkpoint.save(self.root / CHECKPOINTS, step, state, keep, self.damaged)

    def saved(self) -> Checkpoint | None:
        """The newest sound state."""
        found, self.damaged = checkpoint.latest(self.root / CHECKPOINTS)
        if self.damaged:
            self.notes.append(f"damaged states are passed over: {some(self.damaged)}")
        return found


@contextmanager
def opened(
    root: Path, made_by: dict[str, Any], module: bytes, *, resume: bool
) -> Iterator[RunFolder]:
    """Begin a run in a new or empty folder, or go on with the one that is there if `resume`.

    Raises `run-in-use`, `run-exists` without `resume`, `not-a-run`, `changed-run` where it was made by
    something else, and `cannot-write`.
    """
    made_by = json.loads(_json(made_by))  # as it will be read again
    files.make_folder(root)
    if begun(root):
        read_manifest(root)  # before a lock is put into a folder of somebody else
    else:
        _refuse_strangers(root)
    with files.locked(root / LOCK) as mine:
        if not mine:
            raise Problem(
                "run-in-use",
                f"another process is training in {printable(root)}",
                help="wait for it, or name another folder with -o",
            )
        files.sweep(root)
        again = begun(root)  # perhaps by a process that has just ended
        if again and not resume:
            raise _exists(root)
        run = _again(root, made_by) if again else _new(root, made_by, module)
        files.sweep(root / CHECKPOINTS)
        yield run


def begun(root: Path) -> bool:
    """Whether a folder says that it is one of a run. Raises `not-a-run` where that cannot be seen."""
    return _is_there(root / MANIFEST)


def read_manifest(root: Path) -> dict[str, Any]:
    """What made the run of a folder. Raises `not-a-run`."""
    try:
        found = json.loads(files.read(root / MANIFEST, RUN_MANIFEST_BYTES))
    except (Problem, ValueError, RecursionError) as e:
        raise _not_a_run(root, printable(e)) from e
    if not isinstance(found, dict) or found.get("regnetc_run") != 1:
        raise _not_a_run(root, "its manifest is not one of regnetc")
    return found


def note_test(root: Path, **entry: object) -> None:
    """Note in the manifest that the test part of data was looked at. Raises `not-a-run`, `cannot-write`."""
    manifest = read_manifest(root)
    used = manifest.get("test_split_used")
    manifest["test_split_used"] = [*(used if isinstance(used, list) else []), entry]
    files.write(root / MANIFEST, _json(manifest))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The entries of a log; a last line that was cut short is left out. Raises what `files.read` does."""
    entries = []
    for line in files.read(path, RUN_LOG_BYTES).split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two runs were made by in different ways, a line for each thing."""
    return [d for what in (*MAKES, *BITS) for d in _differences(what, old, new)]


def versions() -> dict[str, str]:
    """What computes here: releases, and a digest of the code that trains."""
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in ("regnetc", "numpy", "pillow", "simplejpeg"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | {"runtime": _code_digest()}


def _code_digest() -> str:
    """SHA-256 (16 digits) over the source of this package."""
    whole = hashlib.sha256()
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        whole.update(f"{path.relative_to(root).as_posix()}\n".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _new(root: Path, made_by: dict[str, Any], module: bytes) -> RunFolder:
    files.make_folder(root / CHECKPOINTS)
    files.write(root / MODULE, module)
    run = RunFolder(root, {"regnetc_run": 1, **made_by, "continued": [], "test_split_used": []})
    run.state("running")
    return run


def _again(root: Path, made_by: dict[str, Any]) -> RunFolder:
    manifest = read_manifest(root)
    changed = [what for what in MAKES if _differences(what, manifest, made_by)]
    if changed:
        raise Problem(
            "changed-run",
            f"the run in {printable(root)} was made by something else",
            details=[d for what in changed for d in _differences(what, manifest, made_by)],
            help="go on with what made it, or begin a new run in another folder with -o",
        )
    files.make_folder(root / CHECKPOINTS)
    run = RunFolder(root, manifest)
    continued = _continued(run)
    last = {**manifest, **(continued[-1] if continued else {})}
    other = [d for what in BITS for d in _differences(what, last, made_by)]
    if not run.finished:
        if other:
            run.notes.append(
                f"the last bits may differ from one uninterrupted run: {'; '.join(other)}"
            )
            continued.append({what: made_by[what] for what in BITS})
        run.state("running")
    return run


def _continued(run: RunFolder) -> list[dict[str, Any]]:
    """What has computed the run since it began, in its manifest. Raises `not-a-run` for anything else."""
    found = run.manifest.setdefault("continued", [])
    if not isinstance(found, list) or not all(isinstance(c, dict) for c in found):
        raise _not_a_run(run.root, "its manifest does not say how it was continued")
    return found


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as e:
        raise _not_a_run(path.parent, printable(e)) from e
    return True


def _step_of(entry: Mapping[str, Any]) -> float:
    step = entry.get("step")
    return step if isinstance(step, int | float) else 0


def _differences(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs, a line for each thing."""
    before, now = old.get(what), new.get(what)
    if what == "recipe_digest":
        return _differences("recipe", old, new)
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [k for k in {**before, **now} if before.get(k) != now.get(k) and k not in _NAMES]
        return [
            f"{what}: {_shown(k)} was {_shown(before.get(k))}, is {_shown(now.get(k))}"
            for k in keys
        ]
    return [] if before == now else [f"{what} was {_shown(before)}, is {_shown(now)}"]


def _shown(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("arguments"), dict):
        inside = ", ".join(f"{k} = {v}" for k, v in value["arguments"].items())
        return printable(f"{value.get('name')}({inside})", 120)
    return printable("none" if value is None else value, 60)


def _refuse_strangers(root: Path) -> None:
    """A folder that holds something else stays as it is."""
    try:
        found = [p.name for p in root.iterdir()]
    except OSError as e:
        raise _not_a_run(root, printable(e.strerror)) from e
    ours = (LOCK, MODULE, CHECKPOINTS)
    others = [n for n in found if n not in ours and not n.startswith(".regnetc-")]
    if others:
        raise Problem(
            "not-a-run",
            f"{printable(root)} holds something else: {printable(others[0], 60)}",
            help="name a new folder with -o",
        )


def _exists(root: Path) -> Problem:
    state = read_manifest(root).get("state")
    remedy = "name another folder with -o" if state == "finished" else "go on with it: --resume"
    what = "a finished run" if state == "finished" else "a run that is not finished"
    return Problem("run-exists", f"{printable(root)} holds {what}", help=remedy)


def _not_a_run(root: Path, why: str) -> Problem:
    return Problem(
        "not-a-run",
        f"{printable(root)} is no folder of a run: {why}",
        help="`regnetc runs` lists them",
    )


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
