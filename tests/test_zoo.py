"""`regnetc zoo`: every shipped network is its publisher's, and every published number is accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from regnetc import regnet, zoo
from regnetc.network import Network
from regnetc.published import reconcile
from test_cli import regnetc

COUNTS: dict[str, dict[str, int]] = json.loads(
    (Path(__file__).parent / "zoo.json").read_text("utf-8")
)["counts"]


def test_every_network_but_ours_has_its_publishers_counts() -> None:
    assert {e.stem for e in zoo.entries()} == {*COUNTS, "digits"}
    assert len(COUNTS) == 45


@pytest.mark.parametrize("stem", COUNTS)
def test_counts_are_those_of_the_publishers_code(stem: str) -> None:
    (entry,) = (e for e in zoo.entries() if e.stem == stem)
    counts = entry.network.counts.as_dict()
    assert {k: counts[k] for k in COUNTS[stem]} == COUNTS[stem]
    assert entry.rows


def test_every_code_base_is_there() -> None:
    """Their networks by their own names, each found by that name."""
    of: dict[str, set[str]] = {}
    for entry in zoo.entries():
        for row in entry.rows:
            if row.name:
                of.setdefault(row.row.source, set()).add(row.name)
                assert row.name in zoo.find(row.name).names
    assert {k: len(v) for k, v in of.items()} == {
        "pycls": 24, "mmpretrain": 8, "torchvision": 15, "transformers": 34, "ClassyVision": 19, "timm": 67,
        "timm docs": 24, "timm benchmark": 1, "SEER": 5,
    }  # fmt: skip


def test_what_is_wrong_at_its_source() -> None:
    ran = regnetc("zoo", "verify", "--json")
    assert ran.code == 0
    verdicts: dict[str, list[str]] = {}
    for row in ran.json["rows"]:
        verdicts.setdefault(row["verdict"], []).append(
            f"{row['source']} {row['name']} {row['field']}"
        )
    assert verdicts.keys() == {"agrees", "erratum"}
    assert len(verdicts["agrees"]) > 240
    wrong = verdicts["erratum"]
    assert [w for w in wrong if "timm docs" not in w] == [
        "mmpretrain RegNetX-3.2GF params", "mmpretrain RegNetX-3.2GF flops", "SEER RegNetY-32GF params",
        "SEER RegNetY-64GF params", "SEER RegNetY-128GF params", "timm benchmark RegNetY-256GF-SEER params",
        "timm benchmark RegNetY-256GF-SEER flops", "timm benchmark RegNetY-256GF-SEER acts",
        "SEER RegNetY-256GF-SEER params",
    ]  # fmt: skip
    assert len([w for w in wrong if "timm docs" in w and w.endswith("flops")]) == 24
    errata = ran.json["errata"]
    assert [e["name"] for e in errata if "cannot be built" in e["erratum"]] == ["RegNetY-256GF"] * 2
    assert any(e["source"] == "ClassyVision" and "2976" in e["erratum"] for e in errata)


def test_the_pages_of_timm_count_a_wider_image() -> None:
    """The erratum's own evidence, to the unit: they are what 224 x 285 costs, in another way of counting."""
    rows = [(e, r) for e in zoo.entries() for r in reconcile(e.network) if r.source == "timm docs"]
    flops = [(e, int(r.printed)) for e, r in rows if r.field == "flops"]
    assert len(flops) == 24
    for entry, printed in flops:
        assert printed == _as_timms_pages(entry.network), entry.stem


