"""What is done with a chunk, piece by piece against its formula, and all of it together."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from regnetc_runtime.augment.affine import draw_maps, moved
from regnetc_runtime.augment.chunks import ChunkAugment
from regnetc_runtime.augment.colours import (
    COMPONENTS,
    DEVIATIONS,
    draw_jitter,
    draw_lighting,
    jittered,
)
from regnetc_runtime.augment.rectangles import draw_rectangles, erase_
from regnetc_runtime.chance import generator
from regnetc_runtime.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from regnetc_runtime.training.recipe import Call, Recipe
from scipy.stats import ks_2samp, kstest
from torch import Tensor

PLAIN = Recipe(
    name="plain", data="imagenet", epochs=12, batch=8,
    optimizer=Call("sgd", {"lr": 0.1}), schedule=Call("constant", {}),
)  # fmt: skip
FULL = replace(
    PLAIN, shift=2.0, turn=9.0, zoom=0.1, jitter=(0.4, 0.4, 0.4), lighting=0.1, erase=0.5, mixup=0.2,
    cutmix=1.0, label_smoothing=0.1,
)  # fmt: skip
LABELS = torch.tensor([3, 0, 1, 3, 2, 2, 0, 1])


def noise(channels: int = 3, height: int = 24, width: int = 20, n: int = 8) -> Tensor:
    chance = torch.Generator().manual_seed(channels)
    size = (n, channels, height, width)
    return torch.randint(0, 256, size, generator=chance, dtype=torch.uint8)


def augmented(
    recipe: Recipe, images: Tensor, *place: Any, bgr: bool = False
) -> tuple[Tensor, Tensor]:
    channels = images.shape[1]
    order: Any = "bgr" if bgr else "rgb"
    augment = ChunkAugment(recipe, IMAGENET_MEAN[:channels], IMAGENET_STD[:channels], order)
    labels = LABELS[torch.arange(len(images)) % 8]
    return augment(images, labels, place or (0, "chunk", 5, 1), 4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bgr", [False, True])
def test_without_anything_it_normalises(channels: int, bgr: bool) -> None:
    images = noise(channels)
    found, wanted = augmented(PLAIN, images, bgr=bgr)
    mean, std = IMAGENET_MEAN[:channels], IMAGENET_STD[:channels]
    whole = Preprocess(9, 9, mean, std, "bgr" if bgr else "rgb", channels)
    assert torch.allclose(found, whole.normalise(images), atol=2e-6)
    assert found.dtype is torch.float32
    assert torch.equal(wanted, torch.eye(4)[LABELS])
    assert torch.equal(augmented(PLAIN, images.float(), bgr=bgr)[0], found)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_place_alone_decides(kind: str, channels: int) -> None:
    images = noise(channels).to(getattr(torch, kind))
    before = images.clone()
    places = [(0, "chunk", 5, k) for k in range(6)]
    one, two = ([augmented(FULL, images, *p) for p in places] for _ in range(2))
    assert torch.equal(images, before), "what comes in stays as it is"
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
        assert a[0].shape == images.shape
        assert torch.allclose(a[1].sum(1), torch.ones(8))
    for a, b in pairwise(one):
        assert not torch.equal(a[0], b[0])


def test_uint8_and_float_pixels_give_the_same() -> None:
    images = noise()
    for a, b in zip(augmented(FULL, images), augmented(FULL, images.float()), strict=True):
        assert torch.equal(a, b)


def test_the_layout_in_memory_changes_no_number_beyond_rounding() -> None:
    images = noise()
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(augmented(FULL, images)[0], augmented(FULL, last)[0], atol=1e-5)


@pytest.mark.parametrize(("height", "width", "n"), [(1, 1, 2), (1, 30, 3), (30, 1, 3), (24, 20, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_chunks_of_small_images(channels: int, height: int, width: int, n: int) -> None:
    for k in range(20):
        found, wanted = augmented(FULL, noise(channels, height, width, n), 0, k)
        assert found.shape == (n, channels, height, width)
        assert found.isfinite().all()
        assert wanted.shape == (n, 4)


def test_nothing_comes_back_from_the_device() -> None:
    """A tensor without content raises where its content is asked for."""
    images, labels = noise().to("meta"), LABELS.to("meta")
    augment = ChunkAugment(FULL, IMAGENET_MEAN, IMAGENET_STD, "bgr")
    for k in range(10):
        found, wanted = augment(images, labels, (0, k), 4)
        assert found.shape == images.shape
        assert wanted.shape == (8, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_the_same_and_is_not_waited_for() -> None:
    images, labels = noise(n=64).cuda(), LABELS.repeat(8).cuda()
    augment = ChunkAugment(FULL, IMAGENET_MEAN, IMAGENET_STD)
    for k in range(10):
        torch.cuda.set_sync_debug_mode("error")
        try:
            found, wanted = augment(images, labels, (0, k), 4)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        here = augment(images.cpu(), labels.cpu(), (0, k), 4)
        assert torch.allclose(found.cpu(), here[0], atol=1e-4)
        assert torch.allclose(wanted.cpu(), here[1], atol=1e-6)


def test_rectangles() -> None:
    """On a large image, of which all but the tallest and widest rectangles fit."""
    size = (4_000, 5_000)
    top, bottom, left, right = draw_rectangles(6_000, size, 1.0, generator(0)).double().numpy().T
    h, w = bottom - top, right - left
    assert (h > 0).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= 4_000).all()
    assert (right <= 5_000).all()
    rng = np.random.default_rng(0)
    area = 4_000 * 5_000 * rng.uniform(0.02, 0.33, 60_000)
    ratio = np.exp(rng.uniform(math.log(0.3), math.log(3.3), 60_000))
    tall, wide = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fits = (tall < 3_999.5) & (wide < 4_999.5)
    for ours, theirs in ((h * w, area[fits]), (h / w, ratio[fits])):
        assert ks_2samp(ours, theirs).pvalue > 0.01
    assert kstest((top + rng.random(6_000)) / (4_001 - h), "uniform").pvalue > 0.01
    assert kstest((left + rng.random(6_000)) / (5_001 - w), "uniform").pvalue > 0.01


def test_as_many_rectangles_as_asked_for() -> None:
    drawn = draw_rectangles(5_000, (32, 32), 0.25, generator(0))
    assert abs((drawn.sum(1) > 0).float().mean().item() - 0.25) < 0.02
    top, bottom, left, right = draw_rectangles(50, (1, 1), 1.0, generator(0)).T
    assert not ((bottom - top) * (right - left)).any(), "nothing but nothing fits into a pixel"


def test_erasing() -> None:
    images = torch.ones(3, 2, 6, 7)
    erase_(images, torch.tensor([[1, 3, 2, 6], [0, 0, 0, 0], [0, 6, 6, 7.0]]))
    expected = torch.ones(3, 2, 6, 7)
    expected[0, :, 1:3, 2:6] = 0
    expected[2, :, :, 6:] = 0
    assert torch.equal(images, expected)


def test_jitter_by_its_formulas() -> None:
    images = noise().float()
    factors = torch.tensor([[1.3, 0.8, 1.5]]).repeat(8, 1)
    factors[0] = 1
    found = jittered(images, factors).numpy().astype(float)
    assert np.allclose(found[0], images[0], atol=1e-4)
    luma = np.array([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    for k in range(1, 8):
        x = (images[k].numpy().astype(float) * 1.3).clip(0, 255)
        mean = (x * luma).sum(0).mean()
        x = (mean + 0.8 * (x - mean)).clip(0, 255)
        grey = (x * luma).sum(0)
        assert np.allclose(found[k], (grey + 1.5 * (x - grey)).clip(0, 255), atol=1e-3)


def test_jitter_of_grey_leaves_saturation_out() -> None:
    images = noise(1).float()
    some, more = (jittered(images, torch.tensor([[1.1, 0.9, s]]).repeat(8, 1)) for s in (0.5, 1.5))
    assert torch.equal(some, more)
    assert not torch.equal(some, images)


def test_factors_of_jitter_are_uniform() -> None:
    factors = draw_jitter(5_000, (0.4, 0.0, 1.0), generator(0)).numpy()
    assert kstest(factors[:, 0], "uniform", (0.6, 0.8)).pvalue > 0.01
    assert (factors[:, 1] == 1).all()
    assert kstest(factors[:, 2], "uniform", (0.0, 2.0)).pvalue > 0.01
    assert draw_jitter(1_000, (3.0, 0.0, 0.0), generator(0)).min() >= 0


def test_lighting_has_the_covariance_of_colours() -> None:
    drawn = draw_lighting(200_000, 3, 0.1, generator(0)).double()
    components, deviations = torch.tensor(COMPONENTS).double(), torch.tensor(DEVIATIONS).double()
    expected = 0.01 * components @ (deviations**2).diag() @ components.T
    assert torch.allclose(drawn.T.cov(), expected, rtol=0.02, atol=1e-7)
    assert drawn.mean(0).abs().max() < 1e-4
    assert torch.allclose(components @ components.T, torch.eye(3).double(), atol=1e-3)


def test_lighting_is_one_colour_for_each_image() -> None:
    images = noise()
    recipe = replace(PLAIN, lighting=0.1)
    with_light, without = (augmented(r, images)[0] for r in (recipe, PLAIN))
    added = (with_light - without) * torch.tensor(IMAGENET_STD).view(3, 1, 1)
    colours = added.mean((2, 3))
    assert torch.allclose(added, colours[:, :, None, None].expand_as(added), atol=1e-5)
    assert len({tuple(c) for c in colours.tolist()}) == 8
    swapped = augmented(recipe, images, bgr=True)[0] - augmented(PLAIN, images, bgr=True)[0]
    seen = swapped.mean((2, 3)) * torch.tensor(IMAGENET_STD)
    assert torch.allclose(seen.flip(1), colours, atol=1e-5)


def test_lighting_of_grey() -> None:
    three, one = (draw_lighting(9, c, 0.1, generator(0)) for c in (3, 1))
    assert torch.allclose(three @ torch.tensor([0.299, 0.587, 0.114]), one[:, 0])


def test_whole_pixels_and_quarter_turns() -> None:
    images = noise(2, 9, 9).float()
    one = torch.tensor([[1.0, 0, 2 * 3 / 9], [0, 1, -2 * 2 / 9]]).expand(8, 2, 3)
    found = moved(images, one)
    assert torch.allclose(found[:, :, 2:, :-3], images[:, :, :-2, 3:], atol=1e-2)
    assert torch.allclose(
        found[:, :, :2, :-3], images[:, :, :1, 3:].expand(-1, -1, 2, -1), atol=1e-2
    )
    turned = moved(images, torch.tensor([[0.0, -1, 0], [1, 0, 0]]).expand(8, 2, 3))
    assert torch.allclose(turned, images.rot90(1, (2, 3)), atol=1e-2)


def test_maps_keep_lengths_and_angles_of_images_that_are_not_square() -> None:
    """In pixels each map is a rotation by a length, and a shift, all within their bounds."""
    height, width = 30, 50
    maps = draw_maps(3_000, (height, width), 2.0, 9.0, 0.1, generator(0)).double()
    half = torch.tensor([width / 2, height / 2]).double()
    linear = maps[:, :, :2] * half[:, None] / half
    zoom = linear.det().sqrt()
    assert torch.allclose(
        linear @ linear.mT, zoom[:, None, None] ** 2 * torch.eye(2).double(), atol=1e-5
    )
    angle = torch.atan2(linear[:, 1, 0], linear[:, 0, 0]).rad2deg()
    shift = maps[:, :, 2] * half
    for values, low, high in (
        (zoom, 0.9, 1.1), (angle, -9, 9), (shift[:, 0], -2, 2), (shift[:, 1], -2, 2),
    ):  # fmt: skip
        assert kstest(values.numpy(), "uniform", (low, high - low)).pvalue > 0.01


def test_images_of_a_chunk_move_each_in_its_own_way() -> None:
    images = noise(n=1).expand(8, 3, 24, 20)
    found, _ = augmented(replace(PLAIN, turn=20.0), images)
    assert len({x.numpy().tobytes() for x in found}) == 8


def test_erased_pixels_are_the_mean_and_targets_stay() -> None:
    images = noise(n=8)
    found, wanted = augmented(replace(PLAIN, erase=1.0), images)
    erased = (found == 0).all(1)
    assert (erased.flatten(1).sum(1) > 0).all()
    assert torch.equal(wanted, torch.eye(4)[LABELS])
    kept, _ = augmented(PLAIN, images)
    assert torch.equal(torch.where(erased[:, None], 0.0, kept), found)
