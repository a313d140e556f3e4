from __future__ import annotations

import sys

import pytest
import torch
from regnetc_runtime.data import digits
from regnetc_runtime.problems import Problem


def test_the_split_is_fixed_disjoint_and_stratified() -> None:
    state = torch.get_rng_state()
    data = digits.load(8)
    again = digits.load(8)
    assert torch.equal(torch.get_rng_state(), state)
    parts = (data.train, data.validation, data.test)
    assert [len(p.labels) for p in parts] == [1259, 179, 359]
    assert torch.equal(data.test.images, again.test.images)
    rows = torch.cat([p.images.flatten(1) for p in parts])
    assert len({tuple(row) for row in rows.tolist()}) == 1797
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        for digit in range(10):
            of_all = sum(int((p.labels == digit).sum()) for p in parts)
            assert int((part.labels == digit).sum()) == pytest.approx(share * of_all, abs=1)


def test_enlarging_keeps_the_range_and_the_mean() -> None:
    small, large = digits.load(8).train.images, digits.load(32).train.images
    assert large.shape == (1259, 1, 32, 32)
    assert large.dtype is torch.float32
    assert large.min() >= 0
    assert large.max() <= 255
    assert torch.allclose(small.mean(), large.mean(), rtol=0.02)


def test_batches_and_normalising() -> None:
    data = digits.load(32)
    sizes = [len(b.labels) for b in data.test.batches(100)]
    assert sizes == [100, 100, 100, 59]
    inputs = digits.preprocess(32).normalise(data.train.images)
    assert abs(float(inputs.mean())) < 0.1
    assert abs(float(inputs.std()) - 1) < 0.1


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(Problem) as e:
        digits.load(8)
    assert e.value.name == "missing-package"
    assert e.value.help == "pip install 'regnetc[digits]'"
