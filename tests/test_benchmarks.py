"""The benchmarks of networks: that they compare the same thing, and that their results say what happened."""

from __future__ import annotations

import importlib.util
import json
import signal
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from torch import nn

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="`make peers` installs timm"
)
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="`make peers` installs torchvision"
)
pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))


@pytest.fixture
def unsettled() -> nn.Module:
    import speed_networks

    net = speed_networks.network("ours", "x400mf")
    assert net is not None
    speed_networks.unsettle(net)
    return net


def ran(root: Path, script: str, *more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, root / "benchmarks" / script, "--device", "cpu", *more]
    return subprocess.run([str(c) for c in command], check=False, capture_output=True, text=True)


def check_row(row: dict[str, Any]) -> None:
    """Every figure of a measured cell follows from the times of its rounds."""
    for name, side in row["sides"].items():
        ms = side["ms_of_rounds"]
        assert len(ms) == row["rounds"] >= 3
        assert side["ms"] == pytest.approx(statistics.median(ms), rel=1e-4)
        assert side["images_per_s"] == pytest.approx(
            row["batch"][name] * 1e3 / side["ms"], rel=1e-3
        )
        assert side["ms_quartiles"][0] <= side["ms"] <= side["ms_quartiles"][1]
        assert side["peak_memory_bytes"] is None
    for names, ratio in row["ratios"].items():
        a, b = names.split("/")
        rounds = zip(row["sides"][a]["ms_of_rounds"], row["sides"][b]["ms_of_rounds"], strict=True)
        times = row["batch"][a] / row["batch"][b]
        assert ratio["speed"] == pytest.approx(
            statistics.median(times * y / x for x, y in rounds), rel=1e-3
        )
        assert ratio["quartiles"][0] <= ratio["speed"] <= ratio["quartiles"][1]
        assert ratio["memory"] is None


