"""Recipes: what their lines mean, the JSON that comes of them, and what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from regnetc.diagnostics import SpecError
from regnetc.driver import check_file
from regnetc.recipes import canonical, find
from regnetc.recipes.fields import FIELDS
from regnetc.recipes.forms import Calls, Entry, Number, Numbers, Words
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.recipe import Recipe
from regnetc_runtime.training.schedule import learning_rate

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


def recipe(path: Path, lines: str = "") -> dict[str, Any]:
    """What becomes of the base with some lines more."""
    path.write_text(BASE + f"recipe child extends base {{\n{lines}\n}}\n")
    return find(f"{path.name}:child").json


def names(path: Path, lines: str) -> list[str]:
    path.write_text(BASE.replace("}\n", f"{lines}\n}}\n"))
    return [p.name for p in check_file(path).problems]


# The table, the dataclass and the schema say the same.


def test_the_table_has_the_fields_of_the_dataclass_with_their_defaults() -> None:
    theirs = {f.name: f for f in fields(Recipe) if f.name != "name"}
    assert list(FIELDS) == list(theirs)
    for name, entry in FIELDS.items():
        default = theirs[name].default
        assert entry.required == (default is MISSING), name
        if default is not MISSING:
            assert (entry.default, type(entry.default)) == (default, type(default)), name


def test_the_words_of_data_are_those_of_the_dataclass() -> None:
    words = FIELDS["data"].form
    assert isinstance(words, Words)
    assert words.words == get_args(get_type_hints(Recipe)["data"])


BOUNDED = [n for n, e in FIELDS.items() if isinstance(e.form, Number)]


@pytest.mark.parametrize("name", [n for n in BOUNDED if n not in ("epochs", "batch")])
def test_a_number_goes_as_far_as_the_dataclass_lets_it(name: str, spec: Path) -> None:
    form = FIELDS[name].form
    assert isinstance(form, Number)
    data = find("smoke").json | {"batch": 65_536}
    number = int if form.whole else float
    step = Fraction(1) if form.whole else Fraction(1, 1000)
    for end, wrong in ((form.low, form.low - step), (form.high, form.high + step)):
        Recipe.from_json(data | {name: number(end)})
        with pytest.raises(Problem):
            Recipe.from_json(data | {name: number(wrong)})
        shown = f"0 - {-wrong}" if wrong < 0 else str(wrong)
        assert names(spec, f"{name} = {shown}") == ["out-of-range"]


@pytest.mark.parametrize("name", ["epochs", "batch"])
def test_a_required_number_does_so_too(name: str) -> None:
    form = FIELDS[name].form
    assert isinstance(form, Number)
    for end, wrong in ((form.low, form.low - 1), (form.high, form.high + 1)):
        assert Recipe.from_json(find("smoke", [f"{name}={end}"]).json).to_json()[name] == end
        with pytest.raises(SpecError):
            find("smoke", [f"{name}={wrong}"])
        with pytest.raises(Problem):
            Recipe.from_json(find("smoke").json | {name: int(wrong)})


def schema() -> dict[str, Any]:
    """The JSON schema that the table makes."""
    title = {
        "type": "string", "maxLength": 100,
        "pattern": "^[A-Za-z][A-Za-z0-9_]*([-.][A-Za-z0-9_]+)*$(?!\n)",
    }  # fmt: skip
    said = {e.name: of_entry(e) | {"description": e.meaning} for e in FIELDS.values()}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "regnetc recipe: how a network is trained, down to every number",
    }
    return head | of_object({"name": title, **said})


def of_object(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}  # fmt: skip


def of_entry(entry: Entry) -> dict[str, Any]:
    found = of_form(entry.form)
    return {"anyOf": [{"type": "null"}, found]} if entry.none else found


def of_form(form: Number | Numbers | Words | Calls) -> dict[str, Any]:
    match form:
        case Number():
            return {
                "type": "integer" if form.whole else "number",
                "exclusiveMinimum" if form.above else "minimum": float(form.low),
                "exclusiveMaximum" if form.below else "maximum": float(form.high),
            }
        case Numbers():
            items = of_form(form.each)
            return {"type": "array", "minItems": form.least, "maxItems": form.most, "items": items}
        case Words():
            return {"enum": list(form.words)}
        case Calls():
            calls = []
            for f in form.functions:
                arguments = of_object({a.name: of_entry(a) for a in f.arguments})
                calls.append(of_object({"name": {"const": f.name}, "arguments": arguments}))
            return {"oneOf": calls}


def test_the_schema_is_that_of_the_table(root: Path) -> None:
    path = root / "compiler/regnetc/recipes/recipe.schema.json"
    assert json.loads(path.read_text("utf-8")) == schema()


@pytest.mark.parametrize("path", [("epochs", 2.5), ("extra", 1), ("data", "mnist"), ("crop", [0])])
def test_the_schema_refuses_what_is_no_recipe(path: tuple[str, Any]) -> None:
    data = find("smoke").json
    canonical.validate(data)
    with pytest.raises(canonical.RecipeError):
        canonical.validate(data | dict([path]))
    with pytest.raises(canonical.RecipeError):
        canonical.validate({k: v for k, v in data.items() if k != "epochs"})


# The JSON, its digest, and the runtime that reads it.


def test_the_digest_leaves_out_the_name_and_nothing_else(spec: Path) -> None:
    spec.write_text(BASE + "recipe same extends base\nrecipe other extends base {\n  flip = 1\n}\n")
    base, same, other = (find(f"spec.regnet:{n}") for n in ("base", "same", "other"))
    assert base.digest == same.digest != other.digest
    assert base.json | {"name": "same"} == same.json


def test_numbers_are_integers_where_integers_are_meant(spec: Path) -> None:
    data = recipe(spec, "crop = [160.0, 4 * 48]\nflip = 1\nclip = 0\nema = average(decay = 0)")
    text = json.dumps(data)
    assert '"crop": [160, 192]' in text
    assert '"flip": 1.0' in text
    assert '"epochs": 10,' in text
    assert '"ema": {"name": "average", "arguments": {"decay": 0.0, "every": 1}}' in text


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("validation = 1%", "validation", 0.01), ("lighting = 1/8", "lighting", 0.125), ("clip = 5e-1K", "clip", 500.0),
        ("shift = 3 - 1", "shift", 2.0), ("turn = sqrt(81)", "turn", 9.0), ("crop = 96", "crop", [96]), ("crop = none", "crop", None),
        ("scale = [8%, 1]", "scale", [0.08, 1.0]), ("ratio = [3/4, 4/3]", "ratio", [3 / 4, 4 / 3]), ("mixup = 0.1 + 0.2", "mixup", 0.3),
        ("augment = trivialaugment", "augment", {"name": "trivialaugment", "arguments": {"bins": 31}}),
        ("batch_rule = sqrt(per = 256)", "batch_rule", {"name": "sqrt", "arguments": {"per": 256}}),
        ("augment = randaugment(m = 5)", "augment", {"name": "randaugment", "arguments": {"n": 2, "m": 5, "bins": 31}}),
    ],
)  # fmt: skip
def test_values(line: str, field: str, value: Any, spec: Path) -> None:
    assert recipe(spec, line)[field] == value


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("sgd(lr = 1)", {"lr": 1.0, "momentum": 0.9, "nesterov": 1, "decay": 0.0, "norm_decay": 0.0, "bias_decay": 0.0}),
        ("sgd(bias_decay = 0, decay = 0.1, lr = 1)", {"lr": 1.0, "momentum": 0.9, "nesterov": 1, "decay": 0.1, "norm_decay": 0.1, "bias_decay": 0.0}),
        ("adamw(lr = 1)", {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.0, "norm_decay": 0.0, "bias_decay": 0.0}),
        ("lamb(lr = 1, decay = 2%)", {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "decay": 0.02, "norm_decay": 0.02, "bias_decay": 0.02}),
    ],
)  # fmt: skip
def test_optimizers(call: str, arguments: dict[str, float]) -> None:
    found = find("smoke", [f"optimizer={call}"]).json["optimizer"]
    assert found == {"name": call.partition("(")[0], "arguments": arguments}
    assert list(found["arguments"]) == list(arguments)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("cosine", {"warmup": 0.0, "start": 0.0, "floor": 0.0, "begins": "warmup", "by": "step"}),
        ("linear(warmup = 1/2, by = epoch)", {"warmup": 0.5, "start": 0.0, "floor": 0.0, "begins": "warmup", "by": "epoch"}),
        ("step(at = [0.25, 1/2])", {"at": [0.25, 0.5], "factor": 0.1, "warmup": 0.0, "start": 0.0, "by": "step"}),
        ("exponential(factor = 0.9)", {"factor": 0.9, "every": 1.0, "warmup": 0.0, "start": 0.0, "by": "step"}),
        ("constant", {"warmup": 0.0, "start": 0.0, "by": "step"}),
    ],
)  # fmt: skip
def test_schedules(call: str, arguments: dict[str, Any]) -> None:
    found = find("smoke", [f"schedule={call}"])
    assert found.json["schedule"] == {"name": call.partition("(")[0], "arguments": arguments}
    assert 0 <= learning_rate(3, 7, Recipe.from_json(found.json)) <= 0.05


# What is wrong.


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("epoch = 3", "unknown-field"), ("flip = 1\nflip = 1/2", "fixed-twice"), ("flip = 1MF", "unit"), ("flip = 2", "out-of-range"),
        ("ema = mean(decay = 0.9)", "unknown-function"), ("ema = average(alpha = 0.9)", "unknown-argument"), ("ema = average", "missing-argument"),
        ("ema = average(0.9)", "arguments"), ("pad = 1.5", "not-an-integer"), ("jitter = [0.4, 0.4]", "list-length"), ("scale = [1, 1]", "out-of-order"),
        ("norm_batch = 48", "indivisible"), ("test_crop = 9\ntest_resize = 8", "conflict"), ("flip ~ uniform(0..1)", "misplaced"),
        ("flip <= 1", "misplaced"), ("expect { flip = 1 }", "misplaced"), ("published { flip = 1 }", "misplaced"), ("flip[i] = 1", "index"),
        ("mixup = cutmix", "not-a-number"), ("mixup, cutmix = 1", "many-targets"), ("flip = 1 - 1e-30 * 1e-30", None), ("zoom = [0.1]", "list"),
        ("ema = average(decay = 1 - 1e-30)", "out-of-range"), ("ema = average(decay = 1e-30 * 1e-30)", None), ("erase = none", "not-a-number"),
    ],
)  # fmt: skip
def test_every_mistake_is_said_once(line: str, name: str | None, spec: Path) -> None:
    assert names(spec, line) == ([name] if name else [])


def test_a_recipe_that_leaves_something_open_says_what(spec: Path) -> None:
    spec.write_text("recipe empty\n")
    problems = check_file(spec).problems
    assert {p.name for p in problems} == {"left-open"}
    said = " ".join(p.message for p in problems)
    assert all(f"`{name}`" in said for name in ("data", "epochs", "batch", "optimizer", "schedule"))
    assert len(problems) == 5


def test_what_is_wrong_with_an_inherited_line_is_said_once(spec: Path) -> None:
    more = "".join(f"recipe r{k} extends base\n" for k in range(5))
    spec.write_text(BASE.replace("epochs    = 10", "epochs = 1/2") + more)
    assert [p.name for p in check_file(spec).problems] == ["not-an-integer"]


def test_defaults_may_be_replaced_and_other_lines_not(spec: Path) -> None:
    spec.write_text(BASE + "recipe longer extends base {\n  epochs = 20\n}\n")
    assert [p.name for p in check_file(spec).problems] == ["fixed-twice"]
    spec.write_text(
        BASE.replace("epochs", "default epochs")
        + "recipe longer extends base {\n  epochs = 20\n}\n"
    )
    assert find("spec.regnet:longer").json["epochs"] == 20


def test_a_sweep_is_still_refused(spec: Path) -> None:
    spec.write_text(BASE + "sweep s {\n  train = base\n}\n")
    assert [p.name for p in check_file(spec).problems] == ["unsupported"]
