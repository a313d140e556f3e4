"""`regnetc diff`: two networks, two spaces or two recipes, compared by what they mean."""

from __future__ import annotations

import sys
from typing import Any

import click
from regnetc_runtime.problems import Problem

from ..canonical import owners
from ..network import Network
from ..scopes import Scope
from . import console
from .targets import Target, find


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(a: str, b: str, as_json: bool) -> None:
    """Compare two networks, two spaces or two recipes.

    A and B are FILE[:NAME], an IR or a generated module, or the name of a shipped recipe. Exit 0 if they
    are the same, 1 if they differ.

    \b
    regnetc diff spec/x400mf.regnet spec/x800mf.regnet
    regnetc diff spec/x400mf.regnet generated/x400mf.py
    regnetc diff paper100 mmpretrain100
    """
    one, two = find(a), find(b)
    rows, names = _compared(one, two)
    if as_json:
        console.say_json(
            {
                "a": names[0],
                "b": names[1],
                "differences": [{"what": w, "a": x, "b": y} for w, x, y in rows],
            }
        )
    elif not rows:
        click.echo(f"{names[0]} and {names[1]} are the same")
    else:
        table = console.table()
        table.add_column("")
        table.add_column(names[0], justify="right")
        table.add_column(names[1], justify="right")
        for what, x, y in rows:
            table.add_row(what, _cell(x), _cell(y))
        console.rich_console().print(table)
    sys.exit(console.PROBLEMS if rows else console.OK)


def _compared(one: Target, two: Target) -> tuple[list[tuple[str, Any, Any]], tuple[str, str]]:
    """What differs, and what the two are called. Raises Problem for things of two kinds."""
    if one.network is not None and two.network is not None:
        return differences(one.network, two.network), (one.network.name, two.network.name)
    if one.recipe is not None and two.recipe is not None:
        from ..recipes.describe import differences as of_recipes

        found = of_recipes(one.recipe.json, two.recipe.json)
        return list(found), (one.recipe.name, two.recipe.name)
    a, b = one.scope, two.scope
    kinds = [_kind(target) for target in (one, two)]
    if a is None or b is None or kinds != ["space", "space"]:
        raise Problem(
            "not-comparable",
            f"a {kinds[0]} and a {kinds[1]} cannot be compared",
            help="name two models, two spaces or two recipes",
        )
    return _scope_differences(a, b), (a.declaration.name.text, b.declaration.name.text)


def _kind(target: Target) -> str:
    if target.network is not None:
        return "network"
    return "recipe" if target.recipe is not None else "space"


def _cell(x: Any) -> str:
    return "-" if x is None else f"{x:,}" if isinstance(x, int) else str(x)


def differences(a: Network, b: Network) -> list[tuple[str, Any, Any]]:
    """What two networks do not share: parameters, parts, stages, costs by part and in all."""
    x, y = _facts(a), _facts(b)
    return [(k, x.get(k), y.get(k)) for k in {**x, **y} if x.get(k) != y.get(k)]


def _facts(n: Network) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "block": n.block, "activation": n.activation, "image": n.image, "channels": n.channels,
        "classes": n.classes, "rounding": n.rounding, **dict(n.parameters), "stem type": n.stem.type,
        "stem w": n.stem.w, "head conv": n.head or None, "stages": len(n.stages),
        "se activation": n.se_activation, "norm": n.norm.type, "norm g": n.norm.g or None, "order": n.order,
        "shortcut": n.carried_by, "tail": n.tail, "pool": n.pool, **n.extras._asdict(),
    }  # fmt: skip
    for i, s in enumerate(n.stages, 1):
        values = {
            "w": s.w,
            "d": s.d,
            "stride": s.stride,
            "b": s.b,
            "inner": s.inner,
            "inner of the first": s.inner_first,
            "dilation": ", ".join(map(str, s.dilation)),
            "g": s.g,
            "se": ", ".join(map(str, sorted(set(s.se)))),
        }
        facts |= {f"{k}[{i}]": v for k, v in values.items()}
    for part in n.parts():
        counts = n.counts_of(part.tally)
        facts |= {f"{part.name} params": counts.params, f"{part.name} flops (pycls)": counts.pycls}
    facts |= {f"total {k}": v for k, v in n.counts.as_dict().items()}
    return facts


def _scope_differences(a: Scope, b: Scope) -> list[tuple[str, Any, Any]]:
    x, y = owners(a), owners(b)
    return [(line, x.get(line), y.get(line)) for line in {**x, **y} if (line in x) != (line in y)]
