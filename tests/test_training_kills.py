"""Trainings that are killed at any instant, by SIGKILL or a signal that asks: nothing is lost.

`REGNETC_KILLS` says how often [10]; 200 takes some minutes.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from nursery import Ended, Run, nursery
from regnetc_runtime import safetensors_file
from regnetc_runtime.training import checkpoint

KILLS = int(os.environ.get("REGNETC_KILLS", "10"))
ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "generated/digits.py"
OFTEN = ["--save-every", "0.0005"]  # minutes: 30 ms
STEPS = 19  # of an epoch of digits
WEIGHTS = ("weights.safetensors", "best.safetensors", "raw.safetensors")
EXITS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 138}

KINDS: dict[str, list[str]] = {
    "plain": ["--data", "digits", "--set", "epochs=2"],
    "everything": [
        "--data", "digits", "--set", f"epochs={2 if KILLS >= 100 else 1}", "--set", "optimizer=adamw(lr=0.003, decay=0.05)",
        "--set", "ema=average(decay=0.9, every=2)", "--set", "precise_bn=128", "--set", "drop_path=0.2",
        "--set", "norm_batch=32", "--set", "mixup=0.2", "--eval",
    ],
    "workers": [
        "--data", "synthetic:400", "--set", "epochs=2", "--set", "flip=0.5", "--set", "batch=32",
        "--set", "optimizer=sgd(lr=0.05, momentum=0.9)", "--workers", "2",
    ],
}  # fmt: skip
TOGETHER = [*KINDS["plain"], "--set", "norm_batch=32", "--set", "precise_bn=64"]


def slowly(*values: object) -> list[Any]:
    """Cases for `make test-all` alone."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def training(kind: Sequence[str], folder: Path, *more: str) -> list[str | Path]:
    return ["run", MODULE, "--train", *kind, "-o", folder, *more]


@cache
def _aside() -> Path:
    """A folder for the runs that nobody interrupts, which several tests are held against."""
    folder = Path(tempfile.mkdtemp(prefix="uninterrupted-"))
    atexit.register(shutil.rmtree, folder)
    return folder


@cache
def unharmed(*kind: str) -> Path:
    """The folder of a run that nothing befell, from its beginning to its end."""
    folder = _aside() / f"run-{len(list(_aside().iterdir()))}"
    ended = nursery().run(training(kind, folder), _aside() / "said")
    assert (ended.code, ended.err) == (0, "")
    return folder


def check_whole(folder: Path) -> None:
    """Nothing with a final name is half a file, however the run was left."""
    if not folder.exists():
        return
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            data = path.read_bytes()
            safetensors_file.parse(data, path.name)
            if path.parent.name == checkpoint_folder(folder).name:
                assert hashlib.sha256(data).hexdigest()[:32] == path.stem.partition("-")[2]
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    if (folder / "module.py").exists():
        assert (folder / "module.py").read_bytes() == MODULE.read_bytes()
    if (folder / "log.jsonl").exists():
        *lines, _last = (folder / "log.jsonl").read_bytes().split(b"\n")
        for line in lines:
            json.loads(line)


def checkpoint_folder(folder: Path) -> Path:
    return folder / "checkpoints"


def check_equal(folder: Path, whole: Path) -> None:
    """A run that came to its end is the one that was never interrupted."""
    check_whole(folder)
    names = {p.name for p in folder.iterdir()} | {".lock"}
    assert names == {p.name for p in whole.iterdir()}
    for name in WEIGHTS:
        if (whole / name).exists():
            assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert epochs(folder) == epochs(whole)
    assert numbers(folder / "metrics.json") == numbers(whole / "metrics.json")
    assert json.loads((folder / "manifest.json").read_bytes())["state"] == "finished"
    one, other = (checkpoint.latest(checkpoint_folder(f)) for f in (folder, whole))
    assert one[1] == other[1] == []
    assert one[0] is not None
    assert other[0] is not None
    assert one[0].tensors.keys() == other[0].tensors.keys()
    for name, tensor in one[0].tensors.items():
        assert torch.equal(tensor, other[0].tensors[name]), name


