"""How fast JPEGs become what a network trains on, against the same work by other libraries.

All in one run on one core, in turns, so that ratios mean something; processor time, so that a busy machine
disturbs less. Files are made by `photographs`.

1. decode; 2. decode, random resized crop to 224, flip; 3. and 4. the same with TrivialAugment and RandAugment;
5. other ways to keep images: smaller files, reduced decoding by the DCT, raw pixels; 6. the loader with one and
two processes; 7. what is done with a whole chunk, and on a GPU where there is one (that alone, printed, with
`--chunks`); 8. the cores that it takes to feed a GPU.

Peers are measured where they are installed: torchvision, timm, OpenCV, albumentations.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import image_peers as peers
import numpy as np
import photographs
import torch
from image_chunks import CHUNK, chunk_stage
from image_forms import mean_bytes, stored
from image_works import PLAIN, compared, ours, prepared, rates
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.decode import decode
from regnetc_runtime.data.loader import load
from regnetc_runtime.data.parts import Chunk
from regnetc_runtime.training.recipe import Call
from startup import processor
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
HEIGHT, WIDTH, FILES = 400, 500, 48
TRIVIAL = Call("trivialaugment", {"bins": 31})
RANDOM = Call("randaugment", {"n": 2, "m": 9, "bins": 31})
# Images/s in training on an H100 in bf16 by a roofline model: op by op, fused, batch norm fused as well.
DESIGN = {
    "x400mf": (24_000, 32_000, 49_000), "x800mf": (15_000, 20_000, 30_000),
    "x1_6gf": (9_400, 12_600, 19_000), "x3_2gf": (6_500, 8_800, 13_000),
    "x6_4gf": (4_400, 5_900, 9_100), "x12gf": (3_200, 4_100, 6_500),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoded:
    """Files in memory as a part of a data set, each of them many times."""

    files: tuple[bytes, ...]
    times: int
    pixels: None = None

    @property
    def labels(self) -> Tensor:
        return torch.arange(len(self.files) * self.times) % 1000

    def image(self, index: int) -> Tensor:
        return decode(self.files[index % len(self.files)], "a photograph", 3)

    def name(self, index: int) -> str:
        return f"image {index}"


def loading(files: list[bytes]) -> dict[str, Any]:
    """With worker processes; ours through the loader, torchvision's transforms through torch's."""
    part = Encoded(tuple(files), 20)
    chunks = [
        Chunk(0, first, np.arange(first, first + CHUNK))
        for first in range(0, len(part.labels) - CHUNK, CHUNK)
    ]

    def mine(workers: int) -> Iterator[int]:
        bad = BadImages(limit=0.0)
        batches = load(part, chunks, prepared(PLAIN), seed=0, workers=workers, bad=bad)
        return (len(b.images) for b in batches)

    def theirs(workers: int) -> Iterator[int]:
        return (len(b) for b in peers.torchvision_loader(part.files, part.times, CHUNK, workers))

    sides = {"ours": mine, "torchvision": theirs}
    if not peers.trivial():
        del sides["torchvision"]
    out: dict[str, Any] = {}
    for workers in (1, 2):
        seen = [{name: speed(side(workers)) for name, side in sides.items()} for _ in range(3)]
        out[f"{workers} processes"] = {
            kind: compared({n: statistics.median(s[n][kind] for s in seen) for n in sides})
            for kind in ("by the clock", "by processor time")
        }
    return out


def speed(batches: Iterator[int]) -> dict[str, float]:
    """Images/s after the first batch, which waits for processes to start; and of processor time in all."""
    before, count = spent(), next(batches)
    start, first = time.perf_counter(), count
    for images in batches:
        count += images
    clock = (count - first) / (time.perf_counter() - start)
    del batches  # and with it the processes, whose time counts when they have ended
    return {"by the clock": clock, "by processor time": count / (spent() - before)}


def spent() -> float:
    """Seconds of processor time of this process and those that it has seen end."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in both)


