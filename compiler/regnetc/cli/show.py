"""`regnetc show`: a network or a recipe as a table, or what any stage of the compiler knows of it."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import click
from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import Span, printable
from ..network import Network
from ..published import reconcile
from ..scopes import Scope
from . import console
from .recipes import show_recipe
from .targets import find


@click.command("show")
@click.argument("target", metavar="FILE[:NAME]|NAME")
@click.option(
    "--after",
    type=click.Choice(["parse", "scope", "resolve", "ir"]),
    default="resolve",
    show_default=True,
    help="Stop after this stage of the compiler.",
)
@click.option(
    "--image",
    type=click.IntRange(1, 8192),
    help="Count at this image size instead of the network's own.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Show the recipe with a line of it changed, as `run --set` changes it; as often as needed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    target: str, after: str, image: int | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Show a network (a spec's model, an IR file, a generated module, one of the zoo) or a recipe.

    \b
    regnetc show spec/x400mf.regnet
    regnetc show --after scope spec/families.regnet:RegNetX
    regnetc show --json generated/x400mf.py
    regnetc show regnet_y_16gf
    regnetc show paper100 --set epochs=50
    """
    found = find(target)
    if overrides:
        if found.recipe is None:
            raise Problem(
                "no-recipe", f"`{printable(target)}` is no recipe, so --set changes nothing"
            )
        from ..recipes.finding import find as find_recipe

        found = replace(found, recipe=find_recipe(target, overrides))
    if found.recipe is not None and after in ("resolve", "ir"):
        if image is not None:
            raise Problem("no-network", "nothing is counted in a recipe", help="leave out --image")
        show_recipe(found.recipe, as_json=as_json, line=after == "ir")
        return
    if after in ("parse", "scope") and found.scope is None:
        raise Problem("no-spec", f"an IR has no stage `{after}`", help="name the spec")
    if after == "parse" and found.scope is not None:
        console.say_json(_tree(found.scope.declaration))
    elif (after == "scope" or found.network is None) and found.scope is not None:
        _show_scope(found.scope, as_json=as_json)
    elif found.network is not None and after == "ir":
        click.echo(ir.to_json(found.network))
    elif found.network is not None and as_json:
        console.say_json(_data(found.network, image))
    elif found.network is not None:
        _show_network(found.network, image or found.network.image)


def _data(network: Network, image: int | None) -> dict[str, Any]:
    data = ir.to_data(network)
    if image is not None:
        data |= {"image": image, "counts": network.counts_at(image).as_dict()}
    return data


def _tree(node: Any) -> Any:
    """A syntax tree as JSON: each node's kind, place and fields."""
    if hasattr(node, "_fields"):
        out: dict[str, Any] = {"node": type(node).__name__}
        for name, value in node._asdict().items():
            if isinstance(value, Span):
                line, column = value.source.position(value.start)
                out["at"] = f"{line}:{column}"
            else:
                out[name] = _tree(value)
        return out
    if isinstance(node, tuple):
        return [_tree(x) for x in node]
    return str(node) if isinstance(node, Fraction) else node


def scope_rows(scope: Scope) -> list[tuple[str, str, str]]:
    """Every line that holds in a scope: the line, the declaration that says it, its place."""
    rows = []
    for (name, staged), binding in sorted(scope.bindings.items()):
        mark = "default " if binding.fix.default else ""
        what = f"{name}[i]" if staged else name
        rows.append(
            (
                f"{mark}{what} = {_one_line(binding.fix.value.span)}",
                binding.owner.name.text,
                _place(binding.fix.span),
            )
        )
    for owner, line in scope.requirements():
        rows.append((_one_line(line.span), owner.name.text, _place(line.span)))
    for owner, draw in scope.draws():
        rows.append((_one_line(draw.span), owner.name.text, _place(draw.span)))
    return rows


def _one_line(span: Span) -> str:
    text = re.sub(r"#[^\n]*", "", span.text)
    return printable(" ".join(text.split()), 300)


def _place(span: Span) -> str:
    line, _ = span.source.position(span.start)
    return f"{span.source.name}:{line}"


