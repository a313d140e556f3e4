"""What specs mean: conjunction, defaults, stages, units, exact numbers, and where files are looked for."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest
from regnetc.driver import Checked, check_file
from regnetc.network import Network

LINE = "d = 22\nw0 = 24\nwa = 24.48\nwm = 2.54\ng = 16\nb = 1\nrounding = paper\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return tmp_path / "spec.regnet"


def check(path: Path, text: str, use: str = 'use "families.regnet"\n') -> Checked:
    path.write_text(use + text, "utf-8")
    return check_file(path)


def names(checked: Checked) -> list[str]:
    return [p.name for p in checked.problems]


def network(path: Path, body: str, parent: str = "RegNetX", before: str = "") -> Network:
    checked = check(path, f"{before}model M extends {parent} {{\n{body}}}\n")
    assert not checked.failed, [p.message for p in checked.problems]
    return checked.resolutions["M"].network


# Conjunction and defaults.


def test_a_descendant_replaces_a_default(spec: Path) -> None:
    before = "space A extends RegNetX {\n default stem = 16\n}\nspace B extends A {\n default stem = 24\n}\n"
    assert network(spec, LINE).stem.w == 32
    assert network(spec, LINE, "A", before).stem.w == 16
    assert network(spec, LINE, "B", before).stem.w == 24
    assert network(spec, LINE + "stem = 8\n", "B", before).stem.w == 8


def test_a_fix_replaces_a_default_whichever_comes_first(spec: Path) -> None:
    before = "space D {\n default head = 64\n}\nspace F {\n head = 128\n}\n"
    for parents in ("RegNetX, D, F", "RegNetX, F, D", "F, RegNetX, D"):
        assert network(spec, LINE, parents, before).head == 128


def test_the_order_of_lines_and_parents_does_not_matter(spec: Path) -> None:
    lines = LINE.splitlines()
    a = network(spec, "\n".join(lines) + "\n", "RegNet, AnyNetX")
    b = network(spec, "\n".join(reversed(lines)) + "\n", "AnyNetX, RegNet")
    assert a.stages == b.stages
    assert a.counts == b.counts


def test_the_same_words_from_two_sides_hold_once(spec: Path) -> None:
    before = "space Tied extends AnyNet {\n  b[i]   =   b\n}\n"
    assert network(spec, LINE, "RegNetX, Tied", before).stages[0].b == 1
    checked = check(
        spec, "space Other extends AnyNet {\n  b[i] = 2\n}\nspace Both extends RegNet, Other\n"
    )
    assert names(checked) == ["fixed-twice"]


def test_diamonds_hold_each_ancestor_once(spec: Path) -> None:
    text = "space L0 extends RegNetX\nspace R0 extends RegNetX\n"
    for k in range(25):
        text += f"space L{k + 1} extends L{k}, R{k}\nspace R{k + 1} extends R{k}, L{k}\n"
    checked = check(spec, text + f"model M extends L25, R25 {{\n{LINE}}}\n")
    assert not checked.failed
    assert len(checked.scopes["M"].lineage) == 4 + 52 + 1


def test_a_bound_of_any_ancestor_holds(spec: Path) -> None:
    before = "space Small extends RegNetX {\n params <= 5M\n}\nspace Smaller extends Small\n"
    checked = check(spec, f"{before}model M extends Smaller {{\n{LINE}}}\n")
    assert names(checked) == ["not-in-space"]
    assert checked.problems[0].message == "`M` is not in `Small`"


def test_problems_of_an_ancestor_are_said_once(spec: Path) -> None:
    before = "space A extends RegNetX {\n colour = 3\n}\n"
    models = "".join(f"model M{k} extends A {{\n{LINE}}}\n" for k in range(3))
    assert names(check(spec, before + models)) == ["unknown-parameter"]


# Stages.


@pytest.mark.parametrize("stages", range(1, 9))
def test_one_to_eight_stages(stages: int, spec: Path) -> None:
    widths = ", ".join(str(8 * (k + 1)) for k in range(stages))
    body = f"stages = {stages}\nw[i] = [{widths}]\nd[i] = 1\nb[i] = 1\ng[i] = 8\nw[i+1] > w[i]\nw[{stages}] <= {8 * stages}\n"
    n = network(spec, body, "AnyNetX")
    assert [s.w for s in n.stages] == [8 * (k + 1) for k in range(stages)]


def test_values_may_be_worked_out_of_others(spec: Path) -> None:
    body = "stages = 3\nw[i] = g[i] * 4\nd[i] = [1, 2, 3]\nb[i] = b\nb = 1/2\ng[i] = [8, 8 * 2, stem]\nstem = 32\nhead = w[3] * 2\n"
    n = network(spec, body, "AnyNetX")
    assert [(s.w, s.inner, s.g) for s in n.stages] == [(32, 64, 8), (64, 128, 16), (128, 256, 32)]
    assert n.head == 256


@pytest.mark.parametrize(
    ("bound", "holds"),
    [
        ("w[i+1] >= w[i]", True), ("w[i-1] <= w[i]", True), ("w[i+1] > 2 * w[i]", False), ("w[1] == 3", None), ("d[i+3] >= 1", True),
        ("12 <= d <= 28", True), ("12 <= d < 22", False), ("flops in 360MF..400MF", True), ("flops in 360MF..390MF", False),
        ("w0 in 8..256 by 8", True), ("w0 in 10..258 by 8", False), ("wa in 24..25 by 0.01", True), ("wm <= 2.54", True), ("wm < 2.54", False),
        ("params <= 3M + 5.5M * (flops / 1GF)", True), ("acts <= 6.5M * sqrt(flops / 1GF)", True), ("macs <= 398MF", True),
        ("torch2 / 2 <= macs", True), ("fvcore > flops", True), ("fvcore / flops <= 1.1", True), ("sqrt(16) in 4..4", True), ("stages in 1..8", True),
    ],
)  # fmt: skip
def test_bounds(bound: str, holds: bool | None, spec: Path) -> None:
    checked = check(spec, f"model M extends RegNetX {{\n{LINE}{bound}\n}}\n")
    wanted = {True: [], False: ["not-in-space"], None: ["syntax"]}[holds]
    assert names(checked) == wanted


def test_a_bound_over_no_stages_holds(spec: Path) -> None:
    body = "stages = 1\nw[i] = 8\nd[i] = 1\nb[i] = 1\ng[i] = 8\nw[i+1] >= 1000\n"
    assert network(spec, body, "AnyNetX").stages[0].w == 8


# Numbers and units.


@pytest.mark.parametrize(
    ("claim", "met"),
    [
        ("params = 5157512", True), ("params = 5157511", False), ("params = 5.16M", True), ("params = 5.2M", True), ("params = 5M", True),
        ("params = 5.15M", False), ("params = 5.157512M", True), ("flops = 397.7MF", True), ("flops = 0.4GF", True), ("flops = 397.6MF", False),
        ("flops = 397678568", True), ("wa = 24.5", True), ("wa = 24.47", False), ("d = 22", True), ("w[i] = [32, 64, 160, 384]", True),
        ("d[i] = 1", False), ("b[i] = 1", True), ("rounding = paper", True), ("rounding = torchvision", False), ("stem_type = simple", True),
        ("params = 5M + 157512", True), ("flops = 2 * params", False), ("w0 = 25", False),
    ],
)  # fmt: skip
def test_expectations(claim: str, met: bool, spec: Path) -> None:
    checked = check(spec, f"model M extends RegNetX {{\n{LINE}expect {{ {claim} }}\n}}\n")
    assert bool(checked.problems) != met, names(checked)


def test_the_tolerance_is_half_of_the_last_digit(spec: Path) -> None:
    text = "model M extends RegNetX {\n" + LINE + "expect { wa = %s }\n}\n"
    for written, met in (("24.5", True), ("24.44", False), ("24.4", False)):
        assert (not check(spec, text % written).problems) == met


def test_sums_are_exact(spec: Path) -> None:
    n = network(
        spec, LINE.replace("2.54", "0.1 + 0.2 + 2.24").replace("24.48", "24.479999999999999999")
    )
    assert dict(n.parameters)["wm"] == 2.54
    assert dict(n.parameters)["wa"] == 24.48
    third = network(spec, LINE.replace("b = 1\n", "b = 1 / 3\n"), "RegNetX")
    assert third.stages[0].inner == 3 * third.stages[0].w


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("params <= 1GF", "unit"), ("flops <= 1GF + 3 * d", "unit"), ("flops + params >= 1", "unit"), ("flops in 1..params", "unit"),
        ("d <= flops", "unit"), ("flops <= 5M * 2", None), ("2 * flops >= 400MF", None), ("flops * flops >= 1", "unit"),
        ("params >= flops / 1KF", None), ("d <= 1 / flops", "unit"), ("d <= flops / (flops - flops)", "division-by-zero"), ("d in 22..30 by 1MF", "unit"), ("sqrt(flops) <= 1GF", "unit"), ("d in 23..30 by w[9]", "index"), ("d <= sqrt(0 - d)", "negative-root"),
    ],
)  # fmt: skip
def test_units(line: str, name: str | None, spec: Path) -> None:
    checked = check(spec, f"model M extends RegNetX {{\n{LINE}{line}\n}}\n")
    assert [n for n in names(checked) if n != "not-in-space"] == ([name] if name else [])


def test_percentages_are_hundredths(spec: Path) -> None:
    body = LINE.replace("rounding = paper\n", "rounding = paper\nse = 25%\n")
    assert dict(network(spec, body, "RegNetY").parameters)["se"] == 0.25
    assert Fraction(str(dict(network(spec, body, "RegNetY").parameters)["se"])) == Fraction(1, 4)


# Files.


def test_use_brings_what_is_used_in_turn(spec: Path) -> None:
    (spec.parent / "mine.regnet").write_text(
        'use "families.regnet"\nspace Mine extends RegNetX {\n stem = 16\n}\n'
    )
    checked = check(
        spec, f"model M extends Mine {{\n{LINE}}}\nspace S extends RegNetZ\n", 'use "mine.regnet"\n'
    )
    assert checked.resolutions["M"].network.stem.w == 16


def test_the_file_beside_comes_before_the_library(spec: Path) -> None:
    (spec.parent / "families.regnet").write_text("space Own\n")
    assert names(check(spec, "space S extends RegNetX\n")) == ["unknown-name"]
    assert not check(spec, "space S extends Own\n").problems


def test_folders_below_may_be_used_and_use_their_neighbours(spec: Path) -> None:
    below = spec.parent / "below"
    below.mkdir()
    (below / "a.regnet").write_text('use "b.regnet"\nuse "../top.regnet"\nspace A extends B, Top\n')
    (below / "b.regnet").write_text("space B\n")
    (spec.parent / "top.regnet").write_text("space Top\n")
    problems = check(spec, "space S extends A\n", 'use "below/a.regnet"\n').problems
    assert [p.name for p in problems] == ["use-path"], "a path never leads upwards"


@pytest.mark.parametrize("target", ["/etc/passwd", "outside"])
def test_links_do_not_lead_out(
    target: str, spec: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if target == "outside":
        target = str(tmp_path_factory.mktemp("outside") / "x.regnet")
        Path(target).write_text("space Outside\n")
    (spec.parent / "link.regnet").symlink_to(target)
    (problem,) = check(spec, "", 'use "link.regnet"\n').problems
    assert problem.name == "use-path"


def test_links_within_may_be_used(spec: Path) -> None:
    (spec.parent / "real.regnet").write_text("space Real\n")
    (spec.parent / "link.regnet").symlink_to("real.regnet")
    assert not check(spec, "space S extends Real\n", 'use "link.regnet"\n').problems


def test_a_link_to_itself_and_a_pipe(spec: Path) -> None:
    (spec.parent / "loop.regnet").symlink_to("loop.regnet")
    os.mkfifo(spec.parent / "pipe.regnet")
    checked = check(spec, "", 'use "loop.regnet"\nuse "pipe.regnet"\n')
    assert names(checked) == ["use-unreadable", "use-unreadable"]


def test_files_are_counted_and_weighed(spec: Path) -> None:
    for k in range(70):
        (spec.parent / f"u{k}.regnet").write_text(f"space U{k}\n")
    uses = "".join(f'use "u{k}.regnet"\n' for k in range(70))
    checked = check(spec, "", uses)
    assert set(names(checked)) == {"too-many"}
    assert len(checked.problems) == 70 - 63
    for k in range(20):
        (spec.parent / f"c{k}.regnet").write_text(f'use "c{k + 1}.regnet"\nspace C{k}\n')
    assert names(check(spec, "", 'use "c0.regnet"\n')) == ["too-many"]
    for k in range(20):
        (spec.parent / f"u{k}.regnet").write_text("# x\n" * 16_000 + f"space U{k}\n")
    assert set(names(check(spec, "", "".join(f'use "u{k}.regnet"\n' for k in range(20))))) == {
        "too-large"
    }


def test_a_broken_line_hides_no_other_mistake(spec: Path) -> None:
    text = "space A extends RegNetX {\n d ==\n colour = 3\n}\nspace B extends Nowhere\nspace C extends RegNetX {\n hue = 1\n}\n"
    assert names(check(spec, text)) == ["syntax", "unknown-name", "unknown-parameter"]


def test_what_a_broken_declaration_would_say_is_not_guessed(spec: Path) -> None:
    text = f"space A extends RegNetX {{\n b = = 1\n}}\nmodel M extends A {{\n{LINE}}}\n"
    assert names(check(spec, text)) == ["syntax"]


def test_a_flat_line_and_ratios_are_written_as_the_paper_does(spec: Path) -> None:
    from regnetc.emit import emit

    flat = network(spec, "stages = 1\nd = 3\nw0 = 24\nwa = 0\nwm = 2.5\ng = 8\nb = 1/49\n")
    assert "wa = 0, wm = 2.5, g = 8 and b = 1/49" in emit(flat)


def test_every_broken_bound_is_said(spec: Path) -> None:
    before = "space S extends RegNetX {\n w[1] > 100\n flops > 1GF\n params > 1G\n w[3] < w[2]\n}\n"
    assert names(check(spec, f"{before}model M extends S {{\n{LINE}}}\n")) == ["not-in-space"] * 4


def test_bounds_are_worked_out_within_a_budget(spec: Path) -> None:
    bound = "  " + " + ".join(["w[i]"] * 100) + " >= 1\n"
    space = f"space S extends RegNetX {{\n{bound * 20}{LINE}}}\n"
    models = "".join(f"model M{k} extends S\n" for k in range(60))
    assert "too-much-work" in names(check(spec, space + models))


def test_the_lines_of_a_long_lineage_are_counted(spec: Path) -> None:
    text = "space S0 extends RegNetX\n" + "".join(
        f"space S{k + 1} extends S{k} {{\n{'d <= 30' + chr(10)}{('d <= 40' + chr(10)) * 190}}}\n"
        for k in range(12)
    )
    assert set(names(check(spec, text))) == {"too-many"}
