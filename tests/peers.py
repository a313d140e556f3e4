"""timm's names for pycls's parameters, and a way to import timm beside a CPU build of torch."""

from __future__ import annotations

import re
from functools import cache
from types import ModuleType

import torch


@cache
def import_timm() -> ModuleType:
    """timm, which imports torchvision, whose operators a CPU build of torch does not know."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        library.define(schema)  # type: ignore[no-untyped-call]
    import timm

    globals()["_kept"] = library  # the operators go when their library does
    module: ModuleType = timm
    return module


_BLOCK = {
    "f.a": "conv1.conv", "f.a_bn": "conv1.bn", "f.b": "conv2.conv", "f.b_bn": "conv2.bn",
    "f.c": "conv3.conv", "f.c_bn": "conv3.bn", "f.se.f_ex.0": "se.fc1", "f.se.f_ex.2": "se.fc2",
    "proj": "downsample.conv", "bn": "downsample.bn",
}  # fmt: skip


def timm_name(name: str) -> str:
    """`s1.b1.f.a_bn.weight` is `s1.b1.conv1.bn.weight` in timm; stem and head are called alike."""
    found = re.fullmatch(r"(s\d+\.b\d+)\.(.+)\.(\w+)", name)
    return f"{found[1]}.{_BLOCK[found[2]]}.{found[3]}" if found else name
