"""A network and a way to run it, to a function of no arguments that runs one batch or one training step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import machine  # noqa: F401 - it makes the runtime importable
import torch
from regnetc_runtime.chance import generator
from regnetc_runtime.device import Dtype, Precision
from torch import Tensor, nn

Run = Callable[[], object]
Task = Literal["inference", "training"]

LEARNING_RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-5
BEFORE_CAPTURE = 3  # runs on a side stream, so that libraries have made up their minds


@dataclass(frozen=True, slots=True)
class Way:
    """How a network runs. bf16 and fp16 are autocast over float32 weights, unless `cast` has the weights, too.

    `tf32` lets cuDNN use it, which is torch's own choice. `graph` is a CUDA graph: of the forward pass, or
    of a whole training step. `compiled` is a mode of torch.compile. `forced` makes inductor lay activations
    out as channels_last; it is read when torch is imported, so that it takes a process of its own.
    """

    name: str
    dtype: Dtype = "float32"
    channels_last: bool = False
    cast: bool = False
    tf32: bool = True
    graph: bool = False
    compiled: Literal["default", "max-autotune-no-cudagraphs"] | None = None
    forced: bool = False

    @property
    def precision(self) -> Precision:
        return Precision("float32" if self.cast else self.dtype, self.channels_last)

    def context(self, device: torch.device) -> AbstractContextManager[object]:
        """Autocast, entered for every batch as in real use; a graph must not see its cache of weights."""
        if self.graph and self.precision.dtype != "float32":
            return torch.autocast(device.type, self._torch_dtype, cache_enabled=False)
        return self.precision.autocast(device)

    def placed(self, net: nn.Module, device: torch.device) -> nn.Module:
        """A copy of the network on the device, in this way's numbers and layout."""
        net = self.precision.place_net(copy.deepcopy(net), device)
        return net.to(self._torch_dtype) if self.cast else net

    def batch(self, images: Tensor, device: torch.device) -> Tensor:
        """Images (N x C x H x W) on the device, in this way's numbers and layout."""
        images = self.precision.place_batch(images, device)
        return images.to(self._torch_dtype) if self.cast else images

    def faster(self, net: nn.Module) -> Callable[[Tensor], Tensor]:
        """The network, compiled where this way says so."""
        if self.compiled is None:
            return net
        made: Any = torch.compile(net, dynamic=False, mode=self.compiled)
        return made  # type: ignore[no-any-return]

    @property
    def _torch_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.dtype == "bf16" else torch.float16


_AUTOTUNED: Literal["max-autotune-no-cudagraphs"] = "max-autotune-no-cudagraphs"
WAYS = {
    way.name: way
    for way in (
        Way("float32"),
        Way("float32 without tf32", tf32=False),
        Way("float32 channels_last", channels_last=True),
        Way("bf16", "bf16"),
        Way("bf16 channels_last", "bf16", True),
        Way("fp16 channels_last", "fp16", True),
        Way("bf16 weights channels_last", "bf16", True, cast=True),
        Way("bf16 weights channels_last graph", "bf16", True, cast=True, graph=True),
        Way("bf16 channels_last graph", "bf16", True, graph=True),
        Way("float32 compiled", compiled="default"),
        Way("bf16 compiled", "bf16", compiled="default"),
        Way("bf16 channels_last compiled", "bf16", True, compiled="default"),
        Way("bf16 compiled forced layout", "bf16", compiled="default", forced=True),
        Way("bf16 channels_last compiled forced layout", "bf16", True, compiled="default", forced=True),
        Way("bf16 channels_last max-autotune", "bf16", True, compiled=_AUTOTUNED),
    )
}  # fmt: skip


def runner(net: nn.Module, task: Task, way: Way, batch: int, image: int, device: torch.device) -> Run:  # fmt: skip
    """What is timed. A training step is forward, loss, backward and a step of SGD with momentum."""
    rng = generator("benchmark", "images", batch, image)
    images = way.batch(torch.randn(batch, 3, image, image, generator=rng), device)
    net = way.placed(net, device)
    if task == "inference":
        run = _inference(net.eval(), images, way, device)
        return _captured(run) if way.graph else run
    labels = torch.randint(0, 1000, (batch,), generator=rng).to(device)
    step, clear = _training(net.train(), images, labels, way, device)
    return _captured(step, clear) if way.graph else step


def _inference(net: nn.Module, images: Tensor, way: Way, device: torch.device) -> Run:
    model = way.faster(net)

    def run() -> object:
        with torch.inference_mode(), way.context(device):
            return model(images)

    return run


def _training(
    net: nn.Module, images: Tensor, labels: Tensor, way: Way, device: torch.device
) -> tuple[Run, Run]:
    """A step, and what a graph clears before it is captured: gradients that it then fills itself."""
    model = way.faster(net)
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=DECAY)
    scaler = torch.amp.GradScaler(device.type, enabled=way.dtype == "fp16")

    def clear() -> None:
        optimizer.zero_grad(set_to_none=True)

    def step() -> None:
        clear()
        with way.context(device):
            loss = nn.functional.cross_entropy(model(images), labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()

    return step, clear


def _captured(run: Run, clear: Run | None = None) -> Run:
    """Replays of a CUDA graph of one run."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(BEFORE_CAPTURE):
            run()
    torch.cuda.current_stream().wait_stream(side)
    if clear is not None:
        clear()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with torch.cuda.graph(graph):
        kept = run()

    def replay(_kept: object = kept) -> None:
        graph.replay()

    return replay
