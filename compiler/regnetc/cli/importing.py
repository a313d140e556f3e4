"""`regnetc import`: the config of another tool to a spec of the same network."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from regnetc_runtime.problems import Problem

from .. import zoo
from ..diagnostics import printable
from ..importing import ConfigError, Imported, bare, from_draft, from_what
from ..importing.drafts import same
from . import console
from .outputs import check_spec, may_write, write_spec

_SHOWN = 30


def _wholes(ctx: click.Context, option: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){0,31}", value):
        raise click.BadParameter(
            "write whole numbers with commas, such as 32,64,160,384", ctx, option
        )
    return [int(part) for part in value.split(",")]


def _ratio(ctx: click.Context, option: click.Parameter, value: str | None) -> Fraction | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}|/[1-9][0-9]{0,5})?", value):
        raise click.BadParameter("write a number, such as 0.25 or 1/4", ctx, option)
    return Fraction(value)


@click.command("import")
@click.argument("what", required=False)
@click.option(
    "--widths",
    callback=_wholes,
    metavar="W,W,...",
    help="Instead of WHAT: the width of each stage.",
)
@click.option(
    "--depths", callback=_wholes, metavar="D,D,...", help="With --widths: the depth of each stage."
)
@click.option(
    "--groups",
    callback=_wholes,
    metavar="G[,G,...]",
    help="With --widths: channels of a group, for all stages or for each.",
)
@click.option(
    "--block",
    type=click.Choice(["X", "Y", "Z"], case_sensitive=False),
    default="X",
    show_default=True,
    help="With --widths: the block.",
)
@click.option(
    "--se",
    callback=_ratio,
    metavar="SHARE",
    help="With --widths: what squeeze-and-excitation keeps [1/4 in Y and Z].",
)
@click.option(
    "--inside",
    callback=_ratio,
    metavar="RATIO",
    help="With --widths: width inside a block over its width [4 in Z, else 1].",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="SPEC.regnet",
    help="Write the spec there.",
)
@click.option("--name", help="What to call the model.")
@click.option("--force", is_flag=True, help="Replace a spec that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def command(
    what: str | None, out: Path | None, name: str | None, force: bool, as_json: bool, **given: Any
) -> None:  # fmt: skip
    """Write the network of another tool's config as a spec, and list what of it has no meaning here.

    \b
    WHAT is a file: YAML of pycls or VISSL, a config of mmpretrain (.py, of which nothing is run),
    config.json of transformers or timm, JSON of ClassyVision; or a folder with a config.json; or a
    name, such as timm:regnety_032 or regnet_x_400mf; or the numbers of a RegNetCfg of timm.

    \b
    regnetc import RegNetX-400MF_dds_8gpu.yaml -o x400.regnet
    regnetc import timm:depth=22,w0=24,wa=24.48,wm=2.54,group_size=16
    regnetc import --widths 32,64,160,384 --depths 1,2,7,12 --groups 16
    """
    if out is not None:
        check_spec(out)
        may_write(out, force=force)
    try:
        found = _found(what, name, given)
    except ConfigError as e:
        shown = f"`{printable(what, 200)}`: " if what is not None else ""
        raise Problem(
            e.name, f"{shown}{printable(str(e), 400)}", details=e.details, help=e.help
        ) from None
    if out is not None:
        write_spec(out, found.text, force=force)
    if as_json:
        console.say_json(_data(found, out))
    else:
        _say(found, out)


def _found(what: str | None, name: str | None, given: dict[str, Any]) -> Imported:
    widths, depths, groups = (given[k] for k in ("widths", "depths", "groups"))
    if what is not None and widths is None:
        return from_what(what, name)
    if what is not None or widths is None or depths is None or groups is None:
        raise click.UsageError("name a config, or give --widths, --depths and --groups")
    draft = bare.read(widths, depths, groups, given["block"].upper(), given["se"], given["inside"])
    return from_draft(draft, name, "widths and depths")


def _equal(found: Imported) -> list[str]:
    """The networks of the zoo that it is, whatever its classes and its image."""
    n = found.network
    alike = [(e, e.network._replace(classes=n.classes, image=n.image)) for e in zoo.entries()]
    return [e.stem for e, other in alike if same(other, n)]


def _data(found: Imported, out: Path | None) -> dict[str, Any]:
    n = found.network
    return {
        "name": n.name, "spec": found.text, "notes": list(found.notes), "zoo": _equal(found),
        "counts": n.counts.as_dict(), "written": str(out) if out is not None else None,
    }  # fmt: skip


def _say(found: Imported, out: Path | None) -> None:
    """The spec alone goes to standard output, so that it can be sent into a file."""
    for note in found.notes[:_SHOWN]:
        click.echo(f"note: {printable(note, 300)}", err=True)
    if len(found.notes) > _SHOWN:
        click.echo(f"note: and {len(found.notes) - _SHOWN:,} more; --json has them all", err=True)
    n = found.network
    equal = _equal(found)
    which = f"equal to the zoo's {', '.join(equal)}" if equal else "not in the zoo"
    click.echo(
        f"{n.name}: {n.counts.params:,} params, {n.counts.pycls:,} flops (pycls); {which}", err=True
    )
    click.echo(found.text, nl=False)
    if out is not None:
        click.echo(f"wrote {printable(str(out))}", err=True)
