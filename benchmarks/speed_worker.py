"""A process that measures: orders in on standard input, events out on standard output, a line of JSON each.

The process that gives the orders never touches the device, so it can kill this one when the time is up, and
start another where this one died. An order has the network's name, its `sides` (name, source, model, image),
`check` (whether peers must make the same of the same weights), `cells`, `ratios` and `seconds`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import machine
import speed_networks as networks
import torch
from regnetc_runtime.device import pick
from regnetc_runtime.problems import Problem
from speed_cell import Cell, Side, measure

Say = Callable[..., None]
TIMED_S = {"cuda": (0.3, 3.0), "cpu": (0.2, 20.0)}  # least and most of one cell
SHARE = 0.6  # of a cell's time that goes to timing; the rest goes to what comes before


def channel() -> Say:
    """A function that sends an event; whatever else writes to standard output goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(event: str, **more: Any) -> None:
        out.write(json.dumps({"event": event, **more}) + "\n")
        out.flush()

    return say


def sides_of(order: dict[str, Any]) -> tuple[dict[str, Side], dict[str, Any]]:
    """The networks that can be compared, and what was found out about each peer."""
    sides: dict[str, Side] = {}
    found: dict[str, Any] = {}
    mine: torch.nn.Module | None = None
    for given in order["sides"]:
        net = networks.network(given["source"], given["model"])
        if net is None:
            found[given["name"]] = {"status": "not installed"}
            continue
        about: dict[str, Any] = {"status": "built"}
        if order["check"] and given["source"] == "ours":
            networks.unsettle(net)
            mine = net
        elif order["check"] and mine is not None:
            about = networks.same(mine, net, given["source"])
        found[given["name"]] = {
            **about,
            "model": given["model"],
            "image": given["image"],
            "params": sum(p.numel() for p in net.parameters()),
        }
        if about["status"] != "another network":
            sides[given["name"]] = Side(net, given["image"])
    return sides, found


def serve(order: dict[str, Any], device: torch.device, say: Say) -> None:
    until = time.monotonic() + order["seconds"]
    sides, found = sides_of(order)
    say("sides", sides=found)
    least, most = TIMED_S[device.type]
    for k, (index, cell) in enumerate(order["cells"]):
        left = until - time.monotonic()
        if left <= 0:
            break
        say("begin", index=index)
        timed = max(least, min(most, SHARE * left / (len(order["cells"]) - k)))
        row = measure(Cell(**cell), sides, order["ratios"], device, timed)
        say("cell", index=index, row=row)
        if row["status"] == "failed" and device.type == "cuda":
            torch.cuda.synchronize()  # a device that is past use ends this process here
    say("end")


def heat(device: torch.device, seconds: float = 1.5) -> None:
    """Bring a GPU's clocks up before the first number is taken."""
    if device.type != "cuda":
        return
    a = torch.randn(4096, 4096, device=device, dtype=torch.bfloat16)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(20):
            a @ a
        torch.cuda.synchronize()


def main() -> None:
    say = channel()
    warnings.simplefilter("ignore")
    torch.backends.cudnn.benchmark = True
    name = sys.argv[1] if len(sys.argv) > 1 else "auto"
    assert name in ("auto", "cpu", "cuda")
    try:
        device = pick(name)  # type: ignore[arg-type]
    except Problem as e:
        say("problem", message=e.message)
        return
    say("hello", conditions=machine.conditions(device.type))
    heat(device)
    for line in sys.stdin:
        serve(json.loads(line), device, say)


if __name__ == "__main__":
    main()
