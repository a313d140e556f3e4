"""The recipes in spec/ against their sources, and what the command line says of recipes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from regnetc.recipes import find
from regnetc.recipes.describe import differences, rows
from regnetc.recipes.fields import FIELDS
from regnetc.recipes.finding import shipped
from regnetc_runtime.training.recipe import Recipe
from regnetc_runtime.training.schedule import learning_rate
from test_cli import regnetc

SHIPPED = ["paper10", "paper100", "mmpretrain100", "torchvision_new", "digits", "cifar", "smoke"]
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


@pytest.mark.parametrize("name", SHIPPED)
def test_the_runtime_reads_a_shipped_recipe_and_finds_the_same_digest(name: str) -> None:
    found = find(name)
    theirs = Recipe.from_json(json.loads(json.dumps(found.json)))
    assert theirs.digest == found.digest
    assert json.loads(json.dumps(theirs.to_json())) == found.json
    assert theirs.name == found.name == name
    assert set(found.json) == {"name", *FIELDS}
    assert found.origin is not None
    assert found.origin.file == "recipes.regnet"
    assert found.overrides == ()


def test_there_are_no_other_shipped_recipes() -> None:
    assert shipped() == SHIPPED


# The shipped ones.

MM = "configs/regnet/regnetx-400mf_8xb128_in1k.py"
DATASET = "configs/_base_/datasets/imagenet_bs32.py"
SCHEDULE = "configs/_base_/schedules/imagenet_bs1024_coslr.py"
TRANSFORMS = "mmpretrain/datasets/transforms/processing.py"
MMENGINE = "mmengine/optim/scheduler/param_scheduler.py"
# What mmpretrain 1.2.0 says, and where: every field of the recipe stands here once.
MMPRETRAIN: dict[str, tuple[Any, str]] = {
    "data": ("imagenet", DATASET),
    "epochs": (100, SCHEDULE),
    "batch": (8 * 128, MM),
    "optimizer": (
        {"name": "sgd", "arguments": {"lr": 0.8, "momentum": 0.9, "nesterov": 1, "decay": 5e-5, "norm_decay": 5e-5, "bias_decay": 5e-5}},
        f"{SCHEDULE}, {MM}; no paramwise_cfg",
    ),
    "schedule": (
        {"name": "cosine", "arguments": {"warmup": 4.0, "start": 0.1, "floor": 0.0, "begins": "warmup", "by": "epoch"}},
        f"{SCHEDULE}; LinearLR(end = 5) has its full rate after end - 1 epochs: {MMENGINE}",
    ),
    "norm_batch": (128, f"{MM}: images of one GPU, no SyncBN"),
    "batch_rule": ({"name": "linear", "arguments": {"per": 1024}}, f"{SCHEDULE}: auto_scale_lr"),
    "validation": (0.0, f"{DATASET}: trains on all of train, tests on val"),
    "split_seed": (0, "nothing is kept back"),
    "repeats": (1, f"{DATASET}: DefaultSampler"),
    "crop": ([224], MM),
    "test_resize": (256, DATASET),
    "test_crop": (224, DATASET),
    "scale": ([0.08, 1.0], f"{TRANSFORMS}: RandomResizedCrop.crop_ratio_range"),
    "ratio": ([3 / 4, 4 / 3], f"{TRANSFORMS}: RandomResizedCrop.aspect_ratio_range"),
    "pad": (0, MM),
    "flip": (0.5, MM),
    "augment": (None, MM),
    "jitter": ([0.0, 0.0, 0.0], MM),
    "lighting": (25.5 / 255, f"{MM}: alphastd of values to 255"),
    "shift": (0.0, MM),
    "turn": (0.0, MM),
    "zoom": (0.0, MM),
    "erase": (0.0, MM),
    "label_smoothing": (0.0, "configs/_base_/models/regnet/regnetx_400mf.py: CrossEntropyLoss"),
    "mixup": (0.0, "configs/_base_/models/regnet/regnetx_400mf.py: no train_cfg"),
    "cutmix": (0.0, "configs/_base_/models/regnet/regnetx_400mf.py: no train_cfg"),
    "mix": (1.0, "nothing is mixed"),
    "ema": (None, f"{MM}: no EMAHook"),
    "clip": (0.0, f"{SCHEDULE}: no clip_grad"),
    "drop_path": (0.0, "configs/_base_/models/regnet/regnetx_400mf.py"),
    "precise_bn": (8192, f"{MM}: PreciseBNHook"),
}  # fmt: skip


def test_mmpretrain100_is_its_source_field_by_field() -> None:
    data = find("mmpretrain100").json
    assert set(MMPRETRAIN) == set(FIELDS)
    for name, (value, source) in MMPRETRAIN.items():
        assert data[name] == value, (name, source)


def test_mmpretrain100_has_the_rates_of_its_source() -> None:
    """LinearLR with end - begin - 1 steps to the full rate, then CosineAnnealingLR of 95 epochs."""
    said = Recipe.from_json(find("mmpretrain100").json)
    for epoch in range(100):
        wanted = (
            0.1 + 0.9 * epoch / 4 if epoch < 5 else (1 + math.cos(math.pi * (epoch - 5) / 95)) / 2
        )
        rate = learning_rate(epoch * 1251 + 600, 1251, said) / 0.8
        assert rate == pytest.approx(wanted, abs=1e-12 if epoch <= 4 else 0.01), epoch


def test_paper100_has_the_rates_of_pycls() -> None:
    """Half a cosine over all epochs, times a warm-up from a tenth; set once an epoch."""
    said = Recipe.from_json(find("paper100").json)
    assert (said.lr, said.chunk, said.chunks) == (0.8, 128, 8)
    for epoch in range(100):
        wanted = 0.8 * (1 + math.cos(math.pi * epoch / 100)) / 2
        wanted *= 0.1 + 0.9 * epoch / 5 if epoch < 5 else 1
        assert learning_rate(epoch * 1251 + 77, 1251, said) == pytest.approx(wanted, rel=1e-12)
    assert Recipe.from_json(find("paper100", ["batch=512"]).json).lr == 0.4


def test_torchvision_new_has_the_numbers_of_its_source() -> None:
    said = Recipe.from_json(find("torchvision_new").json)
    assert said.ema is not None
    assert said.ema.number("decay") == pytest.approx(1 - (1 - 0.99998) * 1024 * 32 / 600, rel=1e-12)
    for epoch in (0, 1, 4, 5, 6, 300, 599):
        wanted = 0.01 + 0.99 * epoch / 5
        if epoch >= 5:
            wanted = (1 + math.cos(math.pi * (epoch - 5) / 595)) / 2
        assert learning_rate(epoch * 1251, 1251, said) == pytest.approx(0.5 * wanted, rel=1e-12)


def test_ten_epochs_of_the_regime_are_those_of_the_paper(root: Path) -> None:
    ten = find(str(root / "spec/x400mf_space.regnet"))
    assert ten.name == "ten_epochs"
    assert ten.digest == find("paper10").digest


# The command line.


def test_show_prints_every_value_with_its_meaning(root: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(root)
    ran = regnetc("show", "paper100")
    assert ran.code == 0
    assert ran.out.startswith("recipe paper100\n  from recipes.regnet, digest ")
    for row in rows(find("paper100").json):
        assert row.value in ran.out
        assert row.meaning in ran.out
    assert regnetc("show", "spec/recipes.regnet:paper100") == ran


def test_show_json_is_what_the_runtime_reads() -> None:
    ran = regnetc("show", "smoke", "--json")
    assert Recipe.from_json(ran.json).digest == find("smoke").digest
    assert json.loads(regnetc("show", "--after", "ir", "smoke").out) == ran.json
    changed = regnetc("show", "smoke", "--json", "--set", "epochs=3", "--set", "optimizer.lr=0.07")
    assert {k for k, v in changed.json.items() if v != ran.json[k]} == {"epochs", "optimizer"}
    assert "error[unknown" in regnetc("show", "smoke", "--set", "epoch=3").err
    assert "error[no-recipe]" in regnetc("show", "x400mf", "--set", "epochs=3").err
    assert regnetc("show", "--after", "parse", "smoke").json["kind"] == "recipe"
    assert "default epochs = 1" in regnetc("show", "--after", "scope", "smoke").out


def test_show_takes_the_only_recipe_and_prefers_networks(spec: Path) -> None:
    spec.write_text(BASE)
    assert regnetc("show", "spec.regnet").out.startswith("recipe base")
    assert "error[no-network]" in regnetc("show", "--image", "96", "spec.regnet").err
    spec.write_text('use "families.regnet"\nspace S extends RegNetX\n' + BASE)
    assert regnetc("show", "spec.regnet").out.startswith("space S")
    assert regnetc("show", "spec.regnet:base").out.startswith("recipe base")


def test_diff_lists_what_two_recipes_do_not_share(spec: Path) -> None:
    ran = regnetc("diff", "--json", "paper100", "mmpretrain100")
    assert ran.code == 1
    found = {row["what"]: (row["a"], row["b"]) for row in ran.json["differences"]}
    assert found == {
        "optimizer.lr": ("0.1", "0.8"),
        "schedule.warmup": ("5", "4"),
        "schedule.begins": ("start", "warmup"),
        "batch_rule.per": ("128", "1024"),
        "precise_bn": ("0", "8192"),
    }
    assert regnetc("diff", "paper10", "paper10").out == "paper10 and paper10 are the same\n"
    a, b = find("smoke").json, find("smoke", ["optimizer=adamw(lr=1)", "flip=1/3"]).json
    assert ("flip", "0", str(1 / 3)) in differences(a, b)
    assert ("optimizer.beta1", None, "0.9") in differences(a, b)
    spec.write_text('use "families.regnet"\nspace S extends RegNetX\n')
    ran = regnetc("diff", "paper10", "spec.regnet")
    assert "a recipe and a space cannot be compared" in ran.err


def test_other_verbs_say_what_a_recipe_is_not_for(spec: Path) -> None:
    spec.write_text(BASE)
    ran = regnetc("compile", "spec.regnet")
    assert ran.code == 1
    assert "error[no-model]" in ran.err
    assert "the recipe says how to train, `regnetc show` prints one: `base`" in ran.err
    assert not (spec.parent / "generated").exists()
    assert "error[no-derivation]" in regnetc("explain", "spec.regnet").err
    assert "error[no-space]" in regnetc("space", "spec.regnet").err
    assert regnetc("check", "spec.regnet").out == "1 spec checked: no problems\n"
    assert regnetc("fmt", "--check", "spec.regnet").code == 0
