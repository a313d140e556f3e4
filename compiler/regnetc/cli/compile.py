"""`regnetc compile`: specs to modules, written whole or not at all."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import Diagnostic, has_errors, in_order, listed, printable
from ..driver import Checked, check_file, modules
from ..emit import emit
from ..limits import GENERATED_BYTES
from ..names import module_name
from ..network import Network
from ..program import UnreadableError, read_bytes
from ..published import reconcile
from ..verify import UnverifiedError, is_ours, verify
from . import console
from .members import compiled, members_of
from .targets import read_ir


@dataclass(frozen=True)
class Output:
    """One file to be written: where it goes, what it holds, whether that is news."""

    spec: str
    path: Path
    text: str
    network: Network
    old: bytes | None

    @property
    def stale(self) -> bool:
        return self.old != self.text.encode()


@click.command("compile")
@click.argument("specs", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("generated"),
    show_default=True,
    help="Folder that the modules go to.",
)
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Write nothing; exit 1 where a file is missing or stale.",
)
@click.option(
    "--emit",
    "form",
    type=click.Choice(["python", "ir"]),
    default="python",
    show_default=True,
    help="What is written.",
)
@click.option("--force", is_flag=True, help="Write over files that regnetc did not write.")
@click.option(
    "-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
    help="Processes that compile a population.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    specs: tuple[str, ...], folder: Path, only_check: bool, form: str, force: bool, jobs: int, as_json: bool
) -> None:  # fmt: skip
    """Write the PyTorch module of each model.

    \b
    A spec with one model becomes OUT/<stem>.py, a spec with several one file for each. A population
    (the folder that `regnetc sample` wrote) becomes a file for each member, POP#7 one file.
    Nothing is written unless every spec is sound.

    \b
    regnetc compile spec/x400mf.regnet
    regnetc compile --check spec/*.regnet
    regnetc compile pop/x400 -o nets -j 2
    """
    outputs, problems, recipes = _outputs(specs, folder, form, jobs)
    failed = has_errors(problems)
    if failed or not as_json:
        console.show_problems(problems, "json" if as_json else "text")
    if failed:
        sys.exit(console.PROBLEMS)
    if not outputs:
        raise _no_model(recipes)
    _distinct(outputs)
    if only_check:
        sys.exit(_report_stale(outputs, as_json=as_json))
    for output in outputs:
        if output.stale and not force:
            _may_replace(output)
    files.make_folder(folder)
    for output in outputs:
        if output.stale:
            files.write(output.path, output.text.encode())
    if as_json:
        console.say_json([_data(o) for o in outputs])
    else:
        for output in outputs:
            _say(output)


def _outputs(
    specs: tuple[str, ...], folder: Path, form: str, jobs: int
) -> tuple[list[Output], list[Diagnostic], list[str]]:
    """What is to be written, what is wrong, and the recipes that the specs declare besides."""
    outputs: list[Output] = []
    problems: list[Diagnostic] = []
    recipes: list[str] = []
    for name in specs:
        path = Path(name)
        numbers = members_of(name)
        if numbers is not None:
            made = list(compiled(*numbers, jobs))
        elif path.suffix == ".json":
            network = read_ir(path)
            made = [(module_name(path.name.split(".")[0]) + ".py", emit(network), network)]
        else:
            checked: Checked = check_file(path)
            problems.extend(checked.problems)
            recipes.extend(checked.recipes)
            if checked.failed:
                continue
            made = [(m.file, m.text, m.network) for m in modules(checked, name)]
        for file, text, network in made:
            if form == "ir":
                file, text = f"{Path(file).stem}.ir.json", ir.to_json(network) + "\n"
            target = folder / file
            outputs.append(Output(name, target, text, network, _present(target)))
    return outputs, in_order(problems), recipes


def _no_model(recipes: list[str]) -> Problem:
    remedy = "a `space` is not emitted; write a `model` that extends it"
    if recipes:
        names = listed([f"`{n}`" for n in recipes[:8]], "and")
        more = f" and {len(recipes) - 8:,} more" if len(recipes) > 8 else ""
        many = "recipes say" if len(recipes) > 1 else "recipe says"
        remedy = f"the {many} how to train, `regnetc show` prints one: {names}{more}"
    return Problem("no-model", "there is no model to compile", help=remedy)


def _present(path: Path) -> bytes | None:
    if not path.exists() and not path.is_symlink():
        return None
    try:
        return read_bytes(str(path), GENERATED_BYTES)
    except UnreadableError as e:
        raise Problem(
            "not-ours",
            f"{e}, and regnetc will not replace it",
            help="choose another folder with `-o`",
        ) from None


def _distinct(outputs: list[Output]) -> None:
    seen: dict[str, Output] = {}
    for output in outputs:
        first = seen.setdefault(str(output.path).lower(), output)
        if first is not output and output.spec != first.spec:
            raise Problem(
                "names-collide",
                f"two specs become `{printable(str(output.path))}`",
                details=(printable(first.spec), printable(output.spec)),
                help="compile them into different folders with `-o`",
            )


def _may_replace(output: Output) -> None:
    """Refuse to lose what regnetc did not write, or what somebody changed since."""
    if output.old is None:
        return
    shown = printable(str(output.path))
    remedy = "choose another folder with `-o`, or insist with `--force`"
    if output.path.suffix == ".json":
        try:
            ir.from_json(output.old.decode("utf-8", "replace"))
        except ir.IRError:
            raise Problem(
                "not-ours", f"`{shown}` was not written by regnetc", help=remedy
            ) from None
        return
    if not is_ours(output.old):
        raise Problem("not-ours", f"`{shown}` was not written by regnetc", help=remedy)
    try:
        verify(output.old)
    except UnverifiedError as e:
        if e.name != "other-version":
            message = f"`{shown}` was changed by hand since regnetc wrote it"
            raise Problem(
                "edited", message, help="keep your changes elsewhere, then insist with `--force`"
            ) from None


def _report_stale(outputs: list[Output], *, as_json: bool) -> int:
    stale = [o for o in outputs if o.stale]
    if as_json:
        console.say_json([{**_data(o), "written": False, "stale": o.stale} for o in outputs])
        return console.PROBLEMS if stale else console.OK
    for output in stale:
        shown = printable(str(output.path))
        if output.old is None:
            click.echo(
                f"missing {shown}: `regnetc compile {printable(output.spec)}` writes it", err=True
            )
        else:
            click.echo(
                f"stale {shown}: `regnetc compile {printable(output.spec)}` mends it", err=True
            )
            for line in _first_difference(output):
                click.echo(f"  {line}", err=True)
    if not stale:
        click.echo(f"{len(outputs)} {'file is' if len(outputs) == 1 else 'files are'} up to date")
    return console.PROBLEMS if stale else console.OK


def _first_difference(output: Output) -> list[str]:
    old = (output.old or b"").decode("utf-8", "replace").split("\n")
    lines = difflib.unified_diff(old, output.text.split("\n"), lineterm="", n=0)
    changed = [line for line in lines if not line.startswith(("---", "+++"))]
    return [printable(line, 120) for line in changed[:5]]


def _data(output: Output) -> dict[str, Any]:
    network = output.network
    return {
        "name": network.name,
        "spec": output.spec,
        "path": str(output.path),
        "written": output.stale,
        "image": network.image,
        "counts": network.counts.as_dict(),
        "published": [row._asdict() for row in reconcile(network)],
    }


def _say(output: Output) -> None:
    network, counts = output.network, output.network.counts
    verb = "wrote" if output.stale else "unchanged"
    click.echo(f"{verb} {printable(str(output.path))}")
    click.echo(
        f"  {network.name}: {counts.params:,} params, {counts.pycls:,} flops (pycls), "
        f"{counts.acts:,} acts at {network.image} x {network.image}"
    )
    for row in reconcile(network):
        way = f" ({row.counting})" if row.field == "flops" else ""
        source = printable(row.source) or "published"
        click.echo(f"  {source} {row.field} {row.printed}: {row.verdict}, ours {row.ours:,}{way}")
    errata = {row.erratum for row in reconcile(network) if row.verdict == "erratum"}
    for erratum in sorted(errata):
        click.echo(f"  erratum: {printable(erratum, 400)}")
