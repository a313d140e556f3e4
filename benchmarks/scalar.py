"""The peer of the engine: one candidate at a time, in the way that the paper's code does it.

Draws are quantised as decimals; the line is worked out with small numpy arrays over the blocks;
widths meet their groups stage by stage; costs are added up layer by layer, each layer handing on a
new dictionary. It counts what the engine counts: params, activations and flops in five conventions.
Written apart from the engine and without regard for speed beyond what that code has.
"""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import numpy as np

Candidate = dict[str, Any]
Cost = dict[str, int]


def quantized(x: float, step: float) -> float:
    """The multiple of a step that is nearest, as a decimal."""
    q = Decimal(str(step))
    return float(round(Decimal(x) / q) * q)


def log_uniform(r: random.Random, low: float, high: float, step: float) -> float:
    return quantized(math.exp(r.uniform(math.log(low), math.log(high))), step)


def uniform(r: random.Random, low: float, high: float, step: float) -> float:
    return quantized(r.uniform(low, high), step)


def draw(r: random.Random) -> Candidate:
    """A candidate of RegNetX-400MF-regime, from ranges that its bounds were put into by hand."""
    return {
        "d": int(uniform(r, 12, 28, 1)),
        "w0": int(log_uniform(r, 8, 256, 8)),
        "wa": log_uniform(r, 8, 256, 0.1),
        "wm": log_uniform(r, 2, 3, 0.001),
        "b": 1.0,
        "g": r.choice([1, 2, 4, 8, 16, 32]),
    }


def draw_as_written(r: random.Random) -> Candidate:
    """A candidate of RegNetX_E, of which the regime's bounds on d, wm and b leave a part."""
    return {
        "d": int(uniform(r, 4, 63, 1)),
        "w0": int(log_uniform(r, 8, 256, 8)),
        "wa": log_uniform(r, 8, 256, 0.1),
        "wm": log_uniform(r, 1.5, 3, 0.001),
        "b": 1 / r.choice([1, 2, 4]),
        "g": r.choice([1, 2, 4, 8, 16, 32]),
    }


def quantized_line(c: Candidate) -> tuple[list[int], list[int]]:
    """Equations 2 to 4 over all blocks, then widths and depths of the stages."""
    u = np.arange(c["d"]) * c["wa"] + c["w0"]
    k = np.round(np.log(u / c["w0"]) / np.log(c["wm"]))
    exact = c["w0"] * np.power(c["wm"], k)
    blocks = np.round(np.divide(exact, 8)).astype(int) * 8
    widths, depths = np.unique(blocks, return_counts=True)
    skipped = int(k.max()) + 1 != len(widths)
    return ([], []) if skipped else (widths.tolist(), depths.tolist())


def fitted(ws: list[int], bs: list[float], gs: list[int]) -> tuple[list[int], list[int]]:
    """Widths and groups that suit each other."""
    inner = [int(max(1, w * b)) for w, b in zip(ws, bs, strict=True)]
    gs = [int(min(g, v)) for g, v in zip(gs, inner, strict=True)]
    multiples = [np.lcm(g, int(b)) if b > 1 else g for g, b in zip(gs, bs, strict=True)]
    inner = [max(m, int(round(v / m) * m)) for v, m in zip(inner, multiples, strict=True)]
    return [int(v / b) for v, b in zip(inner, bs, strict=True)], gs


def conv(cost: Cost, w_in: int, w_out: int, k: int, *, stride: int = 1, groups: int = 1) -> Cost:
    assert k % 2 == 1
    h, w = cost["h"], cost["w"]
    h, w = (h - 1) // stride + 1, (w - 1) // stride + 1
    weights = k * k * w_in * w_out // groups
    macs = weights * h * w
    return {
        "h": h,
        "w": w,
        "params": cost["params"] + weights,
        "macs": cost["macs"] + macs,
        "pycls": cost["pycls"] + macs,
        "fvcore": cost["fvcore"] + macs,
        "mmcv": cost["mmcv"] + macs,
        "torch2": cost["torch2"] + 2 * macs,
        "acts": cost["acts"] + w_out * h * w,
    }


