"""`regnetc space`: what a space is, before anyone samples it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..diagnostics import printable
from . import console
from .progress import bar
from .targets import find_space

if TYPE_CHECKING:
    from ..spaces.report import Marginal, Report, Share
    from ..spaces.space import Demand, Space


@click.command("space")
@click.argument("target", metavar="FILE[:NAME]")
@click.option(
    "--draws",
    type=click.IntRange(10_000, 1_000_000_000),
    default=500_000,
    show_default=True,
    help="Candidates to look at.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the draws.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(target: str, draws: int, seed: int, as_json: bool) -> None:
    """Say what a space is: its size, how much of it survives and what refuses the rest.

    \b
    regnetc space spec/anynetx.regnet:AnyNetX_A
    regnetc space spec/x400mf_space.regnet
    """
    from ..spaces.report import report

    space = find_space(target)
    with bar("looking") as tell:
        found = report(
            space, candidates=draws, seed=seed, tell=lambda done: tell(done, draws, "candidates")
        )
    if as_json:
        console.say_json(_data(space, found))
    else:
        _say(space, found)


def _data(space: Space, r: Report) -> dict[str, Any]:
    return {
        "name": space.name,
        "digest": space.digest,
        "free": [m.name for m in r.marginals],
        "points": r.points,
        "fitting": _share(r.fitting),
        "acceptance": _share(r.acceptance),
        "refused": [{"line": _line(d), "at": _place(d), "share": x} for d, x in r.refusals],
        "marginals": [m._asdict() for m in r.marginals],
        "candidates": r.candidates,
        "members": r.members,
        "counts": {name: dict(zip(_ENDS, x, strict=True)) for name, x in r.counts.items()},
        "witness": _witness(space, r),
    }


_ENDS = ("least", "lower_quartile", "median", "upper_quartile", "largest")


def _share(x: Share) -> dict[str, Any]:
    return {"value": x.value, "low": x.low, "high": x.high, "exact": x.exact}


def _line(demand: Demand | None) -> str:
    return "the limits of the language" if demand is None else printable(demand.text, 200)


def _place(demand: Demand | None) -> str:
    if demand is None:
        return ""
    line, _ = demand.line.span.source.position(demand.line.span.start)
    return f"{demand.line.span.source.name}:{line}"


def _witness(space: Space, r: Report) -> dict[str, Any] | None:
    """The first member that was met, with the network that the compiler makes of it."""
    from .. import ir
    from ..spaces.members import resolve

    if r.witness is None:
        return None
    found = resolve(space, f"{space.name}-witness", r.witness)
    assert found is not None
    return ir.to_data(found.network)


def _say(space: Space, r: Report) -> None:
    out = console.rich_console()
    out.print(f"space {space.name}", style="bold")
    out.print(f"{len(r.marginals)} free parameters, {_number(r.points)} points of the grid")
    out.print(f"{_fitting(r.fitting)} satisfy every line")
    out.print(_acceptance(r))
    if r.refusals:
        out.print()
        out.print(_refusals(r))
    out.print()
    out.print(_marginals(r))
    if r.counts:
        out.print()
        out.print(_counts(r))
    out.print()
    out.print(_example(space, r))


def _fitting(share: Share) -> str:
    value, low, high = map(_number, share)
    if share.exact:
        return f"of which {value}"
    return f"of which about {value}" + (f" ({low} to {high})" if low != high else "")


def _number(x: float) -> str:
    """A large number as people say it: exact while it is short, then in powers of ten."""
    if x < 1e7:
        return f"{round(x):,}"
    digits, exponent = f"{x:.2e}".split("e")
    return f"{digits} x 10^{int(exponent)}"


def _percent(x: float) -> str:
    return f"{x:.2%}" if x >= 0.01 or x == 0 else f"{100 * x:.3g}%"


def _acceptance(r: Report) -> str:
    a = r.acceptance
    if a.exact:
        return f"{_percent(a.value)} of all draws are members, exactly"
    return (
        f"{_percent(a.value)} of all draws are members (95% interval {_percent(a.low)} to {_percent(a.high)}; "
        f"{r.members:,} were met)"
    )


def _refusals(r: Report) -> Any:
    table = console.table()
    table.add_column("refuses", justify="right")
    table.add_column("line")
    table.add_column("at")
    for demand, share in sorted(r.refusals, key=lambda refusal: -refusal[1]):
        table.add_row(_percent(share), _line(demand), _place(demand))
    return table


def _marginals(r: Report) -> Any:
    table = console.table()
    for column in ("parameter", "drawn from", "values", "drawn", "members"):
        table.add_column(column, justify="right" if column == "values" else "left")
    for m in r.marginals:
        bars = [histogram(_density(m, x)) for x in (m.before, m.after)]
        table.add_row(m.name, m.draw, f"{m.values:,}", bars[0], bars[1] if r.members else "-")
    return table


def _density(m: Marginal, shares: tuple[float, ...]) -> list[float]:
    return [share / width for share, width in zip(shares, m.widths, strict=True)]


def histogram(shares: Sequence[float]) -> str:
    """A bar for each share, the largest full; a share above nothing shows."""
    bars = " .:-=+*#%@" if not _unicode() else " ▁▂▃▄▅▆▇█"
    most = max(shares) or 1.0
    return "".join(bars[max(share > 0, round(share / most * (len(bars) - 1)))] for share in shares)


def _unicode() -> bool:
    try:
        "▁█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _counts(r: Report) -> Any:
    table = console.table()
    table.add_column("of members")
    for column in ("least", "lower quartile", "median", "upper quartile", "largest"):
        table.add_column(column, justify="right")
    for name, shown in (("params", "params"), ("pycls", "flops (pycls)"), ("acts", "acts")):
        table.add_row(shown, *(f"{x:,}" for x in r.counts[name]))
    return table


def _example(space: Space, r: Report) -> str:
    data = _witness(space, r)
    if data is None and r.acceptance.exact:
        return "It has no member."
    if data is None:
        return (
            f"No member was met among {r.candidates:,} candidates; `--draws` looks at more. "
            "It is not proved that there is none."
        )
    drawn = ", ".join(f"{name} = {value}" for name, value in data["parameters"].items())
    stages = "; ".join(f"w {s['w']}, d {s['d']}, g {s['g']}" for s in data["stages"])
    counts = data["counts"]
    return (
        f"For example {drawn or 'stage by stage'}: {stages}\n"
        f"  {counts['params']:,} params, {counts['pycls']:,} flops (pycls), {counts['acts']:,} acts"
    )