def epochs(folder: Path) -> list[dict[str, Any]]:
    """What the log says of epochs, without how fast they were."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    said = [line for line in lines if line["event"] == "epoch"]
    assert [line["epoch"] for line in said] == list(range(1, said[-1]["epochs"] + 1))
    return [{k: v for k, v in line.items() if k not in TIMED} for line in said]


TIMED = ("seconds", "images_per_s", "memory_mib")


def numbers(path: Path) -> Any:
    """A JSON file without times."""

    def without(found: Any) -> Any:
        if isinstance(found, dict):
            return {k: without(v) for k, v in found.items() if k not in TIMED}
        return found

    return without(json.loads(path.read_bytes()))


class Killer:
    """Kills runs of one kind until it has had enough; `fell` counts what they were doing."""

    def __init__(self, kind: str, here: Path, seed: int) -> None:
        self.kind, self.whole = kind, unharmed(*KINDS[kind])
        self.here, self.folder = here, here / f"run-{kind}"
        self.random = random.Random(seed)
        self.fell: Counter[str] = Counter()
        self.ended = 0

    def kill(self, nth: int) -> None:
        """Go on with the run, and kill it at a random instant, or at one of its calls that write."""
        said = self.here / "said"
        if self.random.random() < 0.5:
            hooks = {"disk": {"folder": str(self.folder), "nth": self.calls(nth), "how": "kill"}}
            run = nursery().begin(
                training(KINDS[self.kind], self.folder, "--resume", *OFTEN), said, hooks=hooks
            )
        else:
            run = nursery().begin(training(KINDS[self.kind], self.folder, "--resume", *OFTEN), said)
            time.sleep(self.instant())
            run.send_group(signal.SIGKILL)
        ended = run.wait()
        check_whole(self.folder)
        assert not ended.hung
        assert not ended.traced, ended.err
        if ended.code == 0:
            check_equal(self.folder, self.whole)
            shutil.rmtree(self.folder)
            self.ended += 1
        else:
            assert ended.code == -signal.SIGKILL, ended
            self.fell[ended.doing] += 1

    def calls(self, nth: int) -> int:
        """After how many calls that write: of many kills, each of the first comes in turn."""
        return nth if nth <= 40 and KILLS >= 100 else self.random.randint(1, 120)

    def instant(self) -> float:
        """Seconds from microseconds up to some epochs."""
        if self.random.random() < 0.3:
            return math.exp(self.random.uniform(math.log(1e-5), math.log(0.3)))
        return self.random.uniform(0.2, 1.4)

    def finish(self) -> None:
        """Let the last one come to its end."""
        ended = nursery().run(
            training(KINDS[self.kind], self.folder, "--resume"), self.here / "said"
        )
        assert ended.code == 0, ended
        check_equal(self.folder, self.whole)


def test_killed_at_any_instant(tmp_path: Path) -> None:
    """Whatever is there is whole, and in the end there are the bits of a run that was left alone."""
    start = time.monotonic()
    killers = [Killer(kind, tmp_path, seed) for seed, kind in enumerate(KINDS)]
    shares = [0.4, 0.4, 0.2]
    fell: Counter[str] = Counter()
    for killer, share in zip(killers, shares, strict=True):
        for nth in range(1, round(KILLS * share) + 1):
            killer.kill(nth)
        killer.finish()
        fell += killer.fell
    assert sum(fell.values()) >= KILLS // 2
    early = sum(k.ended for k in killers)
    took = time.monotonic() - start
    sys.stdout.write(
        f"{sum(fell.values())} kills in {took:.0f} s, {early} runs ended before theirs; "
    )
    sys.stdout.write(f"they fell in: {dict(fell)}\n")


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Run]:
    """A run that is learning its second epoch."""
    run = nursery().begin(training(KINDS["plain"], tmp_path / "run"), tmp_path / "said")
    run.until((tmp_path / "run/log.jsonl").exists)
    run.until(lambda: run.doing() == "step")
    yield run
    assert not run.children()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, *slowly(signal.SIGUSR1)])
def test_asked_to_stop(number: signal.Signals, begun: Run, tmp_path: Path) -> None:
    """The state is saved at the step where it is, and the message says how to go on."""
    folder = tmp_path / "run"
    begun.send(number)
    ended = begun.wait()
    assert (ended.code, ended.out) == (EXITS[number], "")
    newest = max(p.name for p in checkpoint_folder(folder).iterdir())
    steps = int(newest[:10])
    assert STEPS < steps < 2 * STEPS
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert ended.err == (
        f"error[stopped]: stopped by {name} after {steps} steps, which are saved\n"
        f"  = help: regnetc run {MODULE} --train --resume -o {folder}\n"
    )
    assert json.loads((folder / "manifest.json").read_bytes())["state"] == "stopped"
    check_whole(folder)
    again = nursery().run(["run", MODULE, "--train", "--resume", "-o", folder], tmp_path / "said")
    assert (again.code, again.err) == (0, "")
    check_equal(folder, unharmed(*KINDS["plain"]))


def stopped_while(doing: str, kind: list[str], here: Path) -> Ended:
    """Ctrl-C while it does something."""
    run = nursery().begin(training(kind, here / "run"), here / "said")
    run.until(lambda: run.doing() == doing)
    run.send_group(signal.SIGINT)
    return run.wait()


@pytest.mark.parametrize(
    "doing", ["validation", *slowly("writing best.safetensors", "writing states")]
)
def test_ctrl_c_at_the_end_of_an_epoch(doing: str, tmp_path: Path) -> None:
    """What has begun is brought to its end."""
    ended = stopped_while(doing, KINDS["plain"], tmp_path)
    assert ended.code == 130
    assert f"after {STEPS} steps, which are saved" in ended.err
    again = nursery().run(training(KINDS["plain"], tmp_path / "run", "--resume"), tmp_path / "said")
    assert again.code == 0
    check_equal(tmp_path / "run", unharmed(*KINDS["plain"]))


@pytest.mark.slow
@pytest.mark.parametrize("doing", ["finishing", "drawing"])
def test_ctrl_c_after_the_last_step(doing: str, tmp_path: Path) -> None:
    ended = stopped_while(doing, KINDS["plain"], tmp_path)
    assert ended.code == 130
    assert ended.err == (
        "error[stopped]: stopped by Ctrl-C\n"
        f"  = help: regnetc run {MODULE} --train --resume -o {tmp_path / 'run'}\n"
    )
    again = nursery().run(training(KINDS["plain"], tmp_path / "run", "--resume"), tmp_path / "said")
    assert again.code == 0
    check_equal(tmp_path / "run", unharmed(*KINDS["plain"]))


def test_ctrl_c_during_start_up(tmp_path: Path) -> None:
    """Nothing but a message comes of it, and the folder can be used."""
    folder = tmp_path / "run"
    for k in range(4):
        run = nursery().begin(training(KINDS["plain"], folder, "--resume"), tmp_path / "said")
        time.sleep(0.08 * k)
        run.send_group(signal.SIGINT)
        ended = run.wait()
        assert ended.code == 130, ended
        assert not ended.traced, ended.err
        assert "error[stopped]: stopped by Ctrl-C" in ended.err
        check_whole(folder)
    again = nursery().run(training(KINDS["plain"], folder, "--resume"), tmp_path / "said")
    assert again.code == 0


def test_ctrl_c_while_images_do_not_come(tmp_path: Path) -> None:
    """The first waits for them, and the state is saved; workers do not take it to be meant for them."""
    folder = tmp_path / "run"
    run = nursery().begin(training(KINDS["workers"], folder), tmp_path / "said")
    run.until(lambda: run.doing() in ("step", "reading images") and len(run.children()) == 2)
    workers = run.children()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    run.send_group(signal.SIGINT)
    time.sleep(0.3)
    assert Path(f"/proc/{run.pid}").exists()
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    ended = run.wait()
    assert ended.code == 130
    assert "steps, which are saved" in ended.err
    assert not ended.traced, ended.err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    again = nursery().run(training(KINDS["workers"], folder, "--resume"), tmp_path / "said")
    assert again.code == 0, again
    check_equal(folder, unharmed(*KINDS["workers"]))


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    """A step of all images that takes seconds ends at once; the states from before stay."""
    folder = tmp_path / "run"
    long = ["--data", "synthetic:20000", "--set", "batch=16000", "--set", "epochs=2"]
    run = nursery().begin(training([*long, "--workers", "0"], folder), tmp_path / "said")
    run.until((folder / "manifest.json").exists)
    time.sleep(0.3)
    run.send(signal.SIGINT)
    time.sleep(0.2)
    assert Path(f"/proc/{run.pid}").exists()
    run.send(signal.SIGINT)
    before = time.monotonic()
    ended = run.wait()
    assert time.monotonic() - before < 1.5
    assert ended.code == 130
    assert ended.err == (
        "error[stopped]: stopped by Ctrl-C\n"
        f"  = help: regnetc run {MODULE} --train --resume -o {folder}\n"
    )
    assert json.loads((folder / "manifest.json").read_bytes())["state"] == "stopped"


@pytest.mark.parametrize("until_they_end", [False, *slowly(True)])
def test_workers_of_a_killed_run_do_not_hold_it(until_they_end: bool, tmp_path: Path) -> None:
    """The folder can be gone on with before the orphans notice, which they do within seconds."""
    folder = tmp_path / "run"
    run = nursery().begin(training(KINDS["workers"], folder, *OFTEN), tmp_path / "said")
    run.until(lambda: len(run.children()) == 2 and run.doing() == "step")
    workers = run.children()
    run.send(signal.SIGKILL)
    run.wait()
    assert all(alive(pid) for pid in workers)
    again = nursery().run(training(KINDS["workers"], folder, "--resume"), tmp_path / "said")
    assert again.code == 0, again
    check_equal(folder, unharmed(*KINDS["workers"]))
    if until_they_end:
        run.until(lambda: not any(alive(pid) for pid in workers), 20)
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process is there, and not just its exit code."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# Several processes


class Pair:
    """Two processes that train together, as torchrun would start them."""

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.runs = [
            nursery().begin(
                training(TOGETHER, folder, *more),
                folder.parent / "said",
                env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(2)
        ]

    def wait(self) -> list[Ended]:
        return [run.wait() for run in self.runs]


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes that nobody interrupted."""
    folder = tmp_path_factory.mktemp("paired") / "run"
    assert [e.code for e in Pair(folder).wait()] == [0, 0]
    return folder


