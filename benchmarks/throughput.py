"""Training and inference throughput of the generated modules, against the same networks of timm and torchvision.

Side by side in one run, in turns, with the same weights, after a check that the same images give the same
logits. Every way to run is a cell: eager, channels_last, autocast, CUDA graphs, torch.compile, with inductor's
layout forced as well. The time is divided over the cells; what it did not reach is in the result as skipped.
docs/performance.md says how to read it. On a CPU there are fewer networks, ways and images in a batch.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

NETWORKS = ("x400mf", "x800mf", "x1_6gf", "x3_2gf", "x4_0gf", "x6_4gf", "x8_0gf", "x12gf")
# If time is short: small, large and between.
COMPILED_FIRST = ("x400mf", "x12gf", "x1_6gf", "x4_0gf")
ON_A_CPU = ("x400mf", "x1_6gf")
IMAGE = 224
LARGE, TRAINING, HALVINGS = 256, 256, 2  # training falls back to 128 and 64
ON_A_CPU_LARGE = 16

BOTH = ("ours", "timm")
ALL = ("ours", "timm", "torchvision")
# In the order in which they are left out where time is short, from the last.
EAGER = {
    "inference": (
        "float32", "bf16 channels_last", "bf16 weights channels_last graph", "bf16",
        "fp16 channels_last", "float32 channels_last", "bf16 weights channels_last",
    ),
    "training": (
        "bf16 channels_last", "float32", "bf16", "bf16 channels_last graph", "fp16 channels_last",
        "float32 channels_last",
    ),
}  # fmt: skip
BY_ALL = ("float32", "bf16 channels_last")  # ways in which torchvision's is measured, too
COMPILED = ("bf16 compiled", "bf16 channels_last compiled")
FORCED = ("bf16 compiled forced layout", "bf16 channels_last compiled forced layout")
ASKED_FOR = ("bf16 channels_last max-autotune",)  # takes minutes for each network
EAGER_ON_A_CPU = ("float32", "float32 channels_last", "bf16 channels_last")
COMPILED_ON_A_CPU = ("float32 compiled",)
EVERY = dict.fromkeys(
    [*EAGER["inference"], *EAGER["training"], *COMPILED, *FORCED, *ASKED_FOR, *COMPILED_ON_A_CPU]
)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of all of it (default: 10)")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, help="default: all; on a CPU some"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=list(EVERY), help="default: all but max-autotune"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--image", type=int, default=IMAGE, help="pixels (default: 224)")
    parser.add_argument("-o", "--out", type=Path, help="default: results/throughput-DEVICE.json")
    return parser.parse_args(argv)


def cells(ways: tuple[str, ...], tasks: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """A cell for each way of each task (its name, its batch, how often that may be halved)."""
    return [
        {
            "task": task,
            "way": way,
            "batch": dict.fromkeys(ALL if way in BY_ALL else BOTH, batch),
            "halvings": halvings,
        }
        for task, batch, halvings in tasks
        for way in ways
    ]


def order(network: str, image: int, wanted: list[dict[str, Any]], *, check: bool) -> Any:
    from speed_networks import TIMM, TORCHVISION
    from speed_parent import Order

    models = {"ours": network, "timm": TIMM[network], "torchvision": TORCHVISION.get(network)}
    sides = [
        {"name": name, "source": name, "model": model, "image": image}
        for name, model in models.items()
        if model is not None
    ]
    return Order(network, sides, wanted, [["ours", "timm"], ["ours", "torchvision"]], check)


def chosen(ways: tuple[str, ...], options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(w for w in ways if options.ways is None or w in options.ways)


def eager_cells(options: argparse.Namespace, *, gpu: bool) -> list[dict[str, Any]]:
    large, training, halvings = (LARGE, TRAINING, HALVINGS) if gpu else (ON_A_CPU_LARGE,) * 2 + (0,)
    ways = EAGER if gpu else dict.fromkeys(EAGER, EAGER_ON_A_CPU)
    tasks = [("inference", large, 0), ("inference", 1, 0)]
    found = cells(chosen(ways["inference"], options), tasks)
    return found + cells(chosen(ways["training"], options), [("training", training, halvings)])


def compiled_cells(
    ways: tuple[str, ...], options: argparse.Namespace, *, gpu: bool
) -> list[dict[str, Any]]:
    """The cells that take a compilation each, the ones that matter most first."""
    tasks = [("training", TRAINING, HALVINGS), ("inference", LARGE, 0), ("inference", 1, 0)]
    return cells(chosen(ways, options), tasks if gpu else [("inference", ON_A_CPU_LARGE, 0)])


def plan(options: argparse.Namespace, *, gpu: bool) -> list[Any]:
    """What is measured, in its order: all that needs no compilation first."""
    from speed_parent import FORCED as FORCED_LAYOUT
    from speed_parent import Phase

    names = tuple(options.networks or (NETWORKS if gpu else ON_A_CPU))
    later = [n for n in COMPILED_FIRST if n in names]
    later += [n for n in names if n not in later]
    compiled = (*COMPILED, *(w for w in ASKED_FOR if w in (options.ways or ())))
    rows: list[tuple[str, float, list[str], list[dict[str, Any]], dict[str, str]]] = [
        ("eager", 0.5 if gpu else 0.75, list(names), eager_cells(options, gpu=gpu), {}),
        ("compiled", 0.5 if gpu else 1.0, later,
         compiled_cells(compiled if gpu else COMPILED_ON_A_CPU, options, gpu=gpu), {}),
        ("forced layout", 1.0, later,
         compiled_cells(FORCED, options, gpu=True) if gpu else [], FORCED_LAYOUT),
    ]  # fmt: skip
    last = max((k for k, row in enumerate(rows) if row[3]), default=0)
    return [
        Phase(
            name,
            1.0 if k == last else share,
            [order(n, options.image, [dict(c) for c in wanted], check=True) for n in networks],
            environment,
        )
        for k, (name, share, networks, wanted, environment) in enumerate(rows)
        if wanted
    ]


def settings(options: argparse.Namespace, *, gpu: bool) -> dict[str, Any]:
    return {
        "minutes": options.minutes,
        "image": options.image,
        "reduced": None
        if gpu
        else f"on a CPU: batches of 1 and {ON_A_CPU_LARGE}, fewer networks and ways, fewer rounds",
        "training_step": "forward, cross-entropy, backward, SGD with momentum; data on the device",
        "ratios": "speed: images/s of the first over the second, the median and the quartiles of the"
        " rounds' ratios; memory: peak of the first over the second",
    }


def main() -> None:
    started = time.monotonic()
    options = arguments()
    from speed_parent import bench

    with bench("throughput", options.device, options.out, started + 60 * options.minutes) as found:
        gpu = found.device_type == "cuda"
        found.result["settings"] = settings(options, gpu=gpu)
        found.run(plan(options, gpu=gpu))


if __name__ == "__main__":
    main()
