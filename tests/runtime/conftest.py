"""A small network for the tests, as a file in the shape of those that regnetc writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from regnetc_runtime.load import build, load
from torch import nn

DIGITS = '''\
"""A network for digits: 32 x 32 pixels, one channel, ten classes."""

from torch import Tensor, nn


class Bottleneck(nn.Sequential):
    def __init__(self, w_in: int, w_out: int, stride: int, groups: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(w_in, w_out, 1, bias=False)
        self.a_bn = nn.BatchNorm2d(w_out)
        self.a_af = nn.ReLU(inplace=True)
        self.b = nn.Conv2d(w_out, w_out, 3, stride, padding=1, groups=groups, bias=False)
        self.b_bn = nn.BatchNorm2d(w_out)
        self.b_af = nn.ReLU(inplace=True)
        self.c = nn.Conv2d(w_out, w_out, 1, bias=False)
        self.c_bn = nn.BatchNorm2d(w_out)


class Block(nn.Module):
    def __init__(self, w_in: int, w_out: int, stride: int, groups: int) -> None:
        super().__init__()
        self.proj: nn.Module = nn.Identity()
        self.bn: nn.Module = nn.Identity()
        if w_in != w_out or stride != 1:
            self.proj = nn.Conv2d(w_in, w_out, 1, stride, bias=False)
            self.bn = nn.BatchNorm2d(w_out)
        self.f = Bottleneck(w_in, w_out, stride, groups)
        self.af = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.af(self.bn(self.proj(x)) + self.f(x))
        return out


class Stem(nn.Sequential):
    def __init__(self, w_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, w_out, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(w_out)
        self.af = nn.ReLU(inplace=True)


class Stage(nn.Sequential):
    def __init__(self, w_in: int, w_out: int, *, depth: int, stride: int, groups: int) -> None:
        super().__init__()
        self.b1 = Block(w_in, w_out, stride, groups)
        for i in range(2, depth + 1):
            self.add_module(f"b{i}", Block(w_out, w_out, 1, groups))


class Head(nn.Module):
    def __init__(self, w_in: int, classes: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(w_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.avg_pool(x).flatten(1))
        return logits


class Digits(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = Stem(16)
        self.s1 = Stage(16, 16, depth=1, stride=2, groups=2)
        self.s2 = Stage(16, 32, depth=1, stride=2, groups=4)
        self.s3 = Stage(32, 64, depth=2, stride=2, groups=8)
        self.head = Head(64, classes)
        self.apply(initialize)

    def features(self, x: Tensor) -> list[Tensor]:
        s1 = self.s1(self.stem(x))
        s2 = self.s2(s1)
        s3 = self.s3(s2)
        return [s1, s2, s3]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x)[-1])
        return logits


def initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


def model(classes: int = 10) -> Digits:
    return Digits(classes)
'''


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def code() -> bytes:
    return DIGITS.encode()


@pytest.fixture
def net(code: bytes) -> nn.Module:
    return build(load(code, "digits.py"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"
