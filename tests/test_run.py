"""`regnetc run` and `regnetc predict` as a user meets them; every mistake is one clear message."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from regnetc_runtime.load import build, load
from safetensors.torch import save_file
from test_cli import Ran, regnetc
from torch import nn

RGB = """use "families.regnet"

# A network for colour images that is small enough for tests.
model Small extends AnyNetX {
  image    = 32
  classes  = 3
  stem     = 8
  stages   = 2
  w[i]     = [8, 16]
  d[i]     = 1
  b[i]     = 1
  g[i]     = 8
  published { source = "nobody"  }
}
""".replace('"  }', '" }')


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits module and its weights after two epochs."""
    folder = tmp_path_factory.mktemp("digits")
    shutil.copy(root / "generated/digits.py", folder)
    ran = regnetc(
        "run", folder / "digits.py", "--train", "--eval", "--data", "digits", "--set", "epochs=2",
        "-o", folder / "run", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (run,) = ran.json["runs"]
    assert (folder / "run/weights.safetensors").is_file()
    assert len(run["history"]) == 2
    assert run["test"]["images"] == 359
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small network for colour images, its weights, and images of three classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.regnet").write_text(RGB)
    assert regnetc("compile", "small.regnet", "-o", ".").code == 0
    save_file(network(tmp_path).state_dict(), "small.safetensors")
    for k, name in enumerate(("ant", "bee", "cat")):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for n in range(4):
            suffix = "png" if n % 2 else "jpg"
            Image.new("RGB", (40 + n, 36), (80 * k, 20 * n, 200)).save(folder / f"{n}.{suffix}")
    return tmp_path


def network(folder: Path) -> nn.Module:
    return build(load((folder / "small.py").read_bytes(), "small.py"))


def evaluate(*more: str | Path) -> Ran:
    return regnetc(
        "run",
        "small.py",
        "--eval",
        "--data",
        "images",
        "--weights",
        "small.safetensors",
        "--batch",
        "2",
        *more,
    )


def test_eval_reports_every_verdict(root: Path) -> None:
    ran = regnetc("run", root / "generated/x3_2gf.py", "--eval", "--json")
    assert ran.code == 0
    report = ran.json
    assert report["name"] == "RegNetX-3.2GF"
    assert report["counts"]["fvcore"] == {"declared": 3199404208, "measured": 3199404208}
    assert report["counts"]["unsupported_ops"] == {"aten::add": 25}
    theirs = [r for r in report["published"] if r["source"] == "mmpretrain"]
    assert [(r["field"], r["printed"], r["ours"], r["verdict"]) for r in theirs] == [
        ("params", "3.21M", 15296552, "erratum"), ("flops", "1.53G", 3210184992, "erratum"),
    ]  # fmt: skip
    speed = report["speed"]
    assert speed["batch"] == 1
    assert speed["median_ms"] > 0
    assert {"warmup", "repeats", "iqr_ms", "dtype", "layout", "device", "images_per_s"} <= set(
        speed
    )
    assert report["accuracy"] is None


def test_eval_prints_a_table(root: Path) -> None:
    ran = regnetc("run", root / "generated/digits.py", "--eval", "--threads", "1")
    assert ran.code == 0
    for part in (
        "Digits  (verified",
        "flops (fvcore)",
        "equal",
        "not counted by fvcore: aten::add x5",
        "1 thread",
    ):
        assert part in ran.out


def test_digits_are_trained_evaluated_and_recognised(trained: Path) -> None:
    weights = trained / "run"
    ran = regnetc("run", trained / "digits.py", "--eval", "--data", "digits", "--weights", weights)
    assert ran.code == 0, ran.err
    assert "359 images (digits, held-out test part)" in ran.out
    image = trained / "seven.png"
    picture = Image.new("L", (40, 40))
    picture.paste(255, (8, 6, 32, 11))
    picture.paste(255, (26, 6, 32, 36))
    picture.save(image)
    guess = regnetc(
        "predict",
        trained / "digits.py",
        image,
        "--weights",
        weights / "weights.safetensors",
        "--top",
        "3",
        "--json",
    )
    assert guess.code == 0, guess.err
    (found,) = guess.json
    assert len(found["classes"]) == 3
    assert found["classes"][0]["score"] >= found["classes"][1]["score"]
    names = trained / "names.txt"
    names.write_text("\n".join("zero one two three four five six seven eight nine".split()))
    text = regnetc(
        "predict",
        trained / "digits.py",
        image,
        "--weights",
        weights / "weights.safetensors",
        "--class-names",
        names,
    ).out
    assert text.count("%  class ") == 5
    names.write_text("only\nthree\nnames")
    assert (
        "error[class-count]"
        in regnetc(
            "predict",
            trained / "digits.py",
            image,
            "--weights",
            weights / "weights.safetensors",
            "--class-names",
            names,
        ).err
    )


def test_training_prints_what_came_of_it(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    ran = regnetc("run", "digits.py", "--train", "--data", "digits", "--set", "epochs=1")
    assert ran.code == 0, ran.err
    assert "wrote runs/digits-1/" in ran.out
    assert "of the validation part" in ran.out
    assert "not looked at the test part yet: regnetc run digits.py --eval" in ran.out
    assert "accuracy" not in ran.out
    again = regnetc("run", "digits.py", "--train", "--data", "digits", "--set", "epochs=1")
    assert "wrote runs/digits-2/" in again.out


def test_several_seeds_have_a_mean_and_a_spread(trained: Path) -> None:
    ran = regnetc(
        "run", trained / "digits.py", "--train", "--eval", "--data", "digits", "--set", "epochs=1",
        "--seed", "0", "--seed", "1", "-o", trained / "seeds", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    tops = [run["test"]["top1"] for run in ran.json["runs"]]
    assert ran.json["test"]["mean"] == pytest.approx(sum(tops) / 2)
    assert {p.name for p in (trained / "seeds").iterdir()} == {"seed-0", "seed-1"}
    listed = {Path(run["folder"]).name for run in regnetc("runs", trained, "--json").json["runs"]}
    assert {"run", "seed-0", "seed-1"} <= listed
    again = regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--seed", "3", "--seed", "3"
    )
    assert (again.code, "a seed is given twice" in again.err) == (2, True)


def test_an_evaluation_leaves_its_report_and_its_mark(trained: Path) -> None:
    out = trained / "report"
    ran = regnetc(
        "run", trained / "digits.py", "--eval", "--data", "digits", "--weights", trained / "run",
        "-o", out, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    kept = json.loads((out / "report.json").read_text())
    assert kept["top1"] == ran.json["accuracy"]["top1"]
    low, high = kept["top1_interval"]
    assert low < kept["top1"] < high
    assert sum(c["images"] for c in kept["per_class"]) == 359
    names = {p.name for p in out.iterdir()}
    assert {"predictions-test.safetensors", "confusion.png", "reliability.png"} <= names
    used = json.loads((trained / "run/manifest.json").read_text())["test_split_used"]
    assert [u["images"] for u in used] == [359] * len(used)
    assert used[-1]["top1"] == kept["top1"]


def test_a_run_is_repeated_to_the_bit(trained: Path) -> None:
    ran = regnetc("rerun", trained / "run", "-o", trained / "again", "--workers", "0", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["equal"]
    assert ran.json["changed"] == []
    assert regnetc("rerun", trained / "run", "-o", trained / "again").code == 1
    (trained / "run/module.py").write_text("import os\n")
    assert "error[not-generated]" in regnetc("rerun", trained / "run").err


def test_a_recipe_is_checked_before_anything_is_done(trained: Path) -> None:
    for said, name in (
        ("epochs=0", "out-of-range"),
        ("epoch=2", "unknown-field"),
        ("epochs", "override"),
    ):
        ran = regnetc("run", trained / "digits.py", "--train", "--data", "digits", "--set", said)
        assert ran.code == 1
        assert f"error[{name}]" in ran.err, ran.err
    assert "error[unknown-name]" in regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--recipe", "papr10"
    ).err  # fmt: skip


def test_an_image_folder_is_evaluated(here: Path) -> None:
    ran = evaluate("--json")
    assert ran.code == 0, ran.err
    accuracy = ran.json["accuracy"]
    assert accuracy["images"] == 12
    assert accuracy["top5"] is None
    net = network(here).eval()
    assert 0 <= accuracy["top1"] <= 100
    other = evaluate(
        "--json",
        "--channel-order",
        "bgr",
        "--mean",
        "0.4,0.4,0.4",
        "--std",
        "0.2,0.2,0.2",
        "--resize",
        "40",
        "--crop",
        "32",
    )
    assert other.json["accuracy"]["loss"] != accuracy["loss"]
    assert (
        evaluate("--json", "--dtype", "bf16", "--channels-last").json["speed"]["layout"]
        == "channels_last"
    )
    torch.save(net.state_dict(), here / "small.pth")
    again = regnetc(
        "run", "small.py", "--eval", "--data", "images", "--weights", "small.pth", "--json"
    )
    assert again.json["accuracy"]["loss"] == pytest.approx(accuracy["loss"])


def test_damaged_images_stop_it_or_are_counted(here: Path) -> None:
    path = here / "images/bee/0.jpg"
    path.write_bytes(path.read_bytes()[:200])
    ran = evaluate()
    assert ran.code == 1
    assert "error[bad-image]" in ran.err
    assert "images/bee/0.jpg" in ran.err
    skipped = evaluate("--skip-bad", "--json")
    assert skipped.json["accuracy"]["images"] == 11
    assert skipped.json["accuracy"]["unreadable"] == ["images/bee/0.jpg"]
    assert "left out: 1" in evaluate("--skip-bad").out


def test_wrong_weights_are_listed(here: Path) -> None:
    state = network(here).state_dict()
    state.pop("stem.bn.bias")
    state["extra.weight"] = torch.zeros(3)
    state["s1.b1.f.b.weight"] = torch.zeros(8, 8, 5, 5)
    save_file(state, here / "small.safetensors")
    ran = evaluate()
    assert ran.code == 1
    for part in (
        "error[wrong-weights]",
        "1 missing: stem.bn.bias",
        "1 unexpected: extra.weight",
        "s1.b1.f.b.weight",
        "5 x 5",
    ):
        assert part in ran.err, ran.err


def test_weights_of_another_number_of_classes_are_said_to_be(here: Path) -> None:
    save_file(
        build(load((here / "small.py").read_bytes(), "small.py"), classes=7).state_dict(),
        here / "small.safetensors",
    )
    ran = evaluate()
    assert "error[class-count]" in ran.err
    assert "7" in ran.err
    assert "3" in ran.err


def test_weights_that_run_code_are_refused(here: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("touch CANARY",)

    torch.save({"state_dict": Evil()}, here / "evil.pth")
    ran = regnetc("run", "small.py", "--eval", "--data", "images", "--weights", "evil.pth")
    assert ran.code == 1
    assert "error[unsafe-weights]" in ran.err
    assert not (here / "CANARY").exists()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("no folder", "unknown-data"), ("empty", "unknown-data"), ("no images", "no-images"), ("unsorted", "unsorted-images"),
        ("more classes", "class-count"),
    ],
)  # fmt: skip
def test_folders_that_do_not_fit(change: str, name: str, here: Path) -> None:
    images = here / "images"
    if change in ("no folder", "empty", "unsorted"):
        shutil.rmtree(images)
    if change == "empty":
        images.mkdir()
    if change == "unsorted":
        images.mkdir()
        Image.new("RGB", (40, 40)).save(images / "ILSVRC2012_val_00000001.png")
    if change == "no images":
        for path in images.rglob("*.*"):
            path.unlink()
    if change == "more classes":
        shutil.copytree(images / "ant", images / "dog")
    ran = evaluate()
    assert ran.code == 1
    assert f"error[{name}]" in ran.err, ran.err


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--eval", "--device", "cuda"], "no-cuda"),
        (["--eval", "--weights", "small.safetensors"], "usage"),
        (["--eval", "--data", "digits"], "usage"),
        (["--train"], "usage"),
        (["--train", "--data", "images"], "usage"),
        (
            ["--train", "--data", "images", "--recipe", "paper10", "--set", "batch=64"],
            "indivisible",
        ),
        (["--train", "--data", "digits"], "class-count"),
        (["--eval", "--data", "digits", "--weights", "small.safetensors"], "class-count"),
        (["--eval", "--data", "images", "--weights", "missing.pth"], "no-such-file"),
        (
            ["--eval", "--data", "images", "--weights", "small.safetensors", "--mean", "a,b"],
            "wrong-use",
        ),
        (
            ["--eval", "--data", "images", "--weights", "small.safetensors", "--mean", "1"],
            "bad-preprocess",
        ),
        (
            [
                "--eval",
                "--data",
                "images",
                "--weights",
                "small.safetensors",
                "--crop",
                "64",
                "--resize",
                "32",
            ],
            "bad-preprocess",
        ),
    ],
)
def test_wrong_use_of_run(arguments: list[str], name: str, here: Path) -> None:
    if name == "no-cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    ran = regnetc("run", "small.py", *arguments)
    assert ran.code in (1, 2)
    assert f"error[{name}]" in ran.err, ran.err
    assert ran.out == ""


