from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from regnetc_runtime.data import digits
from regnetc_runtime.data.parts import Part
from regnetc_runtime.problems import Problem
from torch import Tensor


def test_the_split_is_fixed_disjoint_and_stratified() -> None:
    state = torch.get_rng_state()
    parts = digits.load(8)
    again = digits.load(8)
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(p.labels) for p in parts] == [1438, 359]
    assert torch.equal(parts[1].images, again[1].images)
    rows = torch.cat([p.images.flatten(1) for p in parts])
    assert len({tuple(row) for row in rows.tolist()}) == 1797
    for part, share in zip(parts, (0.8, 0.2), strict=True):
        for digit in range(10):
            of_all = sum(int((p.labels == digit).sum()) for p in parts)
            assert int((part.labels == digit).sum()) == pytest.approx(share * of_all, abs=1)


def test_enlarging_keeps_the_range_and_the_mean() -> None:
    small, large = digits.load(8)[0].images, digits.load(32)[0].images
    assert large.shape == (1438, 1, 32, 32)
    assert large.dtype is torch.float32
    assert large.min() >= 0
    assert large.max() <= 255
    assert torch.allclose(small.mean(), large.mean(), rtol=0.02)


def test_normalising() -> None:
    train, _ = digits.load(32)
    inputs = digits.preprocess(32).normalise(train.images)
    assert abs(float(inputs.mean())) < 0.1
    assert abs(float(inputs.std()) - 1) < 0.1


@pytest.mark.parametrize("moved", [False, True])
def test_they_are_those_that_scikit_learn_loads(
    moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read out of its file, or by the package where the file is somewhere else one day."""
    from sklearn.datasets import load_digits

    if moved:
        monkeypatch.setattr(digits, "FILE", "datasets/moved.csv.gz")
    pixels, labels = digits._read()
    assert torch.equal(pixels.double(), torch.from_numpy(load_digits().images))
    assert torch.equal(labels, torch.from_numpy(load_digits().target))


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(Problem) as e:
        digits.load(8)
    assert e.value.name == "missing-package"
    assert e.value.help == "pip install 'regnetc[digits]'"


def pixels_of(part: Part) -> Tensor:
    assert part.pixels is not None
    return part.pixels


def test_as_a_data_set_the_test_part_is_what_it_always_was() -> None:
    data = digits.open_digits(1, 16)
    _, held_out = digits.load(16)
    assert data.test is not None
    assert data.train is not None
    assert torch.equal(pixels_of(data.test), held_out.images)
    assert torch.equal(data.test.labels, held_out.labels)
    assert len(data.train.labels) == 1438
    rows = torch.cat([pixels_of(data.train), pixels_of(data.test)]).flatten(1)
    assert len({tuple(row) for row in rows.tolist()}) == 1797
    assert data.digest == digits.open_digits(1, 16).digest != digits.open_digits(1, 17).digest
    assert (data.mean, data.std) == ((0.3,), (0.35,))


def test_in_three_channels() -> None:
    data = digits.open_digits(3, 8)
    assert data.test is not None
    pixels = pixels_of(data.test)
    assert pixels.shape == (359, 3, 8, 8)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    assert len(data.mean) == len(data.std) == 3
    image = data.test.image(3)
    assert image.dtype is torch.uint8
    assert (image.float() - pixels[3]).abs().max() <= 0.5
    assert data.test.name(3) == "image 3 of the digits held out"
