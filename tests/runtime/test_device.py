from __future__ import annotations

from pathlib import Path

import pytest
import torch
from regnetc_runtime import device
from regnetc_runtime.device import Precision, describe, pick
from regnetc_runtime.problems import Problem
from torch import nn

CPU = torch.device("cpu")


def test_pick(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick("auto").type == pick("cuda").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick("auto") == CPU


def test_no_cuda_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(Problem, match="was built without CUDA") as e:
        pick("cuda")
    assert e.value.name == "no-cuda"
    assert e.value.help

    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "\x1b7")
    with pytest.raises(Problem, match=r"has CUDA 12\.8, but finds no driver or no GPU") as e:
        pick("cuda")
    assert e.value.details == (
        "CUDA_VISIBLE_DEVICES is '\\x1b7'",
        "Found no NVIDIA driver on your system.",
    )


def test_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(CPU).endswith("1 thread")
    monkeypatch.setattr(Path, "read_text", lambda *args: "model name\t: Fast (TM)\x07 9\n")
    assert device._processor() == "Fast (TM)\\x07 9"
    monkeypatch.setattr(Path, "read_text", lambda *args: "")
    assert device._processor() == "CPU"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda d: "GPU 9000")
    assert describe(torch.device("cuda")) == "GPU 9000"


@pytest.mark.parametrize(
    ("dtype", "inside"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_precision_on_the_cpu(dtype: device.Dtype, inside: torch.dtype) -> None:
    with Precision(dtype).autocast(CPU):
        assert nn.Conv2d(3, 8, 3)(torch.rand(1, 3, 8, 8)).dtype == inside


def test_bf16_that_a_gpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda d: "GPU 1")
    with pytest.raises(Problem, match="GPU 1 has no bf16") as e:
        Precision("bf16").autocast(torch.device("cuda"))
    assert e.value.name == "no-precision"


def test_layout() -> None:
    net = nn.Conv2d(3, 8, 3)
    for precision in (Precision(channels_last=True), Precision()):
        assert precision.place_net(net, CPU) is net
        images = precision.place_batch(torch.rand(2, 3, 4, 5), CPU)
        for tensor in (net.weight, images):
            assert tensor.is_contiguous() is (precision.layout == "contiguous")
            last = tensor.is_contiguous(memory_format=torch.channels_last)
            assert last is (precision.layout == "channels_last")
