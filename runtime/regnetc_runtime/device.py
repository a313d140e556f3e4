"""Where a network runs and in which precision, and both in words."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

import torch
from torch import Tensor, nn

from .problems import Problem, printable

DeviceName = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bf16", "fp16"]


def pick(name: DeviceName) -> torch.device:
    """The device of that name; `auto` is a GPU where there is one. Raises `no-cuda`."""
    match name:
        case "auto":
            return torch.device("cuda" if _has_cuda() else "cpu")
        case "cpu":
            return torch.device("cpu")
        case "cuda":
            if not _has_cuda():
                raise _no_cuda()
            return torch.device("cuda")
        case _:
            assert_never(name)


def describe(device: torch.device) -> str:
    """The name of the GPU, or of the processor and how many threads torch gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Precision:
    """Numbers and layout of a run.

    `float32` leaves everything to torch, whose convolutions may use TF32 on a GPU; `bf16` and `fp16`
    are autocast over float32 weights. `channels_last` lays activations and weights out as NHWC.
    """

    dtype: Dtype = "float32"
    channels_last: bool = False

    @property
    def layout(self) -> str:
        return "channels_last" if self.channels_last else "contiguous"

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[object]:
        """The context to run the network in. Raises `no-precision` where the device cannot."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        if device.type == "cuda" and self.dtype == "bf16" and not torch.cuda.is_bf16_supported():
            raise Problem(
                "no-precision", f"{describe(device)} has no bf16", help="take float32 or fp16"
            )
        dtype = torch.bfloat16 if self.dtype == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)

    def place_net(self, net: nn.Module, device: torch.device) -> nn.Module:
        """Move the network itself to the device and layout."""
        return net.to(device, memory_format=self._format)  # type: ignore[call-overload, no-any-return]

    def place_batch(self, images: Tensor, device: torch.device) -> Tensor:
        """A batch of images (N x C x H x W) on the device, in this layout."""
        return images.to(device, memory_format=self._format, non_blocking=True)

    @property
    def _format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def _has_cuda() -> bool:
    with warnings.catch_warnings():  # an old driver is said once, by `_no_cuda`
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def _no_cuda() -> Problem:
    if torch.version.cuda is None:
        return Problem(
            "no-cuda",
            f"torch {torch.__version__} was built without CUDA",
            help="run on the cpu, or install a build of torch with CUDA (pytorch.org/get-started)",
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    details = [] if hidden is None else [f"CUDA_VISIBLE_DEVICES is '{printable(hidden)}'"]
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as e:
        details.append(printable(str(e).partition("\n")[0]))
    return Problem(
        "no-cuda",
        f"torch {torch.__version__} has CUDA {torch.version.cuda}, but finds no driver or no GPU",
        details=details,
        help="run on the cpu, or see whether nvidia-smi lists a GPU and a recent enough driver",
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
        for line in text.splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return printable(value.strip())
    return "CPU"
