from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem

WHOLE = Preprocess(resize=20, crop=20)


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(50, 50), (41, 77), (90, 33), (12, 10), (20, 20)])
def test_resizing_is_pillows(
    height: int, width: int, interpolation: Literal["bilinear", "bicubic"]
) -> None:
    pixels = noise(height, width)
    found = replace(WHOLE, interpolation=interpolation).fit(pixels, "x")
    short = min(height, width)
    size = (20, int(20 * width / short)) if height < width else (int(20 * height / short), 20)
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    resized = image.resize((size[1], size[0]), Image.Resampling[interpolation.upper()])
    top, left = round((size[0] - 20) / 2), round((size[1] - 20) / 2)
    expected = np.asarray(resized)[top : top + 20, left : left + 20].astype(int)
    assert found.shape == (3, 20, 20)
    assert (
        np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max()
        <= {"bilinear": 1, "bicubic": 4}[interpolation]
    )


def test_the_middle_is_taken() -> None:
    pixels = torch.arange(5 * 7, dtype=torch.uint8).view(1, 5, 7)
    grey = Preprocess(5, 3, mean=(0.5,), std=(0.5,), channels=1)
    assert torch.equal(grey.fit(pixels, "x"), pixels[:, 1:4, 2:5])


def test_normalising() -> None:
    pixels = torch.tensor([[0, 255], [51, 0], [255, 0]], dtype=torch.uint8).view(1, 3, 1, 2)
    plain = Preprocess(mean=(0.0, 0.2, 0.5), std=(1.0, 0.1, 0.5))
    expected = torch.tensor([[0, 1], [0, -2], [1, -1.0]]).view(1, 3, 1, 2)
    assert torch.allclose(plain.normalise(pixels), expected, atol=1e-6)
    swapped = Preprocess(mean=plain.mean, std=plain.std, channel_order="bgr")
    flipped = pixels.flip(1)
    assert torch.equal(swapped.normalise(flipped), plain.normalise(pixels))
    assert torch.equal(plain.normalise(pixels.float()), plain.normalise(pixels))


def test_one_long_line_of_pixels_does_not_grow_out_of_bounds() -> None:
    with pytest.raises(Problem, match="too long and thin: 1000000 x 1") as e:
        Preprocess().fit(torch.zeros(3, 1, 1_000_000, dtype=torch.uint8), "x")
    assert e.value.name == "bad-image"
    assert Preprocess().fit(torch.zeros(3, 1, 300, dtype=torch.uint8), "x").shape[-1] == 224


def test_there_and_back() -> None:
    for p in (Preprocess(), Preprocess(40, 32, (0.3,), (0.35,), "bgr", 1)):
        assert Preprocess.from_json(p.to_json()) == p


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "3",
        "null",
        '{"size": 3}',
        '{"crop": 300}',
        '{"crop": 0}',
        '{"crop": "a"}',
        '{"crop": 1.5}',
        '{"resize": 100000}',
        '{"resize": true, "crop": true}',
        '{"channels": 4, "mean": [0,0,0,0], "std": [1,1,1,1]}',
        '{"mean": [0.1]}',
        '{"mean": 3}',
        '{"mean": [NaN, 0, 0]}',
        '{"mean": ["a", "b", "c"]}',
        '{"std": [1, 1, 0]}',
        '{"std": [1, 1, Infinity]}',
        '{"channel_order": "gbr"}',
        '{"channel_order": ["rgb"]}',
        '{"interpolation": "nearest"}',
        "[" * 100_000,
    ],
)
def test_what_makes_no_sense(text: str) -> None:
    with pytest.raises(Problem) as e:
        Preprocess.from_json(text)
    assert e.value.name == "bad-preprocess"


def test_the_json_is_readable() -> None:
    assert json.loads(Preprocess().to_json())["mean"] == [0.485, 0.456, 0.406]
