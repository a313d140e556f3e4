"""`regnetc runs`: folders of runs, sound, half written and hostile."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from in_batches import in_batches
from regnetc_runtime.chance import generator
from regnetc_runtime.data import digits
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation import predictions, runs
from regnetc_runtime.evaluation.accuracy import Accuracy, Tally, classify
from regnetc_runtime.evaluation.metrics import measure
from regnetc_runtime.problems import Problem
from test_cli import regnetc
from torch import nn

CPU = torch.device("cpu")
SIDE = 16
NAMES = tuple(map(str, range(10)))


def train(folder: Path, *, lr: float, seed: int, epochs: int = 4) -> Path:
    """Learn digits with one linear layer, and leave a folder as a run leaves it."""
    (learnt, held_out), grey = digits.load(SIDE), digits.preprocess(SIDE)
    kept = digits.Split(learnt.images[::8], learnt.labels[::8])
    rest = torch.arange(len(learnt.labels)) % 8 > 0
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 10))
    images, labels = grey.normalise(learnt.images[rest]), learnt.labels[rest]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    log = [{"event": "step", "step": 1, "loss": 2.3}]
    seen: Accuracy | None = None
    for epoch in range(1, epochs + 1):
        losses = []
        order = torch.randperm(len(labels), generator=generator(seed, "order", epoch))
        for some in order.tensor_split(19):
            loss = nn.functional.cross_entropy(net(images[some]), labels[some])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        seen = classify(net, in_batches(kept, 256), grey, CPU, Precision()).accuracy("x")
        log.append(
            {
                "event": "epoch", "epoch": epoch, "epochs": epochs, "loss": sum(losses) / len(losses), "lr": lr,
                "top1": 90.0, "validation_loss": seen.loss, "validation_top1": seen.top1,
                "images_per_s": 1e5, "seconds": 0.5,
            }
        )  # fmt: skip
    assert seen is not None
    test = classify(net, in_batches(held_out, 256), grey, CPU, Precision())
    finish(folder, test, seen, lr=lr, seed=seed, epochs=epochs)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


def finish(folder: Path, test: Tally, seen: Accuracy, *, lr: float, seed: int, epochs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    about = predictions.About("Linear", "digits", "test", "d" * 64, "a" * 64)
    scores = test.scores()
    found = predictions.of_scores(scores, lambda i: f"digit {i}", NAMES, about)
    predictions.save(folder / predictions.FILES["test"], found)
    put(
        folder / "metrics.json",
        {
            "validation": asdict(seen), "test": asdict(test.accuracy("x")) | asdict(measure(scores)),
            "epochs": epochs, "seconds": 0.5 * epochs, "weights": {"file": "weights.safetensors", "sha256": "b" * 64},
        },
    )  # fmt: skip
    recipe = {
        "name": "plain", "epochs": epochs, "batch": 64, "mix": 1.0, "crop": None,
        "optimizer": {"name": "sgd", "arguments": {"lr": lr, "momentum": 0.0}},
    }  # fmt: skip
    put(
        folder / "manifest.json",
        {
            "regnetc_run": 1, "name": folder.name, "module": {"file": "linear.py", "sha256": "a" * 64},
            "network": {"name": "Linear"}, "recipe": recipe, "recipe_digest": "c" * 64,
            "data": {"place": "digits", "kind": "digits", "digest": "d" * 64, "classes": NAMES}, "seed": seed,
            "device": "cpu", "precision": "float32", "versions": {}, "command": [], "state": "finished",
            "test_split_used": [],
        },
    )  # fmt: skip


def put(path: Path, data: object) -> None:
    path.write_text(json.dumps(data))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes, one with three seeds and one with two."""
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(3):
        train(folder / f"fast-{seed}", lr=0.02, seed=seed)
    for seed in range(2):
        train(folder / f"slow-{seed}", lr=0.0005, seed=seed)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with these runs in `runs`."""
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_of_all_runs(here: Path) -> None:
    ran = regnetc("runs")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == [
        f"runs/{n}" for n in ("fast-0", "fast-1", "fast-2", "slow-0", "slow-1")
    ]
    assert "plain: optimizer.lr = 0.02 " in lines[1]
    assert "momentum" not in ran.out
    assert "4/4" in lines[1]
    assert "2.0 s" in lines[1]
    assert lines[8].startswith("3 (0, 1, 2)")
    assert lines[9].startswith("2 (0, 1)")


def test_the_table_as_json(here: Path) -> None:
    found = regnetc("runs", "--json").json
    assert found["differing"] == ["optimizer.lr"]
    run = found["runs"][0]
    metrics = json.loads((here / "runs/fast-0/metrics.json").read_text())
    assert run["test_top1"] == metrics["test"]["top1"] > 80
    assert run["test_interval"] == metrics["test"]["top1_interval"]
    assert run["validation_top1"] == metrics["validation"]["top1"]
    assert (run["seed"], run["epochs_done"], run["epochs"], run["seconds"]) == (0, 4, 4, 2.0)
    assert run["recipe"]["optimizer"] == "sgd"
    assert run["recipe"]["optimizer.lr"] == "0.02"
    tops = [r["test_top1"] for r in found["runs"] if "fast" in r["folder"]]
    mean = sum(tops) / 3
    group = found["groups"][0]
    assert group["seeds"] == len(group["runs"]) == 3
    assert group["test_top1"]["mean"] == pytest.approx(mean)
    deviation = (sum((t - mean) ** 2 for t in tops) / 2) ** 0.5
    assert group["test_top1"]["deviation"] == pytest.approx(deviation)


@pytest.mark.parametrize(
    ("order", "best"), [("top1", "validation_top1"), ("loss", "validation_loss")]
)
def test_the_best_come_first(here: Path, order: str, best: str) -> None:
    metrics = here / "runs/fast-1/metrics.json"
    metrics.unlink()
    (here / "runs/fast-1/log.jsonl").unlink()
    rows = regnetc("runs", "--sort", order, "--json").json["runs"]
    values = [row[best] for row in rows]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=order == "top1")
    assert rows[0]["recipe"]["optimizer.lr"] == "0.02"


def test_by_time_and_by_name(here: Path) -> None:
    for seconds, name in enumerate(("slow-1", "fast-2", "fast-0")):
        path = here / "runs" / name / "metrics.json"
        put(path, json.loads(path.read_text()) | {"seconds": seconds / 10})
    rows = regnetc("runs", "--sort", "time", "--json").json["runs"]
    assert [Path(r["folder"]).name for r in rows][:3] == ["slow-1", "fast-2", "fast-0"]


def test_nine_comes_before_ten(here: Path) -> None:
    for old, number in enumerate(("10", "9", "1")):
        shutil.move(here / "runs" / f"fast-{old}", here / "runs" / f"fast-{number}0")
    rows = regnetc("runs", "--json").json["runs"]
    assert [Path(r["folder"]).name for r in rows][:3] == ["fast-10", "fast-90", "fast-100"]


def test_single_runs_can_be_named(here: Path) -> None:
    found = regnetc("runs", "runs/slow-1", "runs/fast-0", "--json").json
    assert [Path(r["folder"]).name for r in found["runs"]] == ["fast-0", "slow-1"]
    assert found["groups"] == []


def test_other_seeds_of_another_run_are_no_group(here: Path) -> None:
    path = here / "runs/fast-2/manifest.json"
    manifest = json.loads(path.read_text())
    for change in (
        {"recipe": manifest["recipe"] | {"mix": 0.5}},
        {"precision": "bf16"},
        {"data": {"digest": "e" * 64}},
        {"module": {"sha256": "e" * 64}},
        {"state": "running"},
        {"seed": 1},
    ):
        put(path, manifest | change)
        groups = regnetc("runs", "--json").json["groups"]
        assert [g["seeds"] for g in groups] == [2, 2], change
    put(path, manifest | {"device": "cuda", "name": "x", "recipe_digest": "?"})
    assert [g["seeds"] for g in regnetc("runs", "--json").json["groups"]] == [3, 2]


def test_a_run_that_is_still_going(here: Path) -> None:
    folder = here / "runs/fast-0"
    (folder / "metrics.json").unlink()
    put(folder / "manifest.json", json.loads((folder / "manifest.json").read_text()) | {"state": "running"})  # fmt: skip
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])
    (row,) = regnetc("runs", folder, "--json").json["runs"]
    assert (row["state"], row["epochs_done"], row["test_top1"]) == ("running", 2, None)
    assert row["validation_top1"] == json.loads(lines[2])["validation_top1"]
    assert row["seconds"] == 1.0
    assert "2/4" in regnetc("runs", folder).out


def test_an_epoch_that_is_said_twice_counts_once(here: Path) -> None:
    log = here / "runs/fast-0/log.jsonl"
    again = {"event": "epoch", "epoch": 3, "validation_top1": 12.5, "seconds": 9.0}
    log.write_text(log.read_text() + json.dumps(again) + "\n")
    points = runs.read(log.parent).points
    assert [p.epoch for p in points] == [1, 2, 3, 4]
    assert (points[2].validation_top1, points[2].loss) == (12.5, None)


def test_what_is_no_run_is_named_and_left_out(here: Path) -> None:
    (here / "runs/mine").mkdir()
    (here / "runs/.hidden").mkdir()
    (here / "runs/file").write_text("x")
    for name, text in {
        "half": b'{"regnetc_run": 1, ',
        "foreign": b"[1]",
        "bytes": b"\xff\x00",
    }.items():
        (here / "runs" / name).mkdir()
        (here / "runs" / name / "manifest.json").write_bytes(text)
    (here / "runs/folder/manifest.json").mkdir(parents=True)
    os.mkfifo(here / "runs/fast-0/log.jsonl.pipe")
    ran = regnetc("runs")
    assert ran.code == 0
    assert ran.out.count("finished") == 5
    assert "runs/mine is no run: it has no manifest.json" in ran.err
    found = regnetc("runs", "--json").json
    assert sorted(Path(p).name for p in found["left_out"]) == ["bytes", "folder", "foreign", "half", "mine"]  # fmt: skip
    assert len(found["runs"]) == 5


@pytest.mark.parametrize("junk", [
    b"", b"{", b"null", b"[]", b'"x"', b"7", b"NaN", b"\xff\xfe", b"[" * 100_000, b"1" * 5_000, b'{"test": ' * 3_000,
    b'{"test": {"top1": 1e999, "top1_interval": [NaN, 1]}, "seconds": true, "validation": 4, "weights": []}',
])  # fmt: skip
def test_junk_is_no_reason_to_stop(here: Path, junk: bytes) -> None:
    (here / "runs/fast-0/metrics.json").write_bytes(junk)
    (here / "runs/fast-1/log.jsonl").write_bytes(b'{"epoch": ' + junk + b'}\n{"event": "epoch"}\n')
    (here / "runs/fast-2/manifest.json").write_bytes(junk)
    ran = regnetc("runs", "--json")
    assert ran.code == 0
    assert len(ran.json["runs"]) == 4
    assert ran.json["runs"][0]["test_top1"] is None
    assert regnetc("runs").code == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_fields_of_any_kind(trained: Path, data: st.DataObject) -> None:
    folder = trained.parent / "drawn"
    folder.mkdir(exist_ok=True)
    for name in ("manifest.json", "metrics.json"):
        document = json.loads((trained / "fast-0" / name).read_text())
        keys = data.draw(
            st.lists(st.sampled_from(sorted(set(document) - {"regnetc_run"})), max_size=3)
        )
        put(folder / name, document | {k: data.draw(JSON) for k in keys})
    line = {"event": "epoch"} | data.draw(
        st.dictionaries(st.sampled_from(["epoch", "loss", "lr"]), JSON)
    )
    (folder / "log.jsonl").write_text(json.dumps(line) + "\n")
    ran = regnetc("runs", folder, trained / "slow-0", "--json")
    assert ran.code == 0
    assert len(ran.json["runs"]) == 2
    assert regnetc("runs", folder, trained / "slow-0").code == 0


def test_text_cannot_speak_to_the_terminal(here: Path) -> None:
    path = here / "runs/fast-0/manifest.json"
    manifest = json.loads(path.read_text())
    evil = "\x1b[31m[bold]red[/bold]\r\n\u202e"
    manifest |= {"name": evil, "state": evil, "network": {"name": evil}}
    manifest["recipe"] |= {"name": evil, evil: evil}
    put(path, manifest)
    ran = regnetc("runs", "runs/fast-0", "runs/slow-0")
    assert ran.code == 0
    assert not {"\x1b", "\r", "\u202e"} & set(ran.out)
    assert "[bold]red[/bold]" in ran.out


def test_logs_are_bounded(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LOG_BYTES", 100)
    ran = regnetc("runs", "runs/fast-0")
    assert ran.code == 0
    assert "log.jsonl is larger than 100 bytes" in ran.err
    assert "0/4" in ran.out


def test_unchanged_runs_are_not_read_again(here: Path) -> None:
    first = runs.find([here / "runs"])
    log = here / "runs/fast-0/log.jsonl"
    log.write_text(log.read_text() + json.dumps({"event": "epoch", "epoch": 5}) + "\n")
    second = runs.find([here / "runs"], first.runs)
    same = [a is b for a, b in zip(first.runs, second.runs, strict=True)]
    assert same == [False, True, True, True, True]
    assert second.runs[0].done == 5


def test_curves_are_drawn(here: Path) -> None:
    ran = regnetc("runs", "--plot", "new/curves.png")
    assert (ran.code, ran.out, ran.err) == (0, "", "wrote new/curves.png\n")
    data = (here / "new/curves.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    ran = regnetc("runs", "--plot", "new/curves.png")
    assert "error[exists]" in ran.err
    assert regnetc("runs", "runs/fast-0", "--plot", "new/one.svg").code == 0
    svg = (here / "new/one.svg").read_text()
    assert all(f"<!-- {text} -->" in svg for text in ("training", "validation", "learning rate"))
    assert regnetc("runs", "--plot", "new/several.svg").code == 0
    svg = (here / "new/several.svg").read_text()
    assert "<!-- lr 0.02 (3 seeds) -->" in svg
    assert "<!-- lr 0.0005 (2 seeds) -->" in svg


def test_wrong_use(here: Path) -> None:
    assert "error[no-such-folder]" in regnetc("runs", "nowhere").err
    assert "error[no-picture]" in regnetc("runs", "--plot", "x.gif").err
    assert regnetc("runs", "--follow", "--json").code == 2
    (here / "none").mkdir()
    assert regnetc("runs", "none").out == "no runs\n"
    assert "error[no-run]" in regnetc("runs", "none", "--plot", "x.png").err
    with pytest.raises(Problem):
        runs.read(here / "none")


def test_listing_runs_leaves_torch_alone(here: Path) -> None:
    program = (
        "import sys\nfrom regnetc.cli import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules), 'too much was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "runs", "--follow"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 5  # no terminal: once


def test_a_terminal_follows(here: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "regnetc", "runs", "runs/fast-0", "--follow"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
    )  # fmt: skip
    os.close(theirs)
    try:
        assert "4/4" in wait_for(ours, "4/4")
        log = here / "runs/fast-0/log.jsonl"
        log.write_text(log.read_text() + json.dumps({"event": "epoch", "epoch": 7}) + "\n")
        assert "7/4" in wait_for(ours, "7/4")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def wait_for(terminal: int, text: str) -> str:
    """What a terminal shows until it shows `text`, or for ten seconds."""
    seen, end = "", time.monotonic() + 10
    os.set_blocking(terminal, False)
    while text not in seen and time.monotonic() < end:
        try:
            seen += os.read(terminal, 65_536).decode("utf-8", "replace")
        except BlockingIOError:
            time.sleep(0.05)
    return seen


def test_durations() -> None:
    from regnetc.cli.runs import duration

    spoken: dict[float, Any] = {0.04: "0.0 s", 59.9: "59.9 s", 61: "1 min 01 s", 3_600: "1 h 00 min", 4e6: "1,111 h 06 min"}  # fmt: skip
    assert {s: duration(s) for s in spoken} == spoken


def test_images_are_known_by_the_data_and_not_by_the_path(here: Path) -> None:
    """The same data reached another way are the same images; other data are not."""
    path = Path("runs/slow-0") / predictions.FILES["test"]
    found = predictions.read(path)
    moved = tuple(f"/elsewhere/{name}" for name in found.names)
    predictions.save(path, replace(found, names=moved))
    assert regnetc("compare", "runs/fast-0", "runs/slow-0").code == 0
    about = replace(found.about, data_digest="e" * 64)
    predictions.save(path, replace(found, names=moved, about=about))
    assert "error[other-images]" in regnetc("compare", "runs/fast-0", "runs/slow-0").err


def test_recipes_of_many_kinds_are_told_apart_by_what_was_changed(here: Path) -> None:
    manifest = json.loads(Path("runs/slow-0/manifest.json").read_text())
    recipe = {"name": "other"} | {f"field{k}": k for k in range(9)}
    Path("runs/slow-0/manifest.json").write_text(
        json.dumps(manifest | {"recipe": recipe, "overrides": ["epochs = 7"]})
    )
    ran = regnetc("runs")
    assert "other: epochs = 7" in ran.out
    assert "more differ" not in ran.out


def test_a_folder_of_a_report_is_no_failed_run(here: Path) -> None:
    Path("runs/report").mkdir()
    Path("runs/report/report.json").write_text("{}")
    assert regnetc("runs").err == ""
