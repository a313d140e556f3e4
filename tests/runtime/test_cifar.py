from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from regnetc_runtime.data import cifar
from regnetc_runtime.data.sources import open_data
from regnetc_runtime.problems import Problem


def rows(count: int, labels: int, classes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 256, (count, labels + 3072), dtype=np.uint8)
    found[:, :labels] = rng.integers(0, classes, (count, labels))
    return found


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    for k in range(1, 6):
        rows(20, 1, 10, k).tofile(tmp_path / f"data_batch_{k}.bin")
    rows(30, 1, 10, 9).tofile(tmp_path / "test_batch.bin")
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    return tmp_path


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    home = tmp_path / "cifar-100-binary"
    home.mkdir()
    rows(40, 2, 20).tofile(home / "train.bin")
    rows(30, 2, 20, 9).tofile(home / "test.bin")
    (home / "fine_label_names.txt").write_text("".join(f"fine{k}\n" for k in range(100)))
    return tmp_path


def test_ten(ten: Path) -> None:
    data = open_data(str(ten), channels=3, side=32, classes=10)
    assert (data.kind, data.classes[3]) == ("cifar10", "cat")
    assert data.train is not None
    assert data.test is not None
    assert data.train.pixels is not None
    assert data.train.pixels.shape == (100, 3, 32, 32)
    assert data.train.pixels.dtype is torch.uint8
    second = rows(20, 1, 10, 2)
    assert data.train.labels[20:40].tolist() == second[:, 0].tolist()
    # The first 1,024 bytes are red, row by row.
    assert data.train.image(25)[0, 1, 2] == second[5, 1 + 32 + 2]
    assert data.train.image(25)[2, 31, 31] == second[5, -1]
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert "published are 50,000 and 10,000" in data.notes[0]
    assert data.digest == open_data(str(ten), channels=3, side=32).digest


def test_a_hundred_take_the_fine_label(hundred: Path) -> None:
    data = open_data(str(hundred), channels=1, side=32)
    raw = rows(30, 2, 20, 9)
    assert (data.kind, len(data.classes), data.classes[99]) == ("cifar100", 100, "fine99")
    assert data.test is not None
    assert data.test.pixels is not None
    assert data.test.labels.tolist() == raw[:, 1].tolist()
    red, green, blue = (raw[4, 2 + c * 1024].astype(float) for c in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert data.test.pixels.shape == (30, 1, 32, 32)
    assert abs(float(data.test.pixels[4, 0, 0, 0]) - luma) <= 0.5
    assert len(data.mean) == 1


def test_damage(ten: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(Problem, match=match) as e:
            cifar.open_cifar(ten, 3)
        assert e.value.name == "damaged-data"

    whole = (ten / "data_batch_3.bin").read_bytes()
    (ten / "data_batch_3.bin").write_bytes(whole[:-1])
    refused(r"data_batch_3\.bin is no whole file of CIFAR: it has 61,459 bytes")
    (ten / "data_batch_3.bin").write_bytes(b"\x0a" + whole[1:])
    refused("it names class 10, the last one is 9")
    (ten / "data_batch_3.bin").write_bytes(b"")
    refused("it has 0 bytes")
    (ten / "data_batch_3.bin").unlink()
    refused("it is missing")
    (ten / "data_batch_3.bin").write_bytes(whole)
    (ten / "batches.meta.txt").write_text("airplane\n")
    refused("names 1 classes instead of 10")
    (ten / "batches.meta.txt").unlink()
    assert cifar.open_cifar(ten, 3).classes[9] == "9"
