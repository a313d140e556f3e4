"""Declarations and their parents to scopes. A scope is a conjunction of lines: nothing is dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from .diagnostics import Diagnostic, Label, Note, Span, error
from .limits import ANCESTORS, CONFLICTS, DIAGNOSTICS_SHOWN, INHERITED_LINES, PARENTS
from .program import Program
from .tree import Bound, Call, Declaration, Draw, Fix, Member, Name, Ref, references
from .vocabulary import nearest_word

Key = tuple[str, bool]
"""A parameter's name, and whether it is the one for each stage: ("w", True) is `w[i]`."""


class Binding(NamedTuple):
    """The line that gives a parameter its value, and the declaration that it stands in."""

    owner: Declaration
    fix: Fix
    target: int

    @property
    def span(self) -> Span:
        return self.fix.targets[self.target].span


class Drawn(NamedTuple):
    """A draw, and the declaration that it stands in."""

    owner: Declaration
    draw: Draw

    @property
    def span(self) -> Span:
        return self.draw.span


class Scope(NamedTuple):
    """A declaration with everything that it inherits; ancestors come before their descendants.

    `drawn` holds for each parameter the draws of the most derived declarations: one, unless parents
    that do not descend from each other draw it.
    """

    declaration: Declaration
    lineage: tuple[Declaration, ...]
    bindings: dict[Key, Binding]
    drawn: dict[Key, tuple[Drawn, ...]]

    def requirements(self) -> Iterator[tuple[Declaration, Bound | Member]]:
        """Every bound of the declaration and its ancestors."""
        for owner in self.lineage:
            for line in owner.lines:
                if isinstance(line, Bound | Member):
                    yield owner, line

    def draws(self) -> Iterator[Drawn]:
        """Every draw of the declaration and its ancestors."""
        for owner in self.lineage:
            for line in owner.lines:
                if isinstance(line, Draw):
                    yield Drawn(owner, line)

    def tie(self, key: Key) -> Key:
        """The parameter that every stage of another is tied to: `b` for `b[i] = b`; else itself."""
        binding = self.bindings.get(key) if key[1] else None
        value = binding.fix.value if binding is not None else None
        return (value.name, False) if isinstance(value, Ref) and value.at is None else key


