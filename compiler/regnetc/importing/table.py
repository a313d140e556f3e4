"""A config's mapping, read key by key: what it says of a network, and what is left that says nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

from .reading import ConfigError, Unread

T = TypeVar("T")
_LARGEST = 10**9


class Table:
    """A mapping of a config and its place there. Every value is taken by its kind, and once."""

    def __init__(self, data: Any, at: str = "") -> None:
        if not isinstance(data, Mapping):
            raise ConfigError("bad-config", f"{_named(at)} is no mapping of names to values")
        self._data = dict(data)
        self._left = dict(data)
        self._at = at
        self._inner: list[Table] = []

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def path(self, key: str) -> str:
        """A key with all that it lies in."""
        return f"{self._at}.{key}" if self._at else key

    def take(self, key: str) -> Any:
        """A value of any kind, None where there is none."""
        self._left.pop(key, None)
        value = self._data.get(key)
        if isinstance(value, Unread):
            raise ConfigError(
                "bad-config", f"`{self.path(key)}` is `{value.text}`, which only running the file would tell",
                help="write the value in its place",
            )  # fmt: skip
        return value

    def inner(self, key: str) -> Table | None:
        """A mapping within; what nobody takes of it is left here, too."""
        value = self.take(key)
        if value is None:
            return None
        found = Table(value, self.path(key))
        self._inner.append(found)
        return found

    def whole(self, key: str, default: int | None = None) -> int:
        return self._of(key, default, _whole, "a whole number")

    def number(self, key: str, default: Fraction | int | None = None) -> Fraction:
        fallback = None if default is None else Fraction(default)
        return self._of(key, fallback, _number, "a number")

    def flag(self, key: str, default: bool | None = None) -> bool:
        return self._of(key, default, lambda v: v if isinstance(v, bool) else None, "true or false")

    def text(self, key: str, default: str | None = None) -> str:
        return self._of(key, default, lambda v: v if isinstance(v, str) else None, "a word")

    def wholes(self, key: str, default: Sequence[int] | None = None) -> list[int]:
        fallback = None if default is None else list(default)
        return self._of(key, fallback, lambda v: _each(v, _whole), "a list of whole numbers")

    def numbers(self, key: str, default: Sequence[int] | None = None) -> list[Fraction]:
        fallback = None if default is None else [Fraction(x) for x in default]
        return self._of(key, fallback, lambda v: _each(v, _number), "a list of numbers")

    def word(self, key: str, known: Mapping[str, str], default: str) -> str:
        """What a word of theirs is called here, whatever its case. Raises `no-network` for others."""
        said = self.text(key, default)
        if said.lower() not in known:
            raise self.cannot(key, f"`{_short(said)}`, which the language does not have")
        return known[said.lower()]

    def must(self, key: str, value: Fraction | int | bool, what: str) -> None:
        """Refuse a config that says something else here, since it would be another network."""
        said = self.take(key)
        found = Fraction(value) if said is None else _number(said)
        if isinstance(said, bool):
            found = Fraction(said)
        if found != Fraction(value):
            raise self.cannot(key, f"`{_short(said)}`: {what}")

    def closed(self, *harmless: str) -> None:
        """Refuse what is left but for `harmless`: here it could make another network."""
        odd = [key for key in self._left if key not in harmless]
        if odd:
            raise self.cannot(odd[0], "not known here, and may make another network")

    def cannot(self, key: str, why: str) -> ConfigError:
        """The network is one, but none that can be said here."""
        return ConfigError("no-network", f"`{self.path(key)}` is {why}")

    def unused(self) -> Iterator[str]:
        """Whatever nobody took, by its path."""
        yield from (self.path(key) for key in self._left)
        for table in self._inner:
            yield from table.unused()

    def _of(self, key: str, default: T | None, read: Any, kind: str) -> T:
        value = self.take(key)
        if value is None:
            if default is None:
                raise ConfigError("bad-config", f"`{self.path(key)}` is not given")
            return default
        found: T | None = read(value)
        if found is None:
            raise ConfigError(
                "bad-config", f"`{self.path(key)}` is no {kind.partition(' ')[2] or kind}"
            )
        return found


def _named(at: str) -> str:
    return f"`{at}`" if at else "the config"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _whole(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return value if good and isinstance(value, int) else None


def _number(value: object) -> Fraction | None:
    """The number that was typed: 26.31 is 2631/100, not the float beside it."""
    if isinstance(value, str) and re.fullmatch(
        r"[-+]?[0-9]{1,18}(\.[0-9]{0,18})?([eE][-+]?[0-9]{1,2})?", value
    ):
        value = float(value)  # YAML takes 1e-5 for a word
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return None
    return Fraction(repr(value))


def _each(value: object, read: Any) -> list[Any] | None:
    if not isinstance(value, (list, tuple)) or len(value) > 1_000:
        return None
    found = [read(x) for x in value]
    return None if any(x is None for x in found) else found
