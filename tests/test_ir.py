"""The IR: canonical, checked both ways, and nothing in it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regnetc import emit, ir
from regnetc.driver import compile_file
from regnetc.network import Network

ROOT = Path(__file__).resolve().parent.parent


def shipped() -> Network:
    (module,) = compile_file(ROOT / "spec/x400mf.regnet")
    return module.network


X400 = shipped()
TEXT = ir.to_json(X400)


def test_it_is_canonical() -> None:
    data = json.loads(TEXT)
    assert TEXT.isascii()
    assert "\n" not in TEXT
    assert json.dumps(data, sort_keys=True, separators=(",", ":")) == TEXT
    assert ir.from_json(TEXT) == (X400, "0.1.0")


def test_other_spellings_of_the_same_json_are_the_same_network() -> None:
    data = json.loads(TEXT)
    data["stages"][0]["w"] = 32.0
    loose = json.dumps(dict(reversed(data.items())), indent=3)
    assert ir.to_json(ir.from_json(loose)[0]) == TEXT


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an unknown key": lambda d: d.update(extra=1),
    "a missing key": lambda d: d.pop("stem"),
    "another version": lambda d: d.update(regnetc_ir=2),
    "a name that is code": lambda d: d.update(name="X():\n import os"),
    "a name with a blank": lambda d: d.update(name="X Y"),
    "a name with a line end": lambda d: d.update(name="X\n"),
    "a long name": lambda d: d.update(name="x" * 101),
    "a carriage return in the comment": lambda d: d.update(doc="a\rb"),
    "a NUL in the comment": lambda d: d.update(doc="a\0b"),
    "a surrogate in the comment": lambda d: d.update(doc="\ud800"),
    "a direction mark in the comment": lambda d: d.update(doc="\u202e"),
    "a path as the origin": lambda d: d["origin"].update(file="../x"),
    "a cookie as the origin": lambda d: d["origin"].update(file="a\n# coding: utf-7"),
    "a short digest": lambda d: d["origin"].update(sha256="00"),
    "a compiler that is code": lambda d: d.update(compiler="0.1.0)\nimport os"),
    "an unknown block": lambda d: d.update(block="W"),
    "no stages": lambda d: d.update(stages=[]),
    "nine stages": lambda d: d.update(stages=d["stages"] * 3),
    "a width of nothing": lambda d: d["stages"][0].update(w=0),
    "a width that is text": lambda d: d["stages"][0].update(w="32"),
    "a width that is true": lambda d: d["stages"][0].update(w=True),
    "half a block": lambda d: d["stages"][0].update(d=1.5),
    "a huge image": lambda d: d.update(image=10**9),
    "groups that do not divide": lambda d: d["stages"][0].update(g=7),
    "squeezes that X blocks have not": lambda d: d["stages"][0].update(se=[8]),
    "squeezes for other blocks": lambda d: d["stages"][1].update(se=[0]),
    "another head": lambda d: d["head"].update(w=385),
    "a count of its own": lambda d: d["counts"].update(macs=1),
    "a parameter below its range": lambda d: d["parameters"].update(wm=1),
    "an infinite slope": lambda d: d["parameters"].update(wa=10**400),
    "a depth of its own": lambda d: d["parameters"].update(d=9999),
    "a ratio that is not the stages'": lambda d: d["parameters"].update(b=0.5),
    "an inside that is not w / b": lambda d: d["stages"][0].update(b=0.5),
    "a printed line end": lambda d: d["published"][0]["printed"].update(flops="0.41G\n"),
    "a printed infinity": lambda d: d["published"][0]["printed"].update(flops="1e999"),
    "printed words": lambda d: d["published"][0]["printed"].update(flops="many"),
    "an unknown column": lambda d: d["published"][0]["printed"].update(speed="1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_network_is_refused(change: str) -> None:
    data = json.loads(TEXT)
    CHANGES[change](data)
    with pytest.raises(ir.IRError) as refused:
        ir.from_json(json.dumps(data))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1, "a": 1}',
        "[" * 100_000,
        '"' + "x" * 300_000 + '"',
        "1" * 5_000,
        '{"a": 1e999}',
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ir.IRError):
        ir.from_json(text)


def paths(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    for key, value in items:
        found += paths(value, (*at, key))
    return found


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70_000), st.floats(allow_nan=False), st.text(max_size=20),
    st.sampled_from(['"""', "\\", "X\nimport os", "Block", "nn", "Z", "silu", "__import__('os')", [], {}, [1, 1], "0.1.0"]),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_whatever_is_accepted_is_emitted_as_the_templates_code(data: st.DataObject) -> None:
    """Any change to the JSON is refused, or emits a module that is proved and carries it."""
    network = json.loads(TEXT)
    path = data.draw(st.sampled_from(paths(network)))
    holder = network
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(VALUES)
    try:
        accepted, _ = ir.from_json(json.dumps(network))
    except ir.IRError:
        return
    text = emit.emit(accepted)
    assert ir.from_json(emit.own_ir(text) or "")[0] == accepted
