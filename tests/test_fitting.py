"""From networks back to lines: exact for all that have one, near for the others."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest
from facts import FACTS
from oracle import fit_to_groups, quantized_line
from regnetc import regnet
from regnetc.driver import check_file
from regnetc.fitting import LineFit, fit, shared
from regnetc.network import Network


def network(body: str, parent: str = "AnyNetX") -> Network:
    text = f'use "families.regnet"\nmodel N extends {parent} {{\n{body}\n}}\n'
    checked = check_file("n.regnet", text.encode())
    assert not checked.failed, [p.message for p in checked.problems]
    return checked.resolutions["N"].network


def stages(w: list[int], d: list[int], g: int = 8) -> Network:
    gs = [min(g, x) for x in w]
    return network(f"stages = {len(w)}\nw[i] = {w}\nd[i] = {d}\nb[i] = 1\ng[i] = {gs}")


def e_fit(found: LineFit, n: Network) -> float:
    """The error by its definition, with another transcription of the line."""
    widths, depths = quantized_line(found.d, found.w0, float(found.wa), float(found.wm))
    groups = shared(n)
    if groups is not None:
        widths = [fit_to_groups(w, *groups)[0] for w in widths]
    predicted = [w for w, d in zip(widths, depths, strict=True) for _ in range(d)]
    observed = [s.w for s in n.stages for _ in range(s.d)]
    assert list(found.predicted) == predicted
    return sum(abs(math.log(p / o)) for p, o in zip(predicted, observed, strict=True)) / len(
        observed
    )


@pytest.mark.parametrize("row", FACTS["pycls"], ids=lambda row: str(row["name"]))
def test_published_networks_come_back_exactly(row: dict[str, Any]) -> None:
    block = "AnyNetX" if "X" in row["name"] else "AnyNet"
    n = network(
        f"{'' if block == 'AnyNetX' else 'block = Y'}\n{'' if block == 'AnyNetX' else 'se = 1/4'}\n"
        f"w[i] = {row['stages']['w']}\nd[i] = {row['stages']['d']}\nb[i] = 1\ng[i] = {row['stages']['g']}",
        block,
    )
    found = fit(n)
    assert found.exact
    assert found.error == 0
    widths, depths = quantized_line(found.d, found.w0, float(found.wa), float(found.wm))
    groups = shared(n)
    assert groups is not None
    assert [fit_to_groups(w, *groups)[0] for w in widths] == row["stages"]["w"]
    assert depths == row["stages"]["d"]


@pytest.mark.parametrize("seed", range(15))
def test_a_network_of_a_line_has_a_line(seed: int) -> None:
    r = random.Random(seed)
    while True:
        w0, wa, wm = 8 * r.randint(1, 32), round(r.uniform(8, 256), 1), round(r.uniform(1.5, 3), 3)
        d, g = r.randint(4, 40), r.choice([1, 2, 4, 8, 16, 24, 32])
        widths, depths = quantized_line(d, w0, wa, wm)
        fitted = [fit_to_groups(w, Fraction(1), g)[0] for w in widths]
        if 2 <= len(set(fitted)) == len(widths) <= 5:
            break
    n = stages(fitted, depths, g)
    found = fit(n)
    assert found.exact
    assert e_fit(found, n) == 0


def test_of_exact_lines_that_with_the_fewest_decimals() -> None:
    found = fit(stages([16, 32, 64], [1, 2, 2]))
    assert (found.d, found.w0, found.wa, found.wm) == (5, 16, Fraction(10), Fraction(2))


@pytest.mark.parametrize(
    ("w", "d", "most"),
    [
        ([256, 512, 1024, 2048], [3, 4, 6, 3], 0.09),
        ([64, 32, 64, 32], [2, 2, 2, 2], 0.36),
        ([8, 8, 8], [1, 1, 1], 0.0),
        ([64], [7], 0.0),
        ([64, 72, 512], [1, 10, 1], 0.3),
    ],
)  # fmt: skip
def test_the_error_is_e_fit_and_not_worse_nearby(w: list[int], d: list[int], most: float) -> None:
    n = stages(w, d)
    found = fit(n)
    assert found.error <= most
    assert found.error == pytest.approx(e_fit(found, n), abs=1e-12)
    for dw0, dwa, dwm in (
        (8, 0, 0),
        (0, 1, 0),
        (0, -1, 0),
        (0, 0, 0.01),
        (0, 0, -0.01),
        (-8, 2, 0),
    ):
        moved = found._replace(
            w0=max(8, found.w0 + dw0),
            wa=max(Fraction(0), found.wa + dwa),
            wm=max(Fraction("1.01"), found.wm + Fraction(str(dwm))),
        )
        widths, depths = quantized_line(moved.d, moved.w0, float(moved.wa), float(moved.wm))
        fitted = [fit_to_groups(x, Fraction(1), 8)[0] for x in widths]
        predicted = [x for x, times in zip(fitted, depths, strict=True) for _ in range(times)]
        assert e_fit(moved._replace(predicted=tuple(predicted)), n) >= found.error - 1e-12


def test_groups_that_narrow_stages_are_clipped_to_are_shared() -> None:
    n = network("stages = 3\nw[i] = [8, 16, 48]\nd[i] = 1\nb[i] = 1\ng[i] = [8, 8, 24]")
    assert shared(n) is None
    n = network("stages = 3\nw[i] = [8, 16, 48]\nd[i] = 1\nb[i] = 1\ng[i] = [8, 16, 16]")
    assert shared(n) == (Fraction(1), 16)


@pytest.mark.parametrize(
    "w",
    [
        pytest.param(
            [8192, 16384, 32768, 32768, 65536, 65536, 65536, 65536], marks=pytest.mark.slow
        ),
        [65536, 65528, 65520, 60000, 50000, 40000, 30000, 8],
    ],
)
def test_a_hostile_network_is_not_fitted_for_ever(
    w: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = []
    quantized = regnet.quantized_linear

    def counted(d: int, *line: Any) -> regnet.Line:
        worked.append(d)
        return quantized(d, *line)

    monkeypatch.setattr(regnet, "quantized_linear", counted)
    found = fit(stages(w, [128] * 8, g=8192 if w[0] == 8192 else 8))
    assert found.error > 0
    assert sum(worked) < 1_000_000  # blocks; without an end there would be billions
