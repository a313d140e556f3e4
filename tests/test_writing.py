"""Networks written down again: the spec makes the same network, and is laid out."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest
from oracle import quantized_line
from regnetc.driver import check_file
from regnetc.fitting import fit, shared
from regnetc.fmt import format_text
from regnetc.network import Network, Origin
from regnetc.writing import Line, as_spec
from strategies import any_net, reg_net


def network_of(text: str) -> Network:
    checked = check_file("net.regnet", text.encode())
    assert not checked.failed, [p.message for p in checked.problems]
    (resolution,) = checked.resolutions.values()
    return resolution.network


def same(a: Network, b: Network) -> bool:
    """Whether two networks are one, whatever they are called and were written with."""
    x, y = (n._replace(name="", doc="", parameters=(), origin=Origin()) for n in (a, b))
    return x == y._replace(published=x.published)


@pytest.mark.parametrize("seed", range(60))
def test_stage_by_stage(seed: int) -> None:
    network = network_of(any_net(random.Random(seed)).spec())
    text = as_spec(network, "Again", "Two lines\n\nof words.")
    again = network_of(text)
    assert same(again, network)
    assert (again.name, again.doc) == ("Again", "Two lines\n\nof words.")
    assert format_text(text) == text


def line_spec(family: str, point: tuple[int, int, float, float, int, Fraction], more: str) -> str:
    d, w0, wa, wm, g, b = point
    return (
        f'use "families.regnet"\nmodel N extends {family} {{\n d = {d}\n w0 = {w0}\n wa = {wa}\n'
        f" wm = {wm}\n g = {g}\n b = {b}\n {more}\n}}\n"
    )


def of_a_line(family: str, seed: int) -> Network:
    """A network at random on a line that makes one to eight stages."""
    r = random.Random(seed)
    while True:
        point = reg_net(r)
        d, w0, wa, wm, _, b = point
        made = len(quantized_line(d, w0, wa, wm)[0])
        rounding = "rounding = torchvision" if seed % 3 == 0 and b >= 1 else ""
        text = line_spec(family, point, f"stages = {made}\n {rounding}")
        if made <= 8 and not (checked := check_file("n.regnet", text.encode())).failed:
            return checked.resolutions["N"].network


@pytest.mark.parametrize("family", ["RegNetX", "RegNetY", "RegNetZ"])
@pytest.mark.parametrize("seed", range(12))
def test_on_its_line(family: str, seed: int) -> None:
    network = of_a_line(family, seed)
    groups = shared(network)
    p = {k: Fraction(str(v)) for k, v in network.parameters}
    b = Fraction(p["b"]).limit_denominator(64)
    line = Line(int(p["d"]), int(p["w0"]), p["wa"], p["wm"], b, int(p["g"]))
    text = as_spec(network, "N", "Again.", line)
    assert same(network_of(text), network)
    assert f"extends {family}" in text
    assert groups is None or groups[0] == line.b


def test_what_the_family_says_is_not_said_again() -> None:
    network = network_of(line_spec("RegNetY", (16, 48, 27.9, 2.09, 8, Fraction(1)), ""))
    line = Line(16, 48, Fraction("27.9"), Fraction("2.09"), Fraction(1), 8)
    assert as_spec(network, "N", "A doc.", line) == (
        'use "families.regnet"\n\n# A doc.\nmodel N extends RegNetY {\n'
        "  d  = 16\n  w0 = 48\n  wa = 27.9\n  wm = 2.09\n  b  = 1\n  g  = 8\n}\n"
    )


@pytest.mark.parametrize("stem", ["x400mf", "x3_2gf", "x12gf"])
def test_an_exact_line_is_the_shipped_network(stem: str, root: Path) -> None:
    (resolution,) = check_file(root / f"spec/{stem}.regnet").resolutions.values()
    found, groups = fit(resolution.network), shared(resolution.network)
    assert found.exact
    assert groups is not None
    line = Line(found.d, found.w0, found.wa, found.wm, *groups)
    assert same(network_of(as_spec(resolution.network, "N", "Line.", line)), resolution.network)
