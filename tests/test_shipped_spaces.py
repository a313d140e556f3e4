"""The spaces in spec/: which there are, that they are sound and not empty, and hold what was published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from facts import FACTS
from regnetc.driver import check_file
from regnetc.spaces.box import shrink
from regnetc.spaces.engine import Engine
from regnetc.spaces.members import lies_in
from regnetc.spaces.space import read

LADDER = [f"AnyNetX_{rung}" for rung in "ABCDE"]
COSTS = ["200MF", "400MF", "600MF", "800MF", "1.6GF", "3.2GF", "4.0GF", "6.4GF", "8.0GF", "12GF", "16GF", "32GF"]  # fmt: skip
REGIMES = [f"RegNet{family}-{cost}-wide" for family in "XY" for cost in COSTS]
SPACES = {
    "anynetx": [*LADDER, "RegNetX_E"],
    "regnety": ["RegNetY_E"],
    "regnetz": ["RegNetZ_E"],
    "x400mf_space": ["RegNetX-400MF-regime"],
    "regimes": [*(f"{name}-400MF" for name in (*LADDER, "RegNetX_E")), *REGIMES],
}
ALL = [(stem, name) for stem, names in SPACES.items() for name in names]


@pytest.mark.parametrize(("stem", "name"), ALL)
def test_a_shipped_space_is_sound_and_has_members(stem: str, name: str, root: Path) -> None:
    checked = check_file(root / f"spec/{stem}.regnet")
    assert not checked.problems
    space = read(checked.scopes[name])
    engine = Engine(space, 0, shrink(space))
    first = 0
    while not len((found := engine.run(first, 200_000)).candidates):
        first += 200_000
        assert first < 4_000_000, "no member among four million candidates"
    values = {cell: space_value(space, cell, int(picks[0])) for cell, picks in found.picks.items()}
    assert lies_in(space, values)


def space_value(space: Any, cell: Any, at: int) -> Any:
    (variable,) = (v for v in space.variables if v.cell == cell)
    return list(variable.distribution.values())[at]


@pytest.mark.parametrize("row", FACTS["pycls"], ids=lambda row: str(row["name"]))
def test_a_published_network_lies_in_the_regime_of_its_cost(
    row: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    p = row["parameters"]
    body = "".join(f"  {k} = {p[k]}\n" for k in ("d", "w0", "wa", "wm", "g"))
    text = (root / "spec/regimes.regnet").read_text("utf-8")
    text += f"\nmodel Published extends {row['name']}-wide {{\n{body}}}\n"
    for stem in ("families", "anynetx"):
        (tmp_path / f"{stem}.regnet").write_text((root / f"spec/{stem}.regnet").read_text("utf-8"))
    (tmp_path / "published.regnet").write_text(text)
    checked = check_file(tmp_path / "published.regnet")
    assert not checked.failed, [p.message for p in checked.problems]
    stages = checked.resolutions["Published"].network.stages
    assert [s.w for s in stages] == row["stages"]["w"]
    assert [s.d for s in stages] == row["stages"]["d"]


def test_a_network_of_another_cost_does_not(root: Path) -> None:
    text = (root / "spec/regimes.regnet").read_text("utf-8")
    text += "\nmodel Other extends RegNetX-800MF-wide {\n  d = 22\n  w0 = 24\n  wa = 24.48\n  wm = 2.54\n  g = 16\n}\n"
    checked = check_file(str(root / "spec/other.regnet"), text.encode())
    assert [p.name for p in checked.problems if p.severity == "error"] == ["not-in-space"]