def measured() -> dict[str, float]:
    """Images/s of training in the fastest way that `throughput.py` found on a GPU, where it has run."""
    path = ROOT / "benchmarks/results/throughput-cuda.json"
    if not path.exists():
        return {}
    out: dict[str, float] = {}
    for name, entry in json.loads(path.read_text("utf-8"))["networks"].items():
        for cell in entry["cells"]:
            if cell["task"] == "training" and "ours" in cell.get("sides", {}):
                rate = cell["sides"]["ours"]["images_per_s"]
                out[name] = max(rate, out.get(name, 0.0))
    return out


def cores(per_core: dict[str, float]) -> dict[str, Any]:
    """How many cores feed one GPU, by the design's numbers and by measured ones where there are some."""
    rows: dict[str, dict[str, float]] = {
        name: dict(zip(("eager", "fused", "all_fused"), n, strict=True))
        for name, n in DESIGN.items()
    }
    for name, rate in measured().items():
        rows.setdefault(name, {})["measured"] = rate
    return {
        name: {
            how: {"images_per_s": n, **{w: round(n / rate, 1) for w, rate in per_core.items()}}
            for how, n in row.items()
        }
        for name, row in rows.items()
    }


def stages(files: list[bytes]) -> dict[str, Any]:
    """From the file to the image that goes into a chunk."""
    trivial, randomly = (replace(PLAIN, augment=call) for call in (TRIVIAL, RANDOM))
    return {
        "decode": rates({"ours": lambda d, _: decode(d, "x", 3), **peers.decoders()}, files),
        "crop and flip": rates({"ours": ours(PLAIN), **peers.crops()}, files),
        "with TrivialAugment": rates({"ours": ours(trivial), **peers.trivial()}, files),
        "with RandAugment": rates({"ours": ours(randomly), **peers.randaugment()}, files),
    }


def per_core(found: dict[str, Any], forms: dict[str, Any]) -> dict[str, float]:
    """Images/s that one core prepares; the cost of TrivialAugment is the same for other forms."""
    plain, trivial = (
        found[name]["ours"]["images_per_s"] for name in ("crop and flip", "with TrivialAugment")
    )
    extra = 1 / trivial - 1 / plain
    small, raw = (
        1 / (1 / forms[f] + extra) for f in ("jpeg, short side 256", "raw, short side 256")
    )
    return {
        "crop and flip": plain,
        "with TrivialAugment": trivial,
        "with TrivialAugment, jpeg of short side 256": small,
        "with TrivialAugment, raw of short side 256": raw,
    }


def conditions() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "cores_used": 1,
        "python": platform.python_version(),
        "versions": peers.versions(),
    }


def on_a_gpu() -> dict[str, Any] | None:
    if not torch.cuda.is_available():
        return None
    return {"gpu": torch.cuda.get_device_name(), **chunk_stage(torch.device("cuda"))}


def main() -> None:
    torch.set_num_threads(1)
    if "--chunks" in sys.argv:  # needs no decoder
        print(json.dumps({**conditions(), "chunks on a GPU": on_a_gpu()}, indent=2))
        return
    load_before = os.getloadavg()[0]
    pixels = [photographs.photograph(k, HEIGHT, WIDTH) for k in range(FILES)]
    files = [photographs.jpeg(p) for p in pixels]
    found, forms = stages(files), stored(files)
    result = {
        **conditions(),
        "files": {
            "count": FILES,
            "size": [HEIGHT, WIDTH],
            "quality": photographs.QUALITY,
            "mean_bytes": mean_bytes(files),
            "slope_of_power": round(statistics.mean(map(photographs.slope, pixels)), 2),
        },
        **found,
        "stored forms": forms,
        "loader": loading(files),
        "chunks on one core": chunk_stage(torch.device("cpu")),
        "chunks on a GPU": on_a_gpu(),
        "cores to feed an H100": cores(per_core(found, forms)),
        "load_before_and_after": [round(n, 2) for n in (load_before, os.getloadavg()[0])],
    }
    text = json.dumps(result, indent=2) + "\n"
    (ROOT / "benchmarks/results/pipeline.json").write_text(text, "utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