@pytest.mark.parametrize("file", ["missing.py", ".", "images/ant/0.jpg", "missing.regnet"])
def test_files_that_are_no_networks(file: str, here: Path) -> None:
    ran = regnetc("run", file, "--eval")
    assert ran.code in (1, 2)
    assert ran.err.startswith("error[")


def test_predict_wants_images_and_names_that_can_be_read(here: Path) -> None:
    good = ["predict", "small.py", "images/ant/0.jpg", "--weights", "small.safetensors"]
    assert regnetc(*good).code == 0
    assert (
        "error[no-such-file]"
        in regnetc("predict", "small.py", "missing.png", "--weights", "small.safetensors").err
    )
    several = ["missing.png", "images/ant/0.jpg", "small.py"]
    ran = regnetc("predict", "small.py", *several, "--weights", "small.safetensors")
    assert (ran.code, ran.err.count("error[")) == (1, 2)
    assert "images/ant/0.jpg\n" in ran.out
    ran = regnetc("predict", "small.py", *several, "--weights", "small.safetensors", "--json")
    assert [one["problem"] is None for one in ran.json] == [False, True, False]
    (here / "names.txt").write_bytes(b"\xff\xfe")
    assert "error[encoding]" in regnetc(*good, "--class-names", "names.txt").err
    assert "error[unreadable]" in regnetc(*good, "--class-names", "missing.txt").err


