"""Trainings whose disk, data, memory, workers or folder fail them: a message, and nothing is lost.

`REGNETC_KILLS=200` lets every single call that writes fail, not some of them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nursery import Ended, Run, nursery
from PIL import Image
from regnetc.cli import plans
from regnetc_runtime import safetensors_file
from regnetc_runtime.data.batches import Batch
from regnetc_runtime.data.digits import open_digits
from regnetc_runtime.problems import Problem
from regnetc_runtime.training import checkpoint
from regnetc_runtime.training.job import Job, Options
from regnetc_runtime.training.loop import Training
from regnetc_runtime.training.parallel import Group
from regnetc_runtime.training.recipe import Call, Recipe
from regnetc_runtime.training.state import Epoch
from test_training_kills import (
    KILLS,
    KINDS,
    MODULE,
    ROOT,
    check_equal,
    check_whole,
    checkpoint_folder,
    slowly,
    training,
    unharmed,
)
from torch import nn

SHORT = ["--data", "digits", "--set", "epochs=1"]
NOBODY = 65534
HUGE = 10**9


def ended(run: Run) -> Ended:
    """See it end, with a message and without anything left behind."""
    found = run.wait()
    assert not found.hung
    assert not found.traced, found.err
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
    return found


def begin(here: Path, *arguments: str | Path, **hooks: Any) -> Run:
    return nursery().begin(arguments, here / "said", hooks=hooks)


def go(here: Path, kind: list[str], *more: str | Path, **hooks: Any) -> Ended:
    """A training in `here / "run"`, from its beginning to its end."""
    return ended(begin(here, *training(kind, here / "run", *map(str, more)), **hooks))


def resumed(here: Path, *more: str | Path, **hooks: Any) -> Ended:
    """The same gone on with, as the message tells to."""
    return ended(
        begin(here, "run", MODULE, "--train", "--resume", "-o", here / "run", *more, **hooks)
    )


def stopped(here: Path, kind: list[str], epochs: int = 1, **hooks: Any) -> None:
    """A training that was asked to stop soon after so many epochs."""
    log = here / "run/log.jsonl"
    run = begin(here, *training(kind, here / "run"), **hooks)
    run.until(lambda: log.exists() and log.read_bytes().count(b'"event": "epoch"') >= epochs)
    run.until(lambda: run.doing() == "step")
    run.send(signal.SIGTERM)
    assert ended(run).code == 143


def states(here: Path) -> list[Path]:
    """The files of saved states, the last first."""
    return sorted(checkpoint_folder(here / "run").glob("*.safetensors"), reverse=True)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


# The disk


def writing_calls(here: Path) -> int:
    """How many calls of a short run write."""
    counted = go(here, SHORT, disk={"folder": str(here / "run"), "nth": HUGE, "how": "once"})
    assert counted.code == 0
    shutil.rmtree(here / "run")
    return counted.calls


@pytest.mark.slow
def test_no_room_at_any_write(tmp_path: Path) -> None:
    """Each call fails in turn, once or from then on, with half of the data written."""
    calls = writing_calls(tmp_path)
    assert 40 < calls < 200
    chosen = range(1, calls + 1) if KILLS >= 200 else range(9, calls + 1, calls // 5)
    failures = 0
    for nth in chosen:
        how, error = (("on", "ENOSPC"), ("once", "ENOSPC"), ("once", "EIO"))[nth % 3]
        fault = {"folder": str(tmp_path / "run"), "nth": nth, "how": how, "error": error}
        found = go(tmp_path, SHORT, disk=fault)
        check_whole(tmp_path / "run")
        assert found.code == 1 or (found.code, how) == (0, "once"), (fault, found)
        if found.code:
            failures += 1
            reason = "no space left on device" if error == "ENOSPC" else "input/output error"
            assert "error[cannot-write]: cannot write " in found.err, (fault, found)
            assert reason in found.err, (fault, found)
        again = go(tmp_path, SHORT, "--resume")
        assert again.code == 0, (fault, again)
        check_equal(tmp_path / "run", unharmed(*SHORT))
        shutil.rmtree(tmp_path / "run")
    assert failures > len(chosen) / 2
    sys.stdout.write(f"{failures} of {len(chosen)} faults at {calls} calls ended a run\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """A real one, which is made larger afterwards."""
    run = begin(tmp_path, *training(SHORT, small_disk / "run"))
    found = ended(run)
    assert found.code == 1
    assert "error[cannot-write]: cannot write " in found.err
    assert found.err.rstrip().endswith(": no space left on device")
    check_whole(small_disk / "run")
    assert not list((small_disk / "run").rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = ended(begin(tmp_path, *training(SHORT, small_disk / "run", "--resume")))
    assert again.code == 0, again
    check_equal(small_disk / "run", unharmed(*SHORT))


def test_a_full_disk_under_tensorboard(small_disk: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (small_disk / "filler").write_bytes(b"x" * 400_000)
    run = begin(tmp_path, *training(SHORT, small_disk / "run", "--tensorboard"))
    found = ended(run)
    assert found.code == 1
    assert "error[cannot-write]: cannot write " in found.err


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """Neither a new run nor one to be gone on with can be written."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    run = place / "run"
    as_nobody = {"user": NOBODY} if os.geteuid() == 0 else {}
    try:
        if not as_nobody:
            place.chmod(0o555)
        found = ended(begin(tmp_path, *training(SHORT, run), **as_nobody))
        assert found.code == 1
        assert "error[cannot-write]" in found.err
        assert "permission denied" in found.err
        assert not run.exists()
        place.chmod(0o755)
        assert ended(begin(tmp_path, *training(SHORT, run))).code == 0
        before = snapshot(run)
        for mode in (0o555, 0o000):
            run.chmod(mode)
            if os.geteuid() and mode == 0:
                continue
            (run / ".lock").chmod(0o444)
            found = ended(begin(tmp_path, *training(SHORT, run, "--resume"), **as_nobody))
            assert found.code in (1, 2), found
            assert "ermission denied" in found.err or "not readable" in found.err
        run.chmod(0o755)
        assert snapshot(run) == before
    finally:
        for path in (place, *place.iterdir()):
            path.chmod(0o755)
        shutil.rmtree(place)


