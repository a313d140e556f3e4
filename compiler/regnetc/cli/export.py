"""`regnetc export`: a network with its weights as the folder that another tool reads."""

from __future__ import annotations

import json
import os.path
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..network import Network
from . import api, console, preprocessing
from .opening import FOLDER_WEIGHTS

if TYPE_CHECKING:
    from regnetc_runtime.preprocess import Preprocess
    from torch import Tensor

    from .api import Loaded

_STEM = "stem.conv.weight"


@click.command("export")
@click.argument("target", metavar="FILE.py|SPEC[:NAME]|NAME")
@click.option(
    "--weights", required=True, help="A file of weights, a run, or whose published ones to fetch."
)
@click.option(
    "--to", "form", type=click.Choice(["huggingface"]), required=True, help="Which tool's folder."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The folder, which is made whole or not at all.",
)
@click.option(
    "--classes",
    type=click.IntRange(0, 1_000_000),
    help="Make the classifier anew for so many classes.",
)
@click.option("--licence", help="The licence of the weights, for the card.")
@click.option(
    "--trust",
    metavar="DIGEST",
    help="Run a changed file that has this SHA-256 (16 digits or more).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(target: str, form: str, out: Path, as_json: bool, **given: Any) -> None:  # fmt: skip
    """Write a network and its weights as a folder: config.json, model.safetensors, README.md.

    \b
    transformers reads it with AutoModelForImageClassification.from_pretrained(DIR), `regnetc import DIR`
    makes a spec of it, and `--weights DIR` takes its weights. A stem for blue, green, red is turned
    around, since the folder says red, green, blue.

    \b
    regnetc export x400mf --weights pycls --to huggingface -o regnet-x-400mf
    regnetc export generated/digits.py --weights runs/digits-1 --to huggingface -o digits
    """
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise Problem("exists", f"`{printable(str(out))}` is there already", help="choose another name with `-o`")  # fmt: skip
    loaded = api.loaded(target, given["weights"], classes=given["classes"], trust=given["trust"])
    network = loaded.opened.generated.network
    if network is None:
        raise Problem("not-generated", f"`{printable(target)}` does not say what network it is")
    if given["classes"] is not None:
        network = network._replace(classes=given["classes"])
    contents, notes = _folder(network, loaded, given["licence"])
    files.make_folder(out.parent)
    files.write_folder(out, contents)
    if as_json:
        console.say_json({"folder": str(out), "network": network.name, "to": form, "files": sorted(contents), "notes": notes})  # fmt: skip
        return
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"wrote {printable(str(out))}: {', '.join(sorted(contents))}")


def _folder(n: Network, loaded: Loaded, licence: str | None) -> tuple[dict[str, bytes], list[str]]:
    """The files of the folder. Raises `cannot-hold` for a network that transformers does not build."""
    from regnetc_runtime import dialects, safetensors_file

    from ..importing import ConfigError, transformers

    try:
        config = transformers.written(n)
    except ConfigError as e:
        raise Problem(e.name, str(e), help=e.help) from None
    state, prepare, notes = _in_rgb(loaded)
    names = dialects.renamed({k: tuple(t.shape) for k, t in state.items()}, "transformers")
    meta = {
        "format": "pt",
        "dialect": "transformers",
        "channel_order": "rgb",
        "preprocess": prepare.to_json(),
    }
    tensors = {theirs: state[ours] for ours, theirs in names.items()}
    contents = {
        "config.json": _json(config), FOLDER_WEIGHTS: safetensors_file.encode(tensors, meta),
        "preprocessor_config.json": _json(_processor(prepare)), "README.md": _card(n, loaded, prepare, licence).encode(),
    }  # fmt: skip
    return contents, notes


def _in_rgb(loaded: Loaded) -> tuple[dict[str, Tensor], Preprocess, list[str]]:
    """The state dict for images in red, green, blue, and how they are prepared."""
    state = {k: t.detach().cpu().contiguous() for k, t in loaded.net.state_dict().items()}
    prepare = loaded.prepare
    if prepare.channel_order != "bgr":
        return state, prepare, []
    state[_STEM] = state[_STEM].flip(1).contiguous()
    turned = preprocessing.turned(prepare)
    return (
        state,
        turned,
        ["the stem takes red, green, blue now; the weights were for blue, green, red"],
    )


def _json(data: dict[str, Any]) -> bytes:
    return f"{json.dumps(data, indent=2)}\n".encode()


def _processor(prepare: Preprocess) -> dict[str, Any]:
    """The same preparation in the fields of transformers' image processors."""
    return {
        "crop_size": {"height": prepare.crop, "width": prepare.crop}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": list(prepare.mean),
        "image_processor_type": "BitImageProcessor", "image_std": list(prepare.std), "resample": 3 if prepare.interpolation == "bicubic" else 2,
        "rescale_factor": 1 / 255, "size": {"shortest_edge": prepare.resize},
    }  # fmt: skip


_CARD = """---
library_name: transformers
pipeline_tag: image-classification
tags:
- regnet
{licence}---

# {name}

| | |
|---|---|
| parameters | {params:,} |
| flops (pycls) at {image} x {image} | {flops:,} |
| multiply-adds | {macs:,} |
| activations | {acts:,} |
| classes | {classes:,} |
| stages (blocks x width) | {stages} |
| images | short side {resize}, centre crop {crop}, mean {mean}, std {std} |

{source}Written by regnetc {version}; its weights are those of the file with SHA-256 `{digest}`.

```python
from transformers import AutoImageProcessor, {kind}

model = {kind}.from_pretrained("DIR")
processor = AutoImageProcessor.from_pretrained("DIR")
```

`regnetc import DIR` makes this spec of it:

```
{spec}```
"""


def _card(n: Network, loaded: Loaded, prepare: Preprocess, licence: str | None) -> str:
    from .. import __version__
    from ..lift import spec_of

    assert loaded.weights is not None
    row = loaded.published
    said = licence or (row.licence if row is not None else "")
    source = ""
    if row is not None:
        source = f"Weights of {row.row.source}, there called {row.name}: <{row.weights}>.\n\n"
    counts = n.counts
    return _CARD.format(
        licence=f"license: {printable(said, 60).lower()}\n" if said else "", name=n.name, params=counts.params,
        image=n.image, flops=counts.pycls, macs=counts.macs, acts=counts.acts, classes=n.classes,
        stages=", ".join(f"{s.d} x {s.w}" for s in n.stages), resize=prepare.resize, crop=prepare.crop,
        mean=_numbers(prepare.mean), std=_numbers(prepare.std), source=source, version=__version__,
        digest=loaded.weights.digest, kind="RegNetForImageClassification" if n.classes else "RegNetModel",
        spec=spec_of(n._replace(published=()), n.name, f"{n.name}."),
    )  # fmt: skip


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)
