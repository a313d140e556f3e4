"""Whether a declaration only narrows its parents: what it draws or fixes is among what they draw."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from .diagnostics import Diagnostic, Label, Note, Span, error
from .distributions import Distribution
from .draws import constant, distribution
from .scopes import Binding, Drawn, Key, Scope, Scopes
from .tree import Call, Expr, Listing, Range, Ref
from .values import shown

_REMEDY = "a space only ever narrows its parents; extend an earlier one to start afresh"


def narrowest(draws: tuple[Drawn, ...]) -> Drawn:
    """The draw that counts among those of unrelated parents: the one that refines all others."""
    for one in draws:
        others = [distribution(other.draw) for other in draws if other is not one]
        if all(distribution(one.draw).beyond(other) is None for other in others):
            return one
    return draws[-1]


def problems(scope: Scope, scopes: Scopes) -> Iterator[Diagnostic]:
    """What a space draws or fixes from more than its parents do. Its draws have been checked."""
    groups: dict[Key, list[Drawn]] = {}
    for one in scope.draws():
        key = (one.draw.target.name, one.draw.target.at is not None)
        groups.setdefault(scope.tie(key), []).append(one)
    for key, many in groups.items():
        yield from _draws(scope, scopes, key, many)
        yield from _fixes(scope, key, many)
    yield from _circles(scope, scopes)


def _draws(scope: Scope, scopes: Scopes, key: Key, many: list[Drawn]) -> Iterator[Diagnostic]:
    chosen = [
        d for d in many
        if not any(o is not d and o.owner is not d.owner and scopes.descends(o.owner, d.owner) for o in many)
    ]  # fmt: skip
    one = narrowest(tuple(chosen))
    for other in many:
        if other is one or not scopes.meets_here(scope.declaration, one.owner, other.owner):
            continue
        new = distribution(one.draw).beyond(distribution(other.draw))
        if new is None:
            continue
        if one.owner is scope.declaration:
            yield _wider(scope, one, other, new)
        elif not _fixed(scope, key):
            yield _ambiguous(scope, key, one, other)
        return


def _fixed(scope: Scope, key: Key) -> bool:
    """Whether a value stands for a draw: `_fixes` looks whether all draws have it."""
    keys = (key, *(k for k in scope.bindings if scope.tie(k) == key))
    found = [scope.bindings[k].fix for k in keys if k in scope.bindings]
    return any(not fix.default and not isinstance(fix.value, Ref) for fix in found)


def _wider(scope: Scope, one: Drawn, other: Drawn, new: Fraction) -> Diagnostic:
    target, name = one.draw.target.span.text, scope.declaration.name.text
    if other.owner is one.owner:
        message = f"`{name}` draws `{target}` from more than its tie with `{other.draw.target.span.text}` allows"
    else:
        message = f"`{name}` draws `{target}` from more than `{other.owner.name.text}` allows"
    note = Note("inherited from here", (Label(other.draw.call.span),))
    span, label = _new_part(one.draw.call, distribution(other.draw), new)
    return error("not-a-refinement", message, span, label, notes=(note,), help=_REMEDY)


def _new_part(call: Call, wider: Distribution, new: Fraction) -> tuple[Span, str]:
    """The smallest part of a draw that brings in something new."""
    label = f"{shown(new)} is new"
    if call.name.text == "choice":
        for argument in call.arguments:
            if not isinstance(argument, Range) and constant(argument) == new:
                return argument.span, label
    given = call.arguments[0]
    if isinstance(given, Range):
        for e in (given.low, given.high):
            value = constant(e)
            if value is not None and not wider.low <= value <= wider.high:
                return e.span, f"{shown(value)} is new"
    return call.span, label


def _ambiguous(scope: Scope, key: Key, one: Drawn, other: Drawn) -> Diagnostic:
    what = f"{key[0]}[i]" if key[1] else key[0]
    notes = [Note(f"from `{d.owner.name.text}`", (Label(d.span),)) for d in (other, one)]
    name = scope.declaration.name
    message = f"`{name.text}` inherits two draws of `{what}`, and neither refines the other"
    remedy = f"say which: add a line `{what} ~ ...` that both allow"
    return error("ambiguous-draw", message, name.span, notes=notes, help=remedy)


def _fixes(scope: Scope, key: Key, many: list[Drawn]) -> Iterator[Diagnostic]:
    """Values that a space fixes by itself, and that an ancestor does not draw."""
    keys = {key, *(k for k in scope.bindings if scope.tie(k) == key)}
    for binding in (scope.bindings[k] for k in keys if k in scope.bindings):
        if binding.owner is not scope.declaration:
            continue
        for e in _items(binding):
            value = constant(e)
            other = next(
                (d for d in many if value is not None and value not in distribution(d.draw)), None
            )
            if other is not None and value is not None:
                yield _outside(scope, binding, e, value, other)
                return


def _outside(scope: Scope, binding: Binding, e: Expr, value: Fraction, other: Drawn) -> Diagnostic:
    target, name = binding.span.text, scope.declaration.name.text
    message = f"`{name}` fixes `{target}` to a value that `{other.owner.name.text}` does not draw"
    note = Note("drawn from here", (Label(other.draw.call.span),))
    return error(
        "not-a-refinement", message, e.span, f"{shown(value)} is new", notes=(note,), help=_REMEDY
    )


def _items(binding: Binding) -> tuple[Expr, ...]:
    value = binding.fix.value
    return value.items if isinstance(value, Listing) else (value,)


# Values that depend on themselves. A space works nothing out, so its circles are found by looking.


def _circles(scope: Scope, scopes: Scopes) -> Iterator[Diagnostic]:
    done: set[Key] = set()
    for key in scope.bindings:
        path: list[Key] = []
        while key in scope.bindings and key not in done:
            if key in path:
                circle = path[path.index(key) :]
                if scopes.all_meet_here(
                    scope.declaration, [scope.bindings[k].owner for k in circle]
                ):
                    yield _circle(scope, circle)
                break
            path.append(key)
            follows = _follows(scope, key)
            if follows is None or (follows == key and not _of_itself(scope, key)):
                break
            key = follows
        done.update(path)


def _follows(scope: Scope, key: Key) -> Key | None:
    """The parameter that a plain tie hands on to."""
    value = scope.bindings[key].fix.value
    return (value.name, value.at is not None) if isinstance(value, Ref) else None


def _of_itself(scope: Scope, key: Key) -> bool:
    """Whether a line says `b = b`; `w[i] = w[1]` says more."""
    fix = scope.bindings[key].fix
    return fix.value.span.text == fix.targets[0].span.text


def _circle(scope: Scope, circle: list[Key]) -> Diagnostic:
    names = [f"{name}[i]" if staged else name for name, staged in circle]
    path = " = ".join(f"`{n}`" for n in [*names, names[0]])
    name = scope.declaration.name
    labels = [Label(scope.bindings[k].fix.span) for k in circle]
    here = next((x.span for x in labels if x.span.source is name.span.source), name.span)
    notes = [Note("by way of", (x,)) for x in labels if x.span != here]
    return error(
        "value-circle", f"`{names[0]}` depends on itself", here, path if len(names) > 1 else "",
        notes=notes, help="fix one of the values in the circle to a number, or draw it",
    )  # fmt: skip
