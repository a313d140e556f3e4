"""The folder of a run to what is known of it, and runs to groups that differ in nothing but the seed.

Folders are data that anybody may have written: what is not of its kind counts as not said. Nothing here
imports torch.
"""

from __future__ import annotations

import io
import json
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import files
from ..limits import EPOCHS, MIB
from ..problems import Problem, printable
from .said import flat, number, obj, pair, parse, text, whole

MANIFEST, LOG, METRICS = "manifest.json", "log.jsonl", "metrics.json"
REPORT = "report.json"
MANIFEST_BYTES, METRICS_BYTES, LOG_BYTES = 16 * MIB, 16 * MIB, 256 * MIB
FOLDERS = 10_000  # in one listing


Stamp = tuple[tuple[int, int] | None, ...]
"""When each of a run's files was changed (ns) and how long it is (bytes), None for one not there."""


@dataclass(frozen=True, slots=True)
class Point:
    """One epoch, counted from 1, of a log; what it does not say is None.

    `loss` and `top1` (percent) are those of the training images while they were learnt, the others those
    of the validation images afterwards; `lr` is the learning rate, `seconds` how long the epoch took.
    """

    epoch: int
    loss: float | None
    top1: float | None
    validation_loss: float | None
    validation_top1: float | None
    lr: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run's folder says; None or empty is not said.

    `settings` is all of the recipe as `field: text`, with `optimizer.lr` for what is inside of a field.
    `top1` are percentages of the test part and of the validation part, the latter of the last epoch
    while there is no final one. `overrides` are what changed a named recipe. `identity` is the same for
    runs that differ in nothing but the seed, the machine, and what they are called. `stamp` is another
    once a file has changed.
    """

    folder: Path
    name: str
    network: str
    state: str
    seed: int | None
    settings: Mapping[str, str]
    digests: Mapping[str, str]
    points: tuple[Point, ...]
    epochs: int | None
    validation_top1: float | None
    validation_loss: float | None
    test_top1: float | None
    test_interval: tuple[float, float] | None
    seconds: float | None
    identity: str
    stamp: Stamp
    notes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many epochs are done."""
        return self.points[-1].epoch if self.points else 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Runs in order of their folders' names, and folders that are none, with the reason."""

    runs: tuple[Run, ...]
    others: Mapping[Path, str] = field(default_factory=dict)


def find(places: Sequence[Path], known: Iterable[Run] = ()) -> Listing:
    """The runs among folders, each of which is a run itself or holds runs one level down.

    What holds nothing but runs, as several seeds are kept, counts for these.

    Hidden entries and plain files are passed over. Of the `known` runs, those that have not changed
    since are not read again. Raises `no-such-folder`, `cannot-read`.
    """
    runs: list[Run] = []
    others: dict[Path, str] = {}
    before = {run.folder: run for run in known}
    for place in places:
        for folder in [place] if os.path.lexists(place / MANIFEST) else _below(place):
            if _is_report(folder):
                continue
            try:
                run = before.get(folder)
                same = run is not None and run.stamp == _stamp(folder)
                runs.append(run if run is not None and same else read(folder))
            except Problem as e:
                others[folder] = e.message
    return Listing(tuple(runs), others)


def _below(place: Path) -> Iterator[Path]:
    """The folders in one, and those of the runs in a folder that is none."""
    for folder in _folders(place):
        inner = [] if os.path.lexists(folder / MANIFEST) or _is_report(folder) else _runs_in(folder)
        yield from inner or [folder]


def _runs_in(folder: Path) -> list[Path]:
    try:
        return [f for f in _folders(folder) if os.path.lexists(f / MANIFEST)]
    except Problem:
        return []


def read(folder: Path) -> Run:
    """One run. Raises `no-run` for a folder that is none, or whose manifest cannot be read."""
    stamp = _stamp(folder)
    manifest = _manifest(folder)
    notes: list[str] = []
    points = _points(folder, notes)
    metrics = obj(_optional(folder / METRICS, METRICS_BYTES, notes))
    validation, test = obj(metrics.get("validation")), obj(metrics.get("test"))
    last = points[-1] if points else None
    recipe = obj(manifest.get("recipe"))
    settings = flat(recipe)
    digests = {
        "module": text(obj(manifest.get("module")).get("sha256")),
        "data": text(obj(manifest.get("data")).get("digest")),
        "weights": text(obj(metrics.get("weights")).get("sha256")),
    }
    seconds = [p.seconds for p in points if p.seconds is not None]
    network = text(obj(manifest.get("network")).get("name"))
    return Run(
        folder=folder,
        name=text(manifest.get("name")) or printable(folder.name),
        network=network,
        state=text(manifest.get("state")),
        seed=whole(manifest.get("seed")),
        settings=settings,
        digests=digests,
        points=points,
        epochs=whole(recipe.get("epochs")),
        validation_top1=_first(validation.get("top1"), last.validation_top1 if last else None),
        validation_loss=_first(validation.get("loss"), last.validation_loss if last else None),
        test_top1=number(test.get("top1")),
        test_interval=pair(test.get("top1_interval")),
        seconds=_first(metrics.get("seconds"), sum(seconds) if seconds else None),
        identity=_identity(network, settings, digests, manifest),
        stamp=stamp,
        notes=tuple(notes),
        overrides=_overrides(manifest.get("overrides")),
    )


