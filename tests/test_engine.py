"""The engine against the compiler: every candidate, every integer, every verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from regnetc.bounds import Budget, violations
from regnetc.cells import Cell
from regnetc.driver import check_file
from regnetc.spaces import members
from regnetc.spaces.box import Box, shrink
from regnetc.spaces.engine import Engine, Found
from regnetc.spaces.space import Space, read

CANDIDATES = int(os.environ.get("REGNETC_CANDIDATES", "12000"))

LINE = """
  d  ~ uniform(1..40)
  w0 ~ log_uniform(8..256 by 8)
  wa ~ log_uniform(4..256 by 0.1)
  wm ~ log_uniform(1.2..4 by 0.001)
  stages in 1..8
"""
SPACES = {
    "x": f"space S extends RegNetX {{{LINE} g ~ power2_or_multiple(1..128 by 8) \n b ~ choice(1, 2, 4) }}",
    "x-narrow-inside": f"space S extends RegNetX {{{LINE} g ~ uniform(1..64) \n b ~ choice(1/8, 1/4, 1/3, 1/2, 1, 3) }}",
    "x-torchvision": f"space S extends RegNetX {{{LINE} rounding = torchvision \n g ~ uniform(1..64) \n b ~ choice(1/2, 1, 2) }}",
    "y": f"space S extends RegNetY {{{LINE} g ~ power2(1..64) \n b ~ power2(1/4..4) \n se ~ choice(1/16, 1/4, 1/2) }}",
    "y-torchvision": f"space S extends RegNetY {{{LINE} rounding = torchvision \n g ~ uniform(1..80) \n b = 1 }}",
    "z": f"space S extends RegNetZ {{{LINE} g ~ power2(1..32) \n head ~ choice(0, 640) \n b ~ choice(1/4, 1/6) }}",
    "drawn-stages": """space S extends RegNetY {
        stages ~ uniform(2..5)
        d ~ uniform(6..20)
        w0 ~ choice(16, 24)
        wa ~ uniform(8..40 by 1)
        wm ~ uniform(2..2.5 by 0.1)
        g = 8
        b = 1
    }""",
    "equalities": """space S extends RegNetX {
        d ~ uniform(4..30)
        w0 ~ uniform(8..64 by 8)
        wa ~ uniform(4..60 by 0.5)
        wm ~ uniform(1.5..3 by 0.125)
        stages in 1..8
        g ~ power2(1..16)
        b ~ choice(1/2, 1, 2)
        b[i] >= 1/2
        b <= 1
        w[i+1] / w[i] <= 3
        d[i+1] / d[i] <= 4
        w0 / d <= 8
        d[2] * 0.5 <= 3
        wa * 0.25 <= 12.5
        d[1] >= 1
    }""",
    "thirds": """space S extends AnyNetX {
        stages = 3
        w[i] ~ uniform(8..96 by 8)
        d[i] ~ uniform(1..4)
        g[i] = w[i] / 3
        b[i] = 1
    }""",
    "worked-out": """space S extends RegNetX {
        d ~ uniform(4..30)
        w0 ~ uniform(8..64 by 8)
        wa = w0 * 3 / 4
        wm = 1 + d / 10
        stages in 1..8
        g = 2 * w0 - 100
        b = 1
    }""",
    "x-ties": """space S extends RegNetX {
        d ~ uniform(2..60)
        w0 ~ choice(8, 16, 24, 32, 64)
        wa ~ choice(4, 8, 12, 16, 24, 32, 48, 64)
        wm ~ choice(1.5, 1.69, 1.96, 2, 2.25, 2.5, 2.56, 2.89, 3, 4)
        stages in 2..6
        g = 8
        b = 1
    }""",
    "x-stem": f"space S extends RegNetX {{{LINE} g = 16 \n b = 1 \n stem ~ choice(16, 24, 32, 64) \n stem_type = resnet \n image ~ choice(160, 195, 224) \n classes = 10 }}",
    "x-from-others": "space S extends RegNetX { d ~ uniform(4..40) \n w0 ~ uniform(8..96 by 8) \n wa = w0 / 3 \n wm ~ uniform(2..3) \n stages in 1..8 \n g = w0 / 8 \n b = 1 }",
    "any": """space S extends AnyNetX {
        d[i] ~ log_uniform(1..16)
        w[i] ~ log_uniform(8..1024 by 8)
        b[i] ~ choice(1/2, 1, 2, 4)
        g[i] ~ choice(1, 2, 4, 8, 16, 32)
        stages ~ uniform(1..6)
    }""",
    "any-strides": """space S extends AnyNet {
        block = Y
        se = 1/4
        stages = 3
        stride[i] ~ choice(1, 2)
        d[i] ~ uniform(1..4)
        w[i] ~ choice(8, 16, 24, 48)
        b[i] = 1
        g[i] = 8
        stem_type = cifar
        image = 32
        activation = silu
    }""",
    "any-z": """space S extends AnyNet {
        block = Z
        stages = 3
        stride[i] = [1, 2, 2]
        d[i] ~ uniform(1..5)
        w[i] ~ uniform(8..200)
        b[i] ~ choice(1/6, 1/4)
        g[i] ~ choice(4, 8)
        se ~ choice(0, 1/4)
        activation = gelu
    }""",
    "bounds": f"""space S extends RegNetX {{{LINE}
        g ~ power2(1..32)
        b ~ choice(1, 2)
        w[i+1] >= 1.5 * w[i] - 4
        w[1] in 16..512 by 8
        d[1] <= 6
        wa < 3 * w0
        flops in 500MF +- 90%
        flops(image = 160) <= 0.52 * flops
        acts <= 20M * sqrt(flops / 1GF)
        params <= 3M + 9M * (flops / 1GF)
        mmcv <= 0.7GF
    }}""",
}


def space_of(text: str) -> Space:
    checked = check_file("test.regnet", f'use "families.regnet"\n{text}\n'.encode())
    assert not checked.problems, [(p.name, p.message) for p in checked.problems]
    return read(checked.scopes["S"])


def drawn(engine: Engine, first: int, n: int) -> Iterator[dict[Cell, Fraction]]:
    """What the space draws for each candidate, from the streams themselves."""
    at = np.arange(first, first + n)
    picks = {
        cell: engine.tables[cell].pick(stream.at(at)) for cell, stream in engine.streams.items()
    }
    for k in range(n):
        yield {cell: engine.grids[cell][int(x[k])] for cell, x in picks.items()}


def check(name: str, first: int, n: int) -> tuple[int, int]:
    """Compare candidates with the compiler's own verdicts and networks; how many were members."""
    space = space_of(SPACES[name])
    engine = Engine(space, 7, ordered=False)
    found = engine.run(first, n)
    rows = {int(c): k for k, c in enumerate(found.candidates)}
    for candidate, values in enumerate(drawn(engine, first, n), first):
        resolution = members.resolve(space, "one", values)
        fine = resolution is not None and not list(violations(resolution, Budget()))
        assert fine == (candidate in rows), (name, candidate, values, fine)
        if resolution is not None and candidate in rows:
            same(found, rows[candidate], resolution.network, values)
    assert found.refused.sum() + len(rows) == n
    return len(rows), n


