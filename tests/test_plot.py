"""Pictures: the same data in the same bytes, in files and in characters."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from regnetc.plots.characters import Axis, Marks, chart
from regnetc.plots.curves import binned, sample
from test_cli import regnetc

SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def population(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pop") / "x400"
    assert regnetc("sample", root / "spec/x400mf_space.regnet", "-n", "120", "-o", folder).code == 0
    return folder


@pytest.mark.parametrize("form", SIGNATURES)
@pytest.mark.parametrize("what", ["widths", "counts", "edf"])
def test_pictures_are_made_of_the_same_bytes(
    what: str, form: str, population: Path, tmp_path: Path
) -> None:
    made = []
    for name in ("a", "b"):
        out = tmp_path / name / f"picture{form}"
        ran = regnetc("plot", population, "--what", what, "-o", out)
        assert (ran.code, ran.out) == (0, "")
        made.append(out.read_bytes())
    assert made[0] == made[1]
    assert made[0].startswith(SIGNATURES[form])
    assert len(made[0]) > 4000
    assert b"Matplotlib v" not in made[0]


def test_a_users_own_style_does_not_show(
    population: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    regnetc("plot", population, "-o", tmp_path / "a.png")
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 9)
    regnetc("plot", population, "-o", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_data_of_widths(root: Path) -> None:
    (curve,) = regnetc("plot", root / "spec/x400mf.regnet", "--json").json
    assert curve["w"] == [32] + [64] * 2 + [160] * 7 + [384] * 12
    assert curve["line"] == pytest.approx([24 + 24.48 * j for j in range(22)])
    assert curve["error"] == 0


def test_a_network_without_a_line_gets_the_nearest(root: Path) -> None:
    (curve,) = regnetc("plot", root / "spec/digits.regnet", "--json").json
    assert curve["line"] == [16, 26, 36, 46, 56]
    assert curve["label"] == "w0 = 16, wa = 10, wm = 2"


def test_the_data_of_a_population(population: Path) -> None:
    data = regnetc("plot", population, "--what", "edf", "--json").json
    (flops,) = data["flops"]
    assert flops["values"] == sorted(set(flops["values"]))
    assert 360_000_000 <= flops["values"][0] <= flops["values"][-1] <= 400_000_000
    assert flops["shares"][-1] == 1
    lock = json.loads((population / "lock.json").read_text("utf-8"))
    steps = [b - a for a, b in zip([0, *flops["shares"]], flops["shares"], strict=False)]
    assert all(round(s * lock["accepted"], 6) % 1 == 0 for s in steps)


def test_weights_make_a_distribution_function() -> None:
    found = sample("s", [5, 1, 5, 3], [1, 2, 3, 2])
    assert found.values == (1, 3, 5)
    assert found.shares == (0.25, 0.5, 1)


def test_bins_hold_every_draw_once() -> None:
    r = random.Random(0)
    rows = [
        sample("s", [r.randrange(10**9) for _ in range(300)], [r.randint(1, 4) for _ in range(300)])
        for _ in "ab"
    ]
    edges, shares = binned(rows, 17)
    assert len(edges) == 18
    assert [sum(s) for s in shares] == pytest.approx([1, 1])
    _, (only,) = binned([sample("s", [7], [2])], 4)
    assert only == [1, 0, 0, 0]


def test_a_chart_puts_points_where_they_belong() -> None:
    rows = chart(
        [Marks("o", [(0, 1), (1, 2), (2, 4)])],
        Axis(0, 2, "x"),
        Axis(1, 4, "y", log=True),
        width=21,
        height=9,
    )
    assert rows[0] == "y"
    assert rows[1] == "4 | " + " " * 20 + "o"
    assert rows[5] == "2 | " + " " * 10 + "o"
    assert rows[9] == "1 | o"
    assert rows[10] == "  +-" + "-" * 21


@pytest.mark.parametrize(
    "axis", [Axis(3, 3, "x"), Axis(0, 1e-9, "x"), Axis(1e9, 2e9, "x"), Axis(8, 8, "x", log=True)]
)
def test_any_axis_can_be_drawn(axis: Axis) -> None:
    assert chart([Marks("o", [(axis.low, axis.high)])], axis, axis)


def test_the_terminal_shows_them(population: Path, root: Path) -> None:
    shown = regnetc("plot", root / "spec/x400mf.regnet", root / "spec/digits.regnet").out
    assert "o  RegNetX-400MF: w0 = 24, wa = 24.48, wm = 2.54\nx  Digits: " in shown
    assert "flops (GF)" in regnetc("plot", population).out
    assert "share of draws" in regnetc("plot", population, "--what", "edf").out
    assert "the first 100 of 120 networks" in regnetc("plot", population, "--what", "widths").out
    assert max(map(len, shown.split("\n"))) <= 80


def test_members_can_be_drawn(population: Path) -> None:
    (curve,) = regnetc("plot", f"{population}#7", "--json").json
    assert curve["name"].endswith("-007")


def wrong(*arguments: Any) -> str:
    ran = regnetc(*arguments)
    assert ran.code == 1
    assert ran.out == ""
    return ran.err.split("\n")[0]


def test_wrong_use(population: Path, root: Path, tmp_path: Path) -> None:
    net = root / "spec/x400mf.regnet"
    assert wrong("plot", net, "-o", tmp_path / "a.jpg").startswith("error[no-picture]")
    assert wrong("plot", net, "--what", "edf").startswith("error[no-population]")
    assert wrong("plot", root / "spec/anynetx.regnet:AnyNetX_A").startswith("error[not-one]")
    (tmp_path / "a.svg").write_text("mine")
    assert wrong("plot", net, "-o", tmp_path / "a.svg").startswith("error[exists]")
    assert (tmp_path / "a.svg").read_text() == "mine"
    assert regnetc("plot", net, "-o", tmp_path / "a.svg", "--force").code == 0
    assert wrong("plot", *[population] * 2, "--what", "widths").startswith("error[too-many]")


def test_without_matplotlib_it_says_what_to_install(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = regnetc("plot", root / "spec/x400mf.regnet", "-o", tmp_path / "a.svg")
    assert ran.code == 1
    assert "pip install 'regnetc[plot]'" in ran.err
    assert not (tmp_path / "a.svg").exists()