def test_both_processes_killed(paired: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    chance = random.Random(5)
    fell: Counter[str] = Counter()
    for _ in range(max(2, KILLS // 10)):
        pair = Pair(folder, "--resume", *OFTEN)
        time.sleep(chance.uniform(0.3, 2))
        for run in pair.runs:
            run.send_group(signal.SIGKILL)
        both = pair.wait()
        codes = {e.code for e in both}
        check_whole(folder)
        assert codes <= {0, -signal.SIGKILL}, both
        fell[both[0].doing] += 1
        if codes == {0}:
            check_equal(folder, paired)
            shutil.rmtree(folder)
    ended = Pair(folder, "--resume").wait()
    assert [e.code for e in ended] == [0, 0], ended
    check_equal(folder, paired)
    sys.stdout.write(f"{sum(fell.values())} kills; the first process fell in: {dict(fell)}\n")


@pytest.mark.parametrize("rank", [0, *slowly(1)])
def test_one_of_two_killed(rank: int, paired: Path, tmp_path: Path) -> None:
    """The other ends soon, with a message, and the run can be gone on with."""
    folder = tmp_path / "run"
    pair = Pair(folder, *OFTEN)
    pair.runs[0].until((folder / "log.jsonl").exists)
    pair.runs[rank].send(signal.SIGKILL)
    before = time.monotonic()
    ended = pair.wait()
    assert time.monotonic() - before < 15
    assert ended[rank].code == -signal.SIGKILL
    other = ended[1 - rank]
    assert other.code == 1, other
    assert not other.traced, other.err
    assert "error[lost-process]: another process of the run has ended" in other.err
    check_whole(folder)
    again = Pair(folder, "--resume").wait()
    assert [e.code for e in again] == [0, 0], again
    check_equal(folder, paired)


@pytest.mark.parametrize("rank", [1, *slowly(0)])
def test_one_of_two_asked_to_stop(rank: int, paired: Path, tmp_path: Path) -> None:
    """Both end at the same step, with the exit code of the signal that one of them got."""
    folder = tmp_path / "run"
    pair = Pair(folder)
    pair.runs[0].until((folder / "log.jsonl").exists)
    pair.runs[rank].send(signal.SIGUSR1)
    ended = pair.wait()
    assert [e.code for e in ended] == [138, 138], ended
    assert "stopped by SIGUSR1 after" in ended[0].err
    assert ended[1].err == ""
    again = Pair(folder, "--resume").wait()
    assert [e.code for e in again] == [0, 0], again
    check_equal(folder, paired)
    after = Pair(folder, "--resume").wait()
    assert [e.code for e in after] == [0, 0], after
    assert "has come to its end before" in after[0].err
    assert after[1].err == ""


@contextmanager
def torchrun(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes under torchrun; what each of them says goes into a file. None is left."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--redirects", "3", "--log-dir", folder.parent / "logs", "-m", "regnetc",
        *training(TOGETHER, folder, "--resume", *OFTEN),
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            yield process
        finally:
            kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for it and all that it started."""
    for pid in [process.pid, *descendants(process.pid)] if process.poll() is None else []:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """A process's children, and theirs."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    found = [int(n) for n in text.split()]
    return found + [d for child in found for d in descendants(child)]


def said_by_all(folder: Path) -> str:
    logs = (folder.parent / "logs").rglob("stderr.log")
    return "".join(p.read_text(errors="replace") for p in sorted(logs))


@pytest.mark.slow
def test_torchrun_killed(paired: Path, tmp_path: Path) -> None:
    """torchrun and all that it started, at any instant."""
    folder = tmp_path / "run"
    chance = random.Random(6)
    kills, ended = max(2, KILLS // 10), 0
    while kills:
        with torchrun(folder) as process:
            time.sleep(chance.uniform(2, 7))
            kills -= process.poll() is None
            kill_all(process)
        check_whole(folder)
        assert "Traceback" not in said_by_all(folder), said_by_all(folder)
        if done(folder):
            check_equal(folder, paired)
            shutil.rmtree(folder)
            ended += 1
    with torchrun(folder) as process:
        assert process.wait(120) == 0, said_by_all(folder)
    check_equal(folder, paired)
    sys.stdout.write(f"{ended} runs came to their end before they were killed\n")


def done(folder: Path) -> bool:
    path = folder / "manifest.json"
    return path.exists() and json.loads(path.read_bytes())["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_torchrun_with_one_process_killed(
    number: signal.Signals, paired: Path, tmp_path: Path
) -> None:
    """It ends soon, not with a hang, and the same command goes on."""
    folder = tmp_path / "run"
    with torchrun(folder) as process:
        end = time.monotonic() + 60
        while not (folder / "log.jsonl").exists():
            assert time.monotonic() < end, said_by_all(folder)
            time.sleep(0.01)
        os.kill(descendants(process.pid)[-1], number)
        before = time.monotonic()
        assert process.wait(60) != 0
        assert time.monotonic() - before < 40
    said = said_by_all(folder)
    assert "Traceback" not in said, said
    assert "error[lost-process]" in said or "stopped by SIGTERM" in said, said
    check_whole(folder)
    with torchrun(folder) as process:
        assert process.wait(120) == 0, said_by_all(folder)
    check_equal(folder, paired)
