"""What a config says, as lines of the language, to a checked network and the spec that one would type for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from .. import fitting, library
from ..canonical import number
from ..diagnostics import has_errors
from ..driver import Checked, check_file
from ..lift import on_line, spec_of
from ..network import Network, Origin
from ..writing import NAME, as_spec
from .reading import ConfigError
from .table import Table

DEFAULT_NAME = "Imported"
_DETAILS = 8
ACTIVATIONS = {"relu": "relu", "silu": "silu", "swish": "silu", "gelu": "gelu"}
EPSILON = Fraction(1, 100_000)  # of batch norm


class Draft(NamedTuple):
    """The lines of a model that extends `parent`, and what was assumed or has no meaning here."""

    parent: str
    lines: dict[str, str]
    notes: tuple[str, ...] = ()


class Imported(NamedTuple):
    """A network, its spec, and what of the config is not in it."""

    network: Network
    text: str
    notes: tuple[str, ...]


def on_a_line(
    depth: int, w0: int, wa: Fraction, wm: Fraction, group: int, inside: Fraction
) -> dict[str, str]:
    """Lines for the quantised line; `inside` is the width inside a block over its width."""
    return {
        "d": str(depth), "w0": str(w0), "wa": number(wa), "wm": number(wm), "g": str(group), "b": ratio(inside),
    }  # fmt: skip


def by_stage(
    widths: Sequence[int], depths: Sequence[int], groups: Sequence[int], inside: Sequence[Fraction]
) -> dict[str, str]:
    """Lines for stages that are written out."""
    count = len(widths)
    for what, values in (("depths", depths), ("groups", groups), ("bottlenecks", inside)):
        if len(values) != count:
            raise ConfigError(
                "bad-config", f"there are {count} widths and {len(values)} {what}", help="each stage has one"
            )  # fmt: skip
    if not count:
        raise ConfigError("bad-config", "there are no widths")
    return {
        "stages": str(count), "w[i]": listed(map(str, widths)), "d[i]": listed(map(str, depths)),
        "g[i]": listed(map(str, groups)), "b[i]": listed(map(ratio, inside)),
    }  # fmt: skip


def ratio(inside: Fraction) -> str:
    """The language's `b` for how much wider a block is inside."""
    if inside <= 0:
        raise ConfigError("no-network", "a bottleneck has a width above 0")
    return number(1 / inside)


def listed(values: Iterable[str]) -> str:
    return f"[{', '.join(values)}]"


def unused(*tables: Table) -> Iterator[str]:
    for table in tables:
        for path in table.unused():
            yield f"`{path}` has no meaning here"


def build(draft: Draft, name: str, doc: str) -> Imported:
    """The network of a draft. Raises `no-network` with what the compiler says against it."""
    body = "".join(f"  {k} = {v}\n" for k, v in draft.lines.items())
    checked = _check(f'use "families.regnet"\n\nmodel Draft extends {draft.parent} {{\n{body}}}\n')
    if has_errors(checked.problems):
        raise _refused(checked)
    (resolution,) = checked.resolutions.values()
    return finish(resolution.network, name, doc, draft.notes)


def finish(network: Network, name: str, doc: str, notes: Sequence[str]) -> Imported:
    """The spec of a network, on its line where one gives exactly it, compiled again and found equal."""
    wanted = model_name(name)
    lined = network if fitting.parameters(network) else on_line(network)
    checked: Checked | None = None
    for name in (wanted, f"{wanted}-net"):  # a name may be one of the library's
        network = network._replace(published=(), name=name, doc=doc)
        for text in (spec_of(lined, name, doc), as_spec(network, name, doc)):
            found = _found(text, network, tuple(dict.fromkeys(notes)))
            if isinstance(found, Imported):
                return found
            checked = found
    assert checked is not None
    raise _refused(checked)


def _found(text: str, network: Network, notes: tuple[str, ...]) -> Imported | Checked:
    """The spec with its own network, where that is the one that was meant; else what is wrong."""
    checked = _check(text)
    found = checked.resolutions.get(network.name)
    if checked.failed or found is None or not same(found.network, network):
        return checked
    return Imported(found.network, text, (*notes, *(p.message for p in checked.problems)))


def _refused(checked: Checked) -> ConfigError:
    said = dict.fromkeys(p.message for p in checked.problems if p.severity == "error")
    return ConfigError(
        "no-network", "it describes no network of the language", details=tuple(said)[:_DETAILS]
    )


def same(a: Network, b: Network) -> bool:
    """Whether two networks compute the same, whatever they are called and however they were written."""
    plain = [
        n._replace(name="", doc="", parameters=(), published=(), origin=Origin(), rounding="paper")
        for n in (a, b)
    ]
    return plain[0] == plain[1]


def model_name(text: str) -> str:
    """A name of the language that is as near to a text as may be."""
    if re.fullmatch(NAME, text) and len(text) <= 60:
        return text
    parts = [p for p in re.split(r"[^A-Za-z0-9]+", text) if p]
    name = "-".join(parts)[:60].rstrip("-")
    return name if name[:1].isalpha() else DEFAULT_NAME


def _check(text: str) -> Checked:
    # As if it lay beside the families, so that no file of the same name elsewhere is taken for them.
    return check_file(Path(library.folder()) / "imported.regnet", text.encode())
