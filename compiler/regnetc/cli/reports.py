"""What an evaluation found: said on the screen, and kept in a folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regnetc_runtime import files
from regnetc_runtime.problems import Problem, some

from ..diagnostics import printable
from . import console

if TYPE_CHECKING:
    from regnetc_runtime.data.parts import Data, Part
    from regnetc_runtime.evaluation.accuracy import Accuracy, Tally
    from regnetc_runtime.evaluation.metrics import Metrics
    from regnetc_runtime.evaluation.robustness import Robustness
    from regnetc_runtime.evaluation.scores import Scores
    from regnetc_runtime.preprocess import Preprocess

REPORT, CONFUSION, RELIABILITY = "report.json", "confusion.png", "reliability.png"
PAIRS = 3  # of classes that are taken for each other, on the screen
MATRIX_CLASSES = 1_000  # of a picture that shows something


@dataclass(frozen=True)
class Found:
    """An evaluation's numbers, and the scores that they were computed from."""

    accuracy: Accuracy
    metrics: Metrics
    scores: Scores
    preprocess: Preprocess
    classes: tuple[str, ...]
    robustness: Robustness | None = None

    def to_json(self) -> dict[str, Any]:
        """All single numbers, and how images were prepared."""
        robust = None
        if self.robustness is not None:
            robust = asdict(self.robustness) | {"mean_error": self.robustness.mean_error}
        return (
            asdict(self.accuracy)
            | {k: v for k, v in asdict(self.metrics).items() if k not in ("images", "loss")}
            | {"preprocess": asdict(self.preprocess), "corruptions": robust}
        )


def found(
    tally: Tally,
    name: str,
    preprocess: Preprocess,
    classes: tuple[str, ...],
    robustness: Robustness | None = None,
) -> Found:
    """Everything that follows from one pass over the images."""
    from regnetc_runtime.evaluation import metrics

    accuracy, scores = tally.accuracy(name), tally.scores()
    return Found(accuracy, metrics.measure(scores), scores, preprocess, classes, robustness)


def show(out: Any, result: Found) -> None:
    """The accuracy with its interval, calibration, what is confused, and how images were prepared."""
    from regnetc_runtime.evaluation import metrics

    a, m = result.accuracy, result.metrics
    top5 = f", top-5 {a.top5:.2f}%" if a.top5 is not None else ""
    low, high = m.top1_interval
    out.print(
        f"accuracy: top-1 {a.top1:.2f}% (95%: {low:.2f} to {high:.2f}){top5}, loss {a.loss:.4f} on "
        f"{a.images:,} images ({a.data}), {a.images_per_s:,.1f} images/s"
    )
    out.print(
        f"calibration: error {m.ece:.2f} points, mean confidence {m.confidence:.2f}%, Brier score {m.brier:.4f}"
    )
    pairs = metrics.most_confused(result.scores, PAIRS)
    if pairs:
        said = [
            f"{_class(result, p.label)} as {_class(result, p.guess)} ({p.images:,})" for p in pairs
        ]
        out.print(f"most often taken for another: {', '.join(said)}")
    out.print(f"images: {described(result.preprocess)}")
    if a.unreadable:
        shown = some(a.unreadable, 5)
        out.print(f"not readable, left out: {len(a.unreadable):,} ({shown})")
    if result.robustness is not None:
        _show_robustness(out, result.robustness)


def described(p: Preprocess) -> str:
    """How an image becomes input, in one line."""
    numbers = (" ".join(f"{n:g}" for n in row) for row in (p.mean, p.std))
    shape = f"short side to {p.resize} ({p.interpolation}, antialiased), centre {p.crop} x {p.crop}"
    colours = p.channel_order if p.channels == 3 else "grey"
    return f"{shape}, {colours} / 255, minus {next(numbers)}, over {next(numbers)}"


def keep(
    folder: Path, result: Found, part: Part, data: Data, digests: dict[str, str], network: str
) -> None:
    """Write the report, the predictions and, where matplotlib is, the pictures."""
    from regnetc_runtime.evaluation import metrics

    files.make_folder(folder)
    seen, right = metrics.per_class(result.scores)
    report = result.to_json() | {
        "per_class": [
            {"class": name, "images": int(n), "right": int(r)}
            for name, n, r in zip(data.classes, seen.tolist(), right.tolist(), strict=True)
        ],
        "most_confused": [asdict(p) for p in metrics.most_confused(result.scores)],
    }
    files.write(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode())
    keep_predictions(folder, "test", result.scores, result.preprocess, part, data, digests, network)
    _pictures(folder, result)


def keep_predictions(
    folder: Path,
    name: str,
    scores: Scores,
    preprocess: Preprocess,
    part: Part,
    data: Data,
    digests: dict[str, str],
    network: str,
) -> None:
    """Write what the network said of each image of a part, `test` or `validation`."""
    from regnetc_runtime.evaluation import predictions

    about = predictions.About(
        network=network, data=data.name, part=name, data_digest=data.digest,
        preprocess=preprocess.to_json(), **digests,
    )  # fmt: skip
    found = predictions.of_scores(scores, part.name, data.classes, about)
    predictions.save(folder / predictions.FILES[name], found)


def _pictures(folder: Path, result: Found) -> None:
    from regnetc_runtime.evaluation import metrics, pictures

    try:
        if result.scores.classes <= MATRIX_CLASSES:
            matrix = metrics.confusion(result.scores)
            picture = pictures.of_confusion(matrix, result.classes, ".png")
            files.write(folder / CONFUSION, picture)
        picture = pictures.of_reliability(metrics.reliability(result.scores), ".png")
        files.write(folder / RELIABILITY, picture)
    except Problem as e:
        if e.name != "missing-package":
            raise
        console.say_warning(f"no pictures: {e.message} ({e.help})")


def _show_robustness(out: Any, robust: Robustness) -> None:
    table = console.table()
    table.add_column("corruption")
    table.add_column("error", justify="right")
    for kind, error in robust.errors.items():
        table.add_row(kind, f"{error:.2f}%")
    out.print()
    out.print(table)
    out.print(
        f"mean corruption error {robust.mean_error:.2f}% over severities 1 to 5, not normalised; the "
        "corruptions are computed here after the published definitions, not ImageNet-C's files"
    )


def _class(result: Found, index: int) -> str:
    return printable(result.classes[index], 40)