def same(found: Found, k: int, network: object, values: dict[Cell, Fraction]) -> None:
    stages = network.stages  # type: ignore[attr-defined]
    assert found.stages[k] == len(stages)
    for row, name in ((found.w, "w"), (found.d, "d"), (found.inner, "inner"), (found.g, "g")):
        assert [int(x) for x in row[: len(stages), k]] == [getattr(s, name) for s in stages], (
            name,
            values,
        )
    assert tuple(int(x) for x in found.counts[:, k]) == tuple(network.counts), values  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SPACES)
def test_every_candidate_is_what_the_compiler_makes_of_it(name: str) -> None:
    share = max(300, CANDIDATES // len(SPACES))
    piece = max(150, share // 16)
    starts = range(0, share, piece)
    if share <= 2000:
        met = [check(name, first, piece) for first in starts]
    else:
        with ProcessPoolExecutor(2) as pool:
            met = list(pool.map(check, [name] * len(starts), starts, [piece] * len(starts)))
    assert sum(members for members, _ in met) > share // 100, "too few members to say anything"


def test_a_block_is_what_its_pieces_are() -> None:
    engine = Engine(space_of(SPACES["bounds"]), 3)
    whole = engine.run(0, 40_000)
    pieces = [
        engine.run(a, b - a) for a, b in ((0, 1), (1, 7_999), (7_999, 8_001), (8_001, 40_000))
    ]
    assert np.array_equal(whole.candidates, np.concatenate([p.candidates for p in pieces]))
    assert np.array_equal(whole.counts, np.concatenate([p.counts for p in pieces], axis=1))
    assert np.array_equal(whole.refused, sum(p.refused for p in pieces))
    for cell in whole.picks:
        assert np.array_equal(whole.picks[cell], np.concatenate([p.picks[cell] for p in pieces]))


def test_the_box_leaves_members_as_they_are_distributed() -> None:
    """Drawn from what can be feasible, members have the same odds as drawn from everything."""
    from scipy import stats

    space = space_of(SPACES["bounds"])
    box = shrink(space)
    assert box.inside < Fraction(9, 10)
    plain = Engine(space, 1, Box.whole(space)).run(0, 160_000)
    shrunk = Engine(space, 2, box).run(0, 80_000)
    rates = len(plain.candidates) / 160_000, len(shrunk.candidates) / 80_000 * float(box.inside)
    assert abs(rates[0] - rates[1]) < 5 * (rates[0] / 160_000) ** 0.5
    for a, b in zip(
        (*plain.counts, *plain.w, *plain.d), (*shrunk.counts, *shrunk.w, *shrunk.d), strict=True
    ):
        assert stats.ks_2samp(a, b).pvalue > 0.001
    for cell, picks in plain.picks.items():
        assert stats.ks_2samp(picks, shrunk.picks[cell]).pvalue > 0.001, cell


def test_counts_beyond_float64_are_exact() -> None:
    text = """space S extends AnyNetX {
        stages = 2
        image = 8192
        d[i] ~ uniform(200..256)
        w[i] ~ choice(32768, 65536)
        b[i] = 1
        g[i] ~ choice(32768, 65536)
        stem_type = cifar
        stride[i] = 1
    }"""
    space = space_of(text)
    engine = Engine(space, 0)
    found = engine.run(0, 50)
    assert max(int(x) for x in found.counts[2]) > 2**53
    for candidate, values in enumerate(drawn(engine, 0, 50)):
        resolution = members.resolve(space, "one", values)
        if resolution is not None:
            k = list(found.candidates).index(candidate)
            assert tuple(int(x) for x in found.counts[:, k]) == tuple(resolution.network.counts)
