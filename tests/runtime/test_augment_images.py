"""What is done with one image: in which order, by which chance, for which recipe and epoch."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from regnetc_runtime.augment.images import Prepare, evaluated_size, prepare_for
from regnetc_runtime.chance import numpy_generator
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.loader import load
from regnetc_runtime.data.parts import Chunk
from regnetc_runtime.data.synthetic import open_synthetic
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from regnetc_runtime.training.recipe import Call, Recipe
from torch import Tensor

PLAIN = Recipe(
    name="plain", data="imagenet", epochs=12, batch=8,
    optimizer=Call("sgd", {"lr": 0.1}), schedule=Call("constant", {}),
)  # fmt: skip
FULL = replace(
    PLAIN, scale=(0.08, 1.0), flip=0.5, pad=2, augment=Call("trivialaugment", {"bins": 31})
)


def noise(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (channels, height, width), generator=generator, dtype=torch.uint8)


def made(recipe: Recipe, channels: int = 3, image: int = 32, epoch: int = 0) -> Prepare:
    prepare = prepare_for(recipe, image, channels, epoch)
    assert prepare is not None
    return prepare


def test_the_same_place_gives_the_same_image_and_another_one_another() -> None:
    prepare = made(FULL)
    pixels = noise(3, 60, 80)
    first, again = (
        [prepare(pixels, numpy_generator(7, "image", 3, k)) for k in range(30)] for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({a.numpy().tobytes() for a in first}) == 30
    for place in ((8, "image", 3, 0), (7, "image", 4, 0)):
        assert not torch.equal(prepare(pixels, numpy_generator(*place)), first[0])


def test_it_does_not_matter_which_process_draws() -> None:
    prepare, pixels = made(FULL), noise(3, 50, 70)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        work = [pool.submit(prepare, pixels, numpy_generator(0, k)) for k in range(8)]
        for k, found in enumerate(work):
            assert torch.equal(found.result(), prepare(pixels, numpy_generator(0, k)))


@pytest.mark.parametrize("channels", [1, 3])
def test_it_does_not_matter_how_many_decode(channels: int) -> None:
    data = open_synthetic(40, 4, channels, 32)
    assert data.train is not None
    chunks = [Chunk(2, first, np.arange(first, first + 10)) for first in (0, 10, 20, 30)]
    prepare = made(replace(FULL, flip=0.5), channels)

    def loaded(workers: int) -> list[Tensor]:
        assert data.train is not None
        bad = BadImages(limit=0.0)
        batches = load(data.train, chunks, prepare, seed=3, workers=workers, bad=bad)
        return [b.images.clone() for b in batches]

    here, there = loaded(0), loaded(2)
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))
    for k, index in ((13, 3), (27, 7)):  # one by one as in chunks
        alone = prepare(data.train.image(k), numpy_generator(3, "image", 2, k))
        assert torch.equal(alone, here[k // 10][index])


def test_the_image_that_comes_in_stays_as_it_is() -> None:
    for size in ((32, 32), (40, 50)):
        pixels = noise(3, *size)
        before = pixels.clone()
        for k in range(40):
            out = made(FULL)(pixels, numpy_generator(0, k))
            out.add_(1)
        assert torch.equal(pixels, before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 40), (40, 1), (3, 500), (20, 20), (32, 32), (300, 200)]
)
@pytest.mark.parametrize("scale", [None, (0.08, 1.0)])
def test_images_of_all_sizes(
    scale: tuple[float, float] | None, height: int, width: int, channels: int
) -> None:
    prepare = made(replace(FULL, scale=scale), channels)
    for k in range(5):
        found = prepare(noise(channels, height, width), numpy_generator(0, k))
        assert found.shape == (channels, 32, 32)
        assert found.dtype is torch.uint8


def test_a_line_of_pixels_that_would_grow_out_of_bounds() -> None:
    line = torch.zeros(3, 1, 3_000_000, dtype=torch.uint8)
    with pytest.raises(Problem, match="too long and thin") as e:
        made(PLAIN)(line, numpy_generator(0))
    assert e.value.name == "bad-image"
    assert made(FULL)(line, numpy_generator(0)).shape == (3, 32, 32)


def test_flips_are_as_frequent_as_asked_for() -> None:
    pixels = noise(3, 32, 32)
    prepare = made(replace(PLAIN, flip=0.3, test_resize=32))
    seen = [prepare(pixels, numpy_generator(0, k)) for k in range(3_000)]
    flipped = [torch.equal(x, pixels.flip(-1)) for x in seen]
    assert all(f or torch.equal(x, pixels) for f, x in zip(flipped, seen, strict=True))
    assert abs(np.mean(flipped) - 0.3) < 0.03


def test_the_order_is_crop_shift_flip_policy() -> None:
    def mark(pixels: Tensor, rng: np.random.Generator) -> Tensor:
        assert pixels.shape == (1, 4, 4)
        out = pixels.clone()
        out[:, :, 0] = 255
        return out

    fit = Preprocess(4, 4, (0.0,), (1.0,), channels=1)
    prepare = Prepare(crop=4, fit=fit, pad=4, flip=1.0, policy=mark)
    columns = torch.arange(1, 5, dtype=torch.uint8).expand(1, 4, 4)
    for k in range(50):
        found = prepare(columns, numpy_generator(0, k))
        assert (found[:, :, 0] == 255).all()
        row = found[0, :, 1:].amax(0).tolist()
        # Shifted by up to four, then flipped: the numbers fall by one, and black came in at an end.
        assert all(a - b == 1 for a, b in pairwise(row) if a and b)


def test_without_a_random_crop_the_tests_crop_is_taken() -> None:
    pixels = noise(3, 90, 120)
    for recipe, image, sizes in (
        (PLAIN, 32, (32, 32)),
        (PLAIN, 112, (128, 112)),
        (replace(PLAIN, test_resize=40), 32, (40, 32)),
        (replace(PLAIN, test_resize=64, test_crop=56, crop=(28,)), 224, (32, 28)),
    ):
        whole = Preprocess(*sizes)
        found = made(recipe, image=image)(pixels, numpy_generator(0))
        assert torch.equal(found, whole.fit(pixels, "x"))


def test_the_crop_of_a_test() -> None:
    assert evaluated_size(PLAIN, 224) == (256, 224)
    assert evaluated_size(PLAIN, 32) == (32, 32)
    assert evaluated_size(replace(PLAIN, crop=(128, 192)), 224) == (219, 192)
    assert evaluated_size(replace(PLAIN, test_resize=232, test_crop=224, crop=(176,)), 176) == (
        232,
        224,
    )


def test_crops_grow_with_the_epochs() -> None:
    recipe = replace(FULL, crop=(16, 24, 32))
    pixels = noise(3, 60, 60)
    sides = [made(recipe, epoch=e)(pixels, numpy_generator(0)).shape[-1] for e in range(12)]
    assert sides == [16] * 4 + [24] * 4 + [32] * 4


@pytest.mark.parametrize(
    ("side", "image", "changes", "nothing"),
    [
        (32, 32, {}, True),
        (32, 32, {"crop": (32,), "test_resize": 32, "erase": 0.5, "mixup": 1.0}, True),
        (32, 32, {"pad": 4}, False),
        (32, 32, {"flip": 0.5}, False),
        (32, 24, {}, False),
        (32, 32, {"test_resize": 36}, False),
        (32, 224, {}, False),
        (32, 32, {"shift": 2.0, "turn": 9.0}, True),
        (32, 32, {"augment": Call("trivialaugment", {"bins": 31})}, False),
        (32, 32, {"scale": (0.5, 1.0)}, False),
        (32, 32, {"crop": (24, 32)}, False),
        (None, 32, {}, False),
    ],
)
def test_where_nothing_is_to_be_done(
    side: int | None, image: int, changes: dict[str, Any], nothing: bool
) -> None:
    found = prepare_for(replace(PLAIN, **changes), image, 3, 0, side)
    assert (found is None) == nothing


def test_a_policy_that_cannot_be_is_refused_at_once() -> None:
    recipe = replace(PLAIN, augment=Call("randaugment", {"n": 2, "m": 40, "bins": 31}))
    with pytest.raises(Problem) as e:
        prepare_for(recipe, 224, 3, 0)
    assert e.value.name == "bad-recipe"
