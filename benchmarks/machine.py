"""The machine to the conditions of a measurement: device, versions, settings, load, clocks and temperature."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from startup import processor

ROOT = Path(__file__).resolve().parent.parent
if importlib.util.find_spec("regnetc_runtime") is None:  # a machine where nothing is installed
    sys.path.insert(0, str(ROOT / "runtime"))

PACKAGES = ("torch", "torchvision", "timm", "triton", "numpy")
STATE = (
    "clocks.sm",
    "clocks.mem",
    "power.draw",
    "power.limit",
    "temperature.gpu",
    "utilization.gpu",
)


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def load_average() -> list[float]:
    """Processes that ran or waited in the last 1, 5 and 15 minutes."""
    return [round(n, 2) for n in os.getloadavg()]


def conditions(device_type: str) -> dict[str, Any]:
    """All of the machine that a number depends on, as it is when this is called."""
    import torch
    from regnetc_runtime.device import describe

    found: dict[str, Any] = {
        "device": describe(torch.device(device_type)),
        "device_type": device_type,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": versions(),
        "load": load_average(),
        "clock": clock(device_type),
    }
    if device_type == "cuda":
        found["gpu"] = {
            "driver": "".join(query("driver_version")) or None,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
            "state": gpu_state(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32": {
                "convolutions": torch.backends.cudnn.allow_tf32,
                "matrix_products": torch.backends.cuda.matmul.allow_tf32,
            },
        }
    return found


def clock(device_type: str) -> str:
    """What times are measured with; where one thread works, others' work disturbs processor time less."""
    import torch

    if device_type == "cuda":
        return "CUDA events"
    return "processor time" if torch.get_num_threads() == 1 else "wall time"


def gpu_state() -> dict[str, str] | None:
    """Clocks in MHz, power in W and temperature in degrees C by nvidia-smi; None where that is missing."""
    values = query(*STATE)
    return dict(zip(STATE, values, strict=True)) if len(values) == len(STATE) else None


def query(*fields: str) -> list[str]:
    """What nvidia-smi says of the first GPU, nothing where it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [value.strip() for value in said.stdout.strip().split(",")]
