from __future__ import annotations

import pytest
import torch
from regnetc_runtime.data.sources import open_data
from regnetc_runtime.problems import Problem


def test_images_are_functions_of_their_number() -> None:
    data = open_data("synthetic:100", channels=3, side=24, classes=7)
    again = open_data("synthetic:100", channels=3, side=24, classes=7)
    assert data.train is not None
    assert data.test is not None
    assert again.train is not None
    assert len(data.train.labels) == 100
    assert len(data.test.labels) == 10
    assert data.train.labels[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert torch.equal(data.train.image(42), again.train.image(42))
    assert not torch.equal(data.train.image(0), data.train.image(7))
    assert not torch.equal(data.train.image(0), data.test.image(0))
    assert data.train.image(0).shape == (3, 24, 24)
    assert data.train.image(0).dtype is torch.uint8
    with pytest.raises(IndexError):
        data.train.image(100)
    assert data.digest == again.digest
    assert data.digest != open_data("synthetic:100", channels=3, side=24).digest


@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 100)])
def test_classes_can_be_learnt(channels: int, classes: int) -> None:
    """By no more than their mean images."""
    data = open_data(f"synthetic:{10 * classes}", channels=channels, side=32, classes=classes)
    assert data.train is not None
    assert data.test is not None
    images = torch.stack([data.train.image(i) for i in range(10 * classes)]).float()
    means = images.view(10, classes, -1).mean(0)
    test = torch.stack([data.test.image(i) for i in range(classes)]).float().flatten(1)
    found = torch.cdist(test, means).argmin(1)
    assert (found == data.test.labels[:classes]).float().mean() > 0.9
    level, spread = images.mean() / 255, images.std() / 255
    assert abs(float(level) - data.mean[0]) < 0.05
    assert abs(float(spread) - data.std[0]) < 0.05


def test_any_number_of_classes() -> None:
    data = open_data("synthetic", channels=1, side=8, classes=1_000_000)
    assert data.train is not None
    assert len(data.classes) == 1_000_000
    assert data.train.image(9_999).shape == (1, 8, 8)
    assert len(open_data("synthetic", channels=1, side=8).classes) == 10


@pytest.mark.parametrize("place", ["synthetic:0", "synthetic:10000001"])
def test_out_of_bounds(place: str) -> None:
    with pytest.raises(Problem) as e:
        open_data(place, channels=1, side=8)
    assert e.value.name == "wrong-input"
