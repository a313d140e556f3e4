from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from in_batches import in_batches
from regnetc_runtime.data import digits
from regnetc_runtime.data.batches import Batch
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation.accuracy import Accuracy, Tally, classify, evaluate
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


def test_one_pass_keeps_a_row_of_each_image(net: nn.Module) -> None:
    _, test = digits.load(32)
    grey = digits.preprocess(32)
    tally = classify(net, in_batches(test, 100), grey, CPU, Precision())
    scores = tally.scores()
    with torch.inference_mode():
        logits = net.eval()(grey.normalise(test.images))
    chances = logits.softmax(1)
    assert scores.index.tolist() == list(range(359))
    assert torch.equal(scores.label, test.labels)
    assert torch.equal(scores.top, logits.topk(5).indices)
    close = torch.testing.assert_close
    close(scores.probability, chances.topk(5).values)
    close(scores.of_label, chances[range(359), test.labels])
    close(scores.loss, nn.functional.cross_entropy(logits, test.labels, reduction="none"))
    close(scores.squares, chances.square().sum(1))
    found = tally.accuracy("digits")
    assert found.loss == pytest.approx(float(scores.loss.mean()))
    assert found.top1 == pytest.approx(
        100 * float((logits.argmax(1) == test.labels).float().mean())
    )
    again = evaluate(net, in_batches(test, 7), grey, CPU, Precision(), data="digits")
    assert (again.images, again.top1, again.top5) == (found.images, found.top1, found.top5)
    assert again.loss == pytest.approx(found.loss)


def test_images_come_back_in_the_order_of_the_data() -> None:
    tally = Tally()
    logits = torch.tensor([[4.0, 0], [0, 3], [2, 0]])
    tally.add(logits[:2], torch.tensor([0, 0]), torch.tensor([7, 2]))
    tally.add(logits[2:], torch.tensor([1]), torch.tensor([5]))
    scores = tally.scores()
    assert scores.index.tolist() == [2, 5, 7]
    assert scores.right.tolist() == [False, False, True]
    assert scores.among.tolist() == [True, True, True]
    assert tally.together() is tally
    with pytest.raises(Problem, match="no images"):
        Tally().scores()


PROCESS = """
import json, sys, torch, torch.distributed as dist
from regnetc_runtime.evaluation.accuracy import Tally
rank, place = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(3)
logits, labels = torch.randn(9, 6, generator=generator), torch.arange(9) % 6
found = []
for shares, numbered in (([0, 2, 4, 6, 8], [1, 3, 5, 7, 0]), 1), (([0, 1, 2, 3, 4], [5, 6, 7, 8]), 0), (([], list(range(9))), 1):
    tally = Tally()
    for i in torch.tensor(shares[rank], dtype=torch.long).split(2):
        if len(i):
            tally.add(logits[i], labels[i], i if numbered else None)
    tally.unreadable, tally.seconds = [f"{rank}.jpg"], 1.0 + rank
    all_ = tally.together()
    accuracy, scores = all_.accuracy("x"), all_.scores()
    found.append([accuracy.images, accuracy.top1, accuracy.top5, accuracy.loss, accuracy.seconds,
                  accuracy.unreadable, scores.index.tolist(), scores.label.tolist()])
print(json.dumps(found))
dist.destroy_process_group()
"""


def test_processes_put_their_shares_together(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    said = [json.loads(p.communicate(timeout=60)[0]) for p in both]
    assert said[0] == said[1]
    logits = torch.randn(9, 6, generator=torch.Generator().manual_seed(3))
    alone = Tally()
    alone.add(logits, torch.arange(9) % 6)
    wanted = alone.accuracy("x")
    for images, top1, top5, loss, seconds, unreadable, index, label in said[0]:
        assert (images, top1, top5) == (9, wanted.top1, wanted.top5)
        assert loss == pytest.approx(wanted.loss)
        assert (seconds, unreadable) == (2.0, ["0.jpg", "1.jpg"])
        assert index == list(range(9))
        assert label == [0, 1, 2, 3, 4, 5, 0, 1, 2]
