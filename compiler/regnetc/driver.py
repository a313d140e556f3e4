"""The pipeline: bytes to program to scopes to networks to text. The table of contents of the compiler."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from . import bounds, expect, published, refinement
from .check import check
from .diagnostics import Diagnostic, Label, Span, SpecError, error, has_errors, in_order
from .limits import MODELS
from .names import class_name, module_name, plain_file_name
from .network import Network, Origin
from .program import Program, load
from .resolve import Resolution, resolve
from .scopes import Scope, Scopes
from .tree import Declaration, Fix, Ref
from .vocabulary import PARAMETERS


class Checked(NamedTuple):
    """A spec that has been read: its models resolved as far as they can be, and every problem.

    `recipes` holds the sound ones as the JSON that the runtime reads.
    """

    program: Program
    resolutions: dict[str, Resolution]
    scopes: dict[str, Scope]
    problems: tuple[Diagnostic, ...]
    recipes: dict[str, dict[str, Any]]

    @property
    def failed(self) -> bool:
        return has_errors(self.problems)


class Module(NamedTuple):
    """A generated module: its file name, its text, and the network that it is."""

    file: str
    text: str
    network: Network


def check_file(path: str | os.PathLike[str], data: bytes | None = None) -> Checked:
    """Read a spec and say everything that is wrong with it. Raises UnreadableError if it cannot be read."""
    path = os.fspath(path)
    program, problems = load(path, data)
    scopes = Scopes(program)
    found: dict[str, Resolution] = {}
    warnings: list[Diagnostic] = []
    budget = bounds.Budget()
    shown: dict[str, Scope] = {}
    checked: dict[int, bool] = {}
    sound: list[Scope] = []
    spaces = 0
    for declaration in program.main.declarations:
        scope = scopes.of(declaration)
        lineage = scope.lineage if scope is not None else ()
        verdicts = [_lines(d, checked, problems) for d in (*lineage, declaration)]
        if scope is None or program.names[declaration.name.text] is not declaration:
            continue  # doubtful parents, or a second declaration of the name: that has been said
        shown[declaration.name.text] = scope
        clear = declaration.name.text not in scopes.conflicted
        if declaration.kind == "space" and clear and all(verdicts):
            narrower = list(refinement.problems(scope, scopes))
            problems.extend(narrower)
            spaces += 1
            if not narrower and spaces <= MODELS:
                problems.extend(_of_space(scope))
        if declaration.kind == "recipe" and clear and all(verdicts):
            sound.append(scope)
        if declaration.kind == "model" and clear and all(verdicts) and len(found) < MODELS:
            resolution, more = resolve(scope, published.published_rows(declaration))
            problems.extend(more)
            if resolution is not None:
                problems.extend(_claims(resolution, budget))
                warnings.extend(_warnings(resolution))
                found[declaration.name.text] = resolution
    recipes = _recipes(sound, problems)
    problems.extend(scopes.problems)
    problems.extend(_collisions(program))
    problems.extend(_crowd(program))
    problems.extend(_nothing(program, problems))
    if not has_errors(problems):  # before that, they would only distract
        problems.extend(warnings)
    ordered = tuple(in_order(problems, program.main.source))
    return Checked(program, found, shown, ordered, recipes)


def compile_file(path: str | os.PathLike[str], data: bytes | None = None) -> list[Module]:
    """The modules of a spec's models. Raises SpecError with all problems, UnreadableError without a file."""
    checked = check_file(path, data)
    if checked.failed:
        raise SpecError(checked.problems)
    return modules(checked, os.fspath(path))


def modules(checked: Checked, path: str) -> list[Module]:
    """A module for each model: called like the spec if there is one, else like the model."""
    from .emit import emit  # Jinja and jsonschema: not for those who only check

    file = os.path.basename(path)
    networks = [signed(r.network, checked, path) for r in checked.resolutions.values()]
    names = [file.split(".regnet")[0]] if len(networks) == 1 else [n.name.lower() for n in networks]
    return [
        Module(f"{module_name(s)}.py", emit(n), n) for s, n in zip(names, networks, strict=True)
    ]


def signed(network: Network, checked: Checked, path: str) -> Network:
    """The network with the name and the digest of the spec that it was written in."""
    return network._replace(origin=origin(checked, path))


