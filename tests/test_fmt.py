"""The one layout: what it does to a line, and that it loses nothing."""

from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from regnetc.diagnostics import has_errors
from regnetc.fmt import format_text
from regnetc.limits import LINE_CHARACTERS, SPEC_BYTES
from regnetc.scan import scan
from regnetc.syntax import parse

SPECS = sorted((Path(__file__).parent.parent / "spec").glob("*.regnet"))

FAMILIES = """\
# What the parameters mean. Nothing is drawn here; a model fixes what is left open.

# Figure 3: a stem, four stages and a head.
space AnyNet {
  default stem      = 32       # one 3x3 convolution with stride 2
  default stages    = 4
  default stride[i] = 2        # of the first block in every stage
  default image     = 224
  default classes   = 1000
  default rounding  = paper    # how a width meets its groups: paper, torchvision
}

# X: 1x1, 3x3 in groups of width g, 1x1, around a shortcut. Inside, the width is w / b.
space AnyNetX extends AnyNet {
  block = X
}

# Equations 2 to 4: widths grow linearly from block to block, then snap to w0 * wm^k.
space RegNet extends AnyNet {
  w[i], d[i] = quantized_linear(d, w0, wa, wm)
  b[i] = b
  g[i] = g
}

space RegNetX extends RegNet, AnyNetX

# X with squeeze-and-excitation.
space RegNetY extends RegNet {
  block = Y
  se    = 1/4                  # of the width that enters the block
}
"""
MODEL = """\
use "families.regnet"

# The 400MF model of Table 2 in "Designing Network Design Spaces".
model RegNetX-400MF extends RegNetX {
  d  = 22
  w0 = 24
  wa = 24.48
  wm = 2.54
  g  = 16
  b  = 1

  expect {                       # what the compiler must find
    w[i]   = [32, 64, 160, 384]
    d[i]   = [1, 2, 7, 12]
    params = 5157512
  }
  published {                    # what others report
    source   = "mmpretrain"
    counting = mmcv              # how they counted: paper, pycls, fvcore, mmcv, torch2
    params   = 5.16M
    flops    = 0.41G
    top1     = 72.56%
    top5     = 90.78%
  }
}
"""
TINY = """\
use "families.regnet"

# A network written out stage by stage; three stages suit small images.
model Tiny-AnyNet extends AnyNetX {
  stages    = 3
  image     = 32
  classes   = 10
  stem      = 16
  stride[i] = [1, 2, 2]
  d[i]      = [2, 3, 2]
  w[i]      = [24, 48, 96]
  b[i]      = 1
  g[i]      = [8, 8, 16]
}
"""
SPACES = """\
use "families.regnet"

# Section 3.2 in full: each space is the one before it and one line more.

space AnyNetX_A extends AnyNetX {
  d[i] ~ log_uniform(1..16)
  w[i] ~ log_uniform(8..1024 by 8)
  b[i] ~ choice(1, 2, 4)
  g[i] ~ choice(1, 2, 4, 8, 16, 32)
}

# A bottleneck ratio shared by all stages.
space AnyNetX_B extends AnyNetX_A {
  b[i] = b
}

# Good networks have increasing widths ...
space AnyNetX_D extends AnyNetX_B {
  w[i+1] >= w[i]
}

# Section 3.3: of those, the networks that a quantized line describes.
space RegNetX_E extends AnyNetX_D, RegNetX {
  d  ~ uniform(4..63)
  w0 ~ log_uniform(8..256 by 8)
  wa ~ log_uniform(8..256 by 0.1)
  wm ~ log_uniform(1.5..3 by 0.001)
}
"""
REGIME = """\
use "anynetx.regnet"

# Section 3.1: cheap enough to train five hundred times.
recipe ten_epochs {
  data      = imagenet
  epochs    = 10
  batch     = 128
  optimizer = sgd(lr = 0.1, momentum = 0.9, decay = 5e-5)
  schedule  = cosine(warmup = 0)
  crop      = [224, 256]         # training crop, evaluation resize
}

# Section 4 of the paper, at the compute of a mobile network.
space RegNetX-400MF-regime extends RegNetX_E {
  b = 1
  wm >= 2
  12 <= d <= 28
  flops in 360MF..400MF
  params <= 3M + 5.5M * (flops / 1GF)
  acts   <= 6.5M * sqrt(flops / 1GF)
}

sweep figure-11 extends RegNetX-400MF-regime {
  models = 500
  seed   = 0
  train  = ten_epochs
}
"""
EXAMPLES = {
    "families": FAMILIES, "model": MODEL, "tiny": TINY, "spaces": SPACES, "regime": REGIME
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_stay_as_they_are(name: str) -> None:
    assert format_text(EXAMPLES[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_come_back_from_the_plainest_blanks(name: str) -> None:
    """All but the place of comments, which is the writer's."""
    once = re.sub(r"(?m)^ +", "", EXAMPLES[name])
    squashed = re.sub(r"(?m)^([^#\n]*)", lambda m: re.sub(" +", " ", m.group()), once)
    assert _without_comments(format_text(squashed)) == _without_comments(EXAMPLES[name])


def _without_comments(text: str) -> str:
    return re.sub(r" +#.*", "", text)


def body(*lines: str) -> str:
    """A space that holds these lines as they are."""
    return "\n".join(["space A {", *lines, "}"]) + "\n"


STATEMENTS = [
    ("d=22", "d = 22"),
    ("\td  =\t22  ", "d = 22"),
    ("w [ i ]=[ 1,2 , 3 ]", "w[i] = [1, 2, 3]"),
    ("w[i + 1]>=w[ i ]", "w[i+1] >= w[i]"),
    ("w[(i + 1)*2]>=1", "w[(i+1)*2] >= 1"),
    ("w[i] , d [i]=quantized_linear (d,w0 ,wa, wm)", "w[i], d[i] = quantized_linear(d, w0, wa, wm)"),
    ("12<=d<=28", "12 <= d <= 28"),
    ("se=1 / 4", "se = 1/4"),
    ("x=2*1/4", "x = 2 * 1 / 4"),
    ("x=1/4*d", "x = 1/4 * d"),
    ("x=flops/1GF", "x = flops / 1GF"),
    ("x=4M/2", "x = 4M / 2"),
    ("x=1-2+3*(4-d)", "x = 1 - 2 + 3 * (4 - d)"),
    ("flops in 360MF .. 400MF", "flops in 360MF..400MF"),
    ("flops in(1)..(2)by(3)", "flops in (1)..(2) by (3)"),
    ("flops in 1+2..3", "flops in 1 + 2 .. 3"),
    ("w[i]~log_uniform( 8 .. 1024by 8 )", "w[i] ~ log_uniform(8..1024 by 8)"),
    ("x=by (3)", "x = by(3)"),
    ("x=sgd(lr=0.1,decay=5e-5)", "x = sgd(lr = 0.1, decay = 5e-5)"),
    ("expect{params=5M}", "expect { params = 5M }"),
    ("expect   {   }", "expect {}"),
    ("published { source=\"a  #  b\" }#c", 'published { source = "a  #  b" }  # c'),
    ("top1=72.56%", "top1 = 72.56%"),
    ("default   stem=32", "default stem = 32"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), STATEMENTS)
def test_blanks_in_a_line(before: str, after: str) -> None:
    assert format_text(body(before)) == body(f"  {after}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('use"x"', 'use "x"\n'),
        ("space  A-1.6GF   extends B-c ,C", "space A-1.6GF extends B-c, C\n"),
        ("space A{}", "space A {}\n"),
        ("space A {\n\n}", "space A {}\n"),
        ("space A {\n# x\n}", "space A {\n  # x\n}\n"),
        ("space A { # x\n}", "space A {  # x\n}\n"),
        ("space A{d=a-b\nw0=1}", "space A {\n  d  = a - b\n  w0 = 1\n}\n"),
        ("space A{d=1 # x\n}", "space A {\n  d = 1  # x\n}\n"),
        ("space A{expect{d=1\n}}", "space A {\n  expect {\n    d = 1\n  }\n}\n"),
        ("space A{expect{d=1}}", "space A { expect { d = 1 } }\n"),
        ("\r\n\r\nspace A\r\n\r\n\r\n\r\nspace B", "space A\n\nspace B\n"),
        ("\n \n", ""),
        ("", ""),
        ("#x", "# x\n"),
    ],
)
def test_files(before: str, after: str) -> None:
    assert format_text(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#x", "# x"), ("#", "#"), ("#  x  ", "#  x"), ("#!x", "#!x"), ("## x", "## x"), ("#1x1", "#1x1"),
        ("#\tx", "#     x"), ("# a\tb", "# a   b"), ("# ", "#"), ("#é", "# é"),
    ],
)  # fmt: skip
def test_comments_keep_their_words(before: str, after: str) -> None:
    assert format_text(before) == after + "\n"


def test_equal_signs_line_up_with_their_neighbours_only() -> None:
    text = body(
        "  d  = 22", "  w0 = 24", "", "  a = 1", "  # between", "  long = 2", "  expect { x = 1 }",
        "  e = 1", "  default g = 1", "  default stem_w = 1", "  d  ~ uniform(1..2)",
        "  w0 ~ uniform(1..2)", "  w[i], d[i] = f(1)", "  b[i] = b", "  x <= 1", "  xyz < 1",
    )  # fmt: skip
    lined_up = text.replace("default g =", "default g      =")
    assert format_text(text) == lined_up
    assert format_text(lined_up) == lined_up


def test_comments_stay_in_the_column_that_they_share() -> None:
    text = body("  d = 1      # one", "  w = 22     # two")
    assert format_text(text) == text


def test_a_comment_joins_the_column_of_the_others() -> None:
    text = body("d = 1       # one", "w = 22 # two", "b = 1")
    assert format_text(text) == body("  d = 1       # one", "  w = 22      # two", "  b = 1")


def test_a_column_that_is_too_narrow_gives_way() -> None:
    text = body("d = 1 # one", "w = 22222 # two")
    assert format_text(text) == body("  d = 1      # one", "  w = 22222  # two")


def test_a_list_over_lines_keeps_them() -> None:
    text = body(
        "w[i]=[", "32,64, # small", "# large", "", "", "160,", "384", "]", "x=f(1,", "g(2,", "3),", "4)"
    )  # fmt: skip
    assert format_text(text) == body(
        "  w[i] = [", "    32, 64,  # small", "    # large", "", "    160,", "    384", "  ]",
        "  x = f(1,", "    g(2,", "      3),", "    4)",
    )  # fmt: skip


def test_a_line_that_would_grow_too_long_stays_as_written() -> None:
    long = "w=[" + ",".join(["8"] * 450) + "]"
    assert len(long) <= LINE_CHARACTERS < len(long) * 3 / 2
    text = body("d=1", long + "#x", "w0=1")
    assert format_text(text) == body("  d = 1", f"  {long}#x", "  w0 = 1")


def test_padding_never_makes_a_line_too_long() -> None:
    index = "+".join(["1"] * 240)
    long = "w = [" + ", ".join(["8"] * 300) + "]"
    text = format_text(
        body(f"w[{index}] = 1  # x", long, "", f"a = 1{' ' * 900}# {'y' * 80}", "b = 1 # z")
    )
    assert max(map(len, text.split("\n"))) <= LINE_CHARACTERS
    assert format_text(text) == text


def test_a_spec_that_would_grow_too_large_stays_as_written() -> None:
    deep = "space A {\n" + "x{\n" * 60 + "d=1\n" * 9000 + "}\n" * 61
    assert len(deep) <= SPEC_BYTES
    assert format_text(deep) == deep


@pytest.mark.parametrize(
    "unit", ["\n", " ", "#\n", "(", "}", "{", "{\n", '"', "1,", "x[", "a=1\n", "a=1#\n", "}\n{", "[\n", "..", "/1"]
)  # fmt: skip
def test_any_text_takes_time_in_proportion_to_it(unit: str) -> None:
    started = time.process_time()
    format_text("space A {\n" + unit * (SPEC_BYTES // len(unit)))
    assert time.process_time() - started < 3


@given(st.text(alphabet=st.sampled_from('a1[]{}()=~<>,./*+-#"\n\r\t é%eM'), max_size=60))
def test_any_text_at_all_has_a_layout(text: str) -> None:
    assert isinstance(format_text(text), str)


# Specs by the grammar, as tokens; "\n" is the end of a line.
Tokens = list[str]
NAMES = st.sampled_from(
    ["d", "w0", "i", "flops", "quantized_linear", "in", "by", "model", "use", "X"]
)
TITLES = st.sampled_from(["A", "B-1.6GF", "figure-11", "x_1.y-z", "space"])
NUMBERS = st.sampled_from(["0", "22", "1.5", "5e-5", "1e3", "5.16M", "400MF", "72.56%", "8K"])
STRINGS = st.sampled_from(['"a"', '"a  b # {"', '""', '"\'\t"'])


def _calls(inner: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    keyword = st.builds(lambda name, x: [name, "=", *x], NAMES, inner)
    argument = st.one_of(inner, _ranges(inner), keyword)
    return st.builds(lambda name, xs: [name, "(", *_commas(xs), ")"], NAMES, _some(argument))


def _ranges(inner: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    step: st.SearchStrategy[Tokens] = st.one_of(st.just([]), inner.map(lambda x: ["by", *x]))
    return st.builds(lambda low, high, by: [*low, "..", *high, *by], inner, inner, step)


def _some(items: st.SearchStrategy[Tokens]) -> st.SearchStrategy[list[Tokens]]:
    return st.lists(items, min_size=1, max_size=3)


def _commas(items: list[Tokens]) -> Tokens:
    return [token for item in items for token in [",", *item]][1:]


def _larger(inner: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    signs = st.sampled_from("+-*/")
    return st.one_of(
        st.builds(lambda a, sign, b: [*a, sign, *b], inner, signs, inner),
        st.builds(lambda a: ["(", *a, ")"], inner),
        st.builds(lambda xs: ["[", *_commas(xs), "]"], _some(inner)),
        st.builds(lambda name, a: [name, "[", *a, "]"], NAMES, inner),
        _calls(inner),
    )


ATOMS = st.one_of(NUMBERS, NAMES, STRINGS).map(lambda token: [token])
SUMS = st.recursive(ATOMS, _larger, max_leaves=6)
REFS = st.builds(
    lambda name, at: [name, *at], NAMES, st.one_of(st.just([]), SUMS.map(lambda x: ["[", *x, "]"]))
)
FIXES = st.builds(
    lambda default, targets, value: [*default, *_commas(targets), "=", *value],
    st.sampled_from([[], ["default"]]), _some(REFS), SUMS,
)  # fmt: skip
DRAWS = st.builds(lambda ref, call: [*ref, "~", *call], REFS, _calls(SUMS))
BOUNDS = st.builds(
    lambda first, rest: [*first, *(token for sign, x in rest for token in [sign, *x])],
    SUMS, st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), SUMS), min_size=1, max_size=2),
)  # fmt: skip
MEMBERS = st.builds(lambda value, inside: [*value, "in", *inside], SUMS, _ranges(SUMS))


def _bodies(lines: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    def join(items: list[Tokens], tall: int) -> Tokens:
        inside = [token for item in items for token in ["\n", *item]][1:]
        return ["{", *["\n"] * (tall & 1), *inside, *["\n"] * (tall >> 1), "}"]

    return st.builds(join, st.lists(lines, max_size=4), st.integers(0, 3))


LINES = st.recursive(
    st.one_of(FIXES, DRAWS, BOUNDS, MEMBERS),
    lambda lines: st.builds(lambda name, block: [name, *block], NAMES, _bodies(lines)), max_leaves=4,
)  # fmt: skip
DECLARATIONS = st.builds(
    lambda kind, title, parents, block: [kind, title, *parents, *block],
    st.sampled_from(["model", "space", "recipe", "sweep"]), TITLES,
    st.one_of(st.just([]), _some(TITLES.map(lambda t: [t])).map(lambda xs: ["extends", *_commas(xs)])),
    st.one_of(st.just([]), _bodies(LINES)),
)  # fmt: skip
USES = st.builds(lambda path: ["use", path], STRINGS)
FILES = st.lists(st.one_of(DECLARATIONS, USES), max_size=4).map(
    lambda items: [token for item in items for token in [*item, "\n"]]
)
COMMENTS = [
    "# x",
    "#x",
    "#",
    "#!",
    "##",
    "#\tx\ty",
    '# "{ [',
    "#  two  ",
    "#é\t",
    "# ```",
    "# coding",
]


def lay_out(tokens: Tokens, random: Random) -> str:
    """The tokens with any blanks, blank lines and comments that the grammar allows between them."""
    out = [_line_ends(random)] if random.random() < 0.3 else []
    brackets = 0
    for before, token in zip(["", *tokens], tokens, strict=False):
        words = bool(before) and before[-1] not in "([{,\n" and token[0] not in ")]},\n"
        glued = not re.search(r"[\w\"%]$", before) or not re.match(r"[\w\"]", token)
        blanks = ["", " ", "   ", "\t", " \t"]
        out.append(random.choice(blanks if glued or not words else blanks[1:]))
        if brackets and random.random() < 0.1:
            out.append(_line_ends(random))
        brackets += (token in "([") - (token in ")]") if token else 0
        out.append(_line_ends(random) if token == "\n" else token)
    return "".join(out)


def _line_ends(random: Random) -> str:
    count = random.choice([1, 1, 1, 2, 3, 5])
    ends = ["\n", "\n", "\r\n", "  \n", "\t\n"]
    comments = [random.choice(COMMENTS) if random.random() < 0.4 else "" for _ in range(count)]
    return "".join(random.choice(["", " ", "\t"]) + c + random.choice(ends) for c in comments)


def ink(text: str) -> list[str]:
    """What is left without blanks, lines and the blanks inside comments: strings, comments, characters."""
    pieces = re.findall(r'"[^"\n]*"|#[^\n]*|[^\s]', text)
    return [re.sub(r"\s", "", p) if p[0] == "#" else p for p in pieces]


def meaning(node: Any) -> Any:
    """A syntax tree without its places."""
    if hasattr(node, "_fields"):
        kept = [f for f in node._fields if f not in ("span", "source")]
        return type(node).__name__, *(meaning(getattr(node, f)) for f in kept)
    return tuple(map(meaning, node)) if isinstance(node, tuple) else node


def read(text: str) -> Any:
    """The meaning of a spec, or None where it has a mistake."""
    source, problems = scan(text.encode(), "x.regnet")
    if has_errors(problems):
        return None
    file, problems = parse(source)
    return None if has_errors(problems) else meaning(file)


def check(text: str) -> None:
    out = format_text(text)
    assert format_text(out) == out
    assert ink(out) == ink(text)
    assert read(out) == read(text)
    assert "\r" not in out
    assert "\n\n\n" not in out
    assert not out.startswith("\n")
    assert out.endswith("\n") != (out == "")
    assert not re.search(r"\t|[ \t]$|\n\n\Z", re.sub(r'"[^"\n]*"', '""', out), re.MULTILINE)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.name)
def test_the_shipped_specs_keep_their_meaning(path: Path) -> None:
    check(path.read_text("utf-8"))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES, st.randoms(use_true_random=False))
def test_any_spec_keeps_its_meaning_in_any_layout(tokens: Tokens, random: Random) -> None:
    text = lay_out(tokens, random)
    assume(read(text) is not None)
    check(text)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES, st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_the_blanks_of_a_line_leave_no_trace(tokens: Tokens, one: Random, other: Random) -> None:
    """Two layouts without comments and optional line ends come out the same."""

    def squeezed(random: Random) -> str:
        parts = [
            t + (random.choice(["", " ", "\t "]) if t in ("(", "[", ",", "=") else "")
            for t in tokens
        ]
        return "".join(p if p[0] == "\n" else p + random.choice([" ", "  ", "\t"]) for p in parts)

    assert format_text(squeezed(one)) == format_text(squeezed(other))
