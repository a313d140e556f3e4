"""Random words: SplitMix64 as it is published, the same however they are asked for, each stream by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from regnetc.spaces.random import Stream, Table, Words, key

# The first outputs after a seed: of 1234567 as in the test vectors that go with the reference
# implementation (and on Rosetta Code), of 0 as in the tests of java.util.SplittableRandom's ports.
PUBLISHED = {
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ],
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
}
MOST = 2**64
LAST = 2**63 - 1  # the largest index of a candidate
SCATTERED = [0, 1, 7, 2**31 - 1, 2**31, 2**32 + 5, 10**15, 2**53 + 1, 2**62, LAST - 12]

seeds = st.integers(0, MOST - 1)


def splitmix64(state: int) -> Iterator[int]:
    """The generator, one word after the other, in whole numbers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % MOST
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % MOST
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % MOST
        yield z ^ (z >> 31)


def word(seed: int, i: int) -> int:
    """Output i of the generator: its state grows by a constant, so it starts as far ahead as that."""
    return next(splitmix64((seed + i * 0x9E3779B97F4A7C15) % MOST))


def at(stream: Stream, candidates: Sequence[int]) -> list[int]:
    found: list[int] = stream.at(np.array(candidates, np.int64)).tolist()
    return found


# The generator.


@pytest.mark.parametrize("seed", PUBLISHED)
def test_words_are_those_that_are_published(seed: int) -> None:
    expected = PUBLISHED[seed]
    assert Stream(seed, 8).block(0, len(expected)).tolist() == expected
    assert at(Stream(seed, 8), range(len(expected))) == expected
    assert list(islice(splitmix64(seed), len(expected))) == expected


@given(seeds)
@settings(deadline=None)
def test_words_come_in_the_order_of_the_generator(seed: int) -> None:
    assert Stream(seed, 100).block(0, 100).tolist() == list(islice(splitmix64(seed), 100))


@given(seeds, st.integers(0, LAST - 9))
@settings(deadline=None)
def test_any_word_is_had_without_those_before_it(seed: int, first: int) -> None:
    expected = [word(seed, i) for i in range(first, first + 9)]
    assert Stream(seed, 9).block(first, 9).tolist() == expected
    assert at(Stream(seed, 1), range(first, first + 9)) == expected


@pytest.mark.parametrize("first", SCATTERED)
@pytest.mark.parametrize("seed", [0, 1234567, MOST - 1])
def test_a_block_is_its_words(seed: int, first: int) -> None:
    stream = Stream(seed, 16)
    assert stream.block(first, 13).tolist() == at(stream, range(first, first + 13))


def test_words_may_be_asked_for_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(5000)
    words = Stream(5, 5000).block(0, 5000)
    assert np.array_equal(Stream(5, 1).at(order), words[order])


@pytest.mark.parametrize("size", [1, 7, 64, 999, 1000, 8000])
def test_the_size_of_blocks_changes_nothing(size: int) -> None:
    whole = Stream(99, 3000).block(17, 3000)
    stream = Stream(99, size)
    spans = [(17 + k, min(size, 3000 - k)) for k in range(0, 3000, size)]
    pieces = [stream.block(*s).copy() for s in spans]  # each stands where the one before stood
    assert np.array_equal(np.concatenate(pieces), whole)


def test_asking_for_scattered_words_leaves_a_block_as_it_is() -> None:
    stream = Stream(3, 50)
    block = stream.block(0, 50)
    before, candidates = block.tolist(), np.arange(1000, 1050)
    stream.at(candidates)
    assert block.tolist() == before
    assert candidates.tolist() == list(range(1000, 1050))


# Keys.


def test_a_key_is_written_down() -> None:
    """Populations that were drawn before can be drawn again only while this holds."""
    assert key("", 0, "w[1]") == 4174609041419033871
    assert key("0" * 64, 1234567, "wm") == 11166579704822902883


def test_every_space_seed_and_parameter_has_a_stream_of_its_own() -> None:
    digests = [f"{k:064x}" for k in range(12)]
    names = ["d", "w0", "wa", "wm", "g", "b", *(f"{n}[{s}]" for n in "wd" for s in range(1, 17))]
    keys = [key(*told) for told in product(digests, range(12), names)]
    assert len(set(keys)) == len(keys) == 12 * 12 * 38
    firsts = [int(Stream(k, 1).block(0, 1)[0]) for k in keys]
    assert len(set(firsts)) == len(firsts)


