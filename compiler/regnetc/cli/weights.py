"""`regnetc weights`: which network a checkpoint is of, in whose names, and the same in another's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime import files
from regnetc_runtime.dialects import NAMES
from regnetc_runtime.problems import Problem, require, some

from ..diagnostics import printable
from . import console, opening, preprocessing
from .fetch import fetch
from .outputs import may_write
from .reports import described

if TYPE_CHECKING:
    from regnetc_runtime.weights import Weights
    from torch import Tensor

    from ..lift import Lifted

_STEMS = ("stem.conv.weight", "stem.conv1.weight")
_COLOURS = 3


@click.group("weights")
def command() -> None:
    """Checkpoints of any code base: `inspect` says what one is, `convert` writes it in another's names, `fetch` gets one.

    \b
    regnetc weights inspect regnet_x_400mf.pth
    regnetc weights convert regnet_x_400mf.pth --to timm
    """


@command.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="SPEC.regnet",
    help="Write the network down as a spec.",
)
@click.option("--force", is_flag=True, help="Replace a spec that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def inspect(file: Path, out: Path | None, force: bool, as_json: bool) -> None:
    """Whose names a checkpoint has, which network it is of, as a spec, and what else is in the file.

    Nothing in the file is executed. The network is found from names and shapes alone.

    \b
    regnetc weights inspect regnetx_004.safetensors -o mine.regnet
    """
    require("torch", "run")
    from ..lift import spec_of

    if out is not None:
        if out.suffix != ".regnet":
            raise click.UsageError("-o is a .regnet file")
        may_write(out, force=force)
    loaded = _read(file)
    lifted = _lifted(file, loaded)
    doc = f"Lifted from the weights of {printable(file.name, 60)}."
    text = spec_of(lifted.network._replace(published=()), _model_name(lifted, file), doc)
    if out is not None:
        files.write(out, text.encode())
    said = _facts(file, loaded, lifted)
    if as_json:
        console.say_json({**said, "spec": text})
        return
    _print(said, text)
    if out is not None:
        console.rich_console().print(f"wrote {printable(str(out))}")


def _read(file: Path) -> Weights:
    from regnetc_runtime import dialects, weights

    loaded = weights.read(opening.weights_file(file)[0])
    if not loaded.dialect:
        dialects.recognise(list(loaded.tensors))  # which says why not
    _check_types(file, {k: t for k, t in loaded.tensors.items() if k not in loaded.strange})
    return loaded


def _check_types(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise `wrong-dtype` for weights that are no floats, as quantised ones are, and counters that are."""
    wrong = [
        k for k, t in tensors.items() if t.is_floating_point() == k.endswith("num_batches_tracked")
    ]  # fmt: skip
    if wrong:
        raise Problem(
            "wrong-dtype",
            f"{printable(str(file))} holds {len(wrong):,} tensors of a wrong type: {some(wrong)}",
            help="save the weights as floats, without quantising them",
        )


def _lifted(file: Path, loaded: Weights) -> Lifted:
    from ..lift import LiftError, lift

    known = {k: tuple(t.shape) for k, t in loaded.tensors.items() if k not in loaded.strange}
    try:
        return lift(known)
    except LiftError as e:
        raise Problem(
            "unknown-network",
            f"{printable(str(file))} holds the weights of no network of the language: {e}",
            help="a part of a checkpoint, or one of another architecture, is not lifted",
        ) from None


def _model_name(lifted: Lifted, file: Path) -> str:
    if lifted.entries:
        return lifted.network.name
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in file.stem).strip("-")
    parts = [part for part in name.split("-") if part]
    return "-".join(parts)[:60] if parts and parts[0][0].isalpha() else "Lifted"


def _facts(file: Path, loaded: Weights, lifted: Lifted) -> dict[str, Any]:
    n = lifted.network
    try:
        prepare, odd = preprocessing.known(n, loaded), []
    except Problem as e:  # what a file says of its images is no reason not to look at it
        prepare, odd = None, [e.message]
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in loaded.tensors.values()})
    return {
        "file": printable(str(file), 4_000), "sha256": loaded.digest, "dialect": loaded.dialect,
        "wrapper": printable(loaded.wrapper), "zoo": [e.stem for e in lifted.entries],
        "names": [name for e in lifted.entries for name in e.names],
        "params": n.counts.params, "flops": n.counts.pycls, "classes": n.classes, "channels": n.channels,
        "channel_order": _order(loaded), "dtypes": kinds, "ema": loaded.ema is not None,
        "published": _publisher(loaded), "images": None if prepare is None else described(prepare),
        "extra": [printable(x, 100) for x in loaded.extra], "unread": [printable(x, 100) for x in loaded.unread],
        "strange": [printable(x, 100) for x in loaded.strange],
        "notes": [*lifted.notes, *loaded.notes, *odd],
    }  # fmt: skip


