"""Names to networks whose speed is compared: ours, timm's and torchvision's, with the same weights in them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import machine
import torch
from regnetc_runtime.chance import generator, seed_of
from regnetc_runtime.load import build, load
from torch import Tensor, nn

Source = Literal["ours", "timm", "torchvision"]

# Every network of generated/ that others build, too, and what they call it. torchvision rounds widths in
# another way, so its namesake of x400mf is another network.
TIMM = {
    "x400mf": "regnetx_004", "x800mf": "regnetx_008", "x1_6gf": "regnetx_016", "x3_2gf": "regnetx_032",
    "x4_0gf": "regnetx_040", "x6_4gf": "regnetx_064", "x8_0gf": "regnetx_080", "x12gf": "regnetx_120",
}  # fmt: skip
TORCHVISION = {
    "x400mf": "regnet_x_400mf", "x800mf": "regnet_x_800mf", "x1_6gf": "regnet_x_1_6gf",
    "x3_2gf": "regnet_x_3_2gf", "x8_0gf": "regnet_x_8gf",
}  # fmt: skip

CLOSE = 1e-5  # of the largest logit: sums in another order
CHECKED = (2, 3, 96, 96)

_TIMM = {
    "f.a": "conv1.conv", "f.a_bn": "conv1.bn", "f.b": "conv2.conv", "f.b_bn": "conv2.bn",
    "f.c": "conv3.conv", "f.c_bn": "conv3.bn", "f.se.f_ex.0": "se.fc1", "f.se.f_ex.2": "se.fc2",
    "proj": "downsample.conv", "bn": "downsample.bn",
}  # fmt: skip
_TORCHVISION = {
    "f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1", "f.c": "f.c.0",
    "f.c_bn": "f.c.1", "proj": "proj.0", "bn": "proj.1",
    "stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc",
}  # fmt: skip


def timm_name(name: str) -> str:
    """What timm calls a tensor of ours: `s1.b1.f.a_bn.weight` is `s1.b1.conv1.bn.weight` there."""
    found = re.fullmatch(r"(s\d+\.b\d+)\.(.+)\.(\w+)", name)
    return f"{found[1]}.{_TIMM[found[2]]}.{found[3]}" if found else name


def torchvision_name(name: str) -> str:
    """What torchvision calls a tensor of ours; it counts blocks from 0."""
    part, _, kind = name.rpartition(".")
    found = re.fullmatch(r"s(\d+)\.b(\d+)\.(.+)", part)
    if not found:
        return f"{_TORCHVISION[part]}.{kind}"
    stage, block = found[1], int(found[2]) - 1
    return f"trunk_output.block{stage}.block{stage}-{block}.{_TORCHVISION[found[3]]}.{kind}"


NAMES: dict[Source, Callable[[str], str]] = {"timm": timm_name, "torchvision": torchvision_name}


@cache
def package(name: str) -> Any:
    """timm, torchvision or a module of theirs; None where it does not import.

    Both need two operators of torchvision's, which a torchvision that was built for CUDA does not bring
    to a torch for CPUs. Their declaration is enough to import it.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        pass
    for module in [m for m in sys.modules if m.partition(".")[0] in ("timm", "torchvision")]:
        del sys.modules[module]
    try:
        _declare()
        return importlib.import_module(name)
    except (ImportError, RuntimeError):
        return None


@cache
def _declare() -> torch.library.Library:
    """The operators, where nobody has declared them yet; they last as long as what is returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library


def network(source: Source, model: str) -> nn.Module | None:
    """A network with fresh weights on the CPU; None where its package is not installed."""
    if source == "ours":
        path = machine.ROOT / f"generated/{model}.py"
        return build(load(path.read_bytes(), str(path)))
    module = package("timm" if source == "timm" else "torchvision.models")
    if module is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of("benchmark", "weights", model))
        made = module.create_model(model) if source == "timm" else getattr(module, model)()
    assert isinstance(made, nn.Module)
    return made


def unsettle(net: nn.Module) -> None:
    """Give batch norm statistics and factors that a network has after training, not zeros and ones."""
    rng = generator("benchmark", "batch norm")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=rng)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.1, generator=rng)


def same(ours: nn.Module, peer: nn.Module, source: Source) -> dict[str, Any]:
    """Put our weights into a peer, and compare what the two make of the same images on the CPU.

    `status` is `same` where every tensor has its place and no logit differs by more than `CLOSE` of the
    largest; `equal` says that none differs at all.
    """
    state: dict[str, Tensor] = {NAMES[source](n): t for n, t in ours.state_dict().items()}
    try:
        peer.load_state_dict(state, strict=True)
    except RuntimeError:
        return {"status": "another network"}
    images = torch.randn(CHECKED, generator=generator("benchmark", "same"))
    with torch.inference_mode():
        a, b = ours.eval()(images), peer.eval()(images)
    gap = float((a - b).abs().max() / b.abs().max())
    status = "same" if gap <= CLOSE else "another network"
    return {"status": status, "equal": torch.equal(a, b), "largest_difference": gap}