def test_the_python_face(here: Path) -> None:
    import regnetc as package

    net = package.load("small.py", seed=3)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    (module,) = package.compile_file("small.regnet")
    assert module.text == (here / "small.py").read_text()
    (here / "bad.regnet").write_text("model M {\n}\nmodel N extends X\n")
    with pytest.raises(
        package.SpecError, match=r"bad.regnet:1:7: error\[left-open\].*more"
    ) as refused:
        package.compile_file("bad.regnet")
    assert len(refused.value.problems) > 3
    with pytest.raises(package.UnreadableError):
        package.check_file("missing.regnet")


def test_the_last_unfinished_run_goes_on(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained / "elsewhere"
    folder.mkdir()
    shutil.copy(trained / "digits.py", folder)
    monkeypatch.chdir(folder)
    train = ("run", "digits.py", "--train", "--data", "digits", "--set", "epochs=2", "--json")
    first = regnetc(*train, "--resume", "--keep", "3", "--save-every", "0.001")
    assert first.code == 0, first.err
    (run,) = first.json["runs"]
    assert run["folder"] == "runs/digits-1"
    states = sorted((folder / "runs/digits-1/checkpoints").iterdir())
    assert len(states) == 3
    # As if it had been killed within the second epoch: the states before its end are left.
    states[-1].unlink()
    manifest = folder / "runs/digits-1/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"state": "running"}))
    again = regnetc(*train, "--resume")
    assert again.code == 0, again.err
    assert again.json["runs"][0]["weights"] == run["weights"]
    assert again.json["runs"][0]["folder"] == "runs/digits-1"
    log = [
        json.loads(line) for line in (folder / "runs/digits-1/log.jsonl").read_text().splitlines()
    ]
    assert [e["epoch"] for e in log if e["event"] == "epoch"] == [1, 2]
    assert regnetc(*train, "--resume").json["runs"][0]["folder"] == "runs/digits-2"


def test_tensorboard_reads_what_was_logged(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    ran = regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--set", "epochs=2", "--tensorboard",
        "--channels-last", "-o", trained / "events-run",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(trained / "events-run/events")).Reload()
    log = [json.loads(line) for line in (trained / "events-run/log.jsonl").read_text().splitlines()]
    epochs = [e for e in log if e["event"] == "epoch"]
    seen = found.Scalars("epoch/validation_top1")
    assert [s.step for s in seen] == [e["step"] for e in epochs]
    assert [s.value for s in seen] == pytest.approx([e["validation_top1"] for e in epochs])


@pytest.mark.slow
def test_common_corruptions_are_an_option(here: Path) -> None:
    ran = evaluate("--corruptions", "--json", "--workers", "0")
    assert ran.code == 0, ran.err
    robust = ran.json["accuracy"]["corruptions"]
    assert len(robust["top1"]) == 12
    assert all(len(row) == 5 for row in robust["top1"].values())
    assert "mean corruption error" in evaluate("--corruptions").out


def test_training_begins_with_weights_and_notes_it(trained: Path) -> None:
    train = ("run", trained / "digits.py", "--train", "--data", "digits", "--set", "epochs=1")
    weights = trained / "run/weights.safetensors"
    ran = regnetc(*train, "--weights", weights, "-o", trained / "tuned", "--json")
    assert ran.code == 0, ran.err
    fresh = regnetc(*train, "-o", trained / "fresh", "--json")
    assert ran.json["runs"][0]["loss"] < fresh.json["runs"][0]["loss"]
    manifest = json.loads((trained / "tuned/manifest.json").read_text())
    assert manifest["weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "error[cannot-rerun]" in regnetc("rerun", trained / "tuned").err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, within torch.compile
def test_a_compiled_network_trains(trained: Path) -> None:
    ran = regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--set", "epochs=1",
        "--compile", "--deterministic", "-o", trained / "compiled", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    first = json.loads((trained / "run/log.jsonl").read_text().split("\n")[0])
    assert ran.json["runs"][0]["loss"] == pytest.approx(first["loss"], rel=0.2)


# Options that nobody would listen to, and data that are not those that were meant.


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (["--train", "--data", "digits", "--batch", "32"], "--set batch=32"),
        (["--train", "--data", "digits", "--crop", "28"], "--set test_crop"),
        (["--train", "--data", "digits", "--corruptions"], "--eval --corruptions"),
        (["--eval", "--set", "epochs=2"], "--set goes with --train"),
        (["--eval", "--resume"], "--resume goes with --train"),
    ],
)
def test_an_option_that_does_nothing_is_refused(said: list[str], remedy: str, root: Path) -> None:
    ran = regnetc("run", root / "generated/digits.py", *said)
    assert ran.code == 2
    assert remedy in ran.err


