"""`regnetc run --eval`: a generated module counted, timed and evaluated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..network import Network
from ..published import Reconciled, reconcile
from . import console, modules, opening, preprocessing, reports
from .progress import bar

if TYPE_CHECKING:
    import torch
    from regnetc_runtime.device import Precision
    from regnetc_runtime.speed import Speed
    from torch import nn


def evaluate(generated: modules.Generated, given: dict[str, Any]) -> int:
    """Report every verdict; 1 where a count is not the declared one or a published row differs."""
    network = modules.resolved(generated)
    if given["weights"] is not None and given["data"] is None:
        raise click.UsageError("--weights goes with --data DIR or --data digits")
    if given["data"] is not None and given["weights"] is None:
        raise click.UsageError(
            "--data goes with --weights FILE; without it the network knows nothing"
        )
    if given["out"] is not None and given["data"] is None:
        raise click.UsageError(
            "-o keeps the report of an evaluation: it goes with --data and --weights"
        )
    from regnetc_runtime import count, device, speed

    use_threads(given["threads"])
    target = device.pick(given["device"])
    precision = device.Precision(given["dtype"], given["channels_last"])
    net = modules.build(generated, seed_of(given))
    seen = None
    if given["data"] is not None:  # first: a mistake in weights or data should show at once
        seen = _look(generated, net, network, target, precision, given)
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
                "accuracy": seen.to_json() if seen is not None else None,
            }
        )  # fmt: skip
    else:
        _report(generated, network, pairs, rows, found.unsupported, timed, seen)
    return console.PROBLEMS if failed else console.OK


def use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def seed_of(given: dict[str, Any]) -> int:
    """The one seed that was said, or 0."""
    seeds: tuple[int, ...] = given["seeds"]
    if len(seeds) > 1:
        raise click.UsageError("several seeds are for --train")
    return seeds[0] if seeds else 0


def _look(
    generated: modules.Generated,
    net: nn.Module,
    network: Network,
    target: torch.device,
    precision: Precision,
    given: dict[str, Any],
) -> reports.Found:
    """Evaluate the weights on the test part of the data; keep what was found where that was asked for."""
    from regnetc_runtime.data import sources
    from regnetc_runtime.data.bad import BadImages
    from regnetc_runtime.evaluation import accuracy, reading, robustness
    from regnetc_runtime.training import run_folder

    path, run = opening.weights_file(given["weights"])
    _check_report(given["out"], run)
    loaded = modules.load_weights(net, network, path)
    prepare = preprocessing.chosen(network, loaded, given, given.get("published"))
    data = sources.open_data(
        given["data"], channels=network.channels, side=prepare.crop, classes=network.classes
    )
    for note in data.notes:
        console.say_warning(note)
    if data.test is None:
        raise Problem("no-test-images", f"{data.name} has no images to test with")
    name = "digits, held-out test part" if data.kind == "digits" else data.name
    part, workers = data.test, given["workers"]
    run = _to_write(run, data.digest, kept=given["out"] is not None)

    def bad() -> BadImages:
        return BadImages(limit=1.0 if given["skip_bad"] else 0.0, replace=False)

    with bar("evaluating") as progress:
        tally = accuracy.classify(
            net, reading.read(part, prepare, workers, bad=bad()), prepare, target, precision,
            total=len(part.labels), progress=progress,
        )  # fmt: skip
        robust = None
        if given["corruptions"]:
            batches = reading.read(part, prepare, workers, bad=bad())
            robust = robustness.evaluate_corrupted(
                net, batches, prepare, target, precision, data=name, workers=max(workers, 1),
                total=len(part.labels), progress=progress,
            )  # fmt: skip
    seen = reports.found(tally, name, prepare, data.classes, robust)
    digests = {"module_digest": generated.digest, "weights_digest": loaded.digest}
    for folder in (given["out"], run):
        if folder is not None:
            reports.keep(folder, seen, part, data, digests, network.name)
    if run is not None:
        run_folder.note_test(
            run, weights=loaded.digest, data=data.digest, images=seen.accuracy.images, top1=seen.accuracy.top1
        )  # fmt: skip
    return seen


def _check_report(folder: Path | None, run: Path | None) -> None:
    """Raise `run-exists` or `foreign-folder` where a report would replace what belongs to something else."""
    from regnetc_runtime.training import run_folder

    if folder is None or not folder.is_dir() or (run is not None and folder.samefile(run)):
        return
    shown = printable(str(folder))
    if run_folder.begun(folder):
        raise Problem(
            "run-exists", f"{shown} is the folder of another run, whose own results lie there",
            help="choose another folder with -o",
        )  # fmt: skip
    if any(folder.iterdir()) and not (folder / reports.REPORT).is_file():
        raise Problem(
            "foreign-folder", f"{shown} holds something else than a report", help="choose another folder with -o"
        )  # fmt: skip


def _to_write(run: Path | None, digest: str, *, kept: bool) -> Path | None:
    """The run whose folder takes the result: none for other data than its own, or where nothing can be written."""
    from regnetc_runtime import files
    from regnetc_runtime.training import run_folder

    if run is None:
        return None
    shown = printable(str(run))
    if run_folder.read_manifest(run).get("data_digest") != digest:
        console.say_warning(
            f"these are not the data of the run, so nothing is written into {shown}"
            + ("" if kept else "; -o DIR keeps a report")
        )
        return None
    try:
        files.check_writable(run / reports.REPORT)
    except Problem as e:
        console.say_warning(
            f"nothing is written into {shown}, and so the use of the test part is not noted: {e.message}"
        )
        return None
    return run


def _report(
    generated: modules.Generated,
    network: Network,
    pairs: dict[str, tuple[int, int]],
    rows: list[Reconciled],
    unsupported: dict[str, int],
    timed: Speed,
    seen: reports.Found | None,
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
    if seen is not None:
        reports.show(out, seen)


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
