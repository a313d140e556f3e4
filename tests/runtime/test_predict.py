from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.data import digits
from regnetc_runtime.evaluation.predict import predict
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from torch import nn

CPU = torch.device("cpu")


def save(folder: Path, pixels: torch.Tensor, name: str, mode: str = "L") -> Path:
    image = Image.fromarray(pixels.round().numpy().astype(np.uint8)).convert(mode)
    image.save(folder / name)
    return folder / name


def learn(net: nn.Module, epochs: int) -> None:
    """Teach a network digits, well enough to tell most of them."""
    part, _ = digits.load(32)
    images, labels = digits.preprocess(32).normalise(part.images), part.labels
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        shuffled = torch.randperm(len(labels), generator=order)
        for chosen in shuffled.tensor_split(len(labels) // 64):
            loss = nn.functional.cross_entropy(net(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()


def test_digits_in_files_of_every_kind(net: nn.Module, tmp_path: Path) -> None:
    learn(net, epochs=4)
    _, test = digits.load(64)
    chosen = range(0, 359, 9)
    names = ["x.png", "x.jpg", "x.webp", "x.bmp"]
    paths = [
        save(tmp_path, test.images[i, 0], f"{i}{names[i % 4]}", "RGB" if i % 2 else "L")
        for i in chosen
    ]
    found = list(predict(net, paths, digits.preprocess(32), CPU, top=3))
    assert [p.path for p in found] == paths
    for prediction in found:
        scores = [g.score for g in prediction.classes]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1.0001
        assert all(g.name is None for g in prediction.classes)
    right = [p.classes[0].index == int(test.labels[i]) for p, i in zip(found, chosen, strict=True)]
    assert sum(right) >= 0.9 * len(right)


def test_names_and_top(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    net.requires_grad_(False)[1].bias.copy_(torch.tensor([0.0, 2.0, 1.0]))  # type: ignore[operator]
    net[1].weight.zero_()  # type: ignore[operator]
    grey = Preprocess(2, 2, (0.5,), (0.5,), channels=1)
    path = save(tmp_path, torch.zeros(5, 5), "x.png")
    (found,) = predict(net, [path], grey, CPU, class_names=["a", "b", "c"])
    assert [(g.index, g.name) for g in found.classes] == [(1, "b"), (2, "c"), (0, "a")]
    assert sum(g.score for g in found.classes) == pytest.approx(1)
    assert net.training
    with pytest.raises(Problem) as e:
        list(predict(net, [path], grey, CPU, class_names=["a"]))
    assert e.value.name == "class-count"


def test_those_that_cannot_be_read_have_a_problem_and_no_place_of_others(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    net.requires_grad_(False)[1].weight.copy_(torch.tensor([[1.0] * 4, [-1.0] * 4]))  # type: ignore[operator]
    grey = Preprocess(2, 2, (0.5,), (0.5,), channels=1)
    (tmp_path / "bad.png").write_bytes(b"x")
    light = [save(tmp_path, torch.full((5, 5), v), f"{v}.png") for v in (255.0, 0.0)]
    bad, missing = tmp_path / "bad.png", tmp_path / "none.png"
    paths = [bad, light[0], missing, light[1], *[bad] * 40, light[0]]
    found = list(predict(net, paths, grey, CPU, top=1))
    assert [p.path for p in found] == paths
    problems = [p.problem.name if p.problem is not None else "" for p in found]
    assert problems == ["bad-image", "", "no-such-file", "", *["bad-image"] * 40, ""]
    assert [p.classes[0].index for p in found if p.problem is None] == [0, 1, 0]
    net[1].weight.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(Problem) as e:
        list(predict(net, light, grey, CPU))
    assert e.value.name == "not-finite"
    assert list(predict(net, [], grey, CPU)) == []