def _overrides(found: object) -> tuple[str, ...]:
    """What was changed in a named recipe."""
    return tuple(map(text, found)) if isinstance(found, list) else ()


@dataclass(frozen=True, slots=True)
class Group:
    """Finished runs that differ in nothing but the seed, and their figures over `seeds` seeds.

    Each figure is the mean and the sample standard deviation (n - 1), None where not every run has it.
    """

    runs: tuple[Run, ...]
    validation_top1: tuple[float, float] | None
    test_top1: tuple[float, float] | None

    @property
    def seeds(self) -> int:
        return len(self.runs)


def groups(runs: Iterable[Run]) -> tuple[Group, ...]:
    """The groups of two or more finished runs with different seeds; of the same seed, the first."""
    alike: dict[str, dict[int, Run]] = {}
    for run in runs:
        if run.state == "finished" and run.seed is not None:
            alike.setdefault(run.identity, {}).setdefault(run.seed, run)
    found = [tuple(g.values()) for g in alike.values() if len(g) > 1]
    return tuple(
        Group(g, _spread([run.validation_top1 for run in g]), _spread([run.test_top1 for run in g]))
        for g in found
    )


def differing(runs: Sequence[Run]) -> tuple[str, ...]:
    """The fields of the recipes, the name apart, in which the runs do not agree, in order."""
    names = {name: None for run in runs for name in run.settings if name != "name"}
    return tuple(n for n in names if len({run.settings.get(n) for run in runs}) > 1)


def _is_report(folder: Path) -> bool:
    """Whether an evaluation of ours has written there, and no training."""
    return (folder / REPORT).is_file() and not os.path.lexists(folder / MANIFEST)


def _folders(place: Path) -> list[Path]:
    """The folders in a folder, by name; links to folders are not followed."""
    try:
        with os.scandir(place) as entries:
            names = [
                e.name
                for e in entries
                if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")
            ]
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Problem("no-such-folder", f"there is no folder {printable(place)}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{printable(place)} cannot be read: {printable(e)}") from e
    if len(names) > FOLDERS:
        raise Problem("too-large", f"{printable(place)} holds more than {FOLDERS:,} folders")
    return [place / name for name in sorted(names)]


def _stamp(folder: Path) -> Stamp:
    def of(name: str) -> tuple[int, int] | None:
        try:
            status = (folder / name).stat()
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_size

    return tuple(map(of, (MANIFEST, LOG, METRICS)))


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = parse(files.read(folder / MANIFEST, MANIFEST_BYTES))
    except Problem as e:
        why = f"it has no {MANIFEST}" if e.name == "no-such-file" else e.message
        raise Problem("no-run", f"{printable(folder)} is no run: {why}") from e
    if not isinstance(found, dict) or found.get("regnetc_run") != 1:
        why = f"its {MANIFEST} is not one of regnetc's"
        raise Problem("no-run", f"{printable(folder)} is no run: {why}")
    return found


def _optional(path: Path, limit: int, notes: list[str]) -> object:
    """The JSON of a file that need not be there."""
    try:
        data = files.read(path, limit)
    except Problem as e:
        if e.name != "no-such-file":
            notes.append(e.message)
        return None
    found = parse(data)
    if found is None:
        notes.append(f"{printable(path)} is no JSON")
    return found


def _points(folder: Path, notes: list[str]) -> tuple[Point, ...]:
    """The epochs of a log, each as it was said last: a run that was resumed says some again."""
    try:
        data = files.read(folder / LOG, LOG_BYTES)
    except Problem as e:
        if e.name != "no-such-file":
            notes.append(e.message)
        return ()
    found: dict[int, Point] = {}
    strange = 0
    for line in io.BytesIO(data):
        if not line.endswith(b"\n"):
            break  # cut short, or being written
        if b'"epoch"' not in line:
            continue
        said = parse(line)
        if not isinstance(said, dict):
            strange += 1
        elif said.get("event") == "epoch":
            epoch = whole(said.get("epoch"))
            if epoch is None or not 1 <= epoch <= EPOCHS:
                strange += 1
            else:
                found[epoch] = _point(epoch, said)
    if strange:
        notes.append(f"{printable(folder / LOG)} has {strange:,} lines that say nothing")
    return tuple(found[e] for e in sorted(found))


def _point(epoch: int, said: dict[str, Any]) -> Point:
    names = ("loss", "top1", "validation_loss", "validation_top1", "lr", "seconds")
    return Point(epoch, *(number(said.get(n)) for n in names))


def _identity(
    network: str, settings: Mapping[str, str], digests: Mapping[str, str], manifest: dict[str, Any]
) -> str:
    """What runs that differ in nothing but the seed have in common."""
    recipe = {k: v for k, v in settings.items() if k != "name"}
    others = [text(manifest.get(k)) for k in ("precision", "weights")]
    said = [network, digests["module"], digests["data"], others, recipe]
    return json.dumps(said, sort_keys=True)


def _spread(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return None
    return statistics.fmean(known), statistics.stdev(known)


def _first(found: object, otherwise: float | None) -> float | None:
    value = number(found)
    return otherwise if value is None else value