def _as_timms_pages(network: Network) -> int:
    """Convolutions on 112 x 143 and halves of it, squeezes with their biases, 64 a channel of the last pooling."""
    size, w_in, total = (112, 143), 32, 3 * 9 * 32 * 112 * 143
    for stage in network.stages:
        for i, squeezed in enumerate(stage.se):
            before = size[0] * size[1]
            size = (-(-size[0] // 2), -(-size[1] // 2)) if i == 0 else size
            after = size[0] * size[1]
            total += w_in * stage.inner * before + stage.inner * (9 * stage.g + stage.w) * after
            total += w_in * stage.w * after if i == 0 else 0
            total += 2 * stage.inner * squeezed + squeezed + stage.inner if squeezed else 0
            w_in = stage.w
    return total + 64 * w_in


def test_the_benchmark_of_timm_timed_another_256gf() -> None:
    """Its params and acts are those of ClassyVision's, its flops with two for every output of a norm."""
    (entry,) = (e for e in zoo.entries() if e.stem == "y256gf")
    counts = entry.network.counts
    assert round(counts.params / 1e6, 2) == 826.14
    assert round(counts.acts / 1e6, 2) == 87.48
    norms = counts.acts - entry.network.classes
    squeezed = sum(sum(s.se) + s.d * s.inner for s in entry.network.stages)
    assert round((counts.macs + 2 * (norms - squeezed)) / 1e9, 2) == 257.07
    assert zoo.find("regnety_2560").stem == "y256gf_seer"


def test_three_networks_of_torchvision_are_not_the_papers() -> None:
    """Of its fifteen: from the same parameters the paper's rule makes the network of another entry."""
    found = [e for e in zoo.entries() if e.network.rounding == "torchvision"]
    assert {e.stem for e in found} == {
        "torchvision_x400mf",
        "torchvision_y800mf",
        "torchvision_y8_0gf",
    }
    for entry in found:
        p = dict(entry.network.parameters)
        line = regnet.quantized_linear(int(p["d"]), int(p["w0"]), p["wa"], p["wm"])
        twin = next(
            e for e in zoo.entries()
            if e is not entry and dict(e.network.parameters) == p and e.network.order == "post"
        )  # fmt: skip
        assert twin.network.rounding == "paper"
        assert tuple(s.d for s in twin.network.stages) == line.d
        assert [s.w for s in twin.network.stages] != [s.w for s in entry.network.stages]
        assert entry.others


@pytest.mark.parametrize(
    ("said", "stems"),
    [
        (["regnetz_d8"], ["timm_zd8"]),
        (["--family", "V"], ["timm_v040", "timm_v064"]),
        (["seer", "--flops", "1000G..9000G"], ["y10b_seer"]),
        (["mmpretrain", "--params", "0..8M"], ["x400mf", "x800mf"]),
        (["--family", "X", "--flops", "300MF..500MF"], ["x400mf", "torchvision_x400mf"]),
        (["--params", "1G..20G", "--sort", "params"], ["y256gf_seer", "y10b_seer"]),
        (["--source", "mmpretrain", "--sort", "top1", "--params", "0..8M"], ["x800mf", "x400mf"]),
    ],
)
def test_searching(said: list[str], stems: list[str]) -> None:
    ran = regnetc("zoo", *said, "--json")
    assert [e["spec"].removesuffix(".regnet") for e in ran.json] == stems
    table = regnetc("zoo", *said)
    assert table.code == 0
    assert all(stem in table.out for stem in stems)


def test_what_is_not_there() -> None:
    assert "error[unknown-network]" in regnetc("zoo", "resnet50").err
    assert "did you mean `regnetx_080" in regnetc("zoo", "show", "regnetx_00").err
    assert regnetc("zoo", "--flops", "much").code == 2
    assert "begins above its end" in regnetc("zoo", "--params", "5M..1M").err


def test_one_entry_by_any_name() -> None:
    for name in (
        "x400mf",
        "RegNetX-400MF",
        "regnetx_004",
        "REGNETX-400MF_8XB128_IN1K",
        "regnet-x-004",
    ):
        ran = regnetc("zoo", "show", name)
        assert ran.code == 0, name
        assert "spec/x400mf.regnet" in ran.out
    said: dict[str, Any] = regnetc("zoo", "show", "regnetx_004", "--json").json
    rows = {r["source"]: r for r in said["published"]}
    assert rows["mmpretrain"]["sha256"] == "89bfc226"
    assert rows["mmpretrain"]["weights"].endswith("89bfc226.pth")
    assert "spec/y10b_seer.regnet" in regnetc("zoo", "show", "regnet-y-10b-seer-in1k").out
    theirs = regnetc("zoo", "show", "regnet_x_400mf")  # most people's is torchvision's
    assert "spec/torchvision_x400mf.regnet" in theirs.out
    assert "spec/x400mf.regnet" in regnetc("zoo", "show", "ClassyVision:regnet_x_400mf").out
    assert said["other_rounding"] == ["stage 4: 384, and 400 by the rule of torchvision"]