def _publisher(loaded: Weights) -> dict[str, str] | None:
    """Whose file it is, by its digest."""
    from .. import zoo

    found = zoo.published_as(loaded.digest)
    if found is None:
        return None
    _, row = found
    return {
        "source": row.row.source,
        "name": row.name,
        "recipe": row.recipe,
        "licence": row.licence,
    }


def _order(loaded: Weights) -> str:
    """`rgb` or `bgr` where the file or whose it is says so, else `unknown`."""
    if loaded.bgr:
        return "bgr"
    if "preprocess" in loaded.meta or loaded.meta.get("channel_order") == "rgb":
        return "rgb"
    return "unknown" if loaded.dialect in ("", "pycls") else "rgb"


def _print(said: Mapping[str, Any], text: str) -> None:
    out = console.rich_console()
    inside = f", inside {said['wrapper']}" if said["wrapper"] else ""
    out.print(f"{said['file']}  (names of {said['dialect']}{inside})", style="bold")
    which = f"equal to the zoo's {', '.join(said['zoo'])}" if said["zoo"] else "not in the zoo"
    out.print(
        f"{which}; {said['params']:,} params, {said['flops']:,} flops (pycls), {said['classes']:,} classes"
    )
    out.print(f"{', '.join(said['dtypes'])}; channel order {said['channel_order']}")
    if said["published"]:
        row = {k: printable(v, 100) for k, v in said["published"].items()}
        licence = f", licence {row['licence']}" if row["licence"] else ""
        out.print(
            f"published by {row['source']} as {row['name']} {row['recipe']}".rstrip() + licence
        )
    if said["images"]:
        out.print(f"images: {said['images']}")
    if said["ema"]:
        out.print("an average of the weights (EMA) lies beside them: --ema converts it")
    if said["extra"]:
        out.print(f"beside the weights: {some(said['extra'])}")
    if said["unread"]:
        out.print(f"not read, as it is no tensor: {some(said['unread'])}")
    if said["strange"]:
        out.print(f"names that are nobody's ({len(said['strange']):,}): {some(said['strange'])}")
    for note in said["notes"]:
        out.print(f"note: {note}")
    out.print()
    out.print(text.rstrip())


@command.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to", "dialect", type=click.Choice(NAMES), required=True, help="Whose names to give them."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT.safetensors",
    help="The file to write [FILE-DIALECT.safetensors].",
)
@click.option("--ema", is_flag=True, help="Take the average of the weights that lies beside them.")
@click.option(
    "--flip-channels",
    is_flag=True,
    help="Turn the stem around for images in the other order: BGR to RGB, and back.",
)
@click.option(
    "--classes",
    type=click.IntRange(0, 1_000_000),
    help="Make the classifier anew for so many classes; 0 takes it off.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def convert(
    file: Path, dialect: str, out: Path | None, force: bool, as_json: bool, **how: Any
) -> None:
    """Write a checkpoint as safetensors in the names of a code base, bit for bit the same numbers.

    \b
    Says what was renamed, dropped and added. What a code base does not build, it has no names for.

    \b
    regnetc weights convert RegNetX-400MF_dds_8gpu.pyth --to torchvision --flip-channels
    regnetc weights convert runs/digits-1 --to timm -o digits.safetensors
    """
    require("torch", "run")
    out = out or Path(f"{file.stem}-{dialect}.safetensors")
    if out.suffix != ".safetensors":
        raise click.UsageError("-o is a .safetensors file")
    may_write(out, force=force)
    loaded = _read(file)
    lifted = _lifted(file, loaded)
    ours, said = _changed(file, loaded, lifted, **how)
    said |= _write(out, ours, loaded, lifted, dialect, flipped=how["flip_channels"])
    if as_json:
        console.say_json(said)
        return
    screen = console.rich_console()
    screen.print(
        f"wrote {printable(said['written'])}: {said['renamed']:,} of {said['tensors']:,} tensors renamed, from {said['from']} to {dialect}"
    )
    for what in ("dropped", "added"):
        if said[what]:
            screen.print(f"{what} ({len(said[what]):,}): {some(said[what])}")
    for note in said["notes"]:
        screen.print(f"note: {note}")