def test_a_small_run_end_to_end(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    done = ran(
        root, "throughput.py", "--networks", "x400mf", "--ways", "float32", "--image", 32,
        "--minutes", 0.2, "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["conditions"]["device_type"] == "cpu"
    assert found["conditions"]["versions"]["torch"] == torch.__version__
    assert len(found["conditions"]["load"]) == 3
    assert "fewer networks" in found["settings"]["reduced"]
    entry = found["networks"]["x400mf"]
    measured = [row for row in entry["cells"] if row["status"] == "measured"]
    assert [(r["task"], r["batch"]["ours"]) for r in entry["cells"]] == [
        ("inference", 16), ("inference", 1), ("training", 16),
    ]  # fmt: skip
    assert measured
    for row in measured:
        check_row(row)
        there = {
            name for name, about in entry["sides"].items() if about["status"] in ("built", "same")
        }
        assert set(row["sides"]) == there & {"ours", "timm"}


@pytest.mark.slow
def test_without_time_every_cell_is_skipped_and_says_so(root: Path, tmp_path: Path) -> None:
    for script in ("throughput.py", "efficientnet.py"):
        out = tmp_path / f"{script}.json"
        done = ran(root, script, "--minutes", 0, "-o", out)
        assert done.returncode == 0, done.stderr
        rows = [r for e in json.loads(out.read_text())["networks"].values() for r in e["cells"]]
        assert rows
        assert {(r["status"], r["why"]) for r in rows} == {("skipped", "there was no time left")}


@pytest.mark.slow
def test_a_killed_run_leaves_a_result(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    command = [sys.executable, root / "benchmarks/throughput.py", "--device", "cpu", "-o", out]
    with subprocess.Popen([*map(str, command), "--image", "32"], stderr=subprocess.PIPE) as run:
        until = time.monotonic() + 60
        while not out.exists() and time.monotonic() < until:
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    rows = [r for e in json.loads(out.read_text())["networks"].values() for r in e["cells"]]
    assert len(rows) == 20
    assert {r["status"] for r in rows} <= {"skipped", "measured"}


def test_a_device_that_is_not_there_is_said(root: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = ran(root, "throughput.py", "--device", "cuda", "-o", tmp_path / "t.json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: torch ")


def test_names_are_those_that_tests_use(unsettled: nn.Module) -> None:
    import speed_networks

    names = [*unsettled.state_dict(), "s2.b3.f.se.f_ex.0.weight", "s2.b3.f.se.f_ex.2.bias"]
    assert [speed_networks.timm_name(n) for n in names] == [peers.timm_name(n) for n in names]


@needs_timm
@needs_torchvision
def test_the_same_network_is_measured(unsettled: nn.Module) -> None:
    import speed_networks

    peers.import_timm()
    peer = speed_networks.network("timm", "regnetx_004")
    assert peer is not None
    assert speed_networks.same(unsettled, peer, "timm") == {
        "status": "same", "equal": True, "largest_difference": 0.0,
    }  # fmt: skip
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.01
    assert speed_networks.same(unsettled, peer, "timm")["status"] == "another network"


@needs_timm
@needs_torchvision
def test_torchvision_has_another_400mf_and_the_same_800mf(unsettled: nn.Module) -> None:
    import speed_networks

    peers.import_timm()
    other = speed_networks.network("torchvision", "regnet_x_400mf")
    assert other is not None
    found = speed_networks.same(unsettled, other, "torchvision")
    assert found == {"status": "another network"}
    ours = speed_networks.network("ours", "x800mf")
    peer = speed_networks.network("torchvision", "regnet_x_800mf")
    assert ours is not None
    assert peer is not None
    speed_networks.unsettle(ours)
    assert speed_networks.same(ours, peer, "torchvision")["equal"]


def test_a_batch_that_no_memory_holds(unsettled: nn.Module) -> None:
    from speed_cell import Cell, Side, measure

    cell = Cell("inference", "float32", {"ours": 1 << 40}, halvings=1)
    row = measure(cell, {"ours": Side(unsettled, 32)}, [], CPU, 1.0)
    assert row["status"] == "out of memory"
    assert [b["ours"] for b in row["too_large"]] == [1 << 40, 1 << 39]


def test_a_cell_that_fails_says_why(unsettled: nn.Module) -> None:
    from speed_cell import Cell, Side, measure

    cell = Cell("training", "bf16 channels_last graph", {"ours": 2})  # there is no CUDA
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    row = measure(cell, {"ours": Side(unsettled, 32)}, [], CPU, 1.0)
    assert row["status"] == "failed"
    assert row["why"]


def test_a_process_that_dies_fails_its_cells(tmp_path: Path) -> None:
    import speed_parent

    side = {"name": "ours", "source": "ours", "model": "no_such_network", "image": 32}
    cell = {"task": "inference", "way": "float32", "batch": {"ours": 1}, "halvings": 0}
    order = speed_parent.Order("none", [side], [cell], [])
    with speed_parent.bench("test", "cpu", tmp_path / "t.json", time.monotonic() + 60) as found:
        found.run([speed_parent.Phase("only", 1.0, [order])])
    (row,) = json.loads((tmp_path / "t.json").read_text())["networks"]["none"]["cells"]
    assert (row["status"], row["why"]) == ("failed", "the measuring process ended with 1")


@pytest.mark.slow
@needs_timm
def test_a_pair_of_the_paper_at_a_small_size(tmp_path: Path) -> None:
    import efficientnet
    from speed_parent import bench

    (phase,) = efficientnet.plan(Namespace(pairs=["b0"]), gpu=False)
    for side in phase.orders[0].sides:
        side["image"] = 32
    with bench("test", "cpu", tmp_path / "e.json", time.monotonic() + 12) as found:
        found.run([phase])
    rows = [r for r in found.result["networks"]["b0"]["cells"] if r["status"] == "measured"]
    assert rows
    for row in rows:
        check_row(row)
        assert set(row["ratios"]) == {"regnety/efficientnet", "regnetx/efficientnet"}
    claim = efficientnet.against_the_claim(found.result["networks"])
    measured = claim["pairs"]["b0"]["measured"]
    assert [r["regnetx"] for r in measured] == [
        r["ratios"]["regnetx/efficientnet"]["speed"] for r in rows
    ]
    assert claim["pairs"]["b0"]["published"]["regnety"] == {"inference": 1.79, "training": 2.29}
    assert claim["largest_published"] == {"inference": 5.36, "training": 5.98}


def test_plans_for_a_gpu_hold_every_network_and_known_ways() -> None:
    import efficientnet
    import throughput
    from speed_ways import WAYS

    phases = throughput.plan(throughput.arguments([]), gpu=True)
    assert [p.name for p in phases] == ["eager", "compiled", "forced layout"]
    assert phases[-1].share == 1.0
    for phase in phases:
        assert {o.network for o in phase.orders} == set(throughput.NETWORKS)
        ways = {WAYS[cell["way"]] for o in phase.orders for cell in o.cells}
        assert {w.forced for w in ways} == {bool(phase.environment)}
        assert {w.compiled is None for w in ways} == {phase.name == "eager"}
    for phase in efficientnet.plan(efficientnet.arguments([]), gpu=True):
        assert {o.network for o in phase.orders} == set(efficientnet.PAIRS)
        assert {cell["way"] for o in phase.orders for cell in o.cells} <= set(WAYS)


def test_networks_that_are_compared_are_generated(root: Path) -> None:
    import speed_networks
    import throughput

    made = {path.stem for path in (root / "generated").glob("x*.py")}
    assert set(throughput.NETWORKS) == set(speed_networks.TIMM) <= made


@pytest.mark.parametrize("groups", [1, 3])
def test_gradients_of_the_sweep_are_autograds(groups: int) -> None:
    import groups as sweep

    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 5, 5, generator=rng, requires_grad=True)
    weight = torch.randn(6, 6 // groups, 3, 3, generator=rng, requires_grad=True)
    above = torch.randn(2, 6, 5, 5, generator=rng)
    out = nn.functional.conv2d(x, weight, padding=1, groups=groups)
    expected = torch.autograd.grad(out, (x, weight), above)
    runs = sweep.passes(x.detach(), weight.detach(), above, groups)
    forward, first, second = (runs[n]() for n in ("forward", *sweep.MASKS))
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    torch.testing.assert_close(forward, out)
    torch.testing.assert_close(first[0], expected[0])
    torch.testing.assert_close(second[1], expected[1])
    assert first[1] is None
    assert second[0] is None


def test_a_cell_of_the_sweep() -> None:
    import groups as sweep

    row = sweep.cell(56, 7, "float32", 1, CPU)
    assert row["width"] == 1008
    macs = 7 * 7 * 1008 * 56 * 9
    assert row["forward"]["tflops"] == pytest.approx(
        2 * macs / row["forward"]["ms"] / 1e9, rel=1e-3
    )
    assert {"forward", *sweep.MASKS} <= set(row)


def test_results_are_json_with_a_line_for_each_cell() -> None:
    from speed_parent import text

    result = {"a": [1, 2], "networks": {n: {"cells": [{"at": k, "s": '"@0"'} for k in range(12)]} for n in "xy"}}  # fmt: skip
    written = text(result)
    assert json.loads(written) == result
    assert sum('"at"' in line for line in written.splitlines()) == 24
