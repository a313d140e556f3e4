from __future__ import annotations

import logging

import pytest
import torch
from regnetc_runtime.count import count
from regnetc_runtime.modes import classes_of, enough_memory
from regnetc_runtime.problems import Problem
from torch import nn


def test_a_network_counted_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),  # 4 x 8 x 8 from 27 inputs each
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    found = count(net, channels=3, image=16)
    assert found.params == 27 * 4 + 4 + 2 * 4 + 4 * 5 + 5
    assert found.acts == 4 * 8 * 8 + 4 * 4 * 4 + 5
    assert found.torch2 == 2 * (256 * 27 + 4 * 5)
    assert found.fvcore == 256 * 27 + 2 * 256 + 4 * 4 * 4 + 4 * 5
    assert found.unsupported == {"aten::max_pool2d": 1}


def test_fvcore_and_torch_agree_on_multiply_adds(net: nn.Module) -> None:
    found = count(net, channels=1, image=32)
    norms = 0

    def add(module: nn.Module, args: object, out: torch.Tensor) -> None:
        nonlocal norms
        norms += out.numel()

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(add)
    net.eval()(torch.zeros(1, 1, 32, 32))
    assert found.fvcore == found.torch2 // 2 + 2 * norms + 64 * 2 * 2
    assert found.unsupported == {"aten::add": 4}


def test_the_network_stays_as_it_was(net: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    net.train()
    net.get_submodule("s1").eval()
    modes = [m.training for m in net.modules()]
    state = {k: t.clone() for k, t in net.state_dict().items()}
    level = logging.getLogger("fvcore").level
    random = torch.get_rng_state()
    count(net, channels=1, image=32)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(t, state[k]) for k, t in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())
    assert all(p.device.type == "cpu" for p in net.parameters())
    assert logging.getLogger("fvcore").level == level
    assert torch.equal(torch.get_rng_state(), random)
    assert not caplog.records


def test_an_input_that_does_not_fit(net: nn.Module) -> None:
    assert classes_of(net, 1, 32) == 10
    with pytest.raises(Problem, match="does not take images of 3 x 32 x 32") as e:
        count(net, channels=3, image=32)
    assert e.value.name == "wrong-input"
    assert not any(m._forward_hooks for m in net.modules())
    with pytest.raises(Problem, match="row of class scores"):
        classes_of(net.get_submodule("stem"), 1, 32)


def test_too_little_memory_is_a_problem_and_other_errors_are_not() -> None:
    for error in (torch.OutOfMemoryError(), RuntimeError("can't allocate memory: 8 GB")):
        with pytest.raises(Problem) as e, enough_memory(7):
            raise error
        assert e.value.name == "out-of-memory"
    with pytest.raises(RuntimeError, match="a bug"), enough_memory(7):
        raise RuntimeError("a bug")
