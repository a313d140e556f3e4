"""Figures of an evaluation, held against scikit-learn, scipy and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from in_batches import in_batches
from regnetc_runtime.data import digits
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation.accuracy import Tally, classify
from regnetc_runtime.evaluation.intervals import newcombe, wilson
from regnetc_runtime.evaluation.metrics import (
    CONFUSION_CLASSES,
    Confused,
    confusion,
    measure,
    most_confused,
    per_class,
    reliability,
)
from regnetc_runtime.evaluation.scores import Scores
from regnetc_runtime.problems import Problem
from scipy.stats import binomtest, multinomial
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    top_k_accuracy_score,
)
from torch import Tensor, nn


@pytest.fixture
def seen(net: nn.Module) -> tuple[Scores, Tensor]:
    """Scores of a network that has hardly learnt digits, and all its probabilities (float64)."""
    (train, test), grey = digits.load(32), digits.preprocess(32)
    images, labels = grey.normalise(train.images), train.labels
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    for some in order.tensor_split(25):
        loss = nn.functional.cross_entropy(net(images[some]), labels[some])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    tally = classify(net, in_batches(test, 128), grey, torch.device("cpu"), Precision())
    with torch.inference_mode():
        logits = net.eval()(grey.normalise(test.images))
    return tally.scores(), logits.double().softmax(1)


def test_all_figures_are_those_of_scikit_learn(seen: tuple[Scores, Tensor]) -> None:
    scores, chances = seen
    labels, p = scores.label.numpy(), chances.numpy()
    found = measure(scores)
    assert 20 < found.top1 < 95  # neither chance nor perfect, or nothing would be tested
    assert (found.images, found.classes) == (359, 10)
    assert found.top1 == pytest.approx(100 * top_k_accuracy_score(labels, p, k=1))
    assert found.top5 == pytest.approx(100 * top_k_accuracy_score(labels, p, k=5))
    assert found.loss == pytest.approx(log_loss(labels, p), rel=1e-5)
    assert found.brier == pytest.approx(
        brier_score_loss(labels, p, labels=range(10), scale_by_half=False), rel=1e-5
    )
    assert found.mean_class_top1 == pytest.approx(
        100 * balanced_accuracy_score(labels, p.argmax(1))
    )
    assert found.confidence == pytest.approx(100 * p.max(1).mean(), rel=1e-5)
    matrix = confusion(scores)
    assert matrix.dtype == torch.int64
    assert np.array_equal(matrix.numpy(), confusion_matrix(labels, p.argmax(1)))
    images, right = per_class(scores)
    assert images.tolist() == matrix.sum(1).tolist()
    assert right.tolist() == matrix.diag().tolist()


def test_calibration_is_that_of_scikit_learn(seen: tuple[Scores, Tensor]) -> None:
    scores, chances = seen
    found = reliability(scores)
    used = [i for i, n in enumerate(found.images) if n]
    share, sure = calibration_curve(scores.right.numpy(), chances.amax(1).numpy(), n_bins=15)
    assert [found.accuracy[i] for i in used] == pytest.approx(share)
    assert [found.confidence[i] for i in used] == pytest.approx(sure, rel=1e-5)
    weights = np.array([found.images[i] for i in used]) / len(scores)
    assert found.ece == pytest.approx(100 * float((weights * abs(share - sure)).sum()), rel=1e-5)
    assert measure(scores).ece == found.ece


def test_a_bin_has_its_upper_bound_and_not_its_lower() -> None:
    tally = Tally()
    sure, unsure = torch.tensor([200.0, 0, 0, 0]), torch.zeros(4)
    tally.add(torch.stack([sure, unsure, unsure]), torch.tensor([0, 3, 3]))
    scores = tally.scores()
    found = reliability(scores, bins=4)
    assert list(found.images) == [2, 0, 0, 1]
    assert list(found.confidence) == [0.25, 0, 0, 1]
    share = float((scores.top[1:, 0] == 3).double().mean())  # of a tie any class may be first
    assert list(found.accuracy) == [share, 0, 0, 1]
    assert found.ece == pytest.approx(100 * 2 * abs(share - 0.25) / 3)


def test_what_is_confused_most(seen: tuple[Scores, Tensor]) -> None:
    scores, _ = seen
    matrix = confusion(scores)
    pairs = most_confused(scores, 6)
    wrong = matrix - torch.diag(matrix.diag())
    assert [c.images for c in pairs] == wrong.flatten().sort(descending=True).values[:6].tolist()
    for c in pairs:
        assert int(matrix[c.label, c.guess]) == c.images
        assert int(matrix[c.label].sum()) == c.of


def test_very_many_classes_have_pairs_but_no_matrix() -> None:
    classes = CONFUSION_CLASSES + 1
    tally = Tally()
    logits = torch.zeros(3, classes)
    logits[[0, 1, 2], [4000, 4000, 7]] = 5
    tally.add(logits, torch.tensor([7, 7, 7]))
    scores = tally.scores()
    assert most_confused(scores) == (Confused(7, 4000, 2, 3),)
    assert measure(scores).top1 == pytest.approx(100 / 3)
    with pytest.raises(Problem) as e:
        confusion(scores)
    assert e.value.name == "too-many-classes"


def test_few_classes_have_no_top5() -> None:
    tally = Tally()
    tally.add(torch.eye(4), torch.arange(4))
    found = measure(tally.scores())
    assert (found.top5, found.top5_interval) == (None, None)
    assert list(found.top1_interval) == pytest.approx([51.01, 100], abs=0.01)


@pytest.mark.parametrize(("hits", "images"), [(0, 1), (1, 1), (0, 7), (3, 7), (354, 359), (7, 10)])
def test_wilson_is_that_of_scipy(hits: int, images: int) -> None:
    bounds = binomtest(hits, images).proportion_ci(method="wilson")
    low, high = wilson(hits, images)
    assert low == pytest.approx(bounds.low)
    assert high == pytest.approx(bounds.high)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)
    assert newcombe(0, 0, 0, 0) == (-1, 1)


def test_newcombe_is_what_was_published() -> None:
    """Airway hyper-responsiveness before and after a transplantation (Fagerland et al. 2014)."""
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


@pytest.mark.parametrize("p", [(0.7, 0.1, 0.1, 0.1), (0.9, 0.06, 0.02, 0.02), (0.3, 0.3, 0.1, 0.3)])
def test_newcombe_holds_the_truth_as_often_as_it_says(p: tuple[float, ...]) -> None:
    """All tables of 24 images, each as likely as it is."""
    n, truth, covered = 24, p[1] - p[2], 0.0
    tables = [
        (a, b, c, n - a - b - c)
        for a in range(n + 1)
        for b in range(n + 1 - a)
        for c in range(n + 1 - a - b)
    ]
    odds = multinomial.pmf(np.array(tables), n, p)
    for table, likely in zip(tables, odds, strict=True):
        low, high = newcombe(*table)
        assert -1 <= low <= (table[1] - table[2]) / n <= high <= 1
        covered += likely if low <= truth <= high else 0
    assert 0.935 < covered < 1
