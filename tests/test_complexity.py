"""Closed forms against layer-by-layer sums, and against counts of the publishers' own code."""

from __future__ import annotations

import os
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import oracle
import pytest
from facts import ROWS, SHIPPED, measured
from regnetc import complexity
from regnetc.driver import check_file
from regnetc.network import Network
from strategies import any_net, reg_net

NETS = int(os.environ.get("REGNETC_NETS", "250"))  # fewer for mutation testing
POINTS = int(os.environ.get("REGNETC_POINTS", "800"))


def model(spec: str, tmp_path: Path) -> Network:
    path = tmp_path / "net.regnet"
    path.write_text(spec, "utf-8")
    checked = check_file(path)
    assert not checked.failed, checked.problems
    return checked.resolutions["Net"].network


def slowly(n: Network, se: Fraction) -> dict[str, int]:
    stages = [(s.w, s.d, s.stride, s.inner, s.g, se) for s in n.stages]
    walk = oracle.layers(
        n.block, n.image, n.channels, (n.stem.type, n.stem.w), stages, n.head, n.classes
    )
    return oracle.counts(list(walk), relu=n.activation == "relu")


def test_random_networks_cost_what_their_layers_add_up_to(tmp_path: Path) -> None:
    r = random.Random(1)
    for _ in range(NETS):
        net = any_net(r)
        n = model(net.spec(), tmp_path)
        assert n.counts.as_dict() == slowly(n, net.se), net


def test_random_points_on_the_line_cost_what_their_layers_add_up_to(tmp_path: Path) -> None:
    r = random.Random(2)
    tried = 0
    while tried < POINTS:
        d, w0, wa, wm, g, b = reg_net(r)
        widths, depths = oracle.quantized_line(d, w0, wa, wm)
        if len(widths) > 8 or max(widths) > 8_000:
            continue
        fits = [oracle.fit_to_groups(w, b, g) for w in widths]
        block = r.choice("XYZ")
        se = {"X": Fraction(0), "Y": Fraction(1, 4), "Z": r.choice([Fraction(0), Fraction(1, 4)])}[
            block
        ]
        family = {"X": "RegNetX", "Y": "RegNetY", "Z": "RegNetZ"}[block]
        lines = {"d": d, "w0": w0, "wa": wa, "wm": wm, "g": g, "b": b, "stages": len(widths)}
        if block == "Z":
            lines["se"] = se
        body = "".join(f"  {k} = {v}\n" for k, v in lines.items())
        n = model(f'use "families.regnet"\n\nmodel Net extends {family} {{\n{body}}}\n', tmp_path)
        assert [(s.w, s.inner, s.g, s.d) for s in n.stages] == [
            (*f, k) for f, k in zip(fits, depths, strict=True)
        ]
        assert n.counts.as_dict() == slowly(n, se), lines
        tried += 1


@pytest.mark.parametrize(
    ("base", "row"), ROWS, ids=lambda x: x if isinstance(x, str) else x["name"]
)
def test_every_published_network_has_the_counts_of_its_publishers_code(
    base: str, row: dict[str, Any], tmp_path: Path
) -> None:
    p = row["parameters"]
    family = "RegNetY" if p.get("se") else "RegNetX"
    rounding = "torchvision" if base == "torchvision" else "paper"
    body = "".join(f"  {k} = {p[k]}\n" for k in ("d", "w0", "wa", "wm", "g", "b"))
    n = model(
        f'use "families.regnet"\nmodel Net extends {family} {{\n{body}  rounding = {rounding}\n}}\n',
        tmp_path,
    )
    stages = row["stages"]
    assert [s.w for s in n.stages] == stages["w"]
    assert [s.d for s in n.stages] == stages["d"]
    assert [s.g for s in n.stages] == stages["g"]
    assert [s.inner for s in n.stages] == stages["inner"]
    counts = n.counts.as_dict()
    known = {k: v for k, v in row["measured"].items() if k in counts}
    assert {k: counts[k] for k in known} == known
    assert {"params", "macs", "pycls", "fvcore", "acts"} <= set(known)


@pytest.mark.parametrize("stem", SHIPPED)
def test_shipped_specs_have_the_counts_of_the_facts(stem: str, root: Path) -> None:
    n = next(iter(check_file(root / f"spec/{stem}.regnet").resolutions.values())).network
    facts = measured(stem)
    for name in ("params", "macs", "pycls", "fvcore", "mmcv", "acts"):
        assert getattr(n.counts, name) == facts[name]
    assert n.counts.torch2 == 2 * facts["macs"]


def test_other_image_sizes_change_flops_and_not_params(root: Path) -> None:
    n = check_file(root / "spec/x400mf.regnet").resolutions["RegNetX-400MF"].network
    small, same = n.counts_at(112), n.counts_at(224)
    assert same == n.counts
    assert small.params == n.counts.params
    stages = [(s.w, s.d, s.stride, s.inner, s.g, Fraction(0)) for s in n.stages]
    walk = list(oracle.layers("X", 112, 3, ("simple", 32), stages, 0, 1000))
    assert small.as_dict() == oracle.counts(walk, relu=True)


def test_parts_are_named_and_add_up(root: Path) -> None:
    n = check_file(root / "spec/x400mf.regnet").resolutions["RegNetX-400MF"].network
    parts = n.parts()
    assert [(p.name, p.side) for p in parts] == [
        ("stem", 112), ("s1", 56), ("s2", 28), ("s3", 14), ("s4", 7), ("head", 1),
    ]  # fmt: skip
    assert n.counts_of(complexity.total([p.tally for p in parts])) == n.counts
    assert parts[-1].tally.params == 385 * 1000


def test_tallies_add_and_repeat() -> None:
    one = complexity.conv(3, 8, 3, 5)
    assert one + one == one * 2
    assert one + complexity.Tally() == one
    assert complexity.total([one, one, one]) == one * 3
    assert complexity.excitation(8, 0, 5) == complexity.Tally()


@pytest.mark.parametrize(
    ("side", "stride", "after"), [(224, 2, 112), (7, 2, 4), (1, 2, 1), (5, 3, 2), (9, 1, 9)]
)
def test_padded_layers_round_sides_up(side: int, stride: int, after: int) -> None:
    assert complexity.size_after(side, stride) == after
