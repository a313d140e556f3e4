"""Pictures of runs: the same bytes from the same numbers, and made of what they should show."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.evaluation import curves
from regnetc_runtime.evaluation.accuracy import Tally
from regnetc_runtime.evaluation.metrics import Reliability, confusion, reliability
from regnetc_runtime.evaluation.pictures import Curve, of_confusion, of_reliability, of_training
from regnetc_runtime.evaluation.runs import Point
from regnetc_runtime.problems import Problem

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def points(seed: int, epochs: int = 6) -> list[Point]:
    """Epochs of a training that gets better and better."""
    draws = np.random.default_rng(seed).uniform(0.9, 1.1, (epochs, 4))
    return [
        Point(e, 2 / e * a, 100 - 50 / e * b, 2.2 / e * c, 100 - 60 / e * d, 0.1 / e, 1.0)
        for e, (a, b, c, d) in enumerate(draws.tolist(), 1)
    ]


def tally() -> Tally:
    found = Tally()
    logits = torch.randn(400, 10, generator=torch.Generator().manual_seed(0))
    found.add(logits * 2, torch.arange(400) % 10)
    return found


def training(form: str) -> bytes:
    several = Curve("several", [points(0), points(1), points(2, 4)])
    return of_training([several, Curve("one", [points(3)])], form)


def matrix(form: str) -> bytes:
    return of_confusion(confusion(tally().scores()), list("abcdefghij"), form)


def diagram(form: str) -> bytes:
    return of_reliability(reliability(tally().scores()), form)


def pixels(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("form", SIGNATURES)
@pytest.mark.parametrize("draw", [training, matrix, diagram])
def test_the_same_numbers_make_the_same_bytes(draw: Callable[[str], bytes], form: str) -> None:
    data = draw(form)
    assert data == draw(form)
    assert data.startswith(SIGNATURES[form])
    assert b"Matplotlib v" not in data
    assert len(data) > 5_000


@pytest.mark.parametrize("draw", [training, matrix, diagram])
def test_a_picture_fits_a_page_and_is_light(draw: Callable[[str], bytes]) -> None:
    found = pixels(draw(".png"))
    assert 600 < found.shape[1] < 1_700
    assert 400 < found.shape[0] < 1_200
    assert found.mean() > 200
    assert found[0, 0].tolist() == [255, 255, 255]


def test_each_kind_of_run_has_its_colour() -> None:
    found = {tuple(c) for c in pixels(training(".png")).reshape(-1, 3).tolist()}
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0)} <= found
    alone = pixels(of_training([Curve("x", [points(0)])], ".png")).reshape(-1, 3).tolist()
    assert (0xD5, 0x5E, 0) not in {tuple(c) for c in alone}


def test_strange_names_are_drawn_as_they_are() -> None:
    names = ["$\\frac{", "a$b$", "狗", "x" * 500, "\x1b[31m", "\udcff", "", "_", "^", "%"]
    for form in SIGNATURES:
        assert of_confusion(confusion(tally().scores()), names, form)
        assert of_training([Curve(n, [points(0)]) for n in names[:6]], form)


def test_many_classes_are_an_image_without_numbers() -> None:
    many = torch.eye(300, dtype=torch.int64) * 50
    many[3, 7] = 4
    few = torch.eye(20, dtype=torch.int64) * 50
    assert len(of_confusion(many, [], ".svg")) < 200_000
    assert of_confusion(few, [], ".svg").count(b"<!-- 50 -->") == 20
    assert of_confusion(many, [], ".svg").count(b"<!-- 50 -->") <= 2  # of the axes
    assert of_confusion(many, [], ".png") != of_confusion(
        torch.eye(300, dtype=torch.int64), [], ".png"
    )


@pytest.mark.parametrize(
    "seeds",
    [
        [points(0, 1)],
        [points(0, 1), points(1, 1)],
        [[], points(0)],
        [[Point(3, None, None, None, None, None, None)], points(0)],
        [[Point(1, 2.0, None, None, None, None, None)]],
        [
            [
                Point(1, 1e30, 0.0, 1e30, 0.0, 1e-12, None),
                Point(9, 0.0, 100.0, 0.0, 100.0, 0.0, None),
            ]
        ],
        [points(0, 2), points(0)[3:]],
    ],
)
def test_any_epochs_can_be_drawn(seeds: list[list[Point]]) -> None:
    assert of_training([Curve("x", seeds), Curve("y", [points(0)])], ".png")
    assert of_training([Curve("x", seeds)], ".png")


def test_every_curve_is_named() -> None:
    trained = [Point(e, 2 / e, 50.0 + e, None, None, 0.1, None) for e in range(1, 5)]
    for seeds in ([trained], [trained, trained], [points(0)]):
        svg = of_training([Curve("this", seeds), Curve("that", [points(1)])], ".svg").decode()
        many = " (2 seeds)" if len(seeds) == 2 else ""
        assert svg.count(f"<!-- this{many} -->") == svg.count("<!-- that -->") == 1


def test_empty_bins_can_be_drawn() -> None:
    assert of_reliability(Reliability((0,) * 15, (0.0,) * 15, (0.0,) * 15), ".png")


def test_names_do_not_lie_on_each_other() -> None:
    for heights in ([5.0, 5.0, 5.0], [2.0, 2.1, 5.0, 5.05, 9.0], [2.0], []):
        found = curves._apart(heights, 0.5, 0, 10)
        assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(found))
        assert sum(found) == pytest.approx(sum(heights))
    assert curves._apart([1.0, 5.0, 9.0], 0.5, 0, 10) == [1, 5, 9]
    assert curves._apart([0.0, 0.0, 5.0, 10.0], 1, 0, 10) == [0.5, 1.5, 5, 9.5]


def test_early_epochs_leave_the_picture_where_that_shows_more() -> None:
    losses = list(enumerate([7.0, 3.0, 1.0, 0.3, 0.25, 0.2, 0.22, 0.2, 0.2, 0.19], 1))
    assert curves._seen(losses, [0.19]) == (0.19, 0.3)
    assert curves._seen(losses, [0.19, 1.0]) == (0.19, 1.0)  # another line ended there
    slow = [2.0 - 0.1 * n for n in range(9)]
    assert curves._seen(list(enumerate(slow, 1)), [slow[-1]]) == (min(slow), 2.0)
    assert curves._seen(losses[:9], [0.2]) == (0.2, 7.0)  # of few epochs all are shown
    assert curves._seen([(1, 4.0)], [4.0]) == (4, 4)
    assert curves._seen([(1, 9.0), (2, 4.0)], [4.0]) == (4, 9)


def test_what_cannot_be_drawn() -> None:
    def refused(name: str, *arguments: object) -> None:
        with pytest.raises(Problem) as e:
            of_training(*arguments)  # type: ignore[arg-type]
        assert e.value.name == name

    refused("no-picture", [Curve("x", [points(0)])], ".gif")
    refused("no-picture", [Curve("x", [points(0)])], "")
    refused("no-epochs", [Curve("x", [[]])], ".png")
    refused("no-epochs", [], ".png")
    refused("too-many-runs", [Curve("x", [points(0)])] * 8, ".png")


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Problem) as e:
        training(".png")
    assert e.value.name == "missing-package"
    assert e.value.help == "pip install 'regnetc[plot]'"
