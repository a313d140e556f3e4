"""Any text that is taken for a recipe is one of the runtime's, and reading it takes a bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regnetc.diagnostics import SpecError
from regnetc.driver import check_file
from regnetc.recipes import canonical, find
from regnetc.recipes.fields import FIELDS
from regnetc.recipes.forms import Number
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


TOKENS = [
    *FIELDS, "none", "sgd", "adamw", "cosine", "step", "average", "randaugment", "linear", "lr", "decay", "by", "at", "per", "warmup",
    "begins", "start", "epoch", "imagenet", "default", "sqrt", "=", "=", "=", "(", ")", "[", "]", ",", ".", "*", "/", "+", "-", "~",
    "<=", "in", "..", "{", "}", "\n", "0", "1", "2", "8", "128", "0.5", "1e-30", "1MF", "1%", "99999999999999999999", '"x"', "#", "i",
]  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(list(FIELDS)), st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12))
def test_what_is_accepted_is_a_recipe_of_the_runtime(field: str, tokens: list[str]) -> None:
    text = BASE.replace("}\n", f"  {field} = {' '.join(tokens)}\n}}\n")
    checked = check_file("spec.regnet", text.encode())
    assert checked.failed == bool(set(checked.scopes) - set(checked.recipes) or checked.problems)
    for data in checked.recipes.values():
        canonical.validate(data)
        assert Recipe.from_json(data).digest == canonical.digest(data)


def test_many_recipes_that_inherit_long_lines_are_read_once(spec: Path) -> None:
    long = " + ".join(["0.0001"] * 99)
    lines = "".join(
        f"  {name} = {long}\n"
        for name, entry in FIELDS.items()
        if isinstance(entry.form, Number) and not entry.form.whole
    )
    spec.write_text(
        BASE.replace("}\n", f"{lines}}}\n")
        + "".join(f"recipe r{k} extends base\n" for k in range(999))
    )
    start = time.process_time()
    checked = check_file(spec)
    assert not checked.problems
    assert len(checked.recipes) == 1000
    assert time.process_time() - start < 5


def test_defaults_that_meet_in_many_recipes_are_weighed_in_time(spec: Path) -> None:
    said = "\n".join(f"default {name} = %d" for name in ("turn", "shift", "mixup", "clip"))
    parents = "".join(f"recipe p{k} {{\n{said % ((k,) * 4)}\n}}\n" for k in range(224))
    heads = ""
    for j in range(32):
        heads += f"recipe h{j} extends {', '.join(f'p{7 * j + i}' for i in range(7))}\n"
    (spec.parent / "a.regnet").write_text(parents + heads)
    every = ", ".join(f"h{j}" for j in range(32))
    spec.write_text(
        'use "a.regnet"\n' + "".join(f"recipe q{k} extends {every}\n" for k in range(300))
    )
    start = time.process_time()
    problems = check_file(spec).problems
    assert time.process_time() - start < 5
    assert sum(p.name == "ambiguous-default" for p in problems) == 4 * 300


@settings(max_examples=150)
@given(st.lists(st.sampled_from(TOKENS), max_size=25))
def test_any_override_is_taken_or_refused(tokens: list[str]) -> None:
    text = " ".join(tokens)
    try:
        found = find("smoke", [text])
    except SpecError as e:
        said = as_text(e.problems)
        assert "--set:1:" in said
    else:
        assert Recipe.from_json(found.json).digest == found.digest


@pytest.mark.parametrize(
    "text", ["zoom=0.9", "label_smoothing=0.99", "drop_path=0.99", "validation=0.5"]
)
def test_the_end_of_a_range_is_in_it(text: str) -> None:
    """0.9 as a float is a little more than nine tenths."""
    field, _, value = text.partition("=")
    assert find("digits", (text,)).json[field] == float(value)
    with pytest.raises(SpecError):
        find("digits", (f"{field}={float(value) + 0.001}",))
