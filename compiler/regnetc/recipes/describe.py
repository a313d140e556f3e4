"""A recipe in words: every value with its meaning, and what two recipes do not share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .fields import FIELDS
from .forms import Calls, Entry
from .reading import Value


class Row(NamedTuple):
    """A value as one would write it: of a field, or of an argument (`optimizer.lr`)."""

    what: str
    value: str
    meaning: str


def rows(data: Mapping[str, Any]) -> Iterator[Row]:
    """Every field of a recipe, each call followed by its arguments."""
    for entry in FIELDS.values():
        yield from _rows(entry, data[entry.name])


def _rows(entry: Entry, value: Value) -> Iterator[Row]:
    if value is None:
        yield Row(entry.name, "none", f"{entry.meaning}: {entry.none}")
    elif isinstance(entry.form, Calls):
        function = next(f for f in entry.form.functions if f.name == value["name"])
        yield Row(entry.name, function.name, f"{entry.meaning}: {function.meaning}")
        for a in function.arguments:
            shown = written(value["arguments"][a.name])
            yield Row(f"{entry.name}.{a.name}", shown, a.meaning)
    else:
        yield Row(entry.name, written(value), entry.meaning)


def written(value: Value) -> str:
    """A number, a word or a list as a spec would say it, with every digit that counts."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return str(value).removesuffix(".0")


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> list[tuple[str, str | None, str | None]]:
    """The values that two recipes do not share, None where one has no such argument."""
    x, y = ({row.what: row.value for row in rows(data)} for data in (a, b))
    return [(k, x.get(k), y.get(k)) for k in {**x, **y} if x.get(k) != y.get(k)]
