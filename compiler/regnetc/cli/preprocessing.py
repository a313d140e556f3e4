"""Options that say how images become input, for verbs that take weights and images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem

from ..network import Network
from ..published import Publication

if TYPE_CHECKING:
    from regnetc_runtime.preprocess import Preprocess
    from regnetc_runtime.weights import Weights

_COLOURS = 3
_OPTIONS = (
    click.option("--resize", type=click.IntRange(1), help="Short side before the crop [what the weights say, or 8/7 of the crop]."),
    click.option("--crop", type=click.IntRange(1), help="Side of the centre crop [what the weights say, or the network's image]."),
    click.option("--channel-order", type=click.Choice(["rgb", "bgr"]), help="Order of the weights' channels [rgb; bgr for files of pycls and mmpretrain]."),
    click.option("--mean", metavar="R,G,B", help="Mean of each channel in 0..1, in the weights' order."),
    click.option("--std", metavar="R,G,B", help="Standard deviation of each channel, in the weights' order."),
)  # fmt: skip


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command; they arrive as resize, crop, channel_order, mean and std."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen(
    network: Network, weights: Weights | None, given: dict[str, Any], row: Publication | None = None
) -> Preprocess:
    """What the options say, else what is known of the weights, else what ImageNet tables use."""
    from regnetc_runtime import preprocess

    base = known(network, weights, row) if weights is not None else None
    if base is None and network.channels == _COLOURS:
        base = preprocess.Preprocess(resize=_before(network.image), crop=network.image)
        base = turned(base) if weights is not None and weights.bgr else base
    elif base is None:
        base = preprocess.Preprocess(
            resize=network.image, crop=network.image, mean=(0.5,) * network.channels,
            std=(0.5,) * network.channels, channels=network.channels,
        )  # fmt: skip
    wanted = {k: given[k] for k in ("resize", "crop", "channel_order") if given[k] is not None}
    wanted |= {k: _numbers(k, given[k]) for k in ("mean", "std") if given[k] is not None}
    if "crop" in wanted and "resize" not in wanted:
        wanted["resize"] = max(_before(wanted["crop"]), wanted["crop"])
    if wanted.get("channel_order") not in (None, base.channel_order):
        base = turned(base)
    return replace(base, **wanted)


def known(network: Network, weights: Weights, row: Publication | None = None) -> Preprocess | None:
    """What the file of the weights says, or their publisher; `row` is theirs, else the digest may tell.

    None where nobody has said anything.
    """
    from regnetc_runtime import preprocess

    from .. import zoo

    stored = weights.meta.get("preprocess")
    if stored is not None:
        said_so = preprocess.Preprocess.from_json(stored)
        if said_so.channels != network.channels:
            raise Problem(
                "bad-preprocess", f"the weights' file prepares images of {said_so.channels} channels, the network takes {network.channels}",
                help="`preprocess` in its metadata is of another network: save the weights without it",
            )  # fmt: skip
        return said_so
    if row is None:
        found = zoo.published_as(weights.digest)
        row = found[1] if found is not None else None
    if row is None or network.channels != _COLOURS:
        return None
    crop = row.row.image or network.image
    said: dict[str, Any] = {k: getattr(row, k) for k in ("interpolation", "mean", "std")}
    base = preprocess.Preprocess(
        resize=row.resize or _before(crop), crop=crop, **{k: v for k, v in said.items() if v}
    )
    return turned(base) if weights.bgr else base


def turned(prepare: Preprocess) -> Preprocess:
    """The same for weights that take their colours in the other order."""
    other: Any = {"rgb": "bgr", "bgr": "rgb"}[prepare.channel_order]
    return replace(prepare, channel_order=other, mean=prepare.mean[::-1], std=prepare.std[::-1])


def _before(crop: int) -> int:
    """The short side before a crop in the proportion of ImageNet tables, 256 to 224."""
    return round(crop * 8 / 7)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Problem(
            "wrong-use", f"--{name} takes numbers with commas, such as 0.485,0.456,0.406"
        ) from None
