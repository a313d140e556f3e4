"""Configs of other tools to specs of the same network. Configs are data: nothing of them is executed."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from .. import zoo
from ..diagnostics import printable
from ..program import read_bytes
from . import classyvision, mmpretrain, pycls, timm, transformers
from .drafts import Draft, Imported, build, finish
from .reading import (
    JSON_BYTES,
    TEXT_BYTES,
    Called,
    ConfigError,
    from_call,
    from_json,
    from_python,
    from_yaml,
)
from .table import Table

__all__ = ["ConfigError", "Imported", "from_draft", "from_what"]

_NAME_CHARACTERS = 200  # of a name that is looked for
_SOURCES = ("timm", "torchvision", "transformers", "classyvision", "mmpretrain", "pycls")


def from_what(what: str, name: str | None = None) -> Imported:
    """The network of a config file, of the folder of one, of a name, or of numbers behind `timm:`.

    Raises ConfigError, and UnreadableError for a file that cannot be read.
    """
    path = Path(what)
    if _exists(path / "config.json"):
        path /= "config.json"
    if _exists(path):
        return _from_file(path, name)
    source, _, rest = what.rpartition(":")
    if "=" in rest and source.lower() in ("timm", "") and "(" not in what:
        return _from_numbers(f"dict({rest})", name)
    if rest.startswith("RegNetCfg("):
        return _from_numbers(rest, name)
    return _from_name(what, name)


def from_draft(draft: Draft, name: str | None, origin: str) -> Imported:
    return build(draft, name or "Imported", f"Imported from {origin}.")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def _from_file(path: Path, name: str | None) -> Imported:
    suffix = path.suffix.lower()
    limit = JSON_BYTES if suffix == ".json" else TEXT_BYTES
    data = read_bytes(str(path), limit)
    title = name or (path.absolute().parent.name if path.name == "config.json" else path.stem)
    if suffix == ".py":
        found = from_python(data)
        if not mmpretrain.matches(found):
            raise _unknown(path)
        return _built(mmpretrain.read(found, path), title, path)
    if suffix in (".yaml", ".yml"):
        return _from_data(from_yaml(data), title, path, name)
    if suffix == ".json":
        return _from_data(from_json(data), title, path, name)
    raise ConfigError(
        "unknown-config", f"`{printable(str(path))}` is no .json, .yaml or .py file",
        help="configs of pycls, mmpretrain, timm, transformers, ClassyVision and VISSL are read",
    )  # fmt: skip


def _from_data(data: Any, title: str, path: Path, name: str | None) -> Imported:
    if not isinstance(data, Mapping):
        raise _unknown(path)
    if transformers.matches(data):
        return _built(transformers.read(data), title, path)
    if pycls.matches(data):
        return _built(pycls.read(data), title, path)
    if classyvision.matches_vissl(data):
        return _built(classyvision.read_vissl(data), title, path)
    if classyvision.matches(data):
        if named := classyvision.named(data):
            head, notes = classyvision.read_head(data)
            return _of_entry(_entry(f"classyvision:{named}"), name, head, notes)
        return _built(classyvision.read(data), title, path)
    if timm.matches(data):
        return _built(timm.read(data), title, path)
    if isinstance(data.get("architecture"), str):  # as timm writes it beside its weights
        return _of_timm(data, name)
    raise _unknown(path)


def _of_timm(data: Mapping[str, Any], name: str | None) -> Imported:
    t = Table(data)
    entry = _entry(f"timm:{t.text('architecture')}")
    lines = timm.arguments(t)
    t.take("num_features")
    if t.take("model_args"):
        raise t.cannot("model_args", "given, and may make another network")
    return _of_entry(entry, name, lines, tuple(f"`{p}` has no meaning here" for p in t.unused()))


def _from_numbers(text: str, name: str | None) -> Imported:
    found = from_call(text)
    if isinstance(found, Called):
        if found.positional:
            raise ConfigError("bad-config", "numbers need their names: depth=22, w0=24")
        found = found.named
    if not isinstance(found, Mapping):
        raise ConfigError("bad-config", "write numbers as `timm:depth=22,w0=24,wa=24.48`")
    return build(timm.read(found), name or "Imported", "Imported from the numbers of a RegNetCfg.")


def _from_name(what: str, name: str | None) -> Imported:
    return _of_entry(_entry(what), name, {}, ())


def _entry(what: str) -> zoo.Entry:
    try:
        return zoo.find(what[:_NAME_CHARACTERS])
    except zoo.UnknownNetworkError as e:
        near = f"did you mean `{e.near}`? " if e.near else ""
        raise ConfigError(
            "unknown-config", f"there is no file `{printable(what)}`, and no network of that name is known",
            help=f"{near}names are those of {', '.join(_SOURCES)}",
        ) from None  # fmt: skip


def _of_entry(
    entry: zoo.Entry, name: str | None, lines: Mapping[str, str], notes: tuple[str, ...]
) -> Imported:
    """A network of the zoo, with what a config changes of it."""
    n = entry.network
    if "output_stride" in lines:
        raise ConfigError(
            "no-network", "`output_stride` of a network that is only named is not taken over",
            help=f"import `{entry.stem}`, and write the line into its spec",
        )  # fmt: skip
    changed: dict[str, Any] = {
        k: v if k == "pool" else int(v) for k, v in lines.items() if k != "drop_path"
    }
    extras = n.extras._replace(drop_path=float(Fraction(lines.get("drop_path", 0))))
    doc = f"{n.name} of the zoo."
    return finish(n._replace(**changed, extras=extras), name or n.name, doc, notes)


def _built(draft: Draft, title: str, path: Path) -> Imported:
    return build(draft, title, f"Imported from {printable(path.name, 60)}.")


def _unknown(path: Path) -> ConfigError:
    return ConfigError(
        "unknown-config", f"`{printable(str(path))}` is no config of a RegNet that is known here",
        help="configs of pycls, mmpretrain, timm, transformers, ClassyVision and VISSL are read",
    )  # fmt: skip
