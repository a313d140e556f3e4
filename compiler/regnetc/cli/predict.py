"""`regnetc predict`: what a trained network sees on images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..program import UnreadableError, read_bytes
from . import console, modules, opening, preprocessing

if TYPE_CHECKING:
    from regnetc_runtime.evaluation.predict import Prediction


@click.command("predict")
@click.argument("target", metavar="FILE.py|SPEC[:NAME]|NAME")
@click.argument(
    "images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "--weights",
    required=True,
    help="Weights in anybody's names, the folder of a run, or whose published ones to fetch.",
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
def command(target: str, images: tuple[Path, ...], **given: Any) -> None:
    """Classes and scores of images, best first. Exit 1 if some cannot be read; the others are looked at.

    \b
    regnetc predict generated/digits.py seven.png --weights runs/digits-1
    regnetc predict regnet_x_400mf cat.jpg --weights torchvision
    """
    opened = opening.open_network(target, given["trust"])
    generated = opened.generated
    network = modules.resolved(generated)
    from regnetc_runtime import device
    from regnetc_runtime.evaluation import predict

    where = device.pick(given["device"])
    path, row = opening.located(given["weights"], opened)
    net = modules.build(generated)
    loaded = modules.load_weights(net, network, opening.weights_file(path)[0])
    prepare = preprocessing.chosen(network, loaded, given, row)
    names = _names(given["class_names"]) if given["class_names"] is not None else None
    found = predict.predict(net, list(images), prepare, where, top=given["top"], class_names=names)
    bad, said = 0, []
    for prediction in found:
        bad += prediction.problem is not None
        if given["as_json"]:
            said.append(_data(prediction))
        else:
            _print(prediction)
    if given["as_json"]:
        console.say_json(said)
    sys.exit(console.PROBLEMS if bad else console.OK)


def _data(prediction: Prediction) -> dict[str, Any]:
    problem = prediction.problem
    return {
        "image": str(prediction.path),
        "classes": [
            {"index": g.index, "name": g.name, "score": g.score} for g in prediction.classes
        ],
        "problem": None if problem is None else {"name": problem.name, "message": problem.message},
    }


def _print(prediction: Prediction) -> None:
    problem = prediction.problem
    if problem is not None:
        console.say_error(problem.name, problem.message, problem.details, problem.help)
        return
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
    return text.removesuffix("\n").replace("\r\n", "\n").split("\n")