class Scopes:
    """The scopes of a program, each worked out once; `problems` gathers what is wrong with them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.problems: list[Diagnostic] = []
        self.conflicted: set[str] = set()
        self._lineages: dict[str, tuple[Declaration, ...] | None] = {}
        self._depths: dict[str, int] = {}
        self._ancestors: dict[str, frozenset[int]] = {}
        self._bindings: dict[int, list[tuple[Binding, Key]]] = {}
        self._words: dict[int, str] = {}

    def of(self, declaration: Declaration) -> Scope | None:
        """The scope of a declaration, or None where its parents are in doubt."""
        lineage = self.lineage(declaration, ())
        if lineage is None or any(d.damaged for d in lineage):
            return None
        lines = sum(len(d.lines) for d in lineage)
        if lines > INHERITED_LINES:
            message = (
                f"`{declaration.name.text}` inherits {lines:,} lines, more than {INHERITED_LINES:,}"
            )
            remedy = f"extend fewer {_parent_kind(declaration)}s"
            self._report("too-many", message, declaration.name.span, help=remedy)
            return None
        before = len(self.problems)
        scope = Scope(declaration, lineage, self._bind(declaration, lineage), {})
        if declaration.kind != "recipe":
            self._draw(scope)
        if len(self.problems) > before:
            self.conflicted.add(declaration.name.text)
        return scope

    def lineage(
        self, declaration: Declaration, active: tuple[Declaration, ...]
    ) -> tuple[Declaration, ...] | None:
        """All ancestors and then the declaration itself; None after a problem."""
        name = declaration.name.text
        if name in self._lineages:
            return self._lineages[name]
        self._lineages[name] = None  # until proved otherwise: a circle comes back here
        seen: dict[int, Declaration] = {}
        fine = True
        depth = 0
        for k, parent in enumerate(declaration.parents):
            if any(parent.text == other.text for other in declaration.parents[:k]):
                self._report(
                    "extended-twice",
                    f"`{parent.text}` is extended twice",
                    parent.span,
                    help="name it once",
                )
            found = self._parent(declaration, parent, (*active, declaration))
            lines = self.lineage(found, (*active, declaration)) if found is not None else None
            if found is None or lines is None:
                fine = False
                continue
            depth = max(depth, self._depths[found.name.text])
            seen.update((id(d), d) for d in lines)
        self._depths[name] = depth + 1
        if depth + 1 > PARENTS + 1 or len(seen) > ANCESTORS or len(active) > PARENTS:
            limit = f"{PARENTS} deep" if len(seen) <= ANCESTORS else f"to {ANCESTORS} ancestors"
            message = f"`{name}` stands in a chain of parents that is too long"
            self._report(
                "too-deep", message, declaration.name.span, help=f"parents reach at most {limit}"
            )
            fine = False
        result = (*seen.values(), declaration) if fine else None
        self._lineages[name] = result
        return result

    def _report(
        self, name: str, message: str, span: Span, label: str = "", help: str | None = None
    ) -> None:
        self.problems.append(error(name, message, span, label, help=help))

    def _parent(
        self, child: Declaration, name: Name, active: tuple[Declaration, ...]
    ) -> Declaration | None:
        found = self.program.names.get(name.text)
        if found is None:
            if self.program.whole:
                self._unknown(child, name)
            return None
        if any(d is found for d in active):
            names = [d.name.text for d in active]
            circle = [*names[names.index(name.text) :], name.text]
            path = " extends ".join(f"`{n}`" for n in circle[:6])
            self._report(
                "circle",
                f"`{name.text}` extends itself",
                name.span,
                path if len(circle) > 2 else "",
            )
            return None
        if len(active) > PARENTS:
            message = f"`{child.name.text}` stands in a chain of parents that is too long"
            self._report(
                "too-deep", message, name.span, help=f"parents reach at most {PARENTS} deep"
            )
            return None
        wanted = _parent_kind(child)
        if found.kind != wanted:
            self._report(
                "wrong-kind", f"a {child.kind} does not extend a {found.kind}", name.span,
                f"`{name.text}` is a {found.kind}", help=f"extend a {wanted}",
            )  # fmt: skip
            return None
        return found

    def _unknown(self, child: Declaration, name: Name) -> None:
        kind = _parent_kind(child)
        fitting = [n for n, d in self.program.names.items() if d.kind == kind and d is not child]
        library = "recipes.regnet" if kind == "recipe" else "families.regnet"
        near = None
        if len(self.problems) < DIAGNOSTICS_SHOWN:  # a comparison with every name takes its time
            near = nearest_word(name.text, fitting[:500])
        known = (
            f"known here: {', '.join(f'`{n}`' for n in fitting[:8])}"
            if fitting
            else f'begin with `use "{library}"`'
        )
        self._report(
            "unknown-name", f"nothing is called `{name.text}`", name.span,
            "not declared here or in a file this one uses", help=f"did you mean `{near}`?" if near else known,
        )  # fmt: skip

    def _bind(
        self, declaration: Declaration, lineage: tuple[Declaration, ...]
    ) -> dict[Key, Binding]:
        fixes: dict[Key, Binding] = {}
        defaults: dict[Key, list[Binding]] = {}
        conflicts = 0
        for binding, key in chain.from_iterable(map(self._own, lineage)):
            first = fixes.get(key)
            if first is not None:
                replaced = binding.fix.default and not self.descends(binding.owner, first.owner)
                agrees = binding.owner is not first.owner and self._same(binding, first)
                if not replaced and not agrees and conflicts < CONFLICTS:
                    conflicts += 1
                    self._twice(declaration, binding, first)
            elif binding.fix.default:
                defaults.setdefault(key, []).append(binding)
            else:
                fixes[key] = binding
        bound = {
            key: self._default(declaration, many)
            for key, many in defaults.items()
            if key not in fixes
        }
        return {**bound, **fixes}

    def _own(self, owner: Declaration) -> list[tuple[Binding, Key]]:
        """What a declaration's own lines fix."""
        if id(owner) not in self._bindings:
            self._bindings[id(owner)] = [
                (Binding(owner, line, k), (target.name, target.at is not None))
                for line in owner.lines
                if isinstance(line, Fix)
                for k, target in enumerate(line.targets)
            ]
        return self._bindings[id(owner)]

    def _draw(self, scope: Scope) -> None:
        """Find the draws that count, and drop the defaults that they replace."""
        drawn = scope.drawn
        for one in scope.draws():
            key = (one.draw.target.name, one.draw.target.at is not None)
            before = drawn.get(key, ())
            self._drawn_twice(one, before)
            kept = [d for d in before if not self.descends(one.owner, d.owner)]
            drawn[key] = (*kept, one)
        for key, binding in list(scope.bindings.items()):
            draws = drawn.get(key, ())
            later = all(
                d.owner is not binding.owner and self.descends(binding.owner, d.owner)
                for d in draws
            )
            if binding.fix.default and draws and not later:
                del scope.bindings[key]
        if _made_by_line(scope):
            del scope.bindings["stages", False]

    def _drawn_twice(self, one: Drawn, before: tuple[Drawn, ...]) -> None:
        first = next((d for d in before if d.owner is one.owner), None)
        if first is None or _words(first.draw.call.span) == _words(one.draw.call.span):
            return
        what = one.draw.target.span.text
        also = (Label(first.span, "drawn first", primary=False),)
        self.problems.append(
            error(
                "drawn-twice", f"`{what}` is drawn twice", one.span, "drawn again", also=also,
                help="delete one of the lines",
            )
        )  # fmt: skip

    def descends(self, child: Declaration, ancestor: Declaration) -> bool:
        return any(d is ancestor for d in self._lineages[child.name.text] or ())

    def _default(self, declaration: Declaration, many: list[Binding]) -> Binding:
        """The default of the most derived declaration; two that do not descend from each other clash."""
        chosen = many[-1]
        replaced = set().union(*(self._above(x.owner) for x in many)) if len(many) > 1 else set()
        looked = 0
        for other in many[:-1]:
            alone = other.owner is chosen.owner
            if id(other.owner) in replaced or (not alone and self._same(other, chosen)):
                continue
            looked += 1
            if looked > CONFLICTS:
                break
            if alone:
                self._twice(declaration, chosen, other)
            elif self._ambiguous(declaration, other, chosen):
                break  # which of them all is meant is one question
        return chosen

    def _same(self, one: Binding, two: Binding) -> bool:
        """Whether two lines give the same value in the same words, blanks and comments apart."""
        return self._said(one.fix) == self._said(two.fix)

    def _said(self, fix: Fix) -> str:
        if id(fix) not in self._words:
            self._words[id(fix)] = _words(fix.value.span)
        return self._words[id(fix)]

    def _above(self, declaration: Declaration) -> frozenset[int]:
        """The ids of a declaration's ancestors."""
        name = declaration.name.text
        if name not in self._ancestors:
            lineage = self._lineages.get(name) or ()
            self._ancestors[name] = frozenset(id(d) for d in lineage if d is not declaration)
        return self._ancestors[name]

    def _ambiguous(self, declaration: Declaration, one: Binding, two: Binding) -> bool:
        """Say that two defaults clash, where an ancestor has not said it; whether it was said."""
        if not self.meets_here(declaration, one.owner, two.owner):
            return False
        what = _shown(two)
        notes = [Note(f"from `{x.owner.name.text}`", (Label(x.fix.span),)) for x in (one, two)]
        self.problems.append(
            error(
                "ambiguous-default",
                f"`{declaration.name.text}` inherits two defaults for `{what}`",
                declaration.name.span,
                notes=notes,
                help=f"say which: add a line `{what} = ...`",
            )
        )
        return True

    def _twice(self, declaration: Declaration, again: Binding, first: Binding) -> None:
        if not self.meets_here(declaration, again.owner, first.owner):
            return
        what = _shown(again)
        remedy = "only a `default` may be replaced"
        if again.fix.default and again.owner is not first.owner:
            remedy = "a `default` does not loosen what an ancestor fixed; delete it"
        elif first.owner is not again.owner:
            remedy += f"; extend a {_parent_kind(declaration)} that leaves `{what}` open"
        else:
            remedy = "delete one of the lines"
        here = again.owner is declaration
        span = again.fix.span if here else declaration.name.span
        label = "fixed again" if here else "both reach this declaration"
        also: list[Label] = []
        notes: list[Note] = []
        for x in (first,) if here else (first, again):
            if x.fix.span.source is span.source and x.owner is declaration:
                also.append(Label(x.fix.span, "fixed first", primary=False))
            else:
                notes.append(
                    Note(
                        f"`{x.owner.name.text}` fixes it{' first' if here else ''}",
                        (Label(x.fix.span),),
                    )
                )
        self.problems.append(
            error(
                "fixed-twice",
                f"`{what}` is fixed twice",
                span,
                label,
                also=also,
                notes=notes,
                help=remedy,
            )
        )

    def meets_here(self, declaration: Declaration, one: Declaration, two: Declaration) -> bool:
        """Whether this declaration is the first in which both lines hold; else an ancestor has said it."""
        return self.all_meet_here(declaration, [one, two])

    def all_meet_here(self, declaration: Declaration, owners: list[Declaration]) -> bool:
        """Whether no parent of a declaration has inherited from all of these, or is one of them."""
        wanted = {id(owner) for owner in owners}
        for parent in declaration.parents:
            known = self.program.names.get(parent.text)
            if known is not None and wanted <= self._above(known) | {id(known)}:
                return False
        return True


def _parent_kind(child: Declaration) -> str:
    """What a declaration may extend."""
    return "recipe" if child.kind == "recipe" else "space"


def _shown(binding: Binding) -> str:
    target = binding.fix.targets[binding.target]
    return f"{target.name}[i]" if target.at is not None else target.name


def _words(span: Span) -> str:
    return re.sub(r"#[^\n]*|\s", "", span.text)


def _made_by_line(scope: Scope) -> bool:
    """Whether the quantised line makes the number of stages: a bound on it replaces the default."""
    stages, widths = scope.bindings.get(("stages", False)), scope.bindings.get(("w", True))
    if stages is None or not stages.fix.default or widths is None:
        return False
    value = widths.fix.value
    if not isinstance(value, Call) or value.name.text != "quantized_linear":
        return False
    return any({r.name for r in references(line)} == {"stages"} for _, line in scope.requirements())
