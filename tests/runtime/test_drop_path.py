"""Stochastic depth against its probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from regnetc_runtime.load import build, load
from regnetc_runtime.training.drop_path import add_drop_path
from torch import Tensor, nn


class Block(nn.Module):
    """x + f(x), with a branch that gives ones."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.f(x)
        return found


def test_the_last_block_is_skipped_most() -> None:
    net = nn.ModuleList([Block() for _ in range(4)])
    add_drop_path(net, 0.4)
    net.train()
    torch.manual_seed(0)
    ones = torch.ones(20_000, 2, 3, 3)
    for number, block in enumerate(net, start=1):
        skip = 0.4 * number / 4
        found = block(ones)
        assert found[:, 0, 0, 0].unique().tolist() == pytest.approx([0, 1 / (1 - skip)])
        kept = (found[:, 0, 0, 0] > 0).float().mean().item()
        assert kept == pytest.approx(1 - skip, abs=4 * (skip * (1 - skip) / 20_000) ** 0.5)
        assert (found.flatten(1).std(1) == 0).all(), "an image is skipped as a whole"
        assert found.mean().item() == pytest.approx(1, abs=0.03)


def test_evaluation_is_as_ever_and_training_repeats_itself(root: Path) -> None:
    def make() -> nn.Module:
        return build(load((root / "generated/digits.py").read_bytes(), "digits.py"), seed=1)

    plain, dropped = make(), make()
    add_drop_path(dropped, 0.5)
    x = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain.eval()(x), dropped.eval()(x))
    dropped.train()
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(dropped(x).detach())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
