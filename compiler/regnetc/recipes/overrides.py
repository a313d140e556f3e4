"""The texts of `--set`: lines that take the place of a recipe's own.

`epochs=2` replaces a line, `optimizer.lr=0.2` one argument of a call. Problems point into the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..diagnostics import Diagnostic, Source, Span, error, has_errors, in_order
from ..scan import scan
from ..scopes import Binding, Scope
from ..syntax import parse
from ..tree import Call, Expr, Fix, Keyword, Name, Ref
from .fields import FIELDS
from .forms import Calls
from .lines import fix_problems, unknown_field
from .reading import Reader

SOURCE = "--set"
_BEFORE, _AFTER = "recipe x {\n", "\n}\n"
_PLACE = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*(\.[ \t]*)?")


class Override(NamedTuple):
    """A line of `--set`; where `function` is a field, the line's target is an argument of its call."""

    fix: Fix
    function: Name | None


def parse_overrides(texts: Sequence[str]) -> tuple[list[Override], list[Diagnostic]]:
    """The lines of some `--set`, and every one that cannot be read."""
    overrides: list[Override] = []
    problems: list[Diagnostic] = []
    for text in texts:
        override, found = _parse(text)
        problems.extend(found)
        if override is not None:
            overrides.append(override)
    return overrides, problems or list(_twice(overrides))


def _parse(text: str) -> tuple[Override | None, list[Diagnostic]]:
    source, problems = scan(text.encode("utf-8", "surrogateescape"), SOURCE)
    if has_errors(problems):
        return None, in_order(problems, source)
    body, function = source.text, None
    place = _PLACE.match(body)
    if place is not None and place.group(2):
        function = Name(place.group(1), Span(source, *place.span(1)))
        body = " " * place.end() + body[place.end() :]
    if "=" not in body:
        return None, [_not_one_line(source)]
    file, found = parse(Source(SOURCE, f"{_BEFORE}{body}{_AFTER}"))
    if found:
        return None, [_moved(p, source) for p in found[:1]]
    lines = [line for d in file.declarations for line in d.lines]
    one = lines[0] if len(lines) == len(file.declarations) == 1 else None
    if not isinstance(one, Fix) or one.default or file.uses:
        return None, [_not_one_line(source)]
    fix: Fix = _moved(one, source)
    return Override(fix, function), []


def _not_one_line(source: Source) -> Diagnostic:
    remedy = "such as `--set epochs=2` or `--set optimizer.lr=0.2`"
    message = "`--set` takes one line `field = value`"
    return error("override", message, Span(source, 0, len(source.text)), help=remedy)


def _moved(node: Any, source: Source) -> Any:
    """A tree or a problem with its places moved from the text that was parsed to the one given."""
    if isinstance(node, Span):
        end = len(source.text)
        start, stop = (min(max(x - len(_BEFORE), 0), end) for x in (node.start, node.end))
        return Span(source, start, max(start, stop))
    if isinstance(node, tuple):
        parts = [_moved(part, source) for part in node]
        return type(node)(*parts) if hasattr(node, "_fields") else tuple(parts)
    return node


def _key(override: Override) -> tuple[str, str]:
    name = override.fix.targets[0].name
    return (override.function.text, name) if override.function is not None else (name, "")


def _twice(overrides: Sequence[Override]) -> list[Diagnostic]:
    seen: set[tuple[str, str]] = set()
    problems = []
    for override in overrides:
        key = _key(override)
        if key in seen:
            shown = ".".join(filter(None, key))
            span = override.fix.targets[0].span
            message = f"`--set` gives `{shown[:60]}` twice"
            problems.append(error("fixed-twice", message, span, help="leave one of them out"))
        seen.add(key)
    return problems


def apply(
    overrides: Sequence[Override], scope: Scope, reader: Reader
) -> tuple[dict[str, Binding], list[Diagnostic]]:
    """The lines that take the place of a recipe's; lines first, then arguments, in any order given."""
    bindings = {name: b for (name, staged), b in scope.bindings.items() if not staged}
    given: dict[str, Binding] = {}
    problems: list[Diagnostic] = []
    for override in sorted(overrides, key=lambda o: o.function is not None):
        if override.function is None:
            found = list(fix_problems(override.fix, reader))
            fix: Fix | None = override.fix
        else:
            binding = given.get(override.function.text) or bindings.get(override.function.text)
            fix, found = _with_argument(override.fix, override.function, binding, reader)
        problems.extend(found)
        if fix is not None and not found:
            given[fix.targets[0].name] = Binding(scope.declaration, fix, 0)
    return given, problems


def _with_argument(
    fix: Fix, function: Name, binding: Binding | None, reader: Reader
) -> tuple[Fix | None, list[Diagnostic]]:
    """The line of a call with one of its arguments replaced or added."""
    target = fix.targets[0]
    field = Ref(function.text, None, function.span)
    value = binding.fix.value if binding is not None else None
    problem = _no_argument(fix, function, value)
    if problem is not None or binding is None or not isinstance(value, Call | Ref):
        return None, [problem] if problem is not None else []
    keyword = Keyword(Name(target.name, target.span), fix.value, target.span.to(fix.value.span))
    kept = value.arguments if isinstance(value, Call) else ()
    kept = tuple(a for a in kept if not (isinstance(a, Keyword) and a.name.text == target.name))
    name = value.name if isinstance(value, Call) else Name(value.name, value.span)
    call = Call(name, (*kept, keyword), value.span)
    changed = Fix(False, (field,), call, binding.fix.span)
    return changed, list(fix_problems(changed, reader))


def _no_argument(fix: Fix, function: Name, value: Expr | None) -> Diagnostic | None:
    """Why `function.argument = ...` names no argument of a call, or None."""
    entry, target = FIELDS.get(function.text), fix.targets[0]
    if entry is None:
        return unknown_field(function.text, function.span)
    if len(fix.targets) > 1:
        message = "`--set` changes one argument at a time"
        return error("override", message, fix.targets[1].span, help="write a `--set` for each")
    if target.at is not None:
        message = f"the argument `{target.name}` has one value"
        return error(
            "index", message, target.span, help=f"write `{function.text}.{target.name}=...`"
        )
    if not isinstance(entry.form, Calls):
        message = f"`{function.text}` has no arguments"
        remedy = f"write `--set {function.text}=...`"
        return error("override", message, function.span, help=remedy)
    if not isinstance(value, Call | Ref) or _is_none(value):
        example = entry.form.functions[0].example
        message = f"`{function.text}` calls nothing, so there is no argument to change"
        remedy = f"write `--set '{function.text}={example}'`"
        return error("override", message, function.span, help=remedy)
    return None


def _is_none(value: Call | Ref) -> bool:
    return isinstance(value, Ref) and value.name == "none"