def test_a_training_begins_where_a_run_ended(trained: Path, tmp_path: Path) -> None:
    ran = regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--set", "epochs=2",
        "--weights", trained / "run", "-o", tmp_path / "more", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    first = json.loads((trained / "run/metrics.json").read_text())
    assert ran.json["runs"][0]["loss"] < first["loss"]
    manifest = json.loads((tmp_path / "more/manifest.json").read_text())
    assert manifest["weights"] == first["weights"]["sha256"]


def test_the_data_that_are_named_count(trained: Path, tmp_path: Path) -> None:
    """The recipe's `data` is what it is for; other data are taken, and that is said."""
    ran = regnetc(
        "run", trained / "digits.py", "--train", "--data", "digits", "--set", "data=cifar10",
        "--set", "epochs=2", "--parallel", "fsdp", "-o", tmp_path / "run",
    )  # fmt: skip
    assert ran.code == 0
    assert "warning: the recipe is for cifar10, and --data names other images" in ran.err
    assert "--parallel fsdp does nothing in one process" in ran.err


def test_a_run_keeps_what_was_found_on_its_own_data(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    ran = regnetc(
        "run", trained / "digits.py", "--eval", "--data", "synthetic:100", "--weights", run,
        "-o", tmp_path / "report", "--json",
    )  # fmt: skip
    assert ran.code == 0
    assert ran.json["accuracy"]["images"] > 0
    assert "nothing is written into" in ran.err
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before
    assert (tmp_path / "report/report.json").is_file()


def test_a_report_replaces_nothing_of_another_run(trained: Path, tmp_path: Path) -> None:
    other, foreign = tmp_path / "other", tmp_path / "foreign"
    shutil.copytree(trained / "run", other)
    foreign.mkdir()
    (foreign / "mine.txt").write_text("x")
    before = {p.name: p.read_bytes() for p in other.iterdir() if p.is_file()}
    evaluate: list[str | Path] = [
        "run",
        trained / "digits.py",
        "--eval",
        "--data",
        "digits",
        "--weights",
        trained / "run",
    ]
    assert "error[run-exists]" in regnetc(*evaluate, "-o", other).err
    assert "error[foreign-folder]" in regnetc(*evaluate, "-o", foreign).err
    assert {p.name: p.read_bytes() for p in other.iterdir() if p.is_file()} == before
    assert regnetc("run", trained / "digits.py", "--eval", "-o", tmp_path / "new").code == 2
    for _ in range(2):  # a report may be made anew
        assert regnetc(*evaluate, "-o", tmp_path / "report").code == 0
    metrics = json.loads((other / "metrics.json").read_text())
    metrics["weights"]["sha256"] = "0" * 64
    (other / "metrics.json").write_text(json.dumps(metrics))
    assert "error[foreign-predictions]" in regnetc("compare", other, trained / "run").err


def test_what_is_said_of_the_test_part_is_so(trained: Path, tmp_path: Path) -> None:
    train: list[str | Path] = [
        "run",
        trained / "digits.py",
        "--train",
        "--data",
        "digits",
        "--set",
        "epochs=1",
    ]
    said = "not looked at the test part yet"
    run = tmp_path / "my run"
    first = regnetc(*train, "-o", run)
    assert said in first.out
    assert f"--weights '{run}'" in first.out.replace("\n", "")
    again = regnetc(*train, "--eval", "--resume", "-o", run)
    assert "--eval looks at no run that has ended" in again.err
    assert (
        regnetc("run", trained / "digits.py", "--eval", "--data", "digits", "--weights", run).code
        == 0
    )
    assert said not in regnetc(*train, "--resume", "-o", run).out


def test_a_repeated_run_is_the_same_wherever_its_data_are_named_from(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val"):
        shutil.copytree("images", f"sorted/{part}")
    ran = regnetc("run", "small.py", "--train", "--data", "sorted", "--recipe", "smoke", "--set", "epochs=1", "--set", "batch=4", "-o", "run")  # fmt: skip
    assert ran.code == 0, ran.err
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    ran = regnetc("rerun", "../run")
    assert (ran.code, "equal, bit for bit" in ran.out) == (0, True), ran
    again = regnetc("run", "../small.py", "--train", "--resume", "-o", "../run")
    assert "has come to its end before" in again.err


def test_the_last_unfinished_run_is_found_whatever_it_is_called(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "run", "runs/mine")
    manifest = json.loads(Path("runs/mine/manifest.json").read_text())
    Path("runs/mine/manifest.json").write_text(json.dumps(manifest | {"state": "stopped"}))
    ran = regnetc("run", trained / "digits.py", "--train", "--resume", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["runs"][0]["folder"] == "runs/mine"
