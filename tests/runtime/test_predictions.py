"""Predictions in files: what is read is what was written, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from in_batches import in_batches
from regnetc_runtime import safetensors_file
from regnetc_runtime.data import digits
from regnetc_runtime.device import Precision
from regnetc_runtime.evaluation import predictions
from regnetc_runtime.evaluation.accuracy import Tally, classify
from regnetc_runtime.evaluation.metrics import measure
from regnetc_runtime.evaluation.predictions import About, Predictions, decode, encode, same_images
from regnetc_runtime.problems import Problem
from torch import Tensor, nn

ABOUT = About(
    "Digits", "digits", "test", "d" * 64, "a" * 64, "b" * 64, digits.preprocess(32).to_json()
)


@pytest.fixture(scope="module")
def small() -> Predictions:
    """Six images of three classes, the third of which has a name that is no UTF-8."""
    tally = Tally()
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    tally.add(logits, torch.tensor([0, 1, 2, 0, 1, 2]))
    names = ["ant/1.png", "bee/1.png", "cat/\udcff.png", "ant/2.png", "bee/ü.png", ""]
    return predictions.of_scores(tally.scores(), names.__getitem__, ("ant", "bee", "cat"), ABOUT)


def refused(data: bytes) -> str:
    with pytest.raises(Problem) as e:
        decode(data, "x.safetensors")
    assert e.value.name == "bad-predictions"
    return e.value.message


def test_a_file_holds_everything(net: nn.Module, tmp_path: Path) -> None:
    tally = classify(
        net,
        in_batches(digits.load(32)[1], 99),
        digits.preprocess(32),
        torch.device("cpu"),
        Precision(),
    )
    made = predictions.of_scores(
        tally.scores(), lambda i: f"digit {i}", list(map(str, range(10))), ABOUT
    )
    path = tmp_path / predictions.FILES["test"]
    digest = predictions.save(path, made)
    assert digest == predictions.save(path, made)
    read = predictions.read(path)
    assert (read.names, read.classes, read.about) == (made.names, made.classes, made.about)
    assert measure(read.scores) == measure(made.scores)
    assert torch.equal(read.scores.top, made.scores.top)
    assert torch.equal(read.scores.of_label, made.scores.of_label)
    assert len(path.read_bytes()) < 359 * 100 + 4_000
    assert same_images(read, made) == ()


def test_names_of_any_bytes(small: Predictions) -> None:
    read = decode(encode(small), "x")
    assert read.names == small.names
    assert read.classes == small.classes
    assert encode(read) == encode(small)


def test_no_images_and_no_class_names(small: Predictions) -> None:
    rows = Tally()
    rows.add(torch.zeros(1, 7), torch.tensor([3]))
    nameless = Predictions(rows.scores(), ("x",), (), About())
    read = decode(encode(nameless), "x")
    assert (read.classes, read.scores.classes, read.about) == ((), 7, About())


def with_tensor(made: Predictions, **changed: Tensor) -> bytes:
    tensors, meta = safetensors_file.parse(encode(made), "x")
    return safetensors_file.encode(tensors | changed, meta)


def with_meta(made: Predictions, **changed: str) -> bytes:
    tensors, meta = safetensors_file.parse(encode(made), "x")
    return safetensors_file.encode(tensors, meta | changed)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"label": torch.tensor([0, 1, 3, 0, 1, 2], dtype=torch.int32)}, "classes that do not exist"),
        ({"label": torch.tensor([0, -1, 2, 0, 1, 2], dtype=torch.int32)}, "classes that do not exist"),
        ({"label": torch.zeros(5, dtype=torch.int32)}, "different lengths"),
        ({"label": torch.zeros(6, dtype=torch.int64)}, "not those of predictions"),
        ({"top": torch.zeros(6, 2, dtype=torch.int32)}, "best 3 classes"),
        ({"index": torch.zeros(6, dtype=torch.int64)}, "not in order"),
        ({"loss": torch.full((6,), torch.inf)}, "probabilities that are none"),
        ({"of_label": torch.full((6,), torch.nan)}, "probabilities that are none"),
        ({"probability": torch.full((6, 3), -0.5)}, "probabilities that are none"),
        ({"name_ends": torch.tensor([9, 5, 20, 30, 40, 50])}, "do not fill their room"),
        ({"name_ends": torch.tensor([2**62] * 6)}, "do not fill their room"),
        ({"name_ends": torch.zeros(2, 3, dtype=torch.int64)}, "no list"),
        ({"classes": torch.zeros(0, dtype=torch.uint8), "class_ends": torch.zeros(2, dtype=torch.int64)}, "one name for each"),
        ({"extra": torch.zeros(1)}, "not those of predictions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    small: Predictions, changed: dict[str, Tensor], why: str
) -> None:
    assert why in refused(with_tensor(small, **changed))


@pytest.mark.parametrize("count", ["0", "-3", "x", "", "2", "9999999999"])
def test_a_number_of_classes_that_cannot_be(small: Predictions, count: str) -> None:
    assert "x.safetensors" in refused(with_meta(small, class_count=count))


def test_other_files_are_refused(small: Predictions, tmp_path: Path) -> None:
    assert "not one of predictions" in refused(safetensors_file.encode({"a": torch.zeros(1)}, {}))
    assert "no sound safetensors file" in refused(b"PK\x03\x04 and so on")
    path = tmp_path / "x"
    with pytest.raises(Problem) as e:
        predictions.read(path)
    assert e.value.name == "no-such-file"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_in_words(small: Predictions, data: st.DataObject) -> None:
    good = bytearray(encode(small))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(good[: data.draw(st.integers(len(good) // 2, len(good)))])
    try:
        read = decode(kept, "x")
    except Problem as e:
        if e.name != "bad-predictions":
            raise
    else:
        assert len(read.names) == len(read.scores)
        measure(read.scores)


def test_other_images_are_named(small: Predictions) -> None:
    def other(**changed: object) -> str:
        with pytest.raises(Problem) as e:
            same_images(small, replace(small, **changed))  # type: ignore[arg-type]
        assert e.value.name == "other-images"
        return e.value.message

    names = (*small.names[:3], "ant/3.png", *small.names[4:])
    assert same_images(small, replace(small, names=names)) == ()  # the same data by another path
    elsewhere = replace(small.about, data_digest="e" * 64)
    assert "ant/2.png here is ant/3.png there" in other(names=names, about=elsewhere)
    shorter = replace(small.scores, label=small.scores.label[:5])
    assert "has 6, the other 5" in other(names=small.names[:5], scores=shorter)
    labels = small.scores.label.clone()
    labels[1:3] = 0
    assert "bee/1.png is of class bee here and ant there, and so 2 in all" in other(
        scores=replace(small.scores, label=labels)
    )
    assert "of 3 classes here, of 9 there" in other(scores=replace(small.scores, classes=9))


def test_oddities_that_forbid_nothing(small: Predictions) -> None:
    about = replace(ABOUT, data_digest="e" * 64, preprocess=json.dumps({}))
    assert [n.split(",")[0] for n in same_images(small, replace(small, about=about))] == [
        "the images have the same names and labels",
        "the images were prepared in different ways",
    ]