def test_what_is_told_apart_does_not_run_together() -> None:
    """A seed and a name beside each other are not the same as another seed and name."""
    told = [("a", 1, "1w"), ("a", 11, "w"), ("a1", 1, "w"), ("a", 1, "w"), ("a", -1, "w")]
    assert len({key(*t) for t in told}) == len(told)


def test_streams_do_not_overlap_where_they_are_used() -> None:
    """All states lie on one cycle; keys that start within reach of each other would share words."""
    inverse = pow(0x9E3779B97F4A7C15, -1, MOST)
    places = sorted(key("d", s, n) * inverse % MOST for s in range(50) for n in NAMES)
    gaps = [b - a for a, b in zip(places, [*places[1:], places[0] + MOST], strict=True)]
    assert min(gaps) > 10**12


NAMES = ("d", "w0", "wa", "wm", "g", "b", "w[1]", "w[2]", "w[3]", "w[4]", "d[1]", "d[2]")
N = 200_000


def streams() -> dict[str, Words]:
    told = {f"{n} {s}": key("digest", s, n) for n in NAMES for s in (0, 1)}
    told |= {"neighbour": key("digest", 0, "d") + 1}
    return {name: Stream(k % MOST, N).block(0, N).copy() for name, k in told.items()}


def unit(words: Words) -> NDArray[np.float64]:
    """Uniform in -1/2 to 1/2."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53 - 0.5


def test_streams_know_nothing_of_each_other() -> None:
    """Correlations at the same candidate and the next ones: of 1500, none beyond 4.5 sigma."""
    found = {name: unit(words) for name, words in streams().items()}
    worst = 0.0
    for (_, x), (_, y) in combinations(found.items(), 2):
        for lag in (0, 1, 2, 3):
            worst = max(worst, abs(float(x[: N - lag] @ y[lag:])))
    for x in found.values():
        worst = max(worst, *(abs(float(x[: N - lag] @ x[lag:])) for lag in (1, 2, 3, 8, 8000)))
    assert worst * 12 / N**0.5 < 4.5


def test_pairs_of_streams_fill_the_square() -> None:
    """Counts in 16 by 16 cells, for every pair of parameters of one candidate."""
    cells = {k: (w >> np.uint64(60)).astype(np.int64) for k, w in streams().items()}
    for a, b in combinations(cells, 2):
        counts = np.bincount(16 * cells[a] + cells[b], minlength=256)
        chi = float(((counts - N / 256) ** 2).sum() / (N / 256))
        assert chi < 255 + 5 * (2 * 255) ** 0.5, (a, b)


def test_every_bit_is_a_coin() -> None:
    for words in streams().values():
        bits = np.unpackbits(words.view(np.uint8)).reshape(N, 64)
        assert np.abs(bits.sum(axis=0) - N / 2).max() < 5 * (N / 4) ** 0.5


# Tables.

weights = st.lists(st.integers(1, 2**40), min_size=1, max_size=60)


@given(weights, st.lists(seeds, min_size=1, max_size=30))
@settings(deadline=None)
def test_a_word_picks_what_its_share_says(weights: list[int], words: list[int]) -> None:
    """By definition: how many shares, in 2**-64 and rounded down, do not exceed the word."""
    shares = [(sum(weights[: k + 1]) << 64) // sum(weights) for k in range(len(weights) - 1)]
    words = [*words, *shares, *(max(share - 1, 0) for share in shares), 0, MOST - 1]
    expected = [sum(share <= u for share in shares) for u in words]
    assert Table(weights).pick(np.array(words, np.uint64)).tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 16_384, 65_536, 200_000])
def test_a_table_of_any_size_is_searched_alike(n: int) -> None:
    """With few values a comparison or two find the place, with many a search."""
    words = Stream(8, 20_000).block(0, 20_000)
    expected = [int(u) * n >> 64 for u in words]
    assert Table([1] * n).pick(words).tolist() == expected


def test_what_is_rare_is_picked_as_rarely_as_it_is_said() -> None:
    table = Table([1, 2**64 - 2, 1])
    words = np.array([0, 1, 2, 2**63, 2**64 - 2, 2**64 - 1], np.uint64)
    assert table.pick(words).tolist() == [0, 1, 1, 1, 1, 2]