def listed(path: Path) -> list[Path] | tuple[int, ...]:
    """What a folder holds, or what a file or a link is."""
    status = path.lstat()
    same = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
    return sorted(path.iterdir()) if path.is_dir() else same


def test_folders_that_no_run_goes_into(tmp_path: Path) -> None:
    """A file, links, somebody's pictures, somebody's other manifest: all stay as they were."""
    run = tmp_path / "run"
    target = tmp_path / "target"

    def file() -> None:
        run.write_bytes(b"mine")

    def link_to_a_file() -> None:
        target.write_bytes(b"mine")
        run.symlink_to(target)

    def link_to_nothing() -> None:
        run.symlink_to(tmp_path / "nothing")

    def foreign() -> None:
        run.mkdir()
        (run / "holiday.jpg").write_bytes(b"mine")

    def other_manifest() -> None:
        run.mkdir()
        (run / "manifest.json").write_text('{"manifest_version": 3}')

    def below_a_file() -> None:
        target.write_bytes(b"mine")
        run.symlink_to(target / "x")

    for make, name in (
        (file, "cannot-write"), (link_to_a_file, "cannot-write"), (link_to_nothing, "cannot-write"),
        (foreign, "not-a-run"), (other_manifest, "not-a-run"), (below_a_file, "cannot-write"),
    ):  # fmt: skip
        make()
        before = listed(run)
        for more in ([], ["--resume"]):
            found = go(tmp_path, SHORT, *more)
            assert found.code == 1, (make, found)
            assert f"error[{name}]" in found.err, (make, found)
            after = listed(run)
            assert before == after, make
        for path in (target, run):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


@pytest.mark.slow
def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    """As to a larger disk."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    assert go(tmp_path, SHORT).code == 0
    check_equal(tmp_path / "elsewhere", unharmed(*SHORT))


# Data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 small JPEGs of ten classes."""
    root = tmp_path_factory.mktemp("pictures") / "images"
    for k in range(320):
        path = root / f"class{k % 10}/{k:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).resize((40, 36)).save(out, "JPEG")
        path.write_bytes(out.getvalue())
    return root


def of(pictures: Path) -> list[str]:
    return [
        "--data", str(pictures), "--recipe", "smoke", "--set", "epochs=2", "--set", "scale=[0.3, 1]",
        "--workers", "2",
    ]  # fmt: skip


