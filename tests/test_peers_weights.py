"""Other code bases' networks with their own weights: recognised, compiled, loaded, and equal in what they say."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import import_timm
from regnetc import lift, zoo
from regnetc.cli import preprocessing
from regnetc.driver import check_file
from regnetc.emit import emit
from regnetc.network import Network
from regnetc_runtime import dialects
from regnetc_runtime.load import build, load
from regnetc_runtime.weights import Weights
from torch import Tensor, nn

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("timm") is None
        or importlib.util.find_spec("transformers") is None,
        reason="`make peers` installs timm, torchvision and transformers",
    ),
    pytest.mark.filterwarnings("ignore"),
]
SIDE = 64
QUICK = 32_000_000  # parameters of a network that is tried in CI, too
MOST = 150_000_000


def rows(source: str) -> list[Any]:
    """A publisher's names of networks that are not too large, each once, and the entries they are of."""
    found: dict[str, zoo.Entry] = {}
    for entry in zoo.entries():
        for row in entry.rows:
            if row.row.source == source and row.name and entry.network.counts.params <= MOST:
                found.setdefault(row.name.partition(".")[0], entry)
    return [
        pytest.param(name, entry, id=name, marks=[pytest.mark.slow] if entry.network.counts.params > QUICK else [])
        for name, entry in found.items()
    ]  # fmt: skip


def randomised(net: nn.Module) -> nn.Module:
    """With random statistics, too: fresh ones would hide a norm in the wrong place."""
    torch.manual_seed(0)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(std=0.1)
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_var is not None
            assert m.running_mean is not None
            m.running_var.uniform_(0.5, 1.5)
            m.running_mean.normal_(std=0.1)
    return net.eval()


def ours(network: Network, peer: nn.Module, base: str) -> nn.Module:
    """Our network with the peer's weights, all of them."""
    state = peer.state_dict()
    read = dialects.recognise(list(state))
    assert (read.dialect.name, read.strange) == (base, ())
    lifted = lift.lift({o: tuple(state[t].shape) for o, t in read.names.items()})
    assert network in [e.network._replace(classes=network.classes) for e in lifted.entries]
    net = build(load(emit(network).encode(), "net.py")).eval()
    net.load_state_dict({o: state[t] for o, t in read.names.items()}, strict=True)
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in peer.parameters())
    return net


def check(
    network: Network, peer: nn.Module, base: str, logits: Callable[[Any], Tensor] = lambda y: y
) -> None:
    """The same operations in the same order: not one bit is different."""
    randomised(peer)
    net = ours(network, peer, base)
    with torch.inference_mode():
        x = torch.randn(2, 3, SIDE, SIDE)
        assert torch.equal(net(x), logits(peer(x)))


@pytest.mark.parametrize(("name", "entry"), rows("timm"))
def test_timm(name: str, entry: zoo.Entry) -> None:
    peer = import_timm().create_model(name, pretrained=False)
    check(entry.network, peer, "timm")


@pytest.mark.parametrize(("name", "entry"), rows("torchvision"))
def test_torchvision(name: str, entry: zoo.Entry) -> None:
    import_timm()  # which declares what torchvision wants of torch
    from torchvision.models import regnet

    check(entry.network, getattr(regnet, name)(weights=None), "torchvision")


@pytest.mark.parametrize(
    ("name", "entry"), [p for p in rows("transformers") if "seer" not in str(p.id)]
)
def test_transformers(name: str, entry: zoo.Entry) -> None:
    from transformers import RegNetConfig, RegNetForImageClassification

    n = entry.network
    config = RegNetConfig(
        embedding_size=n.stem.w, hidden_sizes=[s.w for s in n.stages], depths=[s.d for s in n.stages],
        groups_width=max(s.g for s in n.stages), layer_type=n.block.lower(), num_labels=n.classes,
    )  # fmt: skip
    check(n, RegNetForImageClassification(config), "transformers", lambda y: y.logits)


@pytest.mark.parametrize(
    ("stem", "name", "stride"), [("x200mf", "regnetx_002", 16), ("y400mf", "regnety_004", 8)]
)
def test_dilated_as_timm_dilates(
    stem: str, name: str, stride: int, root: Path, tmp_path: Path
) -> None:
    text = (root / f"spec/{stem}.regnet").read_text().partition("  expect")[0]
    (tmp_path / "net.regnet").write_text(f"{text}  output_stride = {stride}\n}}\n")
    (resolution,) = check_file(tmp_path / "net.regnet").resolutions.values()
    peer = randomised(import_timm().create_model(name, pretrained=False, output_stride=stride))
    state = peer.state_dict()
    read = dialects.recognise(list(state))
    net = build(load(emit(resolution.network).encode(), "net.py")).eval()
    net.load_state_dict({o: state[t] for o, t in read.names.items()}, strict=True)
    with torch.inference_mode():
        x = torch.randn(1, 3, 96, 96)
        assert torch.equal(net(x), peer(x))
        sides = [96 // f.shape[2] for f in net.features(x)]  # type: ignore[operator]
    assert sides[-1] == stride


def test_images_are_prepared_as_whoever_publishes_says() -> None:
    """Of every file of timm's and torchvision's: sides, interpolation, mean and deviation."""
    timm = import_timm()
    data = importlib.import_module("timm.data")
    models = importlib.import_module("torchvision.models")
    seen = {"timm": 0, "torchvision": 0}
    nobodys = Weights({}, {}, "-")
    for entry in zoo.entries():
        for row in entry.rows:
            if not row.weights or row.row.source not in seen:
                continue
            found = preprocessing.known(entry.network, nobodys, row)
            assert found is not None
            if row.row.source == "timm":
                cfg = timm.get_pretrained_cfg(row.name).to_dict()
                tested = cfg.get("test_input_size", (0, 0))[-1] == found.crop
                said = data.resolve_data_config(pretrained_cfg=cfg, use_test_size=tested)
                theirs = (
                    math.floor(found.crop / said["crop_pct"]), said["input_size"][-1], said["interpolation"],
                    said["mean"], said["std"],
                )  # fmt: skip
            else:
                t = models.get_model_weights(row.name)[row.recipe].transforms()
                (resize,), (crop,) = t.resize_size, t.crop_size
                theirs = (resize, crop, t.interpolation.value, tuple(t.mean), tuple(t.std))
            ours = (found.resize, found.crop, found.interpolation, found.mean, found.std)
            assert ours == theirs, (row.row.source, row.name, row.recipe)
            seen[row.row.source] += 1
    assert seen["timm"] > 60
    assert seen["torchvision"] > 30
