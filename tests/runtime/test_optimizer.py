"""Optimisers against plain formulas, torch's and timm's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from regnetc_runtime.load import build, load
from regnetc_runtime.training.gradients import GradientTree, clip
from regnetc_runtime.training.optimizer import Lamb, optimizer
from regnetc_runtime.training.recipe import Call
from torch import Tensor, nn

DECAYS = {"decay": 0.01, "norm_decay": 0.001, "bias_decay": 0.0}
SGD = Call("sgd", {"lr": 0.1, "momentum": 0.9, "nesterov": 1, **DECAYS})
ADAMW = Call("adamw", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, **DECAYS})
LAMB = Call("lamb", {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, **DECAYS})


@pytest.mark.parametrize("stem", ["x400mf", "digits"])
def test_every_parameter_decays_in_one_way(stem: str, root: Path) -> None:
    net = build(load((root / f"generated/{stem}.py").read_bytes(), f"{stem}.py"))
    groups = optimizer(net, SGD, 0.1).param_groups
    assert [g["weight_decay"] for g in groups] == [0.01, 0.001, 0.0]
    names = {id(p): n for n, p in net.named_parameters()}
    found = [{names[id(p)] for p in g["params"]} for g in groups]
    assert sum(map(len, found)) == len(names) == len(set.union(*found))
    norms = {n for n in names.values() if "bn." in n}
    assert found[1] == norms
    assert found[2] == {"head.fc.bias"}
    assert all(n.endswith("weight") for n in found[0])


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()


def walk(net: nn.Module, steps: int, move: Callable[[], None]) -> None:
    """Set gradients that are a function of the weights, and step."""
    for k in range(steps):
        for p in net.parameters():
            p.grad = torch.sin(p.detach() * (k + 1)) + 0.1
        move()


def by_hand(said: Call, steps: int, rule: Callable[..., np.ndarray]) -> list[np.ndarray]:
    """The parameters after some steps, by a rule in numpy for one parameter."""
    net = tiny()
    decays = [0.01, 0.0, 0.001, 0.001, 0.01, 0.0]
    found = []
    for p, decay in zip(net.parameters(), decays, strict=True):
        w = p.detach().numpy().copy()
        memory: dict[str, Any] = {}
        for k in range(steps):
            w = rule(w, np.sin(w * (k + 1)) + 0.1, decay, memory, k + 1, said.arguments)
        found.append(w)
    return found


def sgd(w: Any, g: Any, decay: float, memory: dict[str, Any], k: int, said: dict[str, Any]) -> Any:
    g = g + decay * w
    v = memory["v"] = said["momentum"] * memory["v"] + g if "v" in memory else g
    return w - said["lr"] * (g + said["momentum"] * v if said["nesterov"] else v)


def moments(g: Any, memory: dict[str, Any], k: int, said: dict[str, Any]) -> Any:
    m = memory["m"] = said["beta1"] * memory.get("m", 0) + (1 - said["beta1"]) * g
    v = memory["v"] = said["beta2"] * memory.get("v", 0) + (1 - said["beta2"]) * g * g
    return m / (1 - said["beta1"] ** k) / (np.sqrt(v / (1 - said["beta2"] ** k)) + said["eps"])


def adamw(w: Any, g: Any, decay: float, memory: Any, k: int, said: dict[str, Any]) -> Any:
    return w * (1 - said["lr"] * decay) - said["lr"] * moments(g, memory, k, said)


def lamb(w: Any, g: Any, decay: float, memory: Any, k: int, said: dict[str, Any]) -> Any:
    update = moments(g, memory, k, said)
    if not decay:
        return w - said["lr"] * update
    update = update + decay * w
    norm, move = np.linalg.norm(w), np.linalg.norm(update)
    return w - said["lr"] * (norm / move if norm > 0 and move > 0 else 1) * update


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (SGD, sgd),
        (Call("sgd", {**SGD.arguments, "nesterov": 0}), sgd),
        (Call("sgd", {**SGD.arguments, "momentum": 0.0}), sgd),
        (ADAMW, adamw),
        (LAMB, lamb),
    ],
)
def test_seven_steps_by_hand(said: Call, rule: Any) -> None:
    net = tiny()
    made = optimizer(net, said, 0.1)
    walk(net, 7, made.step)
    for p, expected in zip(net.parameters(), by_hand(said, 7, rule), strict=True):
        assert p.detach().numpy() == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_lamb_where_a_norm_is_zero() -> None:
    p = nn.Parameter(torch.zeros(3))
    made = Lamb([{"params": [p], "weight_decay": 0.1}], lr=0.5, betas=(0.9, 0.999), eps=1e-6)
    p.grad = torch.zeros(3)
    made.step()
    assert p.tolist() == [0, 0, 0]
    p.grad = torch.tensor([1.0, -2.0, 3.0])
    made.step()
    assert p.isfinite().all()
    assert (p != 0).all()


def test_clipping_is_torchs() -> None:
    for bound in (0.1, 1.0, 1e3):
        one, two = tiny().float(), tiny().float()
        for net in (one, two):
            for p in net.parameters():
                p.grad = torch.cos(p.detach() * 3)
        clip(one.parameters(), bound)
        nn.utils.clip_grad_norm_(two.parameters(), bound)
        for a, b in zip(one.parameters(), two.parameters(), strict=True):
            assert a.grad is not None
            assert b.grad is not None
            assert torch.allclose(a.grad, b.grad, rtol=1e-6, atol=0)


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 7, 8])
def test_branches_of_the_tree_have_the_bits_of_the_whole(chunks: int) -> None:
    p = nn.Parameter(torch.zeros(1000))
    torch.manual_seed(1)
    grads = [torch.randn(1000) for _ in range(2 * chunks)]

    def total(some: list[Tensor]) -> Tensor:
        tree = GradientTree([p])
        for grad in some:
            p.grad = grad.clone()
            tree.take()
            assert p.grad is None
        (found,) = tree.give()
        assert p.grad is found
        return found

    whole = total(grads)
    assert torch.allclose(whole, torch.stack(grads).double().sum(0).float(), atol=1e-5)
    if chunks & (chunks - 1) == 0:
        assert torch.equal(whole, total(grads[:chunks]) + total(grads[chunks:]))
