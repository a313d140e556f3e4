"""`regnetc predict`: what a trained network sees on images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..program import UnreadableError, read_bytes
from . import console, modules, preprocessing


@click.command("predict")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.argument(
    "images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "--weights",
    required=True,
    type=click.Path(path_type=Path),
    help="Weights as safetensors, or a .pth that holds nothing but tensors.",
)
@click.option(
    "--top", type=click.IntRange(1), default=5, show_default=True, help="How many classes to name."
)
@click.option(
    "--class-names",
    type=click.Path(path_type=Path),
    help="A text file with the name of a class on each line.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--trust",
    metavar="DIGEST",
    help="Run a changed file that has this SHA-256 (16 digits or more).",
)
@preprocessing.options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(file: Path, images: tuple[Path, ...], **given: Any) -> None:
    """Classes and scores of images, best first.

    \b
    regnetc predict generated/digits.py seven.png --weights runs/digits.safetensors
    """
    generated = modules.read(file, given["trust"])
    network = modules.resolved(generated)
    from regnetc_runtime import device
    from regnetc_runtime.evaluation import predict

    target = device.pick(given["device"])
    net = modules.build(generated)
    loaded = modules.load_weights(net, network, modules.weights_file(given["weights"])[0])
    prepare = preprocessing.chosen(network, loaded, given)
    names = _names(given["class_names"]) if given["class_names"] is not None else None
    found = predict.predict(net, list(images), prepare, target, top=given["top"], class_names=names)
    if given["as_json"]:
        console.say_json(
            [
                {
                    "image": printable(str(p.path), 4_000),
                    "classes": [
                        {"index": g.index, "name": g.name, "score": g.score} for g in p.classes
                    ],
                }
                for p in found
            ]
        )
        return
    for prediction in found:
        click.echo(printable(str(prediction.path), 4_000))
        for guess in prediction.classes:
            name = f"  {printable(guess.name)}" if guess.name is not None else ""
            click.echo(f"  {guess.score:7.2%}  class {guess.index}{name}")


def _names(path: Path) -> list[str]:
    try:
        text = read_bytes(str(path), 16 * 2**20).decode("utf-8")
    except UnreadableError as e:
        raise Problem("unreadable", str(e)) from None
    except UnicodeDecodeError:
        raise Problem("encoding", f"`{printable(str(path))}` is not UTF-8") from None
    return text.splitlines()
