"""Recipes as JSON, from anybody."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.recipe import Call, Recipe

RECIPE = Recipe(
    name="x", data="digits", epochs=10, batch=64, optimizer=Call("sgd", {"lr": 0.1, "momentum": 0.9}),
    schedule=Call("step", {"at": (3.0, 6.0), "factor": 0.1}), crop=(16, 24, 32), scale=(0.1, 1.0),
    ema=Call("average", {"decay": 0.9, "every": 1}),
)  # fmt: skip


def test_json_there_and_back() -> None:
    again = Recipe.from_json(json.loads(json.dumps(RECIPE.to_json())))
    assert again == RECIPE
    assert again.digest == RECIPE.digest


def test_the_digest_knows_every_field_but_the_name() -> None:
    other: dict[str, Any] = {
        "data": "cifar10", "epochs": 11, "batch": 32, "norm_batch": 16, "validation": 0.2, "split_seed": 1, "repeats": 2,
        "optimizer": Call("sgd", {"lr": 0.2, "momentum": 0.9}), "schedule": Call("constant", {}),
        "batch_rule": Call("linear", {"per": 32}), "crop": (16,), "test_resize": 40, "test_crop": 32, "scale": None,
        "ratio": (0.5, 2.0), "pad": 1, "flip": 0.5, "augment": Call("trivialaugment", {"bins": 31}),
        "jitter": (0.1, 0.0, 0.0), "lighting": 0.1, "shift": 1.0, "turn": 1.0, "zoom": 0.1, "erase": 0.1,
        "label_smoothing": 0.1, "mixup": 0.1, "cutmix": 0.1, "mix": 0.5, "ema": None, "clip": 1.0, "drop_path": 0.1,
        "precise_bn": 64,
    }  # fmt: skip
    assert set(other) == {f.name for f in fields(Recipe)} - {"name"}
    digests = [replace(RECIPE, **{k: v}).digest for k, v in other.items()]
    assert len({RECIPE.digest, *digests}) == len(other) + 1
    assert replace(RECIPE, name="y").digest == RECIPE.digest


def test_progressive_crops_are_equal_parts() -> None:
    assert [RECIPE.crop_of(e, 99) for e in range(10)] == [16] * 4 + [24] * 3 + [32] * 3
    assert replace(RECIPE, crop=None).crop_of(5, 99) == 99


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"batch": 1}, {"norm_batch": 5}, {"norm_batch": 128}, {"flip": 1.5}, {"drop_path": 1.0}],
)  # fmt: skip
def test_numbers_out_of_bounds(change: dict[str, Any]) -> None:
    with pytest.raises(Problem) as e:
        replace(RECIPE, **change)
    assert e.value.name == "bad-recipe"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from([f.name for f in fields(Recipe)]), JUNK)
def test_junk_in_a_field_is_a_problem_or_a_recipe(name: str, junk: Any) -> None:
    try:
        found: object = Recipe.from_json(RECIPE.to_json() | {name: junk})
    except Problem as e:
        found = e.name
    assert found == "bad-recipe" or isinstance(found, Recipe)


@given(JUNK)
def test_junk_for_a_recipe_is_a_problem(junk: Any) -> None:
    with pytest.raises(Problem):
        Recipe.from_json(junk)
