"""What FILE, FILE:NAME, FOLDER#NUMBER and NAME mean: a model, a space or a recipe of a spec, an IR, a member, ..."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from regnetc_runtime.problems import Problem

from .. import ir
from ..diagnostics import SpecError, listed, printable
from ..driver import Checked, check_file, signed
from ..emit import own_ir
from ..limits import GENERATED_BYTES, IR_BYTES
from ..network import Network
from ..program import read_bytes
from ..resolve import Resolution
from ..scopes import Scope
from ..spaces.folders import is_population, refuse_unfinished
from ..verify import UnverifiedError, verify
from ..vocabulary import nearest_word
from . import console

if TYPE_CHECKING:
    from ..recipes import ResolvedRecipe
    from ..spaces.space import Space
    from ..zoo import Entry


@dataclass(frozen=True)
class Target:
    """What was named: a network or a recipe where it is one, and the spec behind it where that was given.

    `entry` is that of the zoo where it was named by somebody's name for it, `stem` that of the file which
    the network alone is in.
    """

    network: Network | None
    resolution: Resolution | None = None
    scope: Scope | None = None
    recipe: ResolvedRecipe | None = None
    entry: Entry | None = None
    stem: str = ""


def find(text: str, *, recipes: bool = True) -> Target:
    """The target of a command. Raises Problem, SpecError or UnreadableError with what to do.

    A bare word is a shipped recipe before it is a network of the zoo, unless there are to be no recipes.
    """
    if not text.strip():
        raise Problem(
            "unknown-network", "no network is named", help="name a file, or a network of the zoo"
        )
    member = _member(text)
    if member is not None:
        return Target(member.network, member, member.scope)
    if is_population(text):
        shown = printable(text)
        raise Problem(
            "which-member", f"`{shown}` is a population", help=f"name a member: `{shown}#0`"
        )
    path, name = _split(text)
    if recipes and name is None and not path.suffix and not _exists(text):
        from ..recipes.finding import is_shipped, shipped_path

        if is_shipped(text):
            path, name = Path(shipped_path()), text
    if path.suffix not in (".json", ".py", ".regnet") and not os.path.isfile(path):  # noqa: PTH113 - as below
        entry = named(text, "file and no ")
        path = Path(entry.path)
        return replace(_named(_sound(path), path, entry.network.name), entry=entry)
    if path.suffix == ".json":
        return Target(read_ir(path))
    if path.suffix == ".py":
        return Target(_carried(path))
    return _named(_sound(path), path, name)


def named(name: str, nor: str = "") -> Entry:
    """The shipped network that is called so by anybody. Raises `unknown-network`, with what it is not, either."""
    from .. import zoo

    try:
        return zoo.find(name)
    except zoo.UnknownNetworkError as e:
        near = f"did you mean `{e.near}`?" if e.near else "`regnetc zoo` lists all of them"
        raise Problem(
            "unknown-network", f"no {nor}network of the zoo is called `{printable(name, 60)}`", help=near
        ) from None  # fmt: skip


def address(text: str) -> tuple[Path, int] | None:
    """The folder and the number that `FOLDER#NUMBER` means; None for a text of another form.

    Raises Problem where the population has no such member.
    """
    folder, mark, number = text.rpartition("#")
    if not mark or _exists(text):
        return None
    refuse_unfinished(folder)
    if not is_population(folder):
        if folder and os.path.isdir(folder):  # noqa: PTH112 - false, too, for a name that no folder can have
            raise Problem(
                "bad-population", f"`{printable(folder)}` is no population, so it has no member `{printable(number, 40)}`",
                help="`regnetc sample` makes populations",
            )  # fmt: skip
        return None
    from ..spaces import store

    count = store.read_lock(Path(folder)).found
    if not number.isdecimal() or not number.isascii() or len(number) > 9 or int(number) >= count:
        message = f"`{printable(folder)}` has no member `{printable(number, 40)}`"
        raise Problem("no-member", message, help=f"members count from 0 to {count - 1:,}")
    return Path(folder), int(number)


def _member(text: str) -> Resolution | None:
    found = address(text)
    if found is None:
        return None
    from ..spaces import store

    return store.read(found[0]).resolution(found[1])


def find_space(text: str) -> Space:
    """The space that a command is to draw from. Raises Problem, SpecError or UnreadableError."""
    from ..spaces.space import read

    path, name = _split(text)
    checked = _sound(path)
    spaces = [n for n, s in checked.scopes.items() if s.declaration.kind == "space"]
    if name is None and not spaces:
        raise Problem(
            "no-space", f"`{printable(str(path))}` declares no space", help="name a spec with one"
        )
    if name is None and len(spaces) == 1:
        name = spaces[0]
    if name is None:
        _which(path, spaces)
    if name in checked.resolutions:
        raise Problem(
            "no-space", f"`{name}` is a model: one network, nothing to draw",
            help=f"`regnetc show {printable(text)}` shows it",
        )  # fmt: skip
    if name not in spaces:
        _unknown(path, name, spaces)
    return read(checked.scopes[name])


def _sound(path: Path) -> Checked:
    """A spec without errors. Raises SpecError with them otherwise."""
    checked = check_file(path)
    if checked.failed:
        raise SpecError(checked.problems)
    return checked


def _unknown(path: Path, name: str, known: list[str]) -> NoReturn:
    near = nearest_word(name, known)
    raise Problem(
        "unknown-model", f"`{printable(str(path))}` declares no `{printable(name, 100)}`",
        help=f"did you mean `{near}`?" if near else f"it declares {listed([f'`{n}`' for n in known[:20]], 'and')}",
    )  # fmt: skip


def _exists(text: str) -> bool:
    return os.path.exists(text)  # noqa: PTH110 - false, too, for a name that no file can have


def _split(text: str) -> tuple[Path, str | None]:
    if ":" not in text or _exists(text):
        return Path(text), None
    file, _, name = text.rpartition(":")
    return Path(file), name


def _named(checked: Checked, path: Path, name: str | None) -> Target:
    models = list(checked.resolutions)
    scopes = checked.scopes
    if name is None:
        others = [n for n in scopes if n not in checked.recipes]
        known = models or others or list(scopes)
        if len(known) != 1:
            _which(path, known)
        name = known[0]
    if name in checked.recipes:
        from ..recipes.finding import resolved

        return Target(None, None, scopes[name], resolved(checked, str(path), name))
    if name in checked.resolutions:
        resolution = checked.resolutions[name]
        network = signed(resolution.network, checked, str(path))
        stem = path.name.partition(".regnet")[0] if len(models) == 1 else ""
        return Target(network, resolution, scopes[name], stem=stem)
    if name in scopes:
        return Target(None, None, scopes[name])
    _unknown(path, name, [*scopes])


def _which(path: Path, names: list[str]) -> NoReturn:
    shown = printable(str(path))
    if not names:
        raise Problem(
            "unknown-model",
            f"`{shown}` declares nothing to look at",
            help="name a file with a model",
        )
    raise Problem(
        "which-model", f"`{shown}` declares {len(names)}: {listed([f'`{n}`' for n in names[:12]], 'and')}",
        help=f"say which: `{shown}:{names[0]}`",
    )  # fmt: skip


def read_ir(path: Path) -> Network:
    """The network of an IR file. Raises Problem if it is none."""
    try:
        text = read_bytes(str(path), IR_BYTES).decode("utf-8")
        return ir.from_json(text)[0]
    except (UnicodeDecodeError, ir.IRError) as e:
        raise Problem(
            "bad-ir",
            f"`{printable(str(path))}` is no IR of a network",
            details=(printable(str(e)),),
        ) from None


def _carried(path: Path) -> Network:
    """The network that a generated file carries; reading it executes nothing."""
    data = read_bytes(str(path), GENERATED_BYTES)
    try:
        carried = own_ir(data.decode("utf-8"))
        if carried is None:
            raise ir.IRError("its last line carries no network")
        network = ir.from_json(carried)[0]
        try:
            verify(data)
        except UnverifiedError as e:
            console.say_warning(f"`{printable(str(path))}`: {e}; this is what its last line says")
        return network
    except (UnicodeDecodeError, ir.IRError) as e:
        shown = printable(str(path))
        raise Problem(
            "not-generated",
            f"`{shown}` is no module that regnetc wrote",
            details=(printable(str(e)),),
        ) from None
