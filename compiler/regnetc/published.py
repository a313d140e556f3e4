"""Other people's numbers beside ours: published rows, and the rounding rule of torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from . import regnet
from .diagnostics import Diagnostic, Label, Span, listed
from .network import Network, Row
from .resolve import Resolution
from .syntax import read_literal
from .tree import Block, Declaration, Expr, Fix, Listing, Number, Ref, String
from .values import Quantity
from .vocabulary import CONVENTIONS, PUBLISHED_COUNTS, PUBLISHED_RESULTS

Verdict = Literal["agrees", "differs", "erratum"]


class Reconciled(NamedTuple):
    """One published number beside ours, in the convention of its source."""

    source: str
    field: str
    counting: str
    printed: str
    ours: int
    verdict: Verdict
    erratum: str = ""


def published_rows(declaration: Declaration) -> tuple[Row, ...]:
    """The rows of a checked model that have numbers; image 0 stands for the network's own."""
    return tuple(p.row for p in publications(declaration) if p.row.printed)


class Publication(NamedTuple):
    """A row, what its publisher calls the network, how it was trained, and where the weights are.

    `weights` is a URL, `sha256` the digest of the file or its beginning, `size` its bytes. `resize` is
    the short side before the crop, by an `interpolation`; `mean` and `std` are of red, green and blue in
    0..1. What is not said is empty or 0.
    """

    row: Row
    name: str
    recipe: str
    weights: str
    sha256: str
    size: int
    licence: str
    resize: int = 0
    interpolation: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def publications(declaration: Declaration) -> tuple[Publication, ...]:
    """Every `published` block of a checked model, in order."""
    return tuple(
        _publication(block)
        for block in declaration.lines
        if isinstance(block, Block) and block.name.text == "published"
    )


def _publication(block: Block) -> Publication:
    said = {line.targets[0].name: line.value for line in block.lines if isinstance(line, Fix)}
    numbers = (*PUBLISHED_COUNTS, *PUBLISHED_RESULTS)
    printed = tuple((k, v.text) for k, v in said.items() if isinstance(v, Number) and k in numbers)
    counting, interpolation = (said.get(k) for k in ("counting", "interpolation"))
    side, size, resize = (_whole(said.get(k)) for k in ("image", "size", "resize"))
    row = Row(
        source=_text(said.get("source")),
        counting=CONVENTIONS[counting.name] if isinstance(counting, Ref) else "macs",
        image=side,
        printed=printed,
        erratum=_text(said.get("erratum")),
    )
    name, recipe, weights, sha256, licence = (
        _text(said.get(k)) for k in ("name", "recipe", "weights", "sha256", "licence")
    )
    return Publication(
        row, name, recipe, weights, sha256, size, licence, resize,
        interpolation.name if isinstance(interpolation, Ref) else "",
        _channels(said.get("mean")), _channels(said.get("std")),
    )  # fmt: skip


def _whole(value: Expr | None) -> int:
    return int(value.value) if isinstance(value, Number) else 0


def _channels(value: Expr | None) -> tuple[float, ...]:
    """One number for each of three channels; one that is said alone is that of all."""
    items = value.items if isinstance(value, Listing) else () if value is None else (value,)
    numbers = tuple(float(x.value) for x in items if isinstance(x, Number))
    return numbers * 3 if len(numbers) == 1 else numbers


def _text(value: Expr | None) -> str:
    return value.value if isinstance(value, String) else ""


def reconcile(network: Network) -> list[Reconciled]:
    """Every published count against ours: within one unit of its last printed digit it agrees."""
    out = []
    for row in network.published:
        counts = network.counts_at(row.image).as_dict()
        for name, printed in row.printed:
            if name not in ("params", "flops", "acts"):
                continue
            literal = read_literal(printed)
            if literal is None:
                raise AssertionError("checked when the row was read")
            counting = row.counting if name == "flops" else name
            ours = counts[counting]
            value, step, _ = literal
            agrees = abs(value - ours) <= step
            verdict: Verdict = "agrees" if agrees else "erratum" if row.erratum else "differs"
            out.append(Reconciled(row.source, name, counting, printed, ours, verdict, row.erratum))
    return out


def published_warnings(resolution: Resolution) -> Iterator[Diagnostic]:
    """A published number that is not ours and has no erratum: other people's numbers are no errors."""
    model = resolution.scope.declaration
    blocks = [b for b in model.lines if isinstance(b, Block) and b.name.text == "published"]
    rows = [b for b in blocks if _publication(b).row.printed]
    for row, block in zip(resolution.network.published, rows, strict=True):
        one = reconcile(_with_row(resolution.network, row))
        lines = {line.targets[0].name: line for line in block.lines if isinstance(line, Fix)}
        for found in one:
            if found.verdict == "differs":
                ours = f"ours are {found.ours:,} ({found.counting})"
                message = f"{row.source or 'a source'} prints {found.field} {found.printed}, {ours}"
                yield _warning(
                    "published", message, lines[found.field].value.span,
                    'say how the source counts (`counting = ...`), or why its row is wrong (`erratum = "..."`)',
                )  # fmt: skip
        if row.erratum and one and all(found.verdict == "agrees" for found in one):
            yield _warning(
                "published",
                "this row agrees, it needs no erratum",
                lines["erratum"].span,
                "delete the line",
            )


def _with_row(network: Network, row: Row) -> Network:
    return network._replace(published=(row,))


def _warning(name: str, message: str, span: Span, remedy: str) -> Diagnostic:
    return Diagnostic("warning", name, message, (Label(span),), (), remedy)


def rounding_warning(resolution: Resolution) -> Iterator[Diagnostic]:
    """The stages that torchvision would build with other widths from the same parameters."""
    binding = resolution.scope.bindings.get(("rounding", False))
    model = resolution.scope.declaration
    if (
        resolution.line is None
        or resolution.network.rounding != "paper"
        or (binding is not None and binding.owner is model)
    ):
        return
    others = []
    possible = True
    for i, (w, ours) in enumerate(
        zip(resolution.line.w, resolution.network.stages, strict=True), 1
    ):
        b, g = (resolution.values[name, i] for name in ("b", "g"))
        if isinstance(b, Quantity) and isinstance(g, Quantity):
            theirs = regnet.fit(w, b.value, int(g.value), "torchvision")
            possible = possible and theirs.inner % theirs.g == 0
            if theirs.w != ours.w:
                others.append(f"stage {i} with {theirs.w:,} channels, not {ours.w:,}")
    if others:
        message = (
            f"torchvision's rounding builds another `{model.name.text}`: {listed(others, 'and')}"
        )
        remedy = "write `rounding = paper` to say that this is meant"
        if possible:
            remedy += ", or `rounding = torchvision` for theirs"
        yield _warning("rounding", message, model.name.span, remedy)