def _show_scope(scope: Scope, *, as_json: bool) -> None:
    rows = scope_rows(scope)
    declaration = scope.declaration
    if as_json:
        lineage = [d.name.text for d in scope.lineage]
        lines = [{"line": line, "from": owner, "at": at} for line, owner, at in rows]
        console.say_json(
            {
                "name": declaration.name.text,
                "kind": declaration.kind,
                "lineage": lineage,
                "lines": lines,
            }
        )
        return
    out = console.rich_console()
    out.print(f"{declaration.kind} {declaration.name.text}", style="bold")
    out.print(" < ".join(d.name.text for d in reversed(scope.lineage)))
    out.print()
    table = console.table()
    for column in ("line", "said by", "at"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _show_network(n: Network, image: int) -> None:
    out = console.rich_console()
    out.print(f"{n.name}", style="bold")
    out.print(
        f"{n.block} blocks, {n.activation}, {image} x {image} pixels, {n.channels} channels, {n.classes:,} classes"
    )
    unusual = _unusual(n)
    if unusual:
        out.print(f"  {unusual}")
    out.print(f"  {_written(n)}")
    out.print()
    out.print(_parts_table(n, image))
    out.print()
    counts = n.counts_at(image)
    out.print(
        f"flops by convention: macs {counts.macs:,}, pycls {counts.pycls:,}, fvcore {counts.fvcore:,}, "
        f"mmcv {counts.mmcv:,}, torch2 {counts.torch2:,}"
    )
    for row in reconcile(n):
        way = f", counted as {row.counting}" if row.field == "flops" else ""
        out.print(
            f"{printable(row.source) or 'published'}: {row.field} {row.printed} {row.verdict} (ours {row.ours:,}{way})"
        )


def _unusual(n: Network) -> str:
    """What this network has and most have not."""
    x = n.extras
    dilated = any(s.dilation != (1, 1) for s in n.stages)
    words = {
        f"{n.stem.type} stem": n.stem.type != "simple",
        f"group norm over {n.norm.g} channels": n.norm.type == "group",
        "pre-activation": n.order == "pre",
        f"{n.carried_by} shortcuts": n.shortcut is not None,
        f"{n.se_act} in squeeze-and-excitation": n.se_activation is not None,
        "b of the width that comes in": any(s.inner_first != s.inner for s in n.stages),
        "an activation before the head": n.tail,
        f"a head of {n.head:,} channels": n.head > 0,
        f"{n.pool} pooling": n.pool != "avg",
        f"dilated to an output stride of {n.reductions[-1]}": dilated,
        f"stochastic depth {x.drop_path:g}": x.drop_path > 0,
        "checkpointing": x.checkpointing,
        f"stem and {x.frozen} stages frozen": x.frozen > 0,
    }
    return ", ".join(k for k, there in words.items() if there)


def _written(n: Network) -> str:
    written = ", ".join(f"{k} = {v}" for k, v in n.parameters)
    return written or "stages written out one by one"


def _parts_table(n: Network, image: int) -> Any:
    table = console.table()
    for column in (
        "part",
        "output",
        "w",
        "inner",
        "d",
        "stride",
        "g",
        "se",
        "params",
        "flops (pycls)",
        "acts",
    ):
        table.add_column(column, justify="left" if column == "part" else "right")
    parts = n.parts(image)
    for k, part in enumerate(parts):
        counts = n.counts_of(part.tally)
        costs = [f"{counts.params:,}", f"{counts.pycls:,}", f"{counts.acts:,}"]
        side = f"{part.side} x {part.side}"
        if part.name == "stem":
            table.add_row("stem", side, f"{n.stem.w:,}", "-", "-", "-", "-", "-", *costs)
        elif part.name == "head":
            table.add_row("head", side, f"{n.classes:,}", "-", "-", "-", "-", "-", *costs)
        else:
            s = n.stages[k - 1]
            se = "-" if not s.se[0] else str(s.se[0]) if s.d == 1 else f"{s.se[0]}, {s.se[-1]}"
            table.add_row(
                part.name,
                side,
                f"{s.w:,}",
                f"{s.inner:,}",
                str(s.d),
                str(s.stride),
                str(s.g),
                se,
                *costs,
            )
    total = n.counts_at(image)
    table.add_row(
        "total", *[""] * 7, f"{total.params:,}", f"{total.pycls:,}", f"{total.acts:,}", style="bold"
    )
    return table
