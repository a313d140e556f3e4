from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nursery import Disk
from regnetc_runtime import files
from regnetc_runtime.data.synthetic import open_synthetic
from regnetc_runtime.load import build, load
from regnetc_runtime.problems import Problem
from regnetc_runtime.training import checkpoint, results, run_folder
from regnetc_runtime.training.checkpoint import Checkpoint
from regnetc_runtime.training.job import Job, Options
from regnetc_runtime.training.loop import Training
from regnetc_runtime.training.parallel import Group
from regnetc_runtime.training.recipe import Call, Recipe
from regnetc_runtime.training.state import Epoch

EACH = os.environ.get("REGNETC_KILLS") == "200"  # else some of the writes
CODE = b"def model(): ...\n"
MADE: dict[str, Any] = {
    "module": {"file": "x.py", "sha256": "a" * 64},
    "recipe": {"name": "r", "epochs": 3, "optimizer": {"name": "sgd", "arguments": {"lr": 0.1}}},
    "recipe_digest": "b" * 64,
    "data_digest": "c" * 64,
    "seed": 0,
    "weights": None,
    "device": "cpu",
    "how": {"threads": 1},
    "versions": {"torch": "2", "runtime": "d"},
}
STATE = Checkpoint({"a": torch.zeros(2)}, {"step": 3})


def made(**other: object) -> dict[str, Any]:
    return {**copy.deepcopy(MADE), **other}


