from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from regnetc_runtime.data.batches import Batch
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation.accuracy import Accuracy, evaluate
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from torch import Tensor, nn

CPU = torch.device("cpu")
PLAIN = Preprocess(1, 1, mean=(0.0,), std=(1 / 255,), channels=1)


class Lookup(nn.Module):
    """The pixel says which row of logits comes out."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return self.rows[x.flatten().round().long()]


def run(rows: Tensor, batches: Iterator[Batch] | list[Batch], **options: object) -> Accuracy:
    net = Lookup(rows)
    found = evaluate(net, batches, PLAIN, CPU, Precision(), data="toys", **options)  # type: ignore[arg-type]
    assert net.training
    return found


def batch(pixels: list[int], labels: list[int], *bad: str) -> Batch:
    images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Batch(images, torch.tensor(labels, dtype=torch.int64), bad)


def test_counted_by_hand() -> None:
    rows = torch.zeros(3, 6)
    rows[0] = torch.tensor([5.0, 4, 3, 2, 1, 0])
    rows[1] = torch.tensor([0.0, 1, 2, 3, 4, 5])
    rows[2] = torch.tensor([9.0, 0, 0, 0, 0, -9])
    seen: list[tuple[int, int | None]] = []
    found = run(
        rows,
        [batch([0, 0, 0], [0, 1, 5]), batch([], [], "x.jpg"), batch([1, 2], [5, 5])],
        total=6,
        progress=lambda n, of, text: seen.append((n, of)),
    )
    assert (found.data, found.images, found.unreadable) == ("toys", 5, ("x.jpg",))
    assert found.top1 == pytest.approx(40)
    assert found.top5 == pytest.approx(60)
    chosen = rows[[0, 0, 0, 1, 2]].log_softmax(1)[range(5), [0, 1, 5, 5, 5]]
    assert found.loss == pytest.approx(-float(chosen.mean()))
    assert found.images_per_s == pytest.approx(5 / found.seconds)
    assert seen == [(3, 6), (4, 6), (6, 6)]


@pytest.mark.parametrize("classes", [2, 4])
def test_few_classes_have_no_top5(classes: int) -> None:
    found = run(torch.eye(classes), [batch([0, 1], [0, 1])])
    assert found.top1 == 100
    assert found.top5 is None


def test_numbers_that_are_none() -> None:
    with pytest.raises(Problem) as e:
        run(torch.full((1, 5), math.nan), [batch([0], [0])])
    assert e.value.name == "not-finite"


@pytest.mark.parametrize("batches", [[], [batch([], [], "x.jpg")]])
def test_nothing_to_evaluate(batches: list[Batch]) -> None:
    with pytest.raises(Problem) as e:
        run(torch.eye(5), batches)
    assert e.value.name == "no-images"


def test_precision_and_layout(net: nn.Module) -> None:
    images = torch.rand(6, 1, 32, 32) * 255
    labels = torch.arange(6)
    grey = Preprocess(32, 32, (0.5,), (0.5,), channels=1)
    losses = [
        evaluate(net, [Batch(images, labels)], grey, CPU, precision, data="noise").loss
        for precision in (Precision(), Precision(channels_last=True), Precision("bf16"))
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert losses[2] == pytest.approx(losses[0], abs=1e-2)
