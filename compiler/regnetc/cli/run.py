"""`regnetc run`: verify a generated module, count it, time it, evaluate it, or train it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..network import Network
from ..published import Reconciled, reconcile
from . import console, modules, preprocessing
from .progress import bar

if TYPE_CHECKING:
    import torch
    from regnetc_runtime.device import Precision
    from regnetc_runtime.evaluation.accuracy import Accuracy
    from regnetc_runtime.speed import Speed
    from torch import nn


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.option(
    "--eval",
    "evaluating",
    is_flag=True,
    help="Count it, hold that against every declared and published number, time it.",
)
@click.option(
    "--train",
    "training",
    is_flag=True,
    help="Train it from scratch (--data digits) and save its weights.",
)
@click.option(
    "--data",
    metavar="DIR|digits",
    help="Images in class folders, or scikit-learn's handwritten digits.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights as safetensors, or a .pth that holds nothing but tensors.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Where --train saves weights [runs/STEM.safetensors].",
)
@click.option("--epochs", type=click.IntRange(1, 10_000), help="Epochs of --train [30].")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of weights and training.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bf16", "fp16"]),
    default="float32",
    show_default=True,
    help="Autocast to this type.",
)
@click.option("--channels-last", is_flag=True, help="Keep channels innermost in memory.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Threads that compute on a CPU [what torch takes; 1 to train].",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 65_536),
    default=1,
    show_default=True,
    help="Images at a time, for timing.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="Threads that decode images.",
)
@click.option(
    "--skip-bad",
    is_flag=True,
    help="Count images that cannot be read instead of stopping at the first.",
)
@click.option(
    "--trust",
    metavar="DIGEST",
    help="Run a changed file that has this SHA-256 (16 digits or more).",
)
@preprocessing.options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(file: Path, evaluating: bool, training: bool, **given: Any) -> None:
    """Verify a generated module before a line of it runs, then count, time, evaluate or train it.

    \b
    regnetc run generated/x400mf.py --eval
    regnetc run generated/digits.py --train --data digits
    regnetc run generated/digits.py --eval --data digits --weights runs/digits.safetensors
    """
    if evaluating == training:
        raise click.UsageError("say either --eval or --train")
    generated = modules.read(file, given["trust"])
    if generated.trusted:
        console.say_warning(
            f"`{printable(str(file))}` was changed since regnetc wrote it and runs by --trust"
        )
    if training:
        _train(generated, given)
    else:
        sys.exit(_evaluate(generated, given))


# Evaluation.


def _evaluate(generated: modules.Generated, given: dict[str, Any]) -> int:
    """Report every verdict; 1 where a count is not the declared one or a published row differs."""
    network = modules.resolved(generated)
    if given["weights"] is not None and given["data"] is None:
        raise click.UsageError("--weights goes with --data DIR or --data digits")
    if given["data"] is not None and given["weights"] is None:
        raise click.UsageError(
            "--data goes with --weights FILE; without it the network knows nothing"
        )
    from regnetc_runtime import count, device, speed

    _use_threads(given["threads"])
    target = device.pick(given["device"])
    precision = device.Precision(given["dtype"], given["channels_last"])
    net = modules.build(generated, given["seed"])
    accuracy = None
    if given["data"] is not None:  # first: a mistake in weights or data should show at once
        accuracy = _accuracy(net, network, target, precision, given)
    with bar("counting") as progress:
        progress(0, None, "counting with fvcore")
        found = count.count(net.to("cpu"), network.channels, network.image)
    with bar("timing") as progress:
        timed = speed.measure(
            net,
            network.channels,
            network.image,
            given["batch"],
            target,
            precision,
            progress=progress,
        )
    counts = network.counts
    pairs = {
        "params": (counts.params, found.params),
        "fvcore": (counts.fvcore, found.fvcore),
        "torch2": (counts.torch2, found.torch2),
        "acts": (counts.acts, found.acts),
    }
    rows = reconcile(network)
    failed = any(a != b for a, b in pairs.values()) or any(r.verdict == "differs" for r in rows)
    if given["as_json"]:
        console.say_json(
            {
                "name": network.name, "digest": generated.digest, "trusted": generated.trusted,
                "device": str(target), "image": network.image,
                "counts": {k: {"declared": a, "measured": b} for k, (a, b) in pairs.items()}
                | {"unsupported_ops": found.unsupported},
                "published": [row._asdict() for row in rows],
                "speed": asdict(timed),
                "accuracy": asdict(accuracy) if accuracy is not None else None,
            }
        )  # fmt: skip
    else:
        _report(generated, network, pairs, rows, found.unsupported, timed, accuracy)
    return console.PROBLEMS if failed else console.OK


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _accuracy(
    net: nn.Module,
    network: Network,
    target: torch.device,
    precision: Precision,
    given: dict[str, Any],
) -> Accuracy:
    from regnetc_runtime import weights
    from regnetc_runtime.data import digits, folders
    from regnetc_runtime.data.batches import check_classes
    from regnetc_runtime.evaluation import accuracy as evaluate

    loaded = weights.read(given["weights"])
    for note in loaded.notes:
        console.say_warning(f"{printable(str(given['weights']))}: {note}")
    weights.load_into(net, loaded)
    prepare = preprocessing.chosen(network, loaded, given)
    if given["data"] == "digits":
        check_classes("digits", digits.CLASSES, network.classes)
        test = digits.load(prepare.crop).test
        batches, total, name = test.batches(256), len(test.labels), "digits, held-out test part"
        if prepare.channels != 1:
            raise Problem(
                "wrong-input", f"digits have 1 channel, the network takes {network.channels}"
            )
    else:
        folder = folders.scan(Path(given["data"]))
        for note in folder.notes:
            console.say_warning(note)
        check_classes(given["data"], len(folder.classes), network.classes)
        batches = folders.batches(folder, prepare, 64, given["workers"], skip_bad=given["skip_bad"])
        total, name = len(folder.files), printable(given["data"])
    with bar("evaluating") as progress:
        return evaluate.evaluate(
            net, batches, prepare, target, precision, data=name, total=total, progress=progress
        )


def _report(
    generated: modules.Generated,
    network: Network,
    pairs: dict[str, tuple[int, int]],
    rows: list[Reconciled],
    unsupported: dict[str, int],
    timed: Speed,
    accuracy: Accuracy | None,
) -> None:
    out = console.rich_console()
    how = (
        "trusted, not verified"
        if generated.trusted
        else "verified: byte for byte what regnetc emits"
    )
    out.print(f"{network.name}  ({how})", style="bold")
    out.print(
        f"{printable(str(generated.path))}, SHA-256 {generated.digest[:16]}, at {network.image} x {network.image}"
    )
    out.print()
    out.print(_reconcile_table(pairs, rows))
    for erratum in sorted({row.erratum for row in rows if row.verdict == "erratum"}):
        out.print(f"erratum: {printable(erratum, 400)}")
    if unsupported:
        names = ", ".join(f"{name} x{times}" for name, times in unsupported.items())
        out.print(f"not counted by fvcore: {printable(names, 400)}")
    out.print()
    out.print(
        f"speed: {timed.median_ms:.2f} ms a batch of {timed.batch} (IQR {timed.iqr_ms:.2f}), "
        f"{timed.images_per_s:,.1f} images/s; {timed.device}, {timed.dtype}, {timed.layout}, "
        f"{timed.repeats} runs after {timed.warmup} to warm up"
    )
    if timed.peak_memory_bytes is not None:
        out.print(f"peak GPU memory: {timed.peak_memory_bytes / 2**20:,.0f} MiB")
    if accuracy is not None:
        _print_accuracy(out, accuracy)


def _reconcile_table(pairs: dict[str, tuple[int, int]], rows: list[Reconciled]) -> Any:
    from rich.text import Text

    styles = {
        "equal": "green",
        "agrees": "green",
        "erratum": "yellow",
        "DIFFERS": "bold red",
        "differs": "bold red",
    }
    table = console.table()
    for column in ("what", "claimed by", "claimed", "ours", "found by", "verdict"):
        table.add_column(column, justify="right" if column in ("claimed", "ours") else "left")
    names = {
        "params": "params",
        "fvcore": "flops (fvcore)",
        "torch2": "flops (torch2)",
        "acts": "acts",
    }
    for key, (declared, measured) in pairs.items():
        verdict = "equal" if declared == measured else "DIFFERS"
        table.add_row(
            names[key],
            "this file",
            f"{declared:,}",
            f"{measured:,}",
            "measuring it",
            Text(verdict, style=styles[verdict]),
        )
    for row in rows:
        what = f"flops ({row.counting})" if row.field == "flops" else row.field
        source = printable(row.source, 60) or "published"
        table.add_row(
            what,
            source,
            row.printed,
            f"{row.ours:,}",
            "closed form",
            Text(row.verdict, style=styles[row.verdict]),
        )
    return table


def _print_accuracy(out: Any, accuracy: Accuracy) -> None:
    top5 = f", top-5 {accuracy.top5:.2f}%" if accuracy.top5 is not None else ""
    out.print(
        f"accuracy: top-1 {accuracy.top1:.2f}%{top5}, loss {accuracy.loss:.4f} on {accuracy.images:,} images "
        f"({accuracy.data}), {accuracy.images_per_s:,.1f} images/s"
    )
    if accuracy.unreadable:
        shown = ", ".join(printable(name, 80) for name in accuracy.unreadable[:5])
        out.print(f"not readable, left out: {len(accuracy.unreadable):,} ({shown})")


# Training.


def _train(generated: modules.Generated, given: dict[str, Any]) -> None:
    network = modules.resolved(generated)
    if given["data"] is None:
        raise click.UsageError("--train needs --data digits")
    from regnetc_runtime import device
    from regnetc_runtime.data import digits
    from regnetc_runtime.evaluation import accuracy as evaluate
    from regnetc_runtime.training import train

    target = device.pick(given["device"])
    net = modules.build(generated, given["seed"])
    path = given["out"]
    if path is None:
        path = Path("runs", f"{generated.path.stem}.safetensors")
        files.make_folder(path.parent)
    said = {k: given[k] for k in ("epochs", "threads") if given[k] is not None}
    recipe = train.Recipe(seed=given["seed"], **said)
    with bar(f"training {network.name}") as progress:
        done = train.train(
            net, network.channels, network.image, given["data"], recipe, target, path,
            name=network.name, on_epoch=lambda epoch: progress(epoch.number, epoch.epochs, _epoch_text(epoch)),
        )  # fmt: skip
    test = digits.load(network.image).test
    found = evaluate.evaluate(
        net, test.batches(256), digits.preprocess(network.image), target, device.Precision(),
        data="digits, held-out test part", total=len(test.labels),
    )  # fmt: skip
    if given["as_json"]:
        history = [asdict(epoch) for epoch in done.history]
        console.say_json(
            {
                "name": network.name, "digest": generated.digest, "device": str(target), "seed": given["seed"],
                "weights": str(path), "weights_digest": done.digest, "seconds": done.seconds,
                "interrupted": done.interrupted, "history": history,
                "accuracy": asdict(found),
            }
        )  # fmt: skip
        return
    out = console.rich_console()
    early = ", stopped by Ctrl-C" if done.interrupted else ""
    out.print(
        f"{network.name}: {len(done.history)} epochs in {done.seconds:.1f} s{early}; "
        f"{done.history[-1].validation_top1:.2f}% of the validation part"
    )
    _print_accuracy(out, found)
    out.print(f"wrote {printable(str(path))}")


def _epoch_text(epoch: Any) -> str:
    return f"loss {epoch.loss:.3f}, validation {epoch.validation_top1:.1f}%, {epoch.images_per_s:,.0f} images/s"
