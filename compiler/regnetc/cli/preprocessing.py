"""Options that say how images become input, for verbs that take weights and images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem

from ..network import Network

if TYPE_CHECKING:
    from regnetc_runtime.preprocess import Preprocess
    from regnetc_runtime.weights import Weights

_OPTIONS = (
    click.option("--resize", type=click.IntRange(1), help="Short side before the crop [what the weights say, or 8/7 of the crop]."),
    click.option("--crop", type=click.IntRange(1), help="Side of the centre crop [what the weights say, or the network's image]."),
    click.option("--channel-order", type=click.Choice(["rgb", "bgr"]), help="Order of the weights' channels; pycls and mmpretrain: bgr."),
    click.option("--mean", metavar="R,G,B", help="Mean of each channel in 0..1, in the weights' order."),
    click.option("--std", metavar="R,G,B", help="Standard deviation of each channel, in the weights' order."),
)  # fmt: skip


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; they arrive as resize, crop, channel_order, mean and std."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(network: Network, weights: Weights | None, given: dict[str, Any]) -> Preprocess:
    """What the options say, else what the weights say, else what ImageNet tables use."""
    from regnetc_runtime import preprocess

    stored = weights.meta.get("preprocess") if weights is not None else None
    if stored is not None:
        base = preprocess.Preprocess.from_json(stored)
    elif network.channels == 3:
        base = preprocess.Preprocess(resize=round(network.image * 8 / 7), crop=network.image)
    else:
        base = preprocess.Preprocess(
            resize=network.image, crop=network.image, mean=(0.5,) * network.channels,
            std=(0.5,) * network.channels, channels=network.channels,
        )  # fmt: skip
    wanted = {k: given[k] for k in ("resize", "crop", "channel_order") if given[k] is not None}
    wanted |= {k: _numbers(k, given[k]) for k in ("mean", "std") if given[k] is not None}
    if "crop" in wanted and "resize" not in wanted:
        wanted["resize"] = max(round(wanted["crop"] * 8 / 7), wanted["crop"])
    if wanted.get("channel_order") == "bgr" and base.channel_order == "rgb":
        wanted.setdefault("mean", base.mean[::-1])
        wanted.setdefault("std", base.std[::-1])
    return replace(base, **wanted)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Problem(
            "wrong-use", f"--{name} takes numbers with commas, such as 0.485,0.456,0.406"
        ) from None