def norm(cost: Cost, w_in: int) -> Cost:
    elements = 2 * w_in * cost["h"] * cost["w"]
    return {
        **cost,
        "params": cost["params"] + 2 * w_in,
        "fvcore": cost["fvcore"] + elements,
        "mmcv": cost["mmcv"] + elements,
    }


def relu(cost: Cost, w_in: int) -> Cost:
    return {**cost, "mmcv": cost["mmcv"] + w_in * cost["h"] * cost["w"]}


def pooled(cost: Cost, w_in: int) -> Cost:
    elements = w_in * cost["h"] * cost["w"]
    return {
        **cost,
        "h": 1,
        "w": 1,
        "fvcore": cost["fvcore"] + elements,
        "mmcv": cost["mmcv"] + elements,
    }


def linear(cost: Cost, w_in: int, w_out: int) -> Cost:
    macs = w_in * w_out
    return {
        **cost,
        "params": cost["params"] + macs + w_out,
        "macs": cost["macs"] + macs,
        "pycls": cost["pycls"] + macs + w_out,
        "fvcore": cost["fvcore"] + macs,
        "mmcv": cost["mmcv"] + macs,
        "torch2": cost["torch2"] + 2 * macs,
        "acts": cost["acts"] + w_out,
    }


def transform(cost: Cost, w_in: int, w_out: int, stride: int, settings: dict[str, Any]) -> Cost:
    """The residual branch: 1x1, 3x3 in groups, 1x1."""
    inner = round(w_out * settings["b"])
    groups = inner // settings["g"]
    cost = relu(norm(conv(cost, w_in, inner, 1), inner), inner)
    cost = relu(norm(conv(cost, inner, inner, 3, stride=stride, groups=groups), inner), inner)
    return norm(conv(cost, inner, w_out, 1), w_out)


def block(cost: Cost, w_in: int, w_out: int, stride: int, settings: dict[str, Any]) -> Cost:
    """A residual bottleneck of X type; the branch sees the input that the shortcut saw."""
    if w_in != w_out or stride != 1:
        h, w = cost["h"], cost["w"]
        cost = norm(conv(cost, w_in, w_out, 1, stride=stride), w_out)
        cost["h"], cost["w"] = h, w
    return relu(transform(cost, w_in, w_out, stride, settings), w_out)


def stage(cost: Cost, w_in: int, w_out: int, stride: int, d: int, settings: dict[str, Any]) -> Cost:
    for _ in range(d):
        cost = block(cost, w_in, w_out, stride, settings)
        stride, w_in = 1, w_out
    return cost


def count(ws: list[int], ds: list[int], bs: list[float], gs: list[int], image: int = 224) -> Cost:
    """What a network costs, layer by layer."""
    names = ("params", "macs", "pycls", "fvcore", "mmcv", "torch2", "acts")
    cost: Cost = {"h": image, "w": image, **dict.fromkeys(names, 0)}
    cost = relu(norm(conv(cost, 3, 32, 3, stride=2), 32), 32)
    w_in = 32
    for w, d, b, g in zip(ws, ds, bs, gs, strict=True):
        cost = stage(cost, w_in, w, 2, d, {"b": b, "g": g})
        w_in = w
    return linear(pooled(cost, w_in), w_in, 1000)


def resolved(c: Candidate) -> tuple[list[int], list[int], list[float], list[int]]:
    """Widths, depths, ratios and groups of the stages; nothing where a power is skipped."""
    ws, ds = quantized_line(c)
    bs = [c["b"]] * len(ws)
    ws, gs = fitted(ws, bs, [c["g"]] * len(ws))
    return ws, ds, bs, gs


def member(c: Candidate) -> Cost | None:
    """The cost of a candidate that RegNetX-400MF-regime holds, and None for any other."""
    if c["b"] != 1 or c["wm"] < 2 or not 12 <= c["d"] <= 28:
        return None
    ws, ds, bs, gs = resolved(c)
    if len(ws) != 4 or max(ds) > 16 or max(ws) > 1024 or ds != sorted(ds) or ws != sorted(ws):
        return None
    cost = count(ws, ds, bs, gs)
    gf = cost["pycls"] / 1e9
    fine = 0.36 <= gf <= 0.4 and cost["params"] <= 3e6 + 5.5e6 * gf
    return cost if fine and cost["acts"] <= 6.5e6 * math.sqrt(gf) else None
