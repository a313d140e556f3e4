"""The normal form of a space: one for all ways to say it, and a spec of its own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from regnetc.canonical import lines_of, number
from regnetc.driver import check_file
from regnetc.spaces.normal import as_spec, parse
from regnetc.spaces.space import Space, read
from test_shipped_spaces import ALL

LINES = [
    "d ~ uniform(12..28)",
    "w0 ~ log_uniform(8..256 by 8)",
    "wa ~ log_uniform(8..256 by 0.1)",
    "wm ~ uniform(2..3 by 0.01)",
    "g ~ choice(8, 16, 24)",
    "b = 1",
    "flops in 400MF +- 1%",
    "acts <= 6.5M * sqrt(flops / 1GF)",
    "w[i+1] >= w[i]",
]


def space(lines: list[str], parent: str = "RegNetX", before: str = "") -> Space:
    body = "".join(f"  {line}\n" for line in lines)
    text = f'use "families.regnet"\n{before}\nspace S extends {parent} {{\n{body}}}\n'
    checked = check_file("s.regnet", text.encode())
    assert not checked.failed, [p.message for p in checked.problems]
    return read(checked.scopes["S"])


@pytest.mark.parametrize(("stem", "name"), ALL)
def test_a_normal_form_says_the_same_and_is_its_own(stem: str, name: str, root: Path) -> None:
    given = read(check_file(root / f"spec/{stem}.regnet").scopes[name])
    again = parse(name, given.text)
    assert again.text == given.text
    assert again.digest == given.digest
    assert [d.normal for d in again.demands] == [d.normal for d in given.demands]
    assert 'use "' not in as_spec(name, given.text)


@pytest.mark.parametrize("seed", range(5))
def test_order_comments_and_inheritance_change_nothing(seed: int) -> None:
    r = random.Random(seed)
    shuffled = r.sample(LINES, len(LINES))
    cut = r.randrange(1, len(LINES))
    before = "# a parent\nspace P extends RegNetX {\n" + "\n".join(shuffled[:cut]) + "\n}\n"
    commented = [f"{line}   # why" for line in shuffled[cut:]]
    assert space(commented, "P", before).digest == space(LINES).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("d ~ uniform(12..28)", "d ~ uniform(12..28 by 1)"),
        ("flops in 400MF +- 1%", "flops in 0.396GF..404MF"),
        ("wa ~ log_uniform(8..256 by 0.1)", "wa ~ log_uniform(8.0..256 by 1/10)"),
        ("g ~ choice(8, 16, 24)", "g ~ choice(24, 8, 2 * 8)"),
    ],
)
def test_other_words_for_the_same(one: str, other: str) -> None:
    assert one in LINES
    assert lines(one) == lines(other)


def lines(line: str) -> list[str]:
    name = line.split(maxsplit=1)[0]
    return lines_of(space([*(x for x in LINES if x.split()[0] != name), line]).scope)


@pytest.mark.parametrize(
    "line",
    ["d ~ uniform(12..27)", "d ~ log_uniform(12..28)", "wm ~ uniform(2..3 by 0.02)", "flops in 400MF +- 2%", "b = 2"],
)  # fmt: skip
def test_another_meaning_is_another_space(line: str) -> None:
    name = line.split(maxsplit=1)[0]
    other = space([*(x for x in LINES if x.split()[0] != name), line])
    assert other.digest != space(LINES).digest


def test_numbers_are_exact() -> None:
    from fractions import Fraction

    for text in ("0.1", "24.48", "1 / 3", "400000000", "0.0078125", "7 / 6"):
        assert number(Fraction(text.replace(" ", ""))) == text
