"""`regnetc fit` and `regnetc scale` as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from regnetc.driver import check_file
from test_cli import regnetc

BOTTLENECKS = """use "families.regnet"

model R50 extends AnyNetX {
  stem_type = resnet
  stem = 64
  w[i] = [256, 512, 1024, 2048]
  d[i] = [3, 4, 6, 3]
  b[i] = 4
  g[i] = GROUPS
}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r50.regnet").write_text(BOTTLENECKS.replace("GROUPS", "[64, 128, 256, 512]"))
    (tmp_path / "own.regnet").write_text(BOTTLENECKS.replace("GROUPS", "[32, 128, 64, 512]"))
    return tmp_path


def test_fit_says_the_line_and_how_well(here: Path, root: Path) -> None:
    ran = regnetc("fit", root / "spec/x400mf.regnet")
    assert ran.out.startswith(
        "RegNetX-400MF: d = 22, w0 = 24, wa = 23.63, wm = 2.5\ne_fit = 0.0000: "
    )
    assert "It was written with w0 = 24, wa = 24.48, wm = 2.54" in ran.out
    data = regnetc("fit", "r50.regnet", "--json").json
    assert not data["exact"]
    assert 0 < data["e_fit"] < 0.09
    assert len(data["observed"]) == len(data["predicted"]) == 16


def test_what_fit_writes_compiles_to_the_same_network(here: Path, root: Path) -> None:
    for stem in ("x400mf", "digits"):
        assert regnetc("fit", root / f"spec/{stem}.regnet", "-o", f"{stem}.regnet").code == 0
        (a,) = check_file(root / f"spec/{stem}.regnet").resolutions.values()
        (b,) = check_file(here / f"{stem}.regnet").resolutions.values()
        assert a.network.stages == b.network.stages
        assert a.network.counts == b.network.counts


def test_the_nearest_line_is_written_as_a_network_of_its_own(here: Path) -> None:
    assert regnetc("fit", "r50.regnet", "-o", "line.regnet").code == 0
    checked = check_file(here / "line.regnet")
    assert not checked.problems
    assert list(checked.resolutions) == ["R50-fit"]


def test_groups_that_differ_make_no_regnet(here: Path) -> None:
    ran = regnetc("fit", "own.regnet", "-o", "line.regnet")
    assert ran.code == 1
    assert ran.err.startswith("error[groups-differ]")
    assert not (here / "line.regnet").exists()
    assert regnetc("fit", "own.regnet").code == 0


def test_a_population_is_fitted_by_any_number_of_processes(here: Path, root: Path) -> None:
    space = root / "spec/x400mf_space.regnet"
    assert regnetc("sample", space, "-n", "12", "-o", "pop").code == 0
    one, two = (regnetc("fit", "pop", "--json", "-j", jobs).json for jobs in ("1", "2"))
    assert one == two
    assert one["exact"] == 12
    assert "12 networks, 12 of them exactly on a line" in regnetc("fit", "pop").out
    assert regnetc("fit", "pop", "-o", "x.regnet").err.startswith("error[not-one]")
    assert regnetc("fit", "pop#3").out.startswith("RegNetX-400MF-regime-03: ")


def test_scale_says_the_factors_and_writes_the_network(here: Path, root: Path) -> None:
    x400 = root / "spec/x400mf.regnet"
    ran = regnetc("scale", x400, "--to", "1.6GF", "-o", "big.regnet")
    assert ran.code == 0
    assert "width w       1.745" in ran.out
    data = regnetc("scale", x400, "--to", "1.6GF", "--json").json
    (made,) = check_file(here / "big.regnet").resolutions.values()
    assert made.network.counts.pycls == data["network"]["counts"]["pycls"]
    assert made.network.image == data["network"]["image"]
    assert abs(data["miss"]) <= 0.01
    assert made.network.name == "RegNetX-400MF-dWr-1.6GF"


def test_scale_by_a_ratio(here: Path, root: Path) -> None:
    data = regnetc("scale", root / "spec/x400mf.regnet", "--to", "x2", "--how", "w", "--json").json
    assert data["target"] == 2 * 397678568


def test_what_cannot_be_reached_is_said_with_the_nearest(here: Path, root: Path) -> None:
    ran = regnetc(
        "scale", root / "spec/x400mf.regnet", "--to", "4GF", "--how", "r", "-o", "r.regnet"
    )
    assert ran.code == 1
    assert ran.err.startswith("error[out-of-reach]: no resolution of `RegNetX-400MF`")
    assert "3,924,672,488" in ran.err
    assert not (here / "r.regnet").exists()


@pytest.mark.parametrize(
    "cost", ["4G", "x0", "0GF", "1e3", "x2GF", "400", "-1GF", "1.GF", "xx2", ""]
)
def test_a_cost_that_is_none(cost: str, root: Path) -> None:
    ran = regnetc("scale", root / "spec/x400mf.regnet", f"--to={cost}")
    assert ran.code == 2
    assert ran.err.startswith("error[usage]")


@pytest.mark.parametrize("cost", ["1KF", "999999GF", "x999999"])
def test_a_cost_beyond_all_networks(cost: str, root: Path) -> None:
    ran = regnetc("scale", root / "spec/x400mf.regnet", "--to", cost)
    assert ran.code == 1
    assert ran.err.startswith("error[out-of-reach]")


def test_specs_that_are_there_are_not_replaced(here: Path, root: Path) -> None:
    x400 = root / "spec/x400mf.regnet"
    verbs: list[list[str | Path]] = [["fit", x400], ["scale", x400, "--to", "x2"]]
    for verb in verbs:
        (here / "mine.regnet").write_text("# mine\n")
        ran = regnetc(*verb, "-o", "mine.regnet")
        assert ran.err.startswith("error[exists]")
        assert (here / "mine.regnet").read_text() == "# mine\n"
        assert regnetc(*verb, "-o", "mine.regnet", "--force").code == 0
        assert regnetc(*verb, "-o", "mine.regnet").code == 0  # the same text may stand there
        assert regnetc(*verb, "-o", "mine.txt").err.startswith("error[no-spec]")


@pytest.mark.parametrize("verb", [["fit"], ["scale", "--to", "x2"], ["plot"]])
def test_a_name_that_no_file_can_have(verb: list[str], here: Path, root: Path) -> None:
    end = ".svg" if verb == ["plot"] else ".regnet"
    ran = regnetc(*verb, root / "spec/digits.regnet", "-o", "x" * 5000 + end)
    assert (ran.code, ran.err[:19]) == (1, "error[cannot-write]")


@pytest.mark.parametrize("verb", [["fit"], ["scale", "--to", "x2"]])
def test_a_space_is_not_one_network(verb: list[str], root: Path) -> None:
    ran = regnetc(*verb, root / "spec/anynetx.regnet:AnyNetX_C")
    assert (ran.code, ran.err[:15]) == (1, "error[not-one]:")


def test_stages_of_equal_width_are_one_on_a_line(here: Path) -> None:
    text = BOTTLENECKS.replace("GROUPS", "64").replace(
        "[256, 512, 1024, 2048]", "[256, 512, 512, 1024]"
    )
    (here / "equal.regnet").write_text(text)
    ran = regnetc("fit", "equal.regnet")
    assert "e_fit = 0.0000: the line has all its widths, but no two stages of the same" in ran.out
    assert not regnetc("fit", "equal.regnet", "--json").json["exact"]
