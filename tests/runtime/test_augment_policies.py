"""Operations of RandAugment and TrivialAugment against their formulas in numpy."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from regnetc_runtime.augment.policies import (
    Choice,
    Policy,
    apply,
    from_pillow,
    policy_of,
    to_pillow,
)
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.recipe import Call
from torch import Tensor

Pixels = NDArray[np.int64]
TRIVIAL = Call("trivialaugment", {"bins": 31})


def picture(channels: int = 3, height: int = 40, width: int = 56) -> Tensor:
    """Smooth colours with noise; not all levels occur."""
    rng = np.random.default_rng(channels)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [90 + 60 * np.sin(5 * x + k) * np.cos(4 * y - k) for k in range(channels)]
    pixels = np.stack(waves) + rng.normal(0, 12, (channels, height, width))
    return torch.from_numpy(pixels.clip(20, 240).astype(np.uint8))


def done(name: str, pixels: Tensor, magnitude: float) -> Pixels:
    return from_pillow(apply(name, to_pillow(pixels), magnitude)).numpy().astype(int)


def luma(x: Pixels) -> Pixels:
    """Pillow's grey: ITU-R BT.601 in 16 bits."""
    found: Pixels = (
        x[0] if len(x) == 1 else (19595 * x[0] + 38470 * x[1] + 7471 * x[2] + 32768) >> 16
    )
    return found


def blend(start: Pixels, end: Pixels, share: float) -> Pixels:
    a, b = start.astype(np.float32), end.astype(np.float32)
    return (a + np.float32(share) * (b - a)).clip(0, 255).astype(int)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("m", [-0.99, -0.5, -0.033, 0.0, 0.3, 0.99])
