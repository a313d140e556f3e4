"""`regnetc compare`: runs and files of predictions, image by image."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from regnetc_runtime.evaluation import predictions
from regnetc_runtime.evaluation.mcnemar import exact_p, mid_p
from regnetc_runtime.evaluation.predictions import FILES
from scipy.stats import binomtest
from test_cli import regnetc
from test_runs import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "good", lr=0.02, seed=0)
    train(folder / "twin", lr=0.02, seed=1)
    train(folder / "bad", lr=0.0005, seed=0)
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def top1(folder: Path) -> float:
    found: float = json.loads((folder / "metrics.json").read_text())["test"]["top1"]
    return found


def test_a_difference_that_is_none_of_chance(here: Path) -> None:
    ran = regnetc("compare", "good", "bad")
    assert (ran.code, ran.err) == (0, "")
    points = top1(here / "good") - top1(here / "bad")
    assert f"a is better by {points:.2f} points, more than chance" in ran.out
    assert "359 images (digits, test)" in ran.out
    assert [line.split() for line in ran.out.splitlines()[-1:]] == [["recipe", "optimizer.lr", "0.02", "0.0005"]]  # fmt: skip
    turned = regnetc("compare", "bad", "good").out
    assert f"b is better by {points:.2f} points" in turned


def test_a_difference_that_may_be_chance(here: Path) -> None:
    ran = regnetc("compare", "good", "twin")
    assert ran.code == 0
    assert "which may be chance" in ran.out or "neither is better" in ran.out
    assert [line.split() for line in ran.out.splitlines()[-1:]] == [["seed", "0", "1"]]


def test_all_of_it_as_json(here: Path) -> None:
    found = regnetc("compare", "good", "bad", "--json").json
    one, two = (predictions.read(here / name / FILES["test"]) for name in ("good", "bad"))
    right = list(zip(one.scores.right.tolist(), two.scores.right.tolist(), strict=True))
    counts = {k: right.count(v) for k, v in {"both": (True, True), "only_a": (True, False), "only_b": (False, True), "neither": (False, False)}.items()}  # fmt: skip
    assert {k: found[k] for k in counts} == counts
    assert found["images"] == 359
    only = [n for n, v in zip(one.names, right, strict=True) if v == (True, False)]
    assert found["images_only_a"] == only
    assert len(found["images_only_b"]) == counts["only_b"]
    assert found["p"] == exact_p(counts["only_a"], counts["only_b"])
    assert found["p"] == pytest.approx(
        binomtest(counts["only_a"], counts["only_a"] + counts["only_b"]).pvalue
    )
    assert found["mid_p"] == mid_p(counts["only_a"], counts["only_b"])
    assert found["a"]["top1"] == pytest.approx(top1(here / "good"))
    low, high = found["interval"]
    assert low < found["difference"] < high
    assert found["difference"] == pytest.approx(found["a"]["top1"] - found["b"]["top1"])
    assert found["differences"] == [{"what": "recipe optimizer.lr", "a": "0.02", "b": "0.0005"}]


def test_files_and_runs_go_together(here: Path) -> None:
    file = Path("good", FILES["test"])
    both = regnetc("compare", file, "bad", "--json").json
    assert both["only_a"] == regnetc("compare", "good", "bad", "--json").json["only_a"]
    same = regnetc("compare", file, file)
    assert "neither is better" in same.out
    assert "p = 1.000" in same.out
    assert "what differs" not in same.out


def test_the_part_that_both_have(here: Path) -> None:
    shutil.copy(here / "good" / FILES["test"], here / "good" / FILES["validation"])
    assert "error[no-predictions]" in regnetc("compare", "good", "bad", "--part", "validation").err
    (here / "bad" / FILES["test"]).rename(here / "bad" / FILES["validation"])
    assert regnetc("compare", "good", "bad").code == 0
    assert regnetc("compare", "good", "bad", "--part", "test").code == 1
    (here / "bad" / FILES["validation"]).unlink()
    err = regnetc("compare", "good", "bad").err
    assert "good, bad hold no predictions of the same part" in err


def test_other_images_are_refused(here: Path) -> None:
    path = here / "bad" / FILES["test"]
    made = predictions.read(path)
    about = replace(made.about, data_digest="9" * 64)
    predictions.save(path, replace(made, names=("other", *made.names[1:]), about=about))
    ran = regnetc("compare", "good", "bad")
    assert ran.code == 1
    first = predictions.read(here / "good" / FILES["test"]).names[0]
    assert f"error[other-images]: the predictions are not of the same images: {first} here is other there" in ran.err  # fmt: skip


def test_other_data_of_the_same_names_are_said(here: Path) -> None:
    path = here / "bad" / FILES["test"]
    made = predictions.read(path)
    predictions.save(path, replace(made, about=replace(made.about, data_digest="9" * 64)))
    ran = regnetc("compare", "good", path)
    assert ran.code == 0
    assert "warning: the images have the same names and labels" in ran.err


def test_names_cannot_speak_to_the_terminal(here: Path) -> None:
    for name in ("good", "bad"):
        path = here / name / FILES["test"]
        made = predictions.read(path)
        about = replace(made.about, data="\x1b[2J[red]", network="\r")
        names = tuple(f"\x1b[31m\u202e{n}" for n in made.names)
        predictions.save(path, replace(made, names=names, about=about))
    for options in ([], ["--json"]):
        ran = regnetc("compare", "good", "bad", *options)
        assert ran.code == 0
        assert not {"\x1b", "\r", "\u202e"} & set(ran.out)


def test_what_cannot_be_compared(here: Path) -> None:
    (here / "empty").mkdir()
    assert "error[no-run]" in regnetc("compare", "good", "empty").err
    assert "error[no-such-file]" in regnetc("compare", "good", "nothing").err
    (here / "junk").write_bytes(b"junk")
    assert "error[bad-predictions]" in regnetc("compare", "good", "junk").err
    (here / "good" / FILES["test"]).write_bytes(b"junk")
    assert "error[bad-predictions]" in regnetc("compare", "good", "bad").err