def origin(checked: Checked, path: str) -> Origin:
    """The name and the digest of a spec."""
    import hashlib

    digest = hashlib.sha256(checked.program.main.source.text.encode()).hexdigest()
    return Origin(plain_file_name(os.path.basename(path)), digest)


def _recipes(sound: list[Scope], problems: list[Diagnostic]) -> dict[str, dict[str, Any]]:
    """Recipes whose lines are sound, down to every number; those that do not fit together are left out."""
    if not sound:
        return {}
    from .recipes.reading import Reader
    from .recipes.resolve import values

    reader = Reader()  # reads a line once that many recipes inherit
    recipes: dict[str, dict[str, Any]] = {}
    for scope in sound:
        data, wrong = values(scope, reader)
        problems.extend(wrong)
        if not wrong:
            recipes[scope.declaration.name.text] = data
    return recipes


def _lines(declaration: Declaration, checked: dict[int, bool], problems: list[Diagnostic]) -> bool:
    """Check the lines of a declaration once; whether they are sound."""
    if id(declaration) not in checked:
        found = [] if declaration.damaged else list(check(declaration))
        problems.extend(found)
        checked[id(declaration)] = not found
    return checked[id(declaration)]


def _of_space(scope: Scope) -> Iterator[Diagnostic]:
    """A proof that nothing lies in a space, where the ends of its draws give one; draws for nothing."""
    if not scope.drawn:
        return
    from .spaces import box, space

    try:
        read = space.read(scope)
    except SpecError as e:  # it may leave something open: fit to be extended, not to be drawn from
        yield from (p for p in e.problems if p.name in ("index", "out-of-range"))
        return
    empty = box.impossible(read)
    if empty is not None:
        yield empty
    for drawn in space.unused(read):
        yield _unused_line(scope.declaration, drawn.draw.target, drawn.span)


def _claims(resolution: Resolution, budget: bounds.Budget) -> Iterator[Diagnostic]:
    yield from bounds.violations(resolution, budget)
    yield from expect.unmet(resolution)


def _warnings(resolution: Resolution) -> Iterator[Diagnostic]:
    yield from published.published_warnings(resolution)
    yield from published.rounding_warning(resolution)
    yield from _unused(resolution)


def _unused(resolution: Resolution) -> Iterator[Diagnostic]:
    """Values that the model gives and nothing asks for, such as `wm` where widths are written out."""
    model = resolution.scope.declaration
    for line in model.lines:
        for target in line.targets if isinstance(line, Fix) else ():
            name = target.name
            key = (name, 1 if target.at is not None else None)
            if key not in resolution.values and name in PARAMETERS:
                yield _unused_line(model, target, line.span)


def _unused_line(owner: Declaration, target: Ref, span: Span) -> Diagnostic:
    message = f"nothing in `{owner.name.text}` depends on `{target.span.text}`"
    return Diagnostic("warning", "unused", message, (Label(span),), (), "delete the line")


def _collisions(program: Program) -> Iterator[Diagnostic]:
    """Models that would be written to one file, or as one class."""
    models = [d for d in program.main.declarations if d.kind == "model"]
    seen: dict[str, Span] = {}
    for model in models:
        name = model.name
        keys = (
            {class_name(name.text).lower(), module_name(name.text.lower())}
            if len(models) > 1
            else set()
        )
        first = next((seen[k] for k in sorted(keys) if k in seen), None)
        if first is not None and first.text != name.text:
            message = f"`{name.text}` and `{first.text}` become the same class or file"
            also = (Label(first, "the other", primary=False),)
            yield error(
                "names-collide",
                message,
                name.span,
                also=also,
                help="let them differ by more than case and signs",
            )
        for k in keys:
            seen.setdefault(k, name.span)


def _crowd(program: Program) -> Iterator[Diagnostic]:
    models = [d for d in program.main.declarations if d.kind == "model"]
    if len(models) > MODELS:
        message = f"a file holds at most {MODELS} models, this one has {len(models):,}"
        yield error("too-many", message, models[MODELS].name.span, help="split it into files")


def _nothing(program: Program, problems: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    if not program.main.declarations and not program.main.uses and not has_errors(problems):
        span = Span(program.main.source, 0, 0)
        yield error(
            "empty",
            "this file declares nothing",
            span,
            help="write a `model`; `regnetc zoo` lists examples",
        )
