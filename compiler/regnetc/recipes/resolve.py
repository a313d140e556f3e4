"""A scope to the recipe that the runtime reads: every field, and every argument of every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..diagnostics import Diagnostic, Label, Note, Span, error
from ..network import Origin
from ..scopes import Binding, Scope
from ..tree import Call, Keyword
from .fields import FIELDS
from .forms import Entry
from .reading import Reader, Value


class ResolvedRecipe(NamedTuple):
    """A recipe down to every number.

    `json` is what `Recipe.from_json` of the runtime reads; `digest` is SHA-256 (64 hexadecimal digits)
    of it without its name, in canonical JSON; `overrides` are the `--set` that were applied.
    """

    name: str
    json: dict[str, Any]
    digest: str
    origin: Origin | None
    overrides: tuple[str, ...] = ()


def values(
    scope: Scope, reader: Reader, given: Mapping[str, Binding] | None = None
) -> tuple[dict[str, Value], list[Diagnostic]]:
    """Every field of a recipe whose lines have been checked, and what is wrong with them together.

    `given` are lines that take the place of the recipe's own.
    """
    bindings = {name: b for (name, staged), b in scope.bindings.items() if not staged}
    bindings.update(given or {})
    found: dict[str, Value] = {"name": scope.declaration.name.text}
    problems: list[Diagnostic] = []
    for entry in FIELDS.values():
        binding = bindings.get(entry.name)
        if binding is not None:
            value, wrong = reader.read(entry, binding.fix.value)
            problems.extend(wrong)
            found[entry.name] = value
        elif entry.required:
            problems.append(_left_open(scope, entry))
        else:
            default = entry.default
            found[entry.name] = list(default) if isinstance(default, tuple) else default
    if not problems:
        problems.extend(_Relations(scope, bindings, found).problems())
    return found, problems


def _left_open(scope: Scope, entry: Entry) -> Diagnostic:
    name = scope.declaration.name
    message = f"`{name.text}` leaves `{entry.name}` open"
    remedy = f"add a line `{entry.name} = ...`: {entry.meaning}, {entry.text}"
    return error("left-open", message, name.span, "a recipe fixes it", help=remedy)


class _Relations:
    """What values have to do with each other."""

    def __init__(
        self, scope: Scope, bindings: Mapping[str, Binding], found: Mapping[str, Value]
    ) -> None:
        self.scope, self.bindings, self.found = scope, bindings, found

    def problems(self) -> Iterator[Diagnostic]:
        """Each pair of values that does not go together."""
        yield from self._chunks()
        yield from self._test()
        yield from self._crops()
        yield from self._schedule()
        yield from self._augment()

    def _chunks(self) -> Iterator[Diagnostic]:
        batch, chunk = self.found["batch"], self.found["norm_batch"]
        if chunk is not None and batch % chunk:
            message = f"a batch of {batch:,} does not split into chunks of {chunk:,}"
            near = [n for n in (batch // chunk * chunk, (batch // chunk + 1) * chunk) if n]
            remedy = f"the nearest batches that do are {' and '.join(f'{n:,}' for n in near)}"
            if len(near) == 1:
                remedy = f"write a batch of {near[0]:,}, or a smaller `norm_batch`"
            yield self._say("indivisible", message, ["batch", "norm_batch"], remedy)

    def _test(self) -> Iterator[Diagnostic]:
        crop, resize = self.found["test_crop"], self.found["test_resize"]
        if crop is not None and resize is not None and crop > resize:
            message = f"no {crop:,} x {crop:,} pixels can be cropped of a side of {resize:,}"
            remedy = "let `test_resize` be at least `test_crop`"
            yield self._say("conflict", message, ["test_crop", "test_resize"], remedy)

    def _crops(self) -> Iterator[Diagnostic]:
        crops, epochs = self.found["crop"], self.found["epochs"]
        if crops is not None and len(crops) > epochs:
            message = f"{len(crops)} crops do not share {_epochs(epochs)}"
            remedy = "give at most one crop for an epoch"
            yield self._say("conflict", message, ["crop", "epochs"], remedy)

    def _schedule(self) -> Iterator[Diagnostic]:
        said, epochs = self.found["schedule"]["arguments"], self.found["epochs"]
        if said["warmup"] > epochs:
            message = f"a warm-up of {said['warmup']:g} epochs does not end within {epochs:,}"
            remedy = "write a shorter `warmup`, or more `epochs`"
            yield self._say("conflict", message, ["schedule.warmup", "epochs"], remedy)
        if "at" in said and said["at"][-1] >= epochs:
            message = f"after {_epochs(epochs)} nothing falls at epoch {said['at'][-1]:g}"
            remedy = "let `at` end before the training does"
            yield self._say("conflict", message, ["schedule.at", "epochs"], remedy)

    def _augment(self) -> Iterator[Diagnostic]:
        augment = self.found["augment"]
        if augment is not None and augment["name"] == "randaugment":
            m, bins = augment["arguments"]["m"], augment["arguments"]["bins"]
            if m >= bins:
                message = f"{bins} bins have no strength {m}"
                remedy = f"strengths count from 0 to {bins - 1}"
                yield self._say("conflict", message, ["augment.m", "augment.bins"], remedy)

    def _say(self, name: str, message: str, fields: list[str], remedy: str) -> Diagnostic:
        """A problem of values: at the one that this recipe says itself, beside the others."""
        spans = list(dict.fromkeys(s for s in map(self._span, fields) if s is not None))
        first = next(filter(self._is_given, spans), None) or next(filter(self._is_own, spans), None)
        first = first or self.scope.declaration.name.span
        others = [s for s in spans if s != first]
        also = [Label(s, primary=False) for s in others if s.source is first.source]
        notes = [Note("because of", (Label(s),)) for s in others if s.source is not first.source]
        return error(name, message, first, also=also, notes=notes, help=remedy)

    def _is_own(self, span: Span) -> bool:
        """Whether a place is in the recipe itself, not in one that it extends."""
        own = self.scope.declaration.span
        return span.source is own.source and own.start <= span.start < own.end

    def _is_given(self, span: Span) -> bool:
        """Whether a place is in the text of an override and in no file."""
        return all(d.span.source is not span.source for d in self.scope.lineage)

    def _span(self, field: str) -> Span | None:
        """Where a field says its value, or an argument of its call; None for a default."""
        name, _, argument = field.partition(".")
        binding = self.bindings.get(name)
        value = binding.fix.value if binding is not None else None
        if value is None or not argument:
            return value.span if value is not None else None
        given = value.arguments if isinstance(value, Call) else ()
        found = (a for a in given if isinstance(a, Keyword) and a.name.text == argument)
        return next((a.span for a in found), None)


def _epochs(n: int) -> str:
    return f"{n:,} epoch" if n == 1 else f"{n:,} epochs"