def test_enhancing(channels: int, m: float) -> None:
    pixels = picture(channels)
    x = pixels.numpy().astype(int)
    grey = luma(x)
    mean = np.full_like(x, int(grey.mean() + 0.5))
    smooth = x.copy()
    inner = sum(x[:, i : 38 + i, j : 54 + j] for i in range(3) for j in range(3))
    smooth[:, 1:-1, 1:-1] = np.rint((inner + 4 * x[:, 1:-1, 1:-1]) / 13)
    assert np.array_equal(done("brightness", pixels, m), blend(np.zeros_like(x), x, 1 + m))
    assert np.array_equal(done("contrast", pixels, m), blend(mean, x, 1 + m))
    assert np.array_equal(done("sharpness", pixels, m), blend(smooth, x, 1 + m))
    if channels == 3:
        assert np.array_equal(done("colour", pixels, m), blend(grey[None].repeat(3, 0), x, 1 + m))
    else:
        assert np.array_equal(done("colour", pixels, m), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_levels(channels: int) -> None:
    pixels = picture(channels)
    x = pixels.numpy().astype(int)
    for bits in (2, 4, 8):
        assert np.array_equal(done("posterise", pixels, bits), x >> (8 - bits) << (8 - bits))
    for threshold in (0.0, 100.3, 255.0):
        inverted = np.where(x < threshold, x, 255 - x)
        assert np.array_equal(done("solarise", pixels, threshold), inverted)
    low, high = (f(x, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    stretched = (x * (255 / (high - low)) - low * (255 / (high - low))).astype(int).clip(0, 255)
    assert np.array_equal(done("auto-contrast", pixels, 0), stretched)
    equalised = np.stack([equalise(c) for c in x])
    assert np.array_equal(done("equalise", pixels, 0), equalised)
    assert np.array_equal(done("identity", pixels, 0), x)


def equalise(x: Pixels) -> Pixels:
    """Each level to the share of pixels below it, counted in steps of a 255th."""
    counts = np.bincount(x.ravel(), minlength=256)
    step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
    below = np.cumsum(counts) - counts
    found: Pixels = ((below + step // 2) // step).clip(0, 255)[x]
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_one_colour_stays(channels: int) -> None:
    flat = torch.full((channels, 5, 6), 77, dtype=torch.uint8)
    for name in ("auto-contrast", "equalise", "contrast", "sharpness", "identity"):
        assert np.array_equal(done(name, flat, 0.5), flat.numpy())


@pytest.mark.parametrize("m", [-9.7, -1.0, 0.99, 4.2, 60.0])
def test_translating_cuts_to_whole_pixels(m: float) -> None:
    pixels = picture()
    x = np.pad(pixels.numpy(), ((0, 0), (60, 60), (60, 60)))
    by = math.trunc(m)
    assert np.array_equal(done("translate-x", pixels, m), x[:, 60:100, 60 - by : 116 - by])
    assert np.array_equal(done("translate-y", pixels, m), x[:, 60 - by : 100 - by, 60:116])


@pytest.mark.parametrize("m", [-0.99, -0.2, 0.07, 0.6])
def test_shearing_and_turning_take_the_nearest_pixel(m: float) -> None:
    """Pillow counts in 2^-16 of a pixel; added up along a row, a few pixels fall the other way."""
    pixels = picture()
    y, x = np.mgrid[:40, :56] + 0.5
    angle = -math.radians(100 * m)
    cos, sin = math.cos(angle), math.sin(angle)
    for name, size, at in (
        ("shear-x", m, (y, x + m * y)),
        ("shear-y", m, (y + m * x, x)),
        (
            "rotate",
            100 * m,
            (20 - sin * (x - 28) + cos * (y - 20), 28 + cos * (x - 28) + sin * (y - 20)),
        ),
    ):
        rows, columns = (np.floor(a).astype(int) for a in at)
        inside = (rows >= 0) & (rows < 40) & (columns >= 0) & (columns < 56)
        expected = np.where(inside, pixels.numpy()[:, rows.clip(0, 39), columns.clip(0, 55)], 0)
        assert (done(name, pixels, size) != expected).mean() <= 0.003


def test_magnitudes_of_the_wide_space() -> None:
    choices = {c.name: c for c in policy_of(TRIVIAL, 224).choices}
    assert len(choices) == 14
    for name, most in {
        "shear-x": 0.99, "shear-y": 0.99, "translate-x": 32, "translate-y": 32, "rotate": 135,
        "brightness": 0.99, "colour": 0.99, "contrast": 0.99, "sharpness": 0.99,
    }.items():  # fmt: skip
        assert np.allclose(choices[name].magnitudes, [most * k / 30 for k in range(31)], rtol=1e-6)
        assert choices[name].signed
    assert choices["posterise"].magnitudes[::6] == (8, 7, 6, 4, 3, 2)
    assert np.allclose(choices["solarise"].magnitudes, [255 - 8.5 * k for k in range(31)])
    assert sorted(c.name for c in choices.values() if not c.signed) == sorted(
        ["identity", "posterise", "solarise", "auto-contrast", "equalise"]
    )


def test_magnitudes_of_randaugment() -> None:
    call = Call("randaugment", {"n": 3, "m": 9, "bins": 31})
    policy = policy_of(call, 200)
    found = {c.name: c.magnitudes for c in policy.choices}
    assert policy.count == 3
    assert {len(m) for m in found.values()} == {1}
    for name, value in {
        "shear-x": 0.3 * 0.3, "rotate": 9.0, "translate-x": 0.3 * 200 * 150 / 331, "contrast": 0.27,
        "posterise": 7, "solarise": 255 * 0.7, "identity": 0,
    }.items():  # fmt: skip
        assert found[name][0] == pytest.approx(value, rel=1e-6)


def test_operations_magnitudes_and_signs_come_equally_often() -> None:
    """Every operation that leaves its mark on an image of one dot tells which it was."""
    names = ("translate-x", "translate-y", "identity")
    policy = Policy(1, tuple(Choice(n, (1.0, 2.0), signed=n != "identity") for n in names))
    dot = torch.zeros(1, 9, 9, dtype=torch.uint8)
    dot[0, 4, 4] = 255
    seen: Counter[tuple[int, int]] = Counter()
    for k in range(6_000):
        row, column = divmod(int(policy(dot, numpy_generator(0, k)).flatten().argmax()), 9)
        seen[row - 4, column - 4] += 1
    moves = [(0, -2), (0, -1), (0, 1), (0, 2), (-2, 0), (-1, 0), (1, 0), (2, 0)]
    assert seen.keys() == {(0, 0), *moves}
    assert all(abs(seen[move] - 500) < 100 for move in moves)


def test_operations_are_applied_one_after_the_other() -> None:
    policy = Policy(3, (Choice("translate-x", (1.0,), signed=False),))
    pixels = picture()
    assert torch.equal(policy(pixels, numpy_generator(0))[:, :, 3:], pixels[:, :, :-3])
    nothing = Policy(2, (Choice("identity", (0.0,), signed=False),))
    assert nothing(pixels, numpy_generator(0)) is pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 2, 33])
def test_any_size_goes_through_every_operation(channels: int, side: int) -> None:
    for call in (TRIVIAL, Call("randaugment", {"n": 4, "m": 30, "bins": 31})):
        policy = policy_of(call, side)
        pixels = picture(channels, side, side)
        before = pixels.clone()
        for k in range(120):
            found = policy(pixels, numpy_generator(0, k))
            assert found.shape == pixels.shape
            assert found.dtype is torch.uint8
        assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (Call("randaugment", {"n": 2, "m": 31, "bins": 31}), "m of randaugment is 31, but goes from 0 to 30"),
        (Call("randaugment", {"n": 17, "m": 3, "bins": 31}), "n of randaugment is 17"),
        (Call("trivialaugment", {"bins": 1}), "bins of trivialaugment is 1"),
        (Call("trivialaugment", {"bins": 2.5}), "bins of trivialaugment is 2.5"),
        (Call("autoaugment", {"bins": 31}), "augment is randaugment or trivialaugment"),
    ],
)  # fmt: skip
def test_what_no_policy_is(call: Call, said: str) -> None:
    with pytest.raises(Problem, match=said) as e:
        policy_of(call, 224)
    assert e.value.name == "bad-recipe"
