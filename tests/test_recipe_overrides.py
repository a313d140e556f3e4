"""`--set`, and the names by which a recipe is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from regnetc.diagnostics import SpecError
from regnetc.program import UnreadableError
from regnetc.recipes import find
from regnetc.render import as_text
from regnetc_runtime.training.recipe import Recipe

BASE = """\
recipe base {
  data      = imagenet
  epochs    = 10
  batch     = 128
  optimizer = sgd(lr = 0.1)
  schedule  = cosine
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to write recipes into, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.regnet"


def refused(name: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        find(name, overrides)
    return as_text(caught.value.problems)


def test_overrides_replace_lines_and_arguments() -> None:
    texts = ("epochs=2", "optimizer.lr = 0.2", "schedule.warmup=0", "norm_batch=none")
    found = find("paper100", texts)
    before = find("paper100").json
    assert found.overrides == texts
    assert (found.json["epochs"], found.json["norm_batch"]) == (2, None)
    assert found.json["optimizer"]["arguments"] == before["optimizer"]["arguments"] | {"lr": 0.2}
    assert found.json["schedule"]["arguments"] == before["schedule"]["arguments"] | {"warmup": 0.0}
    assert Recipe.from_json(found.json).digest == found.digest != find("paper100").digest


def test_lines_are_replaced_before_arguments_in_any_order() -> None:
    texts = ["optimizer.beta1=0.8", "optimizer=adamw(lr=0.001)"]
    found, again = find("paper100", texts), find("paper100", texts[::-1])
    assert found.json == again.json
    assert found.json["optimizer"]["arguments"]["beta1"] == 0.8


def test_an_argument_that_follows_another_follows_its_override() -> None:
    found = find("paper100", ["optimizer.decay=1e-4"]).json["optimizer"]["arguments"]
    assert found["decay"] == found["norm_decay"] == found["bias_decay"] == 1e-4


def test_a_word_alone_takes_arguments() -> None:
    assert find("smoke", ["schedule.warmup=1/2"]).json["schedule"]["arguments"]["warmup"] == 0.5


@pytest.mark.parametrize(
    ("text", "name", "place", "caret"),
    [
        ("epochs=2.5", "not-an-integer", "1:8", "^^^"), ("  batch = 100", "indivisible", "1:11", "^^^"), ("foo=1", "unknown-field", "1:1", "^^^"),
        ("optimizer.lr=0", "out-of-range", "1:14", "^"), ("optimizer.mom=0", "unknown-argument", "1:11", "^^^"), ("foo.lr=0", "unknown-field", "1:1", "^^^"),
        ("epochs", "override", "1:1", "^^^^^^"), ("", "override", "1:1", "^"), ("epochs=", "syntax", "1:8", "^"), ("epochs=2 batch=4", "syntax", "1:10", "^^^^^"),
        ("epochs=2\nbatch=128", "override", "1:1", "^^^^^^^^"), ("epochs=2}", "syntax", "1:10", "^"), ("epochs={", "syntax", "1:8", "^"),
        ("augment.n=3", "override", "1:1", "^^^^^^^"), ("epochs.n=3", "override", "1:1", "^^^^^^"), ("optimizer.lr, decay=3", "override", "1:15", "^^^^^"),
        ("optimizer.lr[1]=3", "index", "1:11", "^^^^^"), ("epochs[1]=3", "index", "1:1", "^^^^^^^^^"), ("default epochs=3", "override", "1:1", "^"),
        ("epochs=1}\nrecipe y {\nbatch=2", "override", "1:1", "^^^^^^^^^"), ('use "x.regnet"\n', "override", "1:1", "^"),
        ("ep\u043echs=2", "foreign-character", "1:3", "^"), ("epochs=\x1b[31m", "hidden-character", "1:8", "^"), ("epochs=\udcff", "encoding", "1:8", "^"),
        ("epochs=" + "(" * 100 + "1" + ")" * 100, "too-deep", "1:72", "^"), ("epochs=1" + "+1" * 600, "line-too-long", "1:1001", "^"),
        ("epochs=3 * 1e-30 * 1e30", "conflict", "1:8", "^^^^^^^^^^^^^^^^"), ("crop=9..10", "syntax", "1:7", "^^"), ("#", "override", "1:1", "^"),
    ],
)  # fmt: skip
def test_an_override_is_refused_in_place(text: str, name: str, place: str, caret: str) -> None:
    said = refused("paper100", text)
    assert said.startswith(f"error[{name}]")
    assert f"--> --set:{place}\n" in said
    marks = next(line for line in said.splitlines() if set(line.partition("|")[2]) & {"^"})
    assert caret in marks


def test_overrides_that_do_not_go_together_are_said() -> None:
    assert "error[fixed-twice]: `--set` gives `epochs` twice" in refused(
        "smoke", "epochs=2", "epochs=3"
    )
    assert "gives `optimizer.lr` twice" in refused("smoke", "optimizer.lr=2", "optimizer . lr=3")
    said = refused("paper100", "epochs=2")
    assert "a warm-up of 5 epochs does not end within 2" in said
    assert "note: because of" in said
    assert "recipes.regnet:" in said


def test_all_overrides_are_judged_at_once() -> None:
    assert refused("smoke", "epochs=0", "flip=2", "optimizer.lr=0").count("error[") == 3


def test_an_override_of_a_recipe_in_a_file(spec: Path) -> None:
    spec.write_text(BASE)
    assert find("spec.regnet", ["epochs=3"]).json["epochs"] == 3
    assert find("spec.regnet:base").origin == find("spec.regnet").origin
    assert find(str(spec)).name == "base"


# Names.


def test_names_that_name_no_recipe(spec: Path) -> None:
    assert "no recipe is called `papr10`" in refused("papr10")
    assert "did you mean `paper10`?" in refused("papr10")
    spec.write_text(BASE + "recipe other extends base\n")
    said = refused("spec.regnet")
    assert said.startswith("error[which-recipe]: 2 recipes are declared here")
    assert "`spec.regnet:base`, `spec.regnet:other`" in said
    assert "did you mean `base`?" in refused("spec.regnet:bse")
    spec.write_text('use "families.regnet"\n')
    assert "no recipe is declared here" in refused("spec.regnet")
    spec.write_text("recipe broken {\n  epochs = 0\n}\n")
    assert "error[out-of-range]" in refused("spec.regnet:broken")
    for name in ("missing.regnet", "missing.regnet:x", "./paper10", "x" * 5000 + ".regnet", "a\0b"):
        with pytest.raises(UnreadableError):
            find(name)


def test_a_file_comes_before_a_shipped_name(spec: Path) -> None:
    (spec.parent / "paper10").write_text(BASE)
    assert find("paper10").name == "base"
