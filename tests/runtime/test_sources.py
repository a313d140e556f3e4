from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.data import sources
from regnetc_runtime.data.memory import MemoryPart
from regnetc_runtime.data.sources import Subset, open_data, order, split
from regnetc_runtime.problems import Problem


def png(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (12, 10), (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def fill(root: Path, classes: str, images: int) -> None:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(images):
            (root / name / f"{i}.png").write_bytes(png(10 * k + i))


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    fill(tmp_path / "train", "abc", 5)
    fill(tmp_path / "val", "abc", 2)
    return tmp_path


# What is found where.


@pytest.mark.parametrize("names", [("train", "val"), ("training", "validation"), ("Train", "test")])
def test_a_folder_with_two_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    fill(tmp_path / names[0], "abc", 5)
    fill(tmp_path / names[1], "abc", 2)
    data = open_data(str(tmp_path), channels=3, side=32)
    assert (data.kind, data.classes) == ("folder", ("a", "b", "c"))
    assert data.train is not None
    assert data.test is not None
    assert (len(data.train.labels), len(data.test.labels)) == (15, 6)
    assert data.mean == (0.485, 0.456, 0.406)
    assert data.train.image(6)[0, 0, 0] == 11
    grey = open_data(str(tmp_path), channels=1, side=32)
    assert (len(grey.mean), len(grey.std)) == (1, 1)
    assert abs(grey.mean[0] - (0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406)) < 1e-4


def test_validation_comes_before_test(imagenet: Path) -> None:
    (imagenet / "test").mkdir()
    (imagenet / "test" / "1.png").write_bytes(png(0))
    data = open_data(str(imagenet), channels=3, side=32)
    assert data.test is not None
    assert len(data.test.labels) == 6


def test_class_folders_alone_are_what_they_are_wanted_for(imagenet: Path) -> None:
    place = str(imagenet / "train")
    data = open_data(place, channels=3, side=32)
    assert data.train is None
    assert data.test is not None
    data = open_data(place, channels=3, side=32, alone="train")
    assert data.test is None
    assert data.train is not None
    shutil.rmtree(imagenet / "val")
    data = open_data(str(imagenet), channels=3, side=32)
    assert data.train is not None
    assert data.test is None


def test_the_number_of_classes(imagenet: Path) -> None:
    assert len(open_data(str(imagenet), channels=3, side=32, classes=3).classes) == 3
    with pytest.raises(Problem) as e:
        open_data(str(imagenet), channels=3, side=32, classes=1000)
    assert e.value.name == "class-count"
    with pytest.raises(Problem) as e:
        open_data("digits", channels=2, side=32)
    assert e.value.name == "wrong-input"


def test_classes_of_both_parts_must_agree(imagenet: Path) -> None:
    (imagenet / "val" / "c").rename(imagenet / "val" / "d")
    fill(imagenet / "val", "e", 1)
    with pytest.raises(Problem) as e:
        open_data(str(imagenet), channels=3, side=32)
    assert e.value.name == "classes-differ"
    assert [d.rpartition("only in ")[2].rpartition("/")[2] for d in e.value.details] == [
        "train (1): c", "val (2): d, e",
    ]  # fmt: skip


def test_a_flat_validation_folder_is_refused(imagenet: Path) -> None:
    shutil.rmtree(imagenet / "val")
    (imagenet / "val").mkdir()
    (imagenet / "val" / "ILSVRC2012_val_00000001.png").write_bytes(png(0))
    with pytest.raises(Problem) as e:
        open_data(str(imagenet), channels=3, side=32)
    assert e.value.name == "unsorted-images"


@pytest.mark.parametrize("place", ["nowhere", "a\0b", "empty", "file", "file/x"])
def test_what_is_no_data_set_says_what_was_looked_for(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("hello")
    with pytest.raises(Problem) as e:
        open_data(place, channels=3, side=32)
    assert e.value.name in ("unknown-data", "cannot-read")
    if e.value.name == "unknown-data":
        for word in ("digits", "class folders", "CIFAR-10", "shards", "URL"):
            assert any(word in line for line in e.value.details)


def test_the_digest_is_that_of_the_listing(imagenet: Path) -> None:
    def digest() -> str:
        return open_data(str(imagenet), channels=3, side=32).digest

    first = digest()
    assert len(first) == 64
    assert digest() == first
    moved = imagenet.with_name(f"{imagenet.name}-moved")
    imagenet.rename(moved)
    assert open_data(str(moved), channels=1, side=8).digest == first, "wherever it lies"
    moved.rename(imagenet)
    (imagenet / "val/a/0.png").write_bytes(png(3) + b"\0")
    second = digest()
    (imagenet / "val/a/0.png").rename(imagenet / "val/a/00.png")
    third = digest()
    (imagenet / "val/a/00.png").rename(imagenet / "val/b/00.png")
    assert len({first, second, third, digest()}) == 4


# Splits and orders.


def test_a_split_is_stratified_and_fixed() -> None:
    labels = torch.tensor([2] * 100 + [0] * 50 + [5] * 3 + [1])
    train, kept = split(labels, 0.1, 7)
    assert sorted([*train, *kept]) == list(range(154))
    assert torch.bincount(labels[torch.from_numpy(kept)], minlength=6).tolist() == [
        5,
        0,
        10,
        0,
        0,
        0,
    ]
    assert np.array_equal(kept, split(labels, 0.1, 7)[1])
    assert not np.array_equal(kept, split(labels, 0.1, 8)[1])
    assert list(kept) == sorted(kept)
    # What another class has does not change which images of this one are kept.
    fewer = split(labels[:150], 0.1, 7)[1]
    assert np.array_equal(fewer, kept)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_splits_at_the_ends(share: float) -> None:
    labels = torch.tensor([0, 1, 1, 1])
    train, kept = split(labels, share, 0)
    assert len(kept) == (0 if share == 0 else 2)
    assert set(labels[torch.from_numpy(train)].tolist()) == {0, 1}, "no class is lost"
    nothing = split(torch.empty(0).long(), 0.1, 0)
    assert [len(n) for n in nothing] == [0, 0]


def test_a_subset() -> None:
    part = MemoryPart("ten", torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10))
    subset = Subset(Subset(part, np.array([1, 3, 5, 7])), np.array([3, 0]))
    assert subset.labels.tolist() == [7, 1]
    assert subset.pixels is not None
    assert subset.pixels.flatten().tolist() == [7, 1]
    assert subset.image(0).item() == 7
    assert subset.name(1) == "image 1 of ten"
    assert subset.groups is None
    nothing = Subset(part, np.array([]))
    assert len(nothing.labels) == 0


def test_an_order_is_a_permutation_of_epoch_and_seed() -> None:
    part = MemoryPart("ten", torch.zeros(100, 1, 1, 1), torch.zeros(100).long())
    orders = [tuple(order(part, epoch, seed)) for epoch in (0, 1) for seed in (0, 1)]
    assert len(set(orders)) == 4
    assert all(sorted(o) == list(range(100)) for o in orders)
    assert tuple(order(part, 1, 1)) == orders[3]


def test_looking_opens_nothing(imagenet: Path) -> None:
    for path in imagenet.rglob("*.png"):
        path.write_bytes(b"")
    assert sources.look(str(imagenet)).kind == "folder"
    assert sources.look("synthetic:12").kind == "synthetic"
    assert sources.look("digits").kind == "digits"
