"""The optimisers of recipes, and which parameters decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .recipe import Call

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def optimizer(net: nn.Module, said: Call, lr: float) -> Optimizer:
    """The optimiser of a recipe over the network's parameters, in three groups by how they decay."""
    groups = [g for g in _groups(net, said) if g["params"]]
    if said.name == "sgd":
        momentum = said.number("momentum")
        nesterov = bool(said.number("nesterov")) and momentum > 0
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
    betas = (said.number("beta1"), said.number("beta2"))
    kind: Callable[..., Optimizer] = torch.optim.AdamW if said.name == "adamw" else Lamb
    return kind(groups, lr=lr, betas=betas, eps=said.number("eps"))


def _groups(net: nn.Module, said: Call) -> list[dict[str, Any]]:
    """Weights, what belongs to norms, and the other biases."""
    norms = {id(p) for m in net.modules() if isinstance(m, NORMS) for p in m.parameters()}
    named = list(net.named_parameters())
    of_norms = [p for _, p in named if id(p) in norms]
    biases = [p for n, p in named if id(p) not in norms and n.rpartition(".")[2] == "bias"]
    taken = norms | {id(p) for p in biases}
    return [
        {
            "params": [p for _, p in named if id(p) not in taken],
            "weight_decay": said.number("decay"),
        },
        {"params": of_norms, "weight_decay": said.number("norm_decay")},
        {"params": biases, "weight_decay": said.number("bias_decay")},
    ]


class Lamb(Optimizer):
    """LAMB (You et al. 2020, arXiv 1904.00962, algorithm 2) with Adam's bias correction.

    Adam's step plus the decay, scaled so that its norm is `lr` times that of the weight; by 1 where
    either norm is 0, and where nothing decays (biases and norms of most recipes), as its authors do.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float], eps: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)

    def _move(self, p: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(p)
            state["exp_avg_sq"] = torch.zeros_like(p)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["exp_avg"].lerp_(grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        n = state["step"].item()
        root = (state["exp_avg_sq"] / (1 - beta2**n)).sqrt() + group["eps"]
        update = state["exp_avg"] / (1 - beta1**n) / root
        decay = group["weight_decay"]
        trust: Tensor | float = 1.0
        if decay:
            update = update + decay * p
            weight, move = _norm(p), _norm(update)
            trust = torch.where((weight > 0) & (move > 0), weight / move, torch.ones_like(weight))
        p.sub_(update * (group["lr"] * trust))


def _norm(t: Tensor) -> Tensor:
    """The Euclidean norm of the whole tensor, also of one that is sharded over processes.

    Summed in float64, so that the order in which that is done does not show.
    """
    norm: Tensor = t.double().norm()
    whole: Callable[[], Tensor] | None = getattr(norm, "full_tensor", None)
    return (norm if whole is None else whole()).to(t.dtype)
