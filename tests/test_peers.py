"""Outputs of generated modules against timm's, with timm's weights under pycls's names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from peers import import_timm, timm_name
from regnetc.driver import compile_file
from regnetc_runtime.load import build, load
from torch import Tensor, nn

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("timm") is None, reason="`make peers` installs timm"
    ),
    pytest.mark.filterwarnings("ignore"),
]
X = {
    "x400mf": "regnetx_004", "x800mf": "regnetx_008", "x1_6gf": "regnetx_016", "x3_2gf": "regnetx_032",
    "x4_0gf": "regnetx_040", "x6_4gf": "regnetx_064", "x8_0gf": "regnetx_080", "x12gf": "regnetx_120",
}  # fmt: skip


def theirs(name: str) -> nn.Module:
    """timm's network with random weights and random batch-norm statistics."""
    torch.manual_seed(0)
    net: nn.Module = import_timm().create_model(name, pretrained=False).eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            for tensor in (m.weight.data, m.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
            for tensor in (m.bias.data, m.running_mean):
                assert tensor is not None
                tensor.normal_(std=0.1)
    return net


def with_their_weights(ours: nn.Module, peer: nn.Module) -> nn.Module:
    state = peer.state_dict()
    renamed: dict[str, Tensor] = {name: state.pop(timm_name(name)) for name in ours.state_dict()}
    assert not state, "every tensor of theirs has a place"
    ours.load_state_dict(renamed, strict=True)
    return ours.eval()


@pytest.mark.parametrize("stem", X)
def test_outputs_equal_timms_to_the_last_bit(stem: str, root: Path) -> None:
    peer = theirs(X[stem])
    ours = with_their_weights(build(load((root / f"generated/{stem}.py").read_bytes(), stem)), peer)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in peer.parameters())
    with torch.inference_mode():
        x = torch.randn(2, 3, 96, 96)
        assert torch.equal(ours(x), peer(x))


def test_parameters_stand_in_their_order(root: Path) -> None:
    """State dicts are in pycls's order: the shortcut's projection before the residual branch."""
    ours = build(load((root / "generated/x400mf.py").read_bytes(), "x400mf.py"))
    first = [k for k in ours.state_dict() if k.startswith("s1.b1.") and k.endswith(".weight")]
    assert [k[6:-7] for k in first] == [
        "proj",
        "bn",
        "f.a",
        "f.a_bn",
        "f.b",
        "f.b_bn",
        "f.c",
        "f.c_bn",
    ]


def test_squeeze_and_excitation_differs_only_by_the_order_of_an_average(tmp_path: Path) -> None:
    """timm averages with `mean`, pycls and we with AdaptiveAvgPool2d: equal but for rounding."""
    body = "".join(
        f"  {k} = {v}\n"
        for k, v in {"d": 16, "w0": 48, "wa": 27.89, "wm": 2.09, "g": 8, "b": 1}.items()
    )
    (tmp_path / "y.regnet").write_text(
        f'use "families.regnet"\nmodel Y extends RegNetY {{\n{body}}}\n'
    )
    (module,) = compile_file(tmp_path / "y.regnet")
    peer = theirs("regnety_004")
    ours = with_their_weights(build(load(module.text.encode(), "y.py")), peer)
    with torch.inference_mode():
        x = torch.randn(2, 3, 96, 96)
        a, b = ours(x), peer(x)
    assert (a - b).abs().max() <= 1e-5 * b.abs().max()
