from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from regnetc_runtime import safetensors_file, weights
from regnetc_runtime.device import Precision
from regnetc_runtime.load import build, load
from regnetc_runtime.problems import Problem
from regnetc_runtime.weights import Weights
from torch import Tensor, nn

CPU = torch.device("cpu")


def of(tensors: dict[str, Tensor]) -> Weights:
    return Weights(tensors, {}, "")


def test_there_and_back(net: nn.Module, code: bytes, path: Path) -> None:
    digest = weights.save(
        path, Precision(channels_last=True).place_net(net, CPU), {"name": "Digits"}
    )
    found = weights.read(path)
    assert found.digest == digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.meta == {"name": "Digits"}
    assert found.notes == ()
    other = build(load(code, "digits.py"), seed=9)
    weights.load_into(other, found)
    state = other.state_dict()
    assert all(torch.equal(t, state[k]) for k, t in net.state_dict().items())


def test_the_content_decides(net: nn.Module, tmp_path: Path) -> None:
    for new in (True, False):
        content = {"model_state": net.state_dict()}
        torch.save(content, tmp_path / "odd.safetensors", _use_new_zipfile_serialization=new)
        assert len(weights.read(tmp_path / "odd.safetensors").tensors) == len(net.state_dict())
    weights.save(tmp_path / "odd.pth", net, {})
    assert len(weights.read(tmp_path / "odd.pth").tensors) == len(net.state_dict())


def test_files_that_hold_no_weights(net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello hello")
    (tmp_path / "empty.safetensors").write_bytes(safetensors_file.encode({}, {}))
    for name, why in {
        "text.pth": "neither",
        "text.safetensors": "no sound safetensors file",
        "empty.safetensors": "holds no tensors",
    }.items():
        with pytest.raises(Problem, match=why) as e:
            weights.read(tmp_path / name)
        assert e.value.name == "bad-weights"
    with pytest.raises(Problem) as e:
        weights.read(tmp_path / "none.pth")
    assert e.value.name == "no-such-file"


def test_numbers_that_are_none_are_noted(path: Path) -> None:
    tensors = {"a": torch.tensor([1.0, float("nan")]), "b": torch.tensor([float("inf")])}
    path.write_bytes(safetensors_file.encode({**tensors, "c": torch.zeros(2)}, {}))
    assert weights.read(path).notes == ("NaN or infinity in a, b",)


def test_counters_may_be_missing(net: nn.Module) -> None:
    state = net.state_dict()
    weights.load_into(net, of({k: t for k, t in state.items() if "num_batches" not in k}))


def test_halves_are_taken(net: nn.Module) -> None:
    halves = {k: (t / 3).half() for k, t in net.named_parameters()}
    weights.load_into(net, of(halves | dict(net.named_buffers())))
    assert net.get_parameter("stem.conv.weight").dtype is torch.float32


def test_all_or_nothing(net: nn.Module) -> None:
    state = {k: t.clone() for k, t in net.state_dict().items()}
    wrong: dict[str, Tensor] = {k: torch.full_like(t, 3) for k, t in state.items()}
    del wrong["stem.conv.weight"]
    wrong["s1.b1.f.a.weight"] = torch.zeros(8, 16, 1, 1)
    wrong["s1.b1.f.a_bn.bias"] = torch.zeros(16, dtype=torch.int64)
    wrong["s1.b1.f.a_bn.num_batches_tracked"] = torch.tensor(1.5)
    wrong |= {f"extra\n{i}": torch.zeros(1) for i in range(20)}
    with pytest.raises(Problem) as e:
        weights.load_into(net, of(wrong))
    assert e.value.name == "wrong-weights"
    missing, unexpected, shapes = e.value.details
    assert missing == "1 missing: stem.conv.weight"
    assert unexpected.startswith("20 unexpected: extra\\n0, extra\\n1")
    assert unexpected.endswith("and 12 more")
    assert "s1.b1.f.a.weight 8 x 16 x 1 x 1 instead of 16 x 16 x 1 x 1" in shapes
    assert "s1.b1.f.a_bn.bias 16 (integers) instead of 16" in shapes
    assert "num_batches_tracked one number instead of one number (integers)" in shapes
    assert all(torch.equal(t, state[k]) for k, t in net.state_dict().items())


def test_another_number_of_classes_is_said_so(net: nn.Module, code: bytes) -> None:
    other = build(load(code, "digits.py"), classes=1000)
    with pytest.raises(Problem) as e:
        weights.load_into(net, of(other.state_dict()))
    assert e.value.name == "class-count"
    assert e.value.message == "the weights are for 1,000 classes, the network has 10"
    narrower = other.state_dict() | {"head.fc.weight": torch.zeros(1000, 32)}
    with pytest.raises(Problem) as e:
        weights.load_into(net, of(narrower))
    assert e.value.name == "wrong-weights"
    both = other.state_dict() | {"stem.conv.weight": torch.zeros(8, 1, 3, 3)}
    with pytest.raises(Problem) as e:
        weights.load_into(net, of(both))
    assert e.value.name == "wrong-weights"


def test_a_network_without_a_classifier() -> None:
    with pytest.raises(Problem) as e:
        weights.load_into(nn.Conv2d(1, 2, 3), of(nn.Conv2d(1, 3, 3).state_dict()))
    assert e.value.name == "wrong-weights"
