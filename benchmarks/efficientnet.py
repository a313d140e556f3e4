"""RegNets against EfficientNets at matched flops, in training and inference, side by side and in turns.

The pairs are those of Table 4 in "Designing Network Design Spaces"; EfficientNets take images of their own
paper's sizes, RegNets 224 pixels. Each pair has three sides: timm's EfficientNet, timm's RegNetY and the
RegNetX of the same flops (the generated module, timm's where there is none). What the publishers printed for
V100s stands beside what is measured. docs/performance.md says how to read it. On a CPU there are two pairs.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A network as published: ms for 64 images on one V100, hours for 100 epochs on eight, their batch."""

    source: str
    model: str
    image: int
    infer_ms: int
    train_h: float
    batch: int


# Of pycls's model zoo, which has the paper's networks and settings.
PAIRS = {
    "b0": (
        Row("timm", "efficientnet_b0", 224, 34, 11.7, 256),
        Row("timm", "regnety_004", 224, 19, 5.1, 1024),
        Row("ours", "x400mf", 224, 15, 3.9, 1024),
    ),
    "b1": (
        Row("timm", "efficientnet_b1", 240, 52, 15.6, 256),
        Row("timm", "regnety_006", 224, 19, 5.2, 1024),
        Row("timm", "regnetx_006", 224, 17, 4.4, 1024),
    ),
    "b2": (
        Row("timm", "efficientnet_b2", 260, 68, 18.4, 256),
        Row("timm", "regnety_008", 224, 22, 6.0, 1024),
        Row("ours", "x800mf", 224, 21, 5.7, 1024),
    ),
    "b3": (
        Row("timm", "efficientnet_b3", 300, 114, 32.1, 256),
        Row("timm", "regnety_016", 224, 39, 10.1, 1024),
        Row("ours", "x1_6gf", 224, 33, 8.7, 1024),
    ),
    "b4": (
        Row("timm", "efficientnet_b4", 380, 240, 65.1, 128),
        Row("timm", "regnety_040", 224, 68, 16.8, 512),
        Row("ours", "x4_0gf", 224, 69, 17.1, 512),
    ),
    "b5": (
        Row("timm", "efficientnet_b5", 456, 504, 135.1, 64),
        Row("timm", "regnety_080", 224, 113, 28.1, 512),
        Row("ours", "x8_0gf", 224, 94, 22.6, 512),
    ),
}
SIDES = ("efficientnet", "regnety", "regnetx")
RATIOS = [["regnety", "efficientnet"], ["regnetx", "efficientnet"]]
GPUS, PUBLISHED_BATCH = 8, 64
CLAIM = "up to 5x faster on GPUs"  # the paper's abstract, of RegNets and EfficientNets
ON_A_CPU, ON_A_CPU_BATCH = ("b0", "b5"), 2
INFERENCE = ("float32 without tf32", "bf16 channels_last", "float32")
TRAINING = ("float32 without tf32", "bf16 channels_last")
COMPILED = ("bf16 channels_last compiled",)
WAYS_ON_A_CPU = ("float32", "bf16 channels_last")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of all of it (default: 10)")
    parser.add_argument(
        "--pairs", nargs="+", choices=list(PAIRS), help="default: all; on a CPU some"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("-o", "--out", type=Path, help="default: results/efficientnet-DEVICE.json")
    return parser.parse_args(argv)


def eager_cells(pair: str, *, gpu: bool) -> list[dict[str, Any]]:
    """The published batches first, then equal ones: small batches hold a large GPU up."""
    published = {n: row.batch // GPUS for n, row in zip(SIDES, PAIRS[pair], strict=True)}
    equal = dict.fromkeys(SIDES, PUBLISHED_BATCH if gpu else ON_A_CPU_BATCH)
    rows: list[tuple[str, tuple[str, ...], dict[str, int], int]] = [
        ("inference", INFERENCE if gpu else WAYS_ON_A_CPU, equal, 0),
        ("training", TRAINING if gpu else (), published, 0),
        ("training", TRAINING if gpu else WAYS_ON_A_CPU, equal, 3),
    ]
    return [
        {"task": task, "way": way, "batch": batch, "halvings": halvings}
        for task, ways, batch, halvings in rows
        for way in ways
    ]


def compiled_cells() -> list[dict[str, Any]]:
    batch = dict.fromkeys(SIDES, PUBLISHED_BATCH)
    return [{"task": "inference", "way": w, "batch": batch, "halvings": 0} for w in COMPILED]


def plan(options: argparse.Namespace, *, gpu: bool) -> list[Any]:
    from speed_parent import Order, Phase

    names = tuple(options.pairs or (PAIRS if gpu else ON_A_CPU))

    def order(pair: str, wanted: list[dict[str, Any]]) -> Order:
        sides = [
            {"name": n, "source": row.source, "model": row.model, "image": row.image}
            for n, row in zip(SIDES, PAIRS[pair], strict=True)
        ]
        return Order(pair, sides, [dict(c) for c in wanted], RATIOS, check=False)

    eager = [order(pair, eager_cells(pair, gpu=gpu)) for pair in names]
    if not gpu:
        return [Phase("eager", 1.0, eager)]
    compiled = [order(pair, compiled_cells()) for pair in reversed(names)]
    return [Phase("eager", 0.7, eager), Phase("compiled", 1.0, compiled)]


def published(pair: str) -> dict[str, Any]:
    """How much faster RegNets were than the EfficientNet, as printed."""
    first, *others = PAIRS[pair]
    return {
        name: {
            "inference": round(first.infer_ms / row.infer_ms, 2),
            "training": round(first.train_h / row.train_h, 2),
        }
        for name, row in zip(SIDES[1:], others, strict=True)
    }


def against_the_claim(networks: dict[str, Any]) -> dict[str, Any]:
    """What is printed and what is measured, for each pair, and the largest of each."""
    found: dict[str, Any] = {"claim": CLAIM, "pairs": {}}
    largest: dict[str, float] = {}
    for pair, entry in networks.items():
        rows = []
        for row in entry["cells"]:
            if row["status"] != "measured":
                continue
            speeds = {name.partition("/")[0]: r["speed"] for name, r in row["ratios"].items()}
            rows.append({"task": row["task"], "way": row["way"], "batch": row["batch"], **speeds})
            for speed in speeds.values():
                largest[row["task"]] = max(largest.get(row["task"], 0.0), speed)
        found["pairs"][pair] = {"published": published(pair), "measured": rows}
    shown = [published(pair) for pair in PAIRS]
    found["largest_published"] = {
        task: max(side[task] for pair in shown for side in pair.values())
        for task in ("inference", "training")
    }
    found["largest_measured"] = largest
    return found


def settings(options: argparse.Namespace, *, gpu: bool) -> dict[str, Any]:
    return {
        "minutes": options.minutes,
        "reduced": None
        if gpu
        else f"on a CPU: batches of {ON_A_CPU_BATCH}, fewer pairs and ways, fewer rounds; the claim is of GPUs",
        "training_step": "forward, cross-entropy, backward, SGD with momentum; data on the device",
        "published": "pycls's model zoo: 64 images on one V100, 100 epochs on eight",
        "ratios": "speed: images/s of the RegNet over the EfficientNet's, the median and the quartiles"
        " of the rounds' ratios; memory: peak of the first over the second",
    }


def main() -> None:
    started = time.monotonic()
    options = arguments()
    from speed_parent import bench

    with bench(
        "efficientnet", options.device, options.out, started + 60 * options.minutes
    ) as found:
        gpu = found.device_type == "cuda"
        found.result["settings"] = settings(options, gpu=gpu)
        found.run(plan(options, gpu=gpu))
        found.result["against_the_claim"] = against_the_claim(found.result["networks"])
        found.save()


if __name__ == "__main__":
    main()