def test_data_that_vanish(pictures: Path, tmp_path: Path) -> None:
    """The run ends with a message, and goes on when they are back."""
    away = pictures.with_name("away")
    run = begin(tmp_path, *training(of(pictures), tmp_path / "run"))
    run.until((tmp_path / "run/log.jsonl").exists)
    pictures.rename(away)
    try:
        found = ended(run)
        assert found.code == 1
        assert "error[vanished-data]: the images are gone" in found.err
        assert found.err.count("\n") < 10  # not one line for each of them
        gone = resumed(tmp_path)
        assert gone.code == 1
        assert "error[unknown-data]" in gone.err
    finally:
        away.rename(pictures)
    again = resumed(tmp_path)
    assert again.code == 0, again
    check_equal(tmp_path / "run", unharmed(*of(pictures)))


def test_images_of_the_validation_part_are_named_too(pictures: Path, tmp_path: Path) -> None:
    """Every image that is looked at and cannot be read is named, in whatever part it came to be."""
    spoilt = tmp_path / "spoilt"
    shutil.copytree(pictures, spoilt)
    bad = [f"class{k}/{k + 10:03}.jpg" for k in range(8)]
    for name in bad:
        (spoilt / name).write_bytes(b"no image")
    options = [*of(spoilt), "--set", "validation=0.5", "--set", "batch=8"]
    found = ended(begin(tmp_path, *training(options, tmp_path / "run")))
    assert found.code == 0
    lines = [json.loads(t) for t in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    named = [Path(e["name"]).name for e in lines if e["event"] == "bad-image"]
    assert sorted(named) == sorted(Path(name).name for name in bad)
    assert "it is left out of the validation" in found.err
    assert "another image takes its place" in found.err
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert len(metrics["unreadable"]) == len(bad)


def test_too_many_bad_images_are_listed_once(pictures: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(pictures, spoilt)
    for path in sorted(spoilt.rglob("*.jpg"))[:100]:
        path.write_bytes(b"")
    found = ended(begin(tmp_path, *training(of(spoilt), tmp_path / "run")))
    assert found.code == 1
    assert "error[too-many-bad-images]" in found.err
    said = [line for line in found.err.splitlines() if "it is empty" in line]
    assert said
    assert len(said) == len({line.split("spoilt/")[1].split()[0] for line in said})


def test_an_image_that_cannot_be_read_is_named_once(pictures: Path, tmp_path: Path) -> None:
    """Also by a run that was stopped and gone on with."""
    spoilt = tmp_path / "spoilt"
    shutil.copytree(pictures, spoilt)
    (spoilt / "class3/003.jpg").write_bytes(b"no image")
    (spoilt / "class7/117.jpg").write_bytes(b"")
    whole = tmp_path / "whole"
    assert ended(begin(tmp_path, *training(of(spoilt), whole))).code == 0
    stopped(tmp_path, of(spoilt))
    assert resumed(tmp_path).code == 0
    check_equal(tmp_path / "run", whole)
    for folder in (whole, tmp_path / "run"):
        lines = [json.loads(t) for t in (folder / "log.jsonl").read_text().splitlines()]
        named = [Path(e["name"]).name for e in lines if e["event"] == "bad-image"]
        assert len(named) == len(set(named))
        assert set(named) <= {"003.jpg", "117.jpg"}
        assert named


@pytest.mark.slow
def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    """It is announced and replaced, and the bits do not change."""
    run = begin(tmp_path, *training(KINDS["workers"], tmp_path / "run"))
    run.until(lambda: run.doing() == "step" and len(run.children()) == 2)
    os.kill(run.children()[0], signal.SIGKILL)
    found = ended(run)
    assert found.code == 0
    assert found.err == (
        "warning: a process that decodes images was killed by SIGKILL; "
        "its work is done again (1 of 3 times)\n"
    )
    check_equal(tmp_path / "run", unharmed(*KINDS["workers"]))


def test_no_room_in_shared_memory(tmp_path: Path) -> None:
    """The message says what to look at, and the run goes on without workers."""
    if os.geteuid():
        pytest.skip("mounting is not allowed here")
    large = ["--data", "synthetic:400", "--set", "flip=0.5", "--set", "batch=256", "--workers", "1"]
    found = go(tmp_path, large, shared="64k")
    assert found.code == 1
    assert "error[no-shared-memory]" in found.err
    assert "/dev/shm" in found.err
    assert "--workers 0" in found.err
    again = go(tmp_path, large, "--resume", "--workers", "0")
    assert again.code == 0


# Numbers and memory


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    """The step and the remedy are said; what was saved by then is sound, and ends the same way."""
    wild = ["--data", "digits", "--set", "epochs=20", "--set", "optimizer.lr=1000", "--set", "schedule=constant"]  # fmt: skip
    found = go(tmp_path, wild, "--save-every", "0.0005")
    assert found.code == 1
    first, help_ = found.err.splitlines()
    assert first.startswith("error[diverged]: loss or weights are no numbers any more, at step ")
    assert first.endswith(")")
    assert "--set optimizer.lr=" in help_
    check_whole(tmp_path / "run")
    saved = states(tmp_path)
    assert saved
    for path in saved:
        tensors, _ = safetensors_file.parse(path.read_bytes(), path.name)
        assert all(t.isfinite().all() for n, t in tensors.items() if n.startswith("net."))
    again = resumed(tmp_path)
    assert again.code == 1
    assert "error[diverged]" in again.err


def test_too_little_memory(tmp_path: Path) -> None:
    """Chunks are computed in two parts, which is said and remembered: it goes on in two parts."""
    whole = tmp_path / "whole"
    kind = ["--data", "digits", "--set", "epochs=2"]
    assert ended(begin(tmp_path, *training(kind, whole), memory=40)).code == 0
    stopped(tmp_path, kind, memory=40)
    state, _ = checkpoint.latest(checkpoint_folder(tmp_path / "run"))
    assert state is not None
    assert state.facts["split"] == 2
    again = resumed(tmp_path, memory=40)
    assert (again.code, again.err) == (0, ""), "nothing had to be found out again"
    check_equal(tmp_path / "run", whole)
    lines = [json.loads(t) for t in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert lines[0] == {"event": "out-of-memory", "step": 1, "parts": 2}
    assert sum(line["event"] == "out-of-memory" for line in lines) == 1


def test_much_too_little_memory(tmp_path: Path) -> None:
    """Where a part of two images is too large, the run ends."""
    found = go(tmp_path, SHORT, memory=1)
    assert found.code == 1
    notes = [line for line in found.err.splitlines() if line.startswith("warning: out of memory")]
    assert [line.partition(" images are computed in ")[2][:2] for line in notes] == [
        "2 ", "4 ", "8 ", "16", "32",
    ]  # fmt: skip
    assert "error[out-of-memory]: there is not enough memory for a batch of 2" in found.err


def prepared(net: nn.Module) -> tuple[Training, Batch]:
    """A training of a small network on the digits, and its first chunk of 64 images."""
    sgd = {"lr": 0.1, "momentum": 0, "nesterov": 0, "decay": 0, "norm_decay": 0, "bias_decay": 0}
    recipe = Recipe(
        name="r", data="digits", epochs=1, batch=64, validation=0.125, optimizer=Call("sgd", sgd),
        schedule=Call("constant", {"warmup": 0, "start": 0, "by": "step"}), label_smoothing=0.1,
    )  # fmt: skip
    job = Job("Small", 1, 8, open_digits(1, 8), recipe, 0, Options(workers=0))
    training = Training(net, job, Group(), None, Quiet())
    return training, next(training._batches())


class Quiet:
    """Wants to know nothing."""

    def step(self, done: int, total: int, text: str) -> None: ...
    def epoch(self, epoch: Epoch) -> None: ...
    def note(self, text: str) -> None: ...


def gradients(training: Training, batch: Batch, parts: int) -> list[torch.Tensor]:
    training.state.split = parts
    sums = training._gradients([batch])
    assert int(sums[2]) == 64
    return [p.grad.clone() for p in training.state.net.parameters() if p.grad is not None]


def small() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)]
    return nn.Sequential(*layers)


def test_the_gradient_does_not_depend_on_the_parts() -> None:
    """The mean over equal parts of their mean losses is the mean loss, where images do not mix."""
    training, batch = prepared(small())
    training.state.net[1].eval()  # type: ignore[index]
    whole = gradients(training, batch, 1)
    assert len(whole) == 6
    for parts in (2, 4, 32):
        for one, other in zip(whole, gradients(training, batch, parts), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_what_batch_norm_sees_of_parts() -> None:
    """Each part is normalised by itself: the gradient is the mean of theirs, and so are the statistics."""
    training, batch = prepared(small())
    net = training.state.net
    norm = net[1]  # type: ignore[index]
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    found = gradients(training, batch, 2)
    wanted = [torch.zeros_like(g) for g in found]
    means, variances = [], []
    images, targets = training.augment(batch.images, batch.labels, (0, "chunk", 0, 0), 10)
    for x, y in zip(images.chunk(2), targets.chunk(2), strict=True):
        net.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net(x), y))
        for total, p in zip(wanted, net.parameters(), strict=True):
            assert p.grad is not None
            total += p.grad / 2
        seen = net[0](x).detach()  # type: ignore[index]
        means.append(seen.mean((0, 2, 3)))
        variances.append(seen.var((0, 2, 3)))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)
    training, batch = prepared(small())  # the other's statistics were moved above
    gradients(training, batch, 2)
    norm = training.state.net[1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, 0.9 * mean + 0.1 * sum(means) / 2)
    torch.testing.assert_close(norm.running_var, 0.9 * var + 0.1 * sum(variances) / 2)
    assert int(norm.num_batches_tracked) == 1


