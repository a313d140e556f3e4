"""`regnetc compare`: which of two trained networks is better, and whether that is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from regnetc_runtime.problems import Problem, require, some

from ..diagnostics import printable
from . import console

if TYPE_CHECKING:
    from regnetc_runtime.evaluation.mcnemar import Table
    from regnetc_runtime.evaluation.predictions import Predictions
    from regnetc_runtime.evaluation.runs import Run

_CHANCE = 0.05
_NAMED = 5


@click.command("compare")
@click.argument("a", type=click.Path(path_type=Path), metavar="A")
@click.argument("b", type=click.Path(path_type=Path), metavar="B")
@click.option(
    "--part", type=click.Choice(["test", "validation"]),
    help="Part of the data [test, where both runs have it].",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(a: Path, b: Path, part: str | None, as_json: bool) -> None:
    """Compare two runs, or two files of predictions, image by image.

    \b
    Says which gets more images right, by how much, whether chance would do that (McNemar's exact
    test), which images only one of them gets right, and in what the runs differ. It judges these two
    networks; whether their recipes differ takes several seeds of each: `regnetc runs`.

    \b
    regnetc compare runs/a runs/b
    regnetc compare runs/a/predictions-test.safetensors other.safetensors
    """
    require("torch", "run")
    from regnetc_runtime.evaluation import mcnemar
    from regnetc_runtime.evaluation.predictions import same_images

    sides = _sides(a, b, part)
    one, two = (side.predictions for side in sides)
    notes = same_images(one, two)
    x, y = one.scores.right, two.scores.right
    pairs = ((x & y), (x & ~y), (~x & y), (~x & ~y))
    table = mcnemar.Table(*(int(p.sum()) for p in pairs))
    if not table.images:
        raise Problem("no-images", "the predictions are of no images")
    only = [[one.names[i] for i in p.nonzero().flatten().tolist()] for p in pairs[1:3]]
    differences = _differences(*sides)
    if as_json:
        console.say_json(_data(sides, table, only, differences, notes))
        return
    for note in notes:
        console.say_warning(note)
    _report(sides, table, only, differences)


@dataclass(frozen=True)
class _Side:
    """What was compared: a file of predictions, and the run that it belongs to."""

    path: Path
    predictions: Predictions
    run: Run | None

    @property
    def top1(self) -> float:
        scores = self.predictions.scores
        return 100 * int(scores.right.sum()) / len(scores)

    @property
    def interval(self) -> tuple[float, float]:
        from regnetc_runtime.evaluation.intervals import wilson

        scores = self.predictions.scores
        low, high = wilson(int(scores.right.sum()), len(scores))
        return 100 * low, 100 * high


def _sides(a: Path, b: Path, part: str | None) -> tuple[_Side, _Side]:
    """Both sides, with the same part of the data where they are runs."""
    from regnetc_runtime.evaluation import runs
    from regnetc_runtime.evaluation.predictions import FILES, read

    folders = [p for p in (a, b) if p.is_dir()]
    of_run = {p: runs.read(p) for p in folders}
    there = [k for k, name in FILES.items() if all((p / name).is_file() for p in folders)]
    if (folders and part not in (*there, None)) or (folders and not there):
        wanted = f"predictions of the {part} part" if part else "predictions of the same part"
        raise Problem(
            "no-predictions", f"{some(folders)} {'hold' if len(folders) > 1 else 'holds'} no {wanted}",
            help="a run writes them when it is finished and evaluated",
        )  # fmt: skip

    def side(path: Path) -> _Side:
        if path not in of_run:
            return _Side(path, read(path), None)
        found = _Side(path, read(path / FILES[part or there[0]]), of_run[path])
        own, theirs = of_run[path].digests["weights"], found.predictions.about.weights_digest
        if own and theirs and own != theirs:
            raise Problem(
                "foreign-predictions", f"the predictions in {printable(str(path))} are of other weights than the run's",
                help=f"`regnetc run ... --eval --weights {printable(str(path))}` writes its own anew",
            )  # fmt: skip
        return found

    return side(a), side(b)


def _differences(a: _Side, b: _Side) -> list[tuple[str, str, str]]:
    """Rows of what is not the same: field, and what either side says, `-` for nothing."""
    x, y = _facts(a), _facts(b)
    return [(k, x.get(k, "-"), y.get(k, "-")) for k in {**x, **y} if x.get(k) != y.get(k)]


def _facts(side: _Side) -> dict[str, str]:
    about = asdict(side.predictions.about)
    facts = {
        "network": about["network"], "module": about["module_digest"][:16],
        "weights": about["weights_digest"][:16], "data": about["data_digest"][:16],
        "preprocess": about["preprocess"],
    }  # fmt: skip
    run = side.run
    if run is not None:  # whose weights are other ones anyway
        del facts["weights"]
        facts["network"] = run.network or facts["network"]
        facts["module"] = run.digests["module"][:16] or facts["module"]
        facts["data"] = run.digests["data"][:16] or facts["data"]
        facts["seed"] = "" if run.seed is None else str(run.seed)
        facts |= {f"recipe {k}": v for k, v in run.settings.items()}
    return {k: printable(v, 100) for k, v in facts.items() if v}


def _report(
    sides: tuple[_Side, _Side],
    table: Table,
    only: Sequence[Sequence[str]],
    differences: Sequence[tuple[str, str, str]],
) -> None:
    out = console.rich_console()
    about = sides[0].predictions.about
    what = ", ".join(filter(None, (printable(about.data, 60), printable(about.part, 20))))
    out.print(f"{table.images:,} images" + (f" ({what})" if what else ""))
    for letter, side in zip("ab", sides, strict=True):
        low, high = side.interval
        out.print(
            f"{letter}: {side.top1:6.2f}% right, 95%: {low:.2f} to {high:.2f}  {printable(str(side.path), 80)}"
        )
    out.print(_verdict(table), style="bold")
    low, high = table.interval
    out.print(
        f"a - b: {table.difference:+.2f} points, 95%: {low:+.2f} to {high:+.2f}; "
        f"McNemar's exact p = {_p(table.p)}, mid-p = {_p(table.mid_p)}"
    )
    out.print(f"both right: {table.both:,}, neither: {table.neither:,}")
    for letter, names in zip("ab", only, strict=True):
        out.print(
            f"only {letter} right: {len(names):,}" + (f" ({some(names, _NAMED)})" if names else "")
        )
    if not differences:
        return
    rows = console.table()
    for column in ("what differs", "a", "b"):
        rows.add_column(column)
    for row in differences:
        rows.add_row(*row)
    out.print()
    out.print(rows)


def _verdict(table: Table) -> str:
    if table.only_a == table.only_b:
        return "neither is better"
    better = "a" if table.only_a > table.only_b else "b"
    chance = "more than chance" if table.p < _CHANCE else "which may be chance"
    return f"{better} is better by {abs(table.difference):.2f} points, {chance}"


def _p(value: float) -> str:
    return f"{value:.2g}" if value < 0.001 else f"{value:.3f}"


def _data(
    sides: tuple[_Side, _Side],
    table: Table,
    only: Sequence[Sequence[str]],
    differences: Sequence[tuple[str, str, str]],
    notes: Sequence[str],
) -> dict[str, Any]:
    named = {
        letter: {"path": printable(str(s.path), 4_000), "top1": s.top1, "top1_interval": s.interval}
        for letter, s in zip("ab", sides, strict=True)
    }
    return named | {
        "images": table.images, "both": table.both, "only_a": table.only_a, "only_b": table.only_b,
        "neither": table.neither, "difference": table.difference, "interval": table.interval,
        "p": table.p, "mid_p": table.mid_p,
        "images_only_a": [printable(n, 4_000) for n in only[0]],
        "images_only_b": [printable(n, 4_000) for n in only[1]],
        "differences": [{"what": w, "a": x, "b": y} for w, x, y in differences], "notes": list(notes),
    }  # fmt: skip
