"""The grammar itself, and the tables that stand in for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark
from regnetc import grammar, tables
from regnetc.diagnostics import Source
from regnetc.scan import scan
from regnetc.syntax import parse, read_literal
from regnetc.tree import Bound, Chain, Fix, Member, Number, Ref


def test_the_grammar_has_no_conflicts() -> None:
    Lark(grammar.grammar_text(), parser="lalr", strict=True)


def test_the_tables_were_made_from_this_grammar() -> None:
    assert grammar.grammar_text() == tables.GRAMMAR


@pytest.mark.parametrize(
    "case",
    sorted((Path(__file__).parent / "cases").glob("m*/input.regnet")),
    ids=lambda p: p.parent.name,
)
def test_the_tables_parse_as_a_fresh_parser_does(case: Path) -> None:
    fresh = Lark(
        grammar.grammar_text(), parser="lalr", propagate_positions=True, maybe_placeholders=True
    )
    text = case.read_text("utf-8")
    try:
        wanted = fresh.parse(text)
    except Exception as e:
        with pytest.raises(type(e)):
            grammar.parser().parse(text)
    else:
        assert grammar.parser().parse(text) == wanted


def test_terminals_are_never_shown(root: Path) -> None:
    terminals = {t.name for t in grammar.parser().terminals}
    shown = "".join(p.read_text("utf-8") for p in (root / "tests/cases").glob("*/problems.txt"))
    words = set(re.findall(r"\b_*[A-Z][A-Z_0-9]+\b", shown))
    assert not words & (terminals - {"MINUS", "PLUS"})


def line(text: str) -> object:
    file, problems = parse(Source("x.regnet", f"space S {{\n  {text}\n}}\n"))
    assert not problems
    (found,) = file.declarations[0].lines
    return found


def test_every_node_knows_its_place() -> None:
    fix = line("w[i], d[i] = quantized_linear(d, w0, wa, wm)")
    assert isinstance(fix, Fix)
    assert fix.span.text == "w[i], d[i] = quantized_linear(d, w0, wa, wm)"
    assert [t.span.text for t in fix.targets] == ["w[i]", "d[i]"]
    assert fix.value.span.text == "quantized_linear(d, w0, wa, wm)"
    bound = line("3M + 5.5M * (flops / 1GF) >= params")
    assert isinstance(bound, Bound)
    assert isinstance(bound.operands[0], Chain)
    assert [o.span.text for o in bound.operands] == ["3M + 5.5M * (flops / 1GF)", "params"]
    member = line("flops in 360MF .. 400MF by 1MF")
    assert isinstance(member, Member)
    assert (member.range.low.span.text, member.range.step and member.range.step.span.text) == (
        "360MF",
        "1MF",
    )


def test_lines_break_freely_inside_brackets() -> None:
    fix = line("w[i] = [  # widths\n    32,\n\n    64,  # the second\n    (1 +\n 2)\n  ]")
    assert isinstance(fix, Fix)
    assert fix.value.span.text.startswith("[  # widths")


def test_chains_stay_flat() -> None:
    bound = line(" + ".join(["1"] * 300) + " <= d")
    assert isinstance(bound, Bound)
    assert isinstance(bound.operands[0], Chain)
    assert len(bound.operands[0].operands) == 300
    assert isinstance(bound.operands[1], Ref)


@pytest.mark.parametrize(
    ("text", "value", "step", "unit"),
    [
        ("400MF", 4 * 10**8, 10**6, "F"),
        ("5.16M", 5_160_000, 10_000, ""),
        ("22", 22, 1, ""),
        ("2.54", "2.54", "0.01", ""),
        ("72.56%", "0.7256", "0.0001", "%"),
        ("5e-5", "0.00005", "0.00001", ""),
        ("1.5e2K", 150_000, 10_000, ""),
    ],
)
def test_numbers_are_read_exactly(text: str, value: int | str, step: int | str, unit: str) -> None:
    from fractions import Fraction

    assert read_literal(text) == (Fraction(value), Fraction(step), unit)


@given(st.binary(max_size=300))
def test_any_bytes_are_scanned_and_parsed(data: bytes) -> None:
    source, problems = scan(data, "x")
    if not problems:
        _, problems = parse(source)
    for p in problems:
        assert 0 <= p.span.start <= p.span.end <= len(source.text) + 1


@given(
    st.lists(
        st.sampled_from(
            'model space use extends default X d w[i] = ~ <= in by .. ( ) [ ] { } , + - * / 3 4K "x" # \n \t'.split(
                " "
            )
        ),
        max_size=40,
    )
)
def test_any_tokens_end_in_a_tree_or_in_messages(tokens: list[str]) -> None:
    source = Source("x", " ".join(tokens))
    file, problems = parse(source)
    assert problems or not file.lost
    for p in problems:
        assert 0 <= p.span.start <= p.span.end <= len(source.text) + 1


def test_a_number_literal_has_the_places_of_its_text() -> None:
    fix = line("d = 22")
    assert isinstance(fix, Fix)
    assert isinstance(fix.value, Number)
    assert fix.value.is_integer_literal


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_bytes_that_are_no_text_have_a_place(end: bytes) -> None:
    source, (problem,) = scan(b"space A" + end + b"# caf\xe9" + end, "x")
    assert source.position(problem.span.start) == (2, 6)