# Who and what


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """The second is refused, and does not disturb the first."""
    kind = ["--data", "digits", "--set", "epochs=2"]
    run = begin(tmp_path, *training(kind, tmp_path / "run"))
    run.until(lambda: run.doing() == "step")
    other = go(tmp_path, kind, "--resume")
    assert other.code == 1
    assert "error[run-in-use]: another process is training in" in other.err
    assert ended(run).code == 0
    check_equal(tmp_path / "run", unharmed(*kind))
    there = go(tmp_path, kind)
    assert there.code == 1
    assert "error[run-exists]" in there.err


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, stopped in its second; a test takes a copy."""
    here = tmp_path_factory.mktemp("paused")
    stopped(here, KINDS["plain"])
    assert len(states(here)) == 2
    return here / "run"


@pytest.fixture
def copied(paused: Path, tmp_path: Path) -> Path:
    shutil.copytree(paused, tmp_path / "run")
    return tmp_path


def test_what_made_the_run_has_changed(copied: Path) -> None:
    """Each difference is named, and the folder stays as it was."""
    spec = (ROOT / "spec/digits.regnet").read_text()
    (copied / "digits.regnet").write_text(spec.replace("[1, 2, 2]", "[1, 1, 2]"))
    for path in (ROOT / "spec").glob("*.regnet"):
        if path.name != "digits.regnet":
            shutil.copy(path, copied)
    other = copied / "compiled/digits.py"
    made = ended(begin(copied, "compile", copied / "digits.regnet", "-o", other.parent))
    assert made.code == 0, made
    before = snapshot(copied / "run")
    for arguments, said in (
        ([MODULE, "--set", "epochs=4", "--set", "optimizer.lr=0.2"], ["recipe: epochs was 2, is 4", "recipe: optimizer was sgd(lr = 0.1,"]),
        ([MODULE, "--seed", "7"], ["seed was 0, is 7"]),
        ([MODULE, "--data", "synthetic:400"], ["data_digest was "]),
        ([other], ["module: sha256 was "]),
        ([MODULE, "--weights", copied / "run/best.safetensors"], ["weights was none, is "]),
    ):  # fmt: skip
        found = ended(begin(copied, "run", *arguments, "--train", "--resume", "-o", copied / "run"))
        assert found.code == 1
        assert "error[changed-run]: the run in " in found.err, found.err
        for line in said:
            assert line in found.err
    assert snapshot(copied / "run") == before


def test_what_computes_has_changed(copied: Path) -> None:
    """Which is said, and noted in the manifest."""
    path = copied / "run/manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["versions"]["torch"] = "1.13"
    manifest["how"]["threads"] = 2
    path.write_text(json.dumps(manifest))
    found = resumed(copied)
    assert found.code == 0
    assert "warning: the last bits may differ from one uninterrupted run: " in found.err
    assert "how: threads was 2, is 1" in found.err
    assert f"versions: torch was 1.13, is {torch.__version__}" in found.err
    manifest = json.loads(path.read_bytes())
    assert [c["how"]["threads"] for c in manifest["continued"]] == [1]
    assert manifest["how"]["threads"] == 2


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


@pytest.mark.parametrize("damage", [flip, *slowly(cut, empty, link)])
def test_a_damaged_state(damage: Callable[[Path], None], copied: Path) -> None:
    """It is said, and the one before is taken."""
    newest = states(copied)[0]
    damage(newest)
    found = resumed(copied)
    assert found.code == 0
    assert found.err == f"warning: damaged states are passed over: {newest.name}\n"
    check_equal(copied / "run", unharmed(*KINDS["plain"]))


@pytest.mark.slow
def test_all_states_damaged(copied: Path) -> None:
    """The run begins anew, which is said."""
    for path in states(copied):
        flip(path)
    found = resumed(copied)
    assert found.code == 0
    assert found.err.startswith("warning: damaged states are passed over: ")
    check_equal(copied / "run", unharmed(*KINDS["plain"]))


def test_a_half_line_in_the_log(copied: Path) -> None:
    with (copied / "run/log.jsonl").open("ab") as f:
        f.write(b'{"event": "step", "step": 2')
    assert resumed(copied).code == 0
    check_equal(copied / "run", unharmed(*KINDS["plain"]))


def test_states_of_a_stranger(copied: Path) -> None:
    """Junk is passed over; a sound state of another training is refused, and named."""
    home = checkpoint_folder(copied / "run")
    state, _ = checkpoint.latest(home)
    assert state is not None
    for path in states(copied):
        path.unlink()
    (home / "notes.txt").write_text("mine")
    (home / ("9" * 10 + "-" + "0" * 32 + ".safetensors")).write_bytes(
        (2**62).to_bytes(8, "little") + b"{"
    )
    tensors = {**state.tensors, "net.stem.conv.weight": torch.zeros(3, 3)}
    checkpoint.save(home, state.facts["step"], checkpoint.Checkpoint(tensors, state.facts), 2)
    found = resumed(copied)
    assert found.code == 1
    assert "error[changed-run]: the state after " in found.err
    assert "remove its file" in found.err
    assert (home / "notes.txt").read_text() == "mine"


JUNK: list[object] = [None, True, -1, 2.5, 1e999, "\ud800", "x" * 300, [], [{}], {}, {"a": {}}]


def planned(folder: Path) -> plans.Plan | None:
    """How a run would be gone on with; None where its manifest is refused."""
    try:
        return plans._before(folder)
    except Problem as e:
        if e.name != "not-a-run":
            raise
        return None


def test_junk_in_the_manifest(copied: Path) -> None:
    """Any kind of value in any place gives a problem or a plan, never anything else."""
    path = copied / "run/manifest.json"
    sound = json.loads(path.read_bytes())
    refused = 0
    for key in sound:
        for junk in JUNK:
            path.write_text(json.dumps({**sound, key: junk}))
            plan = planned(copied / "run")
            assert plan is None or plan.recipe == sound["recipe"]
            refused += plan is None
    assert refused >= 4 * len(JUNK) - 8
    for key, junk in (
        ("seed", -1),
        ("recipe", {}),
        ("how", 5),
        ("continued", {}),
        ("state", []),
        ("data", "x"),
    ):
        path.write_text(json.dumps({**sound, key: junk}))
        found = resumed(copied)
        assert found.code in (0, 1)
        if found.code:
            assert found.err.startswith("error[not-a-run]: "), found
    path.write_bytes(b"\xff" * 100)
    assert "error[not-a-run]" in resumed(copied).err


def test_junk_in_the_metrics_of_a_finished_run(tmp_path: Path) -> None:
    shutil.copytree(unharmed(*SHORT), tmp_path / "run")
    path = tmp_path / "run/metrics.json"
    sound = json.loads(path.read_bytes())
    assert resumed(tmp_path).code == 0
    for junk in (
        "",
        "[]",
        "{}",
        json.dumps({**sound, "seconds": "1"}),
        json.dumps({**sound, "validation": 3}),
    ):
        path.write_text(junk)
        found = resumed(tmp_path)
        assert found.code == 1, junk
        assert "error[not-a-run]: metrics.json of the run in " in found.err
    path.unlink()
    assert "error[not-a-run]" in resumed(tmp_path).err


# Nobody listens


@pytest.mark.parametrize("closed", [[1, 2], *slowly([1], [2])])
def test_closed_streams(closed: list[int], tmp_path: Path) -> None:
    """What would be said there is not, and no file of the run takes their numbers."""
    found = go(tmp_path, SHORT, close=closed)
    assert found.code == 0
    assert (found.out == "") == (1 in closed)
    check_equal(tmp_path / "run", unharmed(*SHORT))


def test_nobody_reads_what_is_said(tmp_path: Path) -> None:
    """A pipe without a reader: the training goes on."""
    found = go(tmp_path, SHORT, memory=40, pipe=2)
    assert found.code == 0
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert [json.loads(t)["event"] for t in lines] == ["out-of-memory", "epoch"]


@pytest.mark.slow
def test_no_room_for_what_is_said(tmp_path: Path) -> None:
    found = go(tmp_path, SHORT, full=1)
    assert found.code == 1
    assert "error[cannot-write]: there is no room for what goes to standard output" in found.err
    check_equal(tmp_path / "run", unharmed(*SHORT))
