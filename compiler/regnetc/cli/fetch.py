"""`regnetc weights fetch`: published weights into the cache; and which of a network's are meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from ..published import Publication
from ..zoo import Entry
from . import console
from .progress import bar
from .targets import named

if TYPE_CHECKING:
    from regnetc_runtime.fetching import Fetched


@click.command("fetch")
@click.argument("name")
@click.option("--source", help="Whose weights, or which of theirs: torchvision, IMAGENET1K_V2.")
@click.option("--offline", is_flag=True, help="Use what is in the cache, and ask nobody.")
@click.option(
    "--mirror", "mirrors", multiple=True, metavar="URL",
    help="Where the same file lies, too; tried in order when its publisher fails.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def fetch(
    name: str, source: str | None, offline: bool, mirrors: tuple[str, ...], as_json: bool
) -> None:
    """Fetch the weights that somebody publishes of a network of the zoo; say where they are.

    \b
    They are held to the published digest, or to that of the first download where none is published.
    A download that was interrupted goes on. The cache is $REGNETC_CACHE, or regnetc in the user's
    cache folder; what is there is never fetched again.

    \b
    regnetc weights fetch regnetx_004_tv
    regnetc weights fetch x400mf --source mmpretrain
    """
    entry = named(name)
    row = choose(entry, name, source)
    found = get(row, mirrors=mirrors, offline=offline)
    if as_json:
        console.say_json(
            {
                "network": entry.network.name, "source": row.row.source, "name": row.name, "recipe": row.recipe,
                "url": row.weights, "licence": row.licence, "path": str(found.path), "sha256": found.sha256,
                "size": found.size, "cached": found.cached,
            }
        )  # fmt: skip
        return
    click.echo(f"{entry.network.name}, weights of {_title(row)}")
    click.echo(f"licence: {row.licence or 'none is named; ask the publisher'}")
    click.echo(f"{found.size:,} bytes, sha256 {found.sha256}")
    click.echo(printable(str(found.path), 4_000))


def choose(entry: Entry, name: str, source: str | None, option: str = "--source") -> Publication:
    """The one row of a network with weights that is meant. Raises `no-weights` and `which-source`.

    A publisher's name means that publisher's rows. `source` is a publisher, a recipe, a name, or a
    publisher with one of them behind a colon.
    """
    rows = [r for r in entry.rows if r.weights]
    wanted = name.lower().rpartition(":")
    named = [
        r
        for r in rows
        if wanted[2] in (r.name.lower(), r.name.lower().partition(".")[0])
        and wanted[0] in ("", r.row.source.lower())
    ]
    found = named if source is None else [r for r in rows if source.lower() in _said(r)]
    if source is None and not named:
        found = rows
    by_url = {r.weights: r for r in reversed(found)}  # of the same file the first row
    if len(by_url) == 1:
        return next(iter(by_url.values()))
    title = entry.network.name
    if not rows:
        raise Problem(
            "no-weights", f"nobody publishes weights of {title} under a URL that is known here",
            help="`regnetc zoo` lists networks; any checkpoint of it can be given as a file",
        )  # fmt: skip
    if not found:
        raise Problem(
            "unknown-source", f"`{printable(source or '', 60)}` publishes no weights of {title}",
            details=_listed(list({r.weights: r for r in reversed(rows)}.values())[::-1], option), help=f"say `{option} {_address(rows[0], rows)}`",
        )  # fmt: skip
    raise Problem(
        "which-source", f"there are {len(by_url)} files of weights of {title}",
        details=_listed(list(reversed(by_url.values())), option),
        help=f"say which: `{option} {_address(found[0], rows)}`",
    )  # fmt: skip


def get(row: Publication, *, mirrors: Sequence[str] = (), offline: bool = False) -> Fetched:
    """The file of a row, from the cache or from afar. Raises what `fetching.fetch` raises."""
    from regnetc_runtime import fetching

    published = fetching.Published(row.weights, row.sha256, row.size)
    with bar("fetching") as progress:

        def tell(done: int, total: int) -> None:
            progress(done // 2**20, -(-total // 2**20), f"{row.name} (MiB)")

        return fetching.fetch(published, mirrors=mirrors, offline=offline, tell=tell)


def _said(row: Publication) -> list[str]:
    """What a row can be called by."""
    parts = [row.row.source, row.recipe, row.name, row.name.partition(".")[0]]
    own = [p.lower() for p in parts if p]
    return [*own, *(f"{own[0]}:{p}" for p in own[1:])]


def _address(row: Publication, rows: Sequence[Publication]) -> str:
    """The shortest text that means this row alone."""
    texts = [row.row.source, row.recipe, row.name, f"{row.row.source}:{row.recipe}"]
    for text in texts:
        if text and {r.weights for r in rows if text.lower() in _said(r)} == {row.weights}:
            return f"'{text}'" if " " in text else text
    return row.row.source


def _listed(rows: Sequence[Publication], option: str) -> list[str]:
    return [f"{option} {_address(r, rows)}: {_title(r)}{_more(r)}" for r in rows[:30]]


def _title(row: Publication) -> str:
    recipe = f" {row.recipe}" if row.recipe else ""
    return printable(f"{row.row.source}, {row.name}{recipe}", 120)


def _more(row: Publication) -> str:
    said = dict(row.row.printed).get("top1")
    parts = [f"top-1 {said}" if said else "", row.licence]
    return "".join(f", {p}" for p in parts if p)