def listed(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that was left after its third step."""
    root = tmp_path / "run"
    with run_folder.opened(root, made(), CODE, resume=False) as run:
        run.log({"event": "epoch", "step": 3})
        run.save(3, STATE, 2)
    return root


def opened_again(root: Path, made_by: dict[str, Any]) -> run_folder.RunFolder:
    with run_folder.opened(root, made_by, CODE, resume=True) as run:
        return run


def test_a_new_run(tmp_path: Path) -> None:
    root = tmp_path / "a/b/run"
    with run_folder.opened(root, made(), CODE, resume=False) as run:
        assert listed(root) == [".lock", "checkpoints", "manifest.json", "module.py"]
        assert (root / "module.py").read_bytes() == CODE
        assert run.manifest["state"] == "running"
        assert run.saved() is None
        before = run.finished
        run.state("finished", found=3)
        assert (before, run.finished) == (False, True)
    manifest = run_folder.read_manifest(root)
    assert (manifest["found"], manifest["continued"], manifest["test_split_used"]) == (3, [], [])
    assert {k: manifest[k] for k in MADE} == MADE


def test_a_run_goes_on(begun: Path) -> None:
    with run_folder.opened(begun, made(), CODE, resume=True) as run:
        found = run.saved()
        assert found is not None
        assert found.facts == {"step": 3}
        assert run.notes == []
    with (
        pytest.raises(Problem, match="not finished") as e,
        run_folder.opened(begun, made(), CODE, resume=False),
    ):
        pass
    assert (e.value.name, e.value.help) == ("run-exists", "go on with it: --resume")


def test_what_was_left_half_way_is_swept_away(begun: Path) -> None:
    for folder in (begun, begun / "checkpoints"):
        (folder / f".regnetc-{'0' * 16}.tmp").write_bytes(b"half")
        (folder / ".regnetc-mine").write_bytes(b"mine")
    opened_again(begun, made())
    left = [name for name in listed(begun) if ".regnetc-" in name]
    assert left == [".regnetc-mine", "checkpoints/.regnetc-mine"]


@pytest.mark.parametrize(
    "left", [[], [".lock"], [".lock", "module.py"], ["checkpoints/"], [f".regnetc-{'1' * 16}.tmp"]]
)
def test_a_start_that_was_cut_short_is_begun_again(left: list[str], tmp_path: Path) -> None:
    for name in left:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_bytes(b"?")
    with run_folder.opened(tmp_path, made(), CODE, resume=True) as run:
        assert run.saved() is None
    assert listed(tmp_path) == [".lock", "checkpoints", "manifest.json", "module.py"]


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """Nothing is put into it, not even a lock."""
    for name, content in (("holiday.jpg", b""), ("manifest.json", b'{"name": "extension"}')):
        root = tmp_path / name
        root.mkdir()
        (root / name).write_bytes(content)
        for resume in (False, True):
            with pytest.raises(Problem) as e, run_folder.opened(root, made(), CODE, resume=resume):
                pass
            assert e.value.name == "not-a-run"
        assert listed(root) == [name]


def other_process(root: Path, say: Any, wait: Any) -> None:
    with run_folder.opened(root, made(), CODE, resume=True):
        say.send("in")
        wait.recv()


def test_one_at_a_time(begun: Path) -> None:
    """A folder is held by one process, and by none once that is dead, or has children that are not."""
    context = multiprocessing.get_context("fork")
    told, say = context.Pipe()
    wait, _ = context.Pipe()
    other = context.Process(target=other_process, args=(begun, say, wait))
    other.start()
    try:
        assert told.recv() == "in"
        for resume in (False, True):
            with pytest.raises(Problem) as e, run_folder.opened(begun, made(), CODE, resume=resume):
                pass
            assert e.value.name == "run-in-use"
        assert (begun / ".lock").read_text() == f"{other.pid}\n"
    finally:
        other.kill()
        other.join()
    opened_again(begun, made())


DIFFERENCES: list[tuple[dict[str, Any], list[str]]] = [
    ({"module": {"file": "y.py", "sha256": "e"}}, [f"module: sha256 was {'a' * 40}…{'a' * 19}, is e"]),
    ({"recipe": {"name": "s", "epochs": 4, "optimizer": {"name": "sgd", "arguments": {"lr": 0.2}}}, "recipe_digest": "e"},
     ["recipe: epochs was 3, is 4", "recipe: optimizer was sgd(lr = 0.1), is sgd(lr = 0.2)"]),
    ({"data_digest": "e"}, [f"data_digest was {'c' * 40}…{'c' * 19}, is e"]),
    ({"seed": 1, "weights": "w"}, ["seed was 0, is 1", "weights was none, is w"]),
]  # fmt: skip


@pytest.mark.parametrize(("other", "said"), DIFFERENCES)
def test_what_makes_another_run(other: dict[str, Any], said: list[str], begun: Path) -> None:
    before = {p: p.read_bytes() for p in begun.rglob("*") if p.is_file() and p.name != ".lock"}
    with pytest.raises(Problem) as e:
        opened_again(begun, made(**other))
    assert e.value.name == "changed-run"
    assert list(e.value.details) == said
    assert before == {p: p.read_bytes() for p in before}


def test_other_names_make_no_other_run(begun: Path) -> None:
    opened_again(begun, made(module={"file": "z.py", "sha256": "a" * 64}))


def test_what_may_change_the_last_bits_is_said_once(begun: Path) -> None:
    other = made(how={"threads": 2}, versions={"torch": "3", "runtime": "d"})
    run = opened_again(begun, other)
    (note,) = run.notes
    assert note == (
        "the last bits may differ from one uninterrupted run: how: threads was 1, is 2; "
        "versions: torch was 2, is 3"
    )
    assert run_folder.read_manifest(begun)["continued"] == [
        {"device": "cpu", "how": {"threads": 2}, "versions": {"torch": "3", "runtime": "d"}}
    ]
    assert opened_again(begun, other).notes == []
    back = opened_again(begun, made())
    assert "threads was 2, is 1" in back.notes[0]
    assert len(run_folder.read_manifest(begun)["continued"]) == 2


def test_a_finished_run_is_not_continued(begun: Path) -> None:
    with run_folder.opened(begun, made(), CODE, resume=True) as run:
        run.state("finished")
    before = (begun / "manifest.json").read_bytes()
    assert opened_again(begun, made(how={"threads": 2})).finished
    assert (begun / "manifest.json").read_bytes() == before


def test_damaged_states_are_said(begun: Path) -> None:
    with run_folder.opened(begun, made(), CODE, resume=True) as run:
        run.save(4, Checkpoint(STATE.tensors, {"step": 4}), 3)
        newest = max((begun / "checkpoints").iterdir())
        newest.write_bytes(b"")
        found = run.saved()
        assert found is not None
        assert found.facts["step"] == 3
        assert run.notes == [f"damaged states are passed over: {newest.name}"]


def test_the_log_is_taken_back(begun: Path) -> None:
    """To what a state knows of: half lines, junk and what came later go."""
    with run_folder.opened(begun, made(), CODE, resume=True) as run:
        for step in (4, 5, 6):
            run.log({"event": "step", "step": step, "loss": 0.1 + 0.2})
        path = begun / "log.jsonl"
        with path.open("ab") as f:
            f.write(
                b'[1]\n"x"\nnull\n{"event": "x"}\n{"step": "9"}\n{"step": 5.5}\n{"step": 7}\n{"event": "ste'
            )
        run.rewind_log(5)
        assert [e.get("step") for e in run_folder.read_log(path)] == [3, 4, 5, None, "9"]
        assert path.read_bytes().endswith(b"\n")
        before = path.read_bytes()
        run.rewind_log(5)
        assert path.read_bytes() == before
        run.rewind_log(2)
        assert [e.get("step") for e in run_folder.read_log(path)] == [None, "9"]


def test_a_log_that_is_none(begun: Path) -> None:
    path = begun / "log.jsonl"
    path.unlink()
    with run_folder.opened(begun, made(), CODE, resume=True) as run:
        run.rewind_log(3)
        assert not path.exists()
        for target in ("nothing", "module.py"):
            path.symlink_to(target)
            with pytest.raises(Problem):
                run.rewind_log(3)
            with pytest.raises(Problem):
                run.log({"step": 1})
            path.unlink()
    assert (begun / "module.py").read_bytes() == CODE


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
PLACES = [
    *[(key,) for key in [*MADE, "regnetc_run", "continued", "state", "test_split_used"]],
    ("module", "sha256"), ("recipe", "optimizer"), ("recipe", "optimizer", "arguments"), ("how", "threads"),
    ("versions", "torch"),
]  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(PLACES), JUNK)
def test_junk_in_the_manifest(begun: Path, place: tuple[str, ...], junk: object) -> None:
    """Whatever a manifest says, opening it gives a run or a problem."""
    sound = run_folder.read_manifest(begun)
    manifest = copy.deepcopy(sound)
    inner = manifest
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    (begun / "manifest.json").write_text(json.dumps(manifest))
    try:
        with contextlib.suppress(Problem):
            opened_again(begun, made())
        with contextlib.suppress(Problem):
            run_folder.note_test(begun, top1=1.0)
    finally:
        (begun / "manifest.json").write_text(json.dumps(sound))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"7", b"{", b"[" * 99_999, b'{"regnetc_run": 2}', b"9" * 9_999]
)
def test_no_manifest_at_all(content: bytes, begun: Path) -> None:
    (begun / "manifest.json").write_bytes(content)
    for resume in (False, True):
        with pytest.raises(Problem) as e, run_folder.opened(begun, made(), CODE, resume=resume):
            pass
        assert e.value.name == "not-a-run"


def test_manifests_that_are_no_files(begun: Path) -> None:
    path = begun / "manifest.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(Problem):
        opened_again(begun, made())
    path.rmdir()
    path.symlink_to("nothing")
    with pytest.raises(Problem):
        opened_again(begun, made())
    with pytest.raises(Problem) as e:
        run_folder.begun(begun / ("x" * 300))
    assert e.value.name == "not-a-run"
    assert not run_folder.begun(begun / "module.py")


# A whole training, with each of its writes failing in turn


class Quiet:
    """Wants to know nothing."""

    def step(self, done: int, total: int, text: str) -> None: ...
    def epoch(self, epoch: Epoch) -> None: ...
    def note(self, text: str) -> None: ...


def job() -> Job:
    sgd = {"lr": 0.05, "momentum": 0.9, "nesterov": 0, "decay": 0, "norm_decay": 0, "bias_decay": 0}
    recipe = Recipe(
        name="tiny", data="synthetic", epochs=2, batch=8, validation=0.25, optimizer=Call("sgd", sgd),
        schedule=Call("constant", {"warmup": 0, "start": 0, "by": "step"}),
        ema=Call("average", {"decay": 0.5, "every": 1}),
    )  # fmt: skip
    data = open_synthetic(40, 10, 1, 16)
    return Job("Tiny", 1, 16, data, recipe, 0, Options(workers=0, save_s=0))


def train(root: Path, code: bytes) -> None:
    """From wherever the run stands to its end."""
    work, net = job(), build(load(code, "digits.py"), seed=0)
    with run_folder.opened(root, made(), code, resume=True) as run:
        if run.finished:
            return
        state = Training(net, work, Group(), run, Quiet()).go()
        run.write(run_folder.METRICS, results.metrics(state, results.save_final(state, work, run)))
        run.state("finished")


@contextlib.contextmanager
def failing(folder: Path, nth: int, how: str, error: str) -> Iterator[list[int]]:
    calls = [0]
    disk = Disk(str(folder), nth, how, error, count=lambda n: calls.__setitem__(0, n))
    try:
        yield calls
    finally:
        disk.restore()


@pytest.mark.parametrize(("how", "error"), [("on", "ENOSPC"), ("once", "EIO")])
def test_each_write_fails_in_turn(how: str, error: str, code: bytes, tmp_path: Path) -> None:
    """Nothing comes of it but `cannot-write`; the run goes on to the bits of one that had no fault."""
    whole, root = tmp_path / "whole", tmp_path / "run"
    train(whole, code)
    wanted = {
        n: (whole / n).read_bytes()
        for n in ("weights.safetensors", "best.safetensors", "raw.safetensors")
    }
    failures = 0
    stride = 1 if EACH else 11 if how == "on" else 13
    for nth in range(1, 1_000, stride):
        with failing(root, nth, how, error) as calls:
            try:
                train(root, code)
            except Problem as e:
                assert e.name == "cannot-write", e  # noqa: PT017 - which problem it is, is the point
                failures += 1
        if (root / "checkpoints").exists():
            assert checkpoint.latest(root / "checkpoints")[1] == []
        train(root, code)
        assert wanted == {n: (root / n).read_bytes() for n in wanted}
        events = [
            e["epoch"] for e in run_folder.read_log(root / "log.jsonl") if e["event"] == "epoch"
        ]
        assert events == [1, 2]
        assert not list(root.rglob("*.tmp"))
        shutil.rmtree(root)
        if calls[0] < nth:
            break
    assert failures > 5


def test_weights_that_a_step_has_spoilt_are_not_saved(code: bytes, tmp_path: Path) -> None:
    """The loss of that step was a number still; the state from before stays the newest."""
    root = tmp_path / "run"

    class Spoiling(Training):
        def _move(self) -> None:
            super()._move()
            if self.state.step == 4:
                with torch.no_grad():
                    next(self.state.net.parameters()).view(-1)[0] = float("inf")

    net = build(load(code, "digits.py"), seed=0)
    with run_folder.opened(root, made(), code, resume=True) as run:
        with pytest.raises(Problem, match="no numbers any more, at step 5 of 6") as e:
            Spoiling(net, job(), Group(), run, Quiet()).go()
        assert e.value.name == "diverged"
        found = run.saved()
    assert found is not None
    assert found.facts["step"] == 4
    assert all(t.isfinite().all() for t in found.tensors.values())


def test_the_lock_is_not_inherited(begun: Path) -> None:
    """A child that outlives its parent does not hold the folder."""
    context = multiprocessing.get_context("fork")
    told, say = context.Pipe()
    wait, tell = context.Pipe()

    def child() -> None:
        say.send(sorted(files._locks))
        wait.recv()

    with run_folder.opened(begun, made(), CODE, resume=True):
        assert len(files._locks) == 1
        orphan = context.Process(target=child)
        orphan.start()
    try:
        assert told.recv() == []
        opened_again(begun, made())
        assert files._locks == set()
    finally:
        tell.send("end")
        orphan.join()
    assert orphan.exitcode == 0
    assert os.path.exists(begun / ".lock")  # noqa: PTH110
