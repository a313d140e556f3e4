from __future__ import annotations

import os

import pytest
from regnetc_runtime.problems import Problem, printable, require, some


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("\x1b[31mred\n", "\\x1b[31mred\\n"),
        ("a\u202eb\u200bc\ufeff", "a\\u202eb\\u200bc\\ufeff"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("lone \ud800", "lone \\ud800"),
        (7, "7"),
    ],
)
def test_foreign_text_becomes_one_harmless_line(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_keeps_both_ends() -> None:
    shown = printable("a" * 1000 + "/the_end.pth", 60)
    assert len(shown) == 60
    assert shown.startswith("aaa")
    assert shown.endswith("the_end.pth")


def test_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list(range(2000)), 2) == "0, 1 and 1,998 more"


def test_a_problem_is_data() -> None:
    problem = Problem("no-cuda", "there is none", details=["x"], help="buy one")
    assert str(problem) == problem.message == "there is none"
    assert (problem.name, problem.details, problem.help) == ("no-cuda", ("x",), "buy one")


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(Problem) as e:
        require("no_such_package.inner", "digits")
    assert e.value.name == "missing-package"
    assert "no_such_package," in e.value.message
    assert e.value.help == "pip install 'regnetc[digits]'"