def _changed(
    file: Path,
    loaded: Weights,
    lifted: Lifted,
    *,
    ema: bool,
    flip_channels: bool,
    classes: int | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors to write, by our names, and what was done to them."""
    import torch

    from ..lift import shapes_of

    if ema and loaded.ema is None:
        raise Problem(
            "no-average",
            f"{printable(str(file))} holds no average of the weights",
            help="leave --ema out",
        )
    wanted = shapes_of(lifted.network)
    source = loaded.tensors
    if ema and loaded.ema is not None:
        source = loaded.ema
        _check_average(file, source, loaded.tensors, wanted)
    ours = {k: source[k] for k in wanted if k in source}
    added = [k for k in wanted if k not in ours and k.endswith("num_batches_tracked")]
    notes = []
    if flip_channels:
        if lifted.network.channels != _COLOURS:
            raise Problem(
                "no-colours", f"the network takes images of {lifted.network.channels:,} channels, not red, green and blue",
                help="leave --flip-channels out",
            )  # fmt: skip
        for name in _STEMS:
            if name in ours:
                ours[name] = ours[name].flip(1).contiguous()
                notes.append("the stem takes its colours in the other order now")
    if classes is not None:
        notes.append(_new_head(ours, classes, lifted))
    ours |= {k: torch.zeros((), dtype=torch.int64) for k in added}
    ordered = {k: ours[k] for k in wanted if k in ours} | ours
    said = {
        "from": loaded.dialect, "tensors": len(ordered), "added": added,
        "dropped": [*map(printable, loaded.strange), *map(printable, loaded.extra)], "notes": notes,
    }  # fmt: skip
    return ordered, said


def _check_average(
    file: Path,
    average: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    wanted: Mapping[str, Any],
) -> None:
    """Raise `wrong-average` where it is not of the network whose weights lie beside it."""
    missing = [k for k in wanted if k in weights and k not in average]
    other = [
        k for k in wanted if k in weights and k in average and average[k].shape != weights[k].shape
    ]
    if missing or other:
        lists = {"missing": missing, "of another shape": other}
        raise Problem(
            "wrong-average",
            f"the average of the weights in {printable(str(file))} is not that of their network",
            details=[f"{len(v):,} {what}: {some(v)}" for what, v in lists.items() if v],
            help="leave --ema out: the weights themselves are whole",
        )
    _check_types(file, {k: average[k] for k in wanted if k in average})


def _new_head(ours: dict[str, Tensor], classes: int, lifted: Lifted) -> str:
    """Another classifier in the place of the one that is there, drawn as a new network's is."""
    import torch

    before = ours.pop("head.fc.weight", None)
    ours.pop("head.fc.bias", None)
    if classes == 0:
        return "the classifier is left out"
    kind = next(iter(ours.values())).dtype
    weight = torch.empty(classes, lifted.network.seen, dtype=kind)
    weight.normal_(0, 0.01, generator=torch.Generator().manual_seed(0))
    ours |= {"head.fc.weight": weight, "head.fc.bias": torch.zeros(classes, dtype=kind)}
    was = "none" if before is None else f"{len(before):,}"
    return (
        f"the classifier is new and has learnt nothing: {classes:,} classes, where there were {was}"
    )


def _write(
    out: Path,
    ours: Mapping[str, Tensor],
    loaded: Weights,
    lifted: Lifted,
    dialect: str,
    *,
    flipped: bool,
) -> dict[str, Any]:
    from regnetc_runtime import dialects, safetensors_file

    names = dialects.renamed({k: tuple(t.shape) for k, t in ours.items()}, dialect)
    order = _order(loaded)
    if flipped:
        order = {"bgr": "rgb", "rgb": "bgr"}.get(order, "unknown")
    prepare = preprocessing.known(lifted.network, loaded)
    meta = {}
    if prepare is not None:
        meta["preprocess"] = (preprocessing.turned(prepare) if flipped else prepare).to_json()
    meta |= {
        "format": "pt",
        "dialect": dialect,
        "network": lifted.network.name,
        "channel_order": order,
    }
    data = safetensors_file.encode(
        {theirs: ours[k].contiguous() for k, theirs in names.items()}, meta
    )
    files.write(out, data)
    before = dialects.renamed({k: tuple(t.shape) for k, t in ours.items()}, loaded.dialect)
    renamed = sum(before[k] != theirs for k, theirs in names.items())
    return {"written": str(out), "renamed": renamed, "names": list(names.values())}


command.add_command(fetch)
