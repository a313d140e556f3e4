"""Targets, mixup and cutmix against their formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from regnetc_runtime.augment.mixing import (
    Mix,
    cut_at,
    draw_mix,
    mixed_images,
    mixed_targets,
    targets,
)
from regnetc_runtime.chance import generator, numpy_generator
from regnetc_runtime.training.recipe import Call, Recipe
from scipy.stats import kstest

PLAIN = Recipe(
    name="plain", data="imagenet", epochs=12, batch=8,
    optimizer=Call("sgd", {"lr": 0.1}), schedule=Call("constant", {}),
)  # fmt: skip


def test_targets() -> None:
    found = targets(torch.tensor([2, 0]), 5, 0.1)
    expected = torch.tensor([[0.02, 0.02, 0.92, 0.02, 0.02], [0.92, 0.02, 0.02, 0.02, 0.02]])
    assert torch.allclose(found, expected)
    assert torch.equal(targets(torch.tensor([1]), 3, 0.0), torch.tensor([[0.0, 1.0, 0.0]]))
    logits = torch.randn(6, 5, generator=generator(0))
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    ours = torch.nn.functional.cross_entropy(logits, targets(labels, 5, 0.3))
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.3)
    assert torch.allclose(ours, theirs)


def test_mixup() -> None:
    images, wanted = torch.rand(4, 3, 5, 5, generator=generator(0)), torch.eye(4)
    mix = Mix(0.7)
    found, shares = mixed_images(images, mix), mixed_targets(wanted, mix)
    for k in range(4):
        assert torch.allclose(found[k], 0.7 * images[k] + 0.3 * images[k - 1], atol=1e-6)
        assert torch.allclose(shares[k], 0.7 * wanted[k] + 0.3 * wanted[k - 1], atol=1e-6)


def test_cutmix() -> None:
    """Each pixel is the image's or that of the one before it, in the shares that the targets say."""
    size = (12, 17)
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, *size)
    seen = []
    for k in range(400):
        mix = cut_at(float(numpy_generator(0, k).random()), size, numpy_generator(1, k))
        found = mixed_images(images, mix)
        assert mix.box is not None
        top, left, height, width = mix.box
        inside = torch.zeros(size, dtype=torch.bool)
        inside[top : top + height, left : left + width] = True
        for n in range(5):
            assert (found[n, 0][inside] == (n - 1) % 5).all()
            assert (found[n, 0][~inside] == n).all()
        assert mix.share == pytest.approx(1 - inside.float().mean().item(), abs=1e-6)
        seen.append((top, left))
    assert {top for top, _ in seen} == set(range(12))
    assert cut_at(1.0, size, numpy_generator(0)).share == 1


def test_which_chunks_are_mixed_and_how() -> None:
    def kinds(**changes: Any) -> tuple[float, float, list[float]]:
        recipe, size = replace(PLAIN, **changes), (64, 64)
        mixes = [draw_mix(recipe, size, numpy_generator(0, k)) for k in range(4_000)]
        cut = [m for m in mixes if m is not None and m.box is not None]
        up = [m.share for m in mixes if m is not None and m.box is None]
        return len(up) / 4_000, len(cut) / 4_000, up

    assert kinds() == (0, 0, [])
    assert kinds(mixup=0.2)[:2] == (1, 0)
    assert kinds(cutmix=1.0)[:2] == (0, 1)
    assert kinds(mixup=0.2, cutmix=1.0, mix=0.0)[:2] == (0, 0)
    assert np.allclose(kinds(mixup=0.2, cutmix=1.0)[:2], (0.5, 0.5), atol=0.03)
    assert np.allclose(kinds(mixup=0.2, cutmix=1.0, mix=0.4)[:2], (0.2, 0.2), atol=0.02)
    assert kstest(kinds(mixup=0.4)[2], "beta", (0.4, 0.4)).pvalue > 0.01
    assert kstest(kinds(mixup=1.0, cutmix=1.0)[2], "uniform").pvalue > 0.01
