"""Random resized crops and shifts against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.augment.crops import Box, middle_box, random_box, resized, shifted
from regnetc_runtime.chance import numpy_generator
from scipy.stats import kstest
from torch import Tensor

RATIO = (3 / 4, 4 / 3)


def noise(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (channels, height, width), generator=generator, dtype=torch.uint8)


def test_areas_and_ratios_are_uniform() -> None:
    """In an image in which every draw fits, so that none is drawn anew."""
    rng = numpy_generator(0, "boxes")
    scale = (0.08, 0.4)
    boxes = np.array([random_box(9_000, 9_000, scale, RATIO, rng) for _ in range(4_000)])
    area = boxes[:, 2] * boxes[:, 3] / 9_000**2
    ratio = np.log(boxes[:, 3] / boxes[:, 2])
    low, high = map(math.log, RATIO)
    assert kstest(area, "uniform", (scale[0], scale[1] - scale[0])).pvalue > 0.01
    assert kstest(ratio, "uniform", (low, high - low)).pvalue > 0.01
    for start, size in ((0, 2), (1, 3)):
        place = (boxes[:, start] + rng.random(len(boxes))) / (9_001 - boxes[:, size])
        assert kstest(place, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 500), (500, 1), (2, 3), (400, 500), (7, 4_000)]
)
def test_boxes_lie_inside(height: int, width: int) -> None:
    rng = numpy_generator(1, "boxes", height, width)
    for _ in range(300):
        top, left, h, w = random_box(height, width, (0.08, 1.0), RATIO, rng)
        assert top >= 0
        assert left >= 0
        assert 1 <= h <= height - top
        assert 1 <= w <= width - left


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((400, 500), Box(0, 0, 400, 500)),
        ((100, 900), Box(0, 383, 100, 133)),
        ((900, 100), Box(383, 0, 133, 100)),
        ((1, 1), Box(0, 0, 1, 1)),
    ],
)
def test_what_never_fits_becomes_the_middle(size: tuple[int, int], box: Box) -> None:
    assert middle_box(*size, RATIO) == box
    if box[2:] != size:  # a whole long image has no allowed ratio
        assert random_box(*size, (1.0, 1.0), RATIO, numpy_generator(0)) == box


def test_a_ratio_that_no_pixels_have_still_leaves_a_pixel() -> None:
    assert middle_box(1, 1, (0.01, 0.02)) == Box(0, 0, 1, 1)
    assert middle_box(1, 1, (50, 60)) == Box(0, 0, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "box", "side"),
    [
        ((400, 500), Box(40, 30, 300, 350), 224),
        ((40, 50), Box(3, 5, 20, 31), 96),
        ((1, 1), Box(0, 0, 1, 1), 32),
        ((3, 900), Box(0, 100, 3, 4), 17),
        ((30, 30), Box(2, 2, 24, 24), 24),
    ],
)
def test_resizing_is_pillows(channels: int, size: tuple[int, int], box: Box, side: int) -> None:
    pixels = noise(channels, *size)
    found = resized(pixels, box, side)
    assert found.shape == (channels, side, side)
    assert found.dtype is torch.uint8
    rows = pixels.permute(1, 2, 0).numpy()
    image = Image.fromarray(rows if channels == 3 else rows[:, :, 0])
    top, left, height, width = box
    image = image.crop((left, top, left + width, top + height))
    theirs = np.array(image.resize((side, side), Image.Resampling.BILINEAR), int)
    ours = found.permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - theirs.reshape(ours.shape)).max() <= 1


def test_the_order_in_memory_changes_no_pixel() -> None:
    planes = noise(3, 120, 90)
    rows = planes.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    box = Box(7, 3, 100, 80)
    assert planes.stride() != rows.stride()
    assert torch.equal(resized(planes, box, 64), resized(rows, box, 64))


@pytest.mark.parametrize(
    ("height", "width", "most"), [(9, 7, 4), (32, 32, 4), (2, 3, 5), (1, 1, 1)]
)
def test_shifting_is_a_crop_out_of_a_padded_image(height: int, width: int, most: int) -> None:
    pixels = noise(3, height, width)
    padded = np.pad(pixels.numpy(), ((0, 0), (most, most), (most, most)))
    crops = {
        padded[:, i : i + height, j : j + width].tobytes()
        for i in range(2 * most + 1)
        for j in range(2 * most + 1)
    }
    seen = {
        shifted(pixels, most, numpy_generator(0, "shift", k)).numpy().tobytes()
        for k in range(2_000)
    }
    assert seen == crops
