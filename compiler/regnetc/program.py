"""A spec and all that it uses: files read, parsed, and every declaration that can be named.

Reading goes no further than the folder of the given file and the shipped library.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import stat
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from . import library
from .diagnostics import Diagnostic, Label, Note, Span, error, has_errors, printable
from .limits import ALL_SPECS_BYTES, DIAGNOSTICS_SHOWN, SPEC_BYTES, SPEC_FILES, USE_DEPTH
from .scan import scan
from .syntax import parse
from .tree import Declaration, File, Use
from .vocabulary import nearest_word


class Program(NamedTuple):
    """`main` and the files it uses, directly or not. `names` holds every declaration by name.

    `whole` is false where something could not be read, so that a name may be missing innocently.
    """

    main: File
    names: dict[str, Declaration]
    whole: bool


class UnreadableError(Exception):
    """A file that cannot be read; the message says why and stands alone."""


def read_bytes(path: str, limit: int = SPEC_BYTES) -> bytes:
    """The bytes of a regular file, and no more than one beyond the limit. Raises UnreadableError."""
    shown = printable(path)
    try:
        fd = os.open(
            path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        )  # a pipe must not make us wait
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISREG(mode):
                return _read(fd, limit + 1)
        finally:
            os.close(fd)
    except (OSError, ValueError) as e:
        raise UnreadableError(_why(shown, e)) from None
    what = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
    raise UnreadableError(f"`{shown}` {what}")


def _read(fd: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(fd, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _why(shown: str, e: OSError | ValueError) -> str:
    reasons = {
        errno.ENOENT: f"there is no file `{shown}`",
        errno.ENOTDIR: f"there is no file `{shown}`",
        errno.EACCES: f"`{shown}` may not be read",
        errno.EISDIR: f"`{shown}` is a folder",
        errno.ELOOP: f"the links of `{shown}` run in a circle",
        errno.ENAMETOOLONG: f"there is no file `{shown}`: the name is too long",
        errno.ENXIO: f"`{shown}` is not a regular file",
    }
    return reasons.get(getattr(e, "errno", None) or 0, f"`{shown}` cannot be read")


def load(path: str, data: bytes | None = None) -> tuple[Program, list[Diagnostic]]:
    """Read a spec and what it uses. Raises UnreadableError if the spec itself cannot be read."""
    data = read_bytes(path) if data is None else data
    loader = _Loader(path)
    main = loader.read(data, printable(path), path, ())
    names, clashes = _names(loader.files)
    problems = loader.problems + clashes
    return Program(main, names, loader.whole), problems


@lru_cache(maxsize=128)
def _parsed(data: bytes, name: str) -> tuple[File, tuple[Diagnostic, ...]]:
    source, problems = scan(data, name)
    if has_errors(problems):
        return File(source, (), (), lost=True), tuple(problems)
    file, problems = parse(source)
    return file, tuple(problems)


class _Loader:
    """Follows `use` lines depth first; every file is read once."""

    def __init__(self, given: str) -> None:
        self.root = os.path.dirname(os.path.realpath(given))
        self.library = os.path.realpath(library.folder())
        self.files: dict[str, File] = {}
        self.problems: list[Diagnostic] = []
        self.whole = True
        self.bytes = 0

    def read(self, data: bytes, name: str, path: str, active: tuple[str, ...]) -> File:
        key = os.path.realpath(path)
        self.bytes += len(data)
        file, problems = _parsed(data, name)
        self.problems.extend(problems)
        self.whole = self.whole and not file.lost
        self.files[key] = file
        seen: dict[str, Use] = {}
        for use in file.uses:
            bad = _bad_path(use.path.value) is not None
            first = use if bad else seen.setdefault(posixpath.normpath(use.path.value), use)
            if first is use:
                self.follow(use, name, path, (*active, key))
            else:
                self.refuse(
                    use, "used-twice", f"`{printable(use.path.value)}` is used twice", "delete one of the lines",
                    Label(first.path.span, "here first", primary=False),
                )  # fmt: skip
        return file

    def refuse(self, use: Use, name: str, message: str, remedy: str | None, *also: Label) -> None:
        self.problems.append(error(name, message, use.path.span, also=also, help=remedy))
        self.whole = False

    def follow(self, use: Use, name: str, path: str, active: tuple[str, ...]) -> None:
        wanted = use.path.value
        why = _bad_path(wanted)
        if why is not None:
            self.refuse(
                use,
                "use-path",
                why,
                "name a `.regnet` file beside this one, such as `families.regnet`",
            )
            return
        found = self.find(use, wanted, path)
        if found is None:
            return
        target, shown = found
        key = os.path.realpath(target)
        if key in active:
            self.refuse(
                use,
                "use-circle",
                f"`{wanted}` uses this file in turn",
                "move what both need to a third file",
            )
            return
        if key in self.files:
            return
        if len(self.files) >= SPEC_FILES or len(active) >= USE_DEPTH:
            limit = (
                f"{SPEC_FILES} files"
                if len(self.files) >= SPEC_FILES
                else f"{USE_DEPTH} files in a row"
            )
            self.refuse(use, "too-many", f"a spec uses at most {limit}", None)
            return
        try:
            data = read_bytes(target)
        except UnreadableError as e:
            self.refuse(use, "use-unreadable", str(e), None)
            return
        if self.bytes + len(data) > ALL_SPECS_BYTES:
            self.refuse(
                use,
                "too-large",
                f"a spec and what it uses hold at most {ALL_SPECS_BYTES:,} bytes",
                None,
            )
            return
        here = posixpath.dirname(name)
        self.read(data, shown or posixpath.normpath(posixpath.join(here, wanted)), target, active)

    def find(self, use: Use, wanted: str, path: str) -> tuple[str, str] | None:
        """Beside the file that says it, then in the library; never above either."""
        here = os.path.dirname(path)
        beside, shipped = os.path.join(here, wanted), os.path.join(self.library, wanted)
        if os.path.lexists(beside):
            if not any(_lies_in(beside, home) for home in (self.root, self.library)):
                message = f"`{wanted}` lies outside the folder of the spec"
                self.refuse(use, "use-path", message, "copy the file into that folder")
                return None
            return beside, ""
        if os.path.isfile(shipped) and _lies_in(shipped, self.library):
            return shipped, f"regnetc/spec/{wanted}"
        self.missing(use, wanted, here)
        return None

    def missing(self, use: Use, wanted: str, here: str) -> None:
        near = None
        if len(self.problems) < DIAGNOSTICS_SHOWN:
            known = {posixpath.basename(path)[:-7] for path in library.specs()}
            with suppress(OSError), os.scandir(here or ".") as entries:
                known |= {e.name[:-7] for e in islice(entries, 500) if e.name.endswith(".regnet")}
            near = nearest_word(posixpath.basename(wanted).removesuffix(".regnet"), known)
        message = f"there is no file `{wanted}` here or in the library"
        remedy = f"did you mean `{printable(near)}.regnet`?" if near else None
        self.refuse(use, "use-missing", message, remedy)


def _lies_in(path: str, home: str) -> bool:
    """Whether a file, links followed, is below a folder that holds no links."""
    return os.path.realpath(path).startswith(os.path.join(home, ""))


_PLAIN_PATH = re.compile(r"[A-Za-z0-9._+=@-]+(?:/[A-Za-z0-9._+=@-]+)*")


def _bad_path(path: str) -> str | None:
    """Why this cannot be a file of the spec's own folder, or None."""
    shown = printable(path, 60)
    if not path or path.endswith("/") or posixpath.normpath(path) in (".", ".."):
        return f"`{shown}` names no file"
    if not _PLAIN_PATH.fullmatch(path):
        if path.startswith("/") or re.match(r"[A-Za-z]+:", path):
            return f"`{shown}` is not a path from this file's own folder"
        return f"`{shown}` holds characters that a path of a spec may not"
    if posixpath.normpath(path).startswith("../"):
        return f"`{shown}` leads out of this file's folder"
    if not path.endswith(".regnet"):
        return f"`{shown}` is not a `.regnet` file"
    return f"`{shown}` is too long" if len(path) > 200 else None


def _names(files: dict[str, File]) -> tuple[dict[str, Declaration], list[Diagnostic]]:
    names: dict[str, Declaration] = {}
    problems: list[Diagnostic] = []
    for file in reversed(files.values()):  # what is used comes before what uses it
        for declaration in file.declarations:
            name = declaration.name
            first = names.setdefault(name.text, declaration)
            if first is not declaration:
                problems.append(_clash(name.text, name.span, first.name.span))
    return names, problems


def _clash(name: str, span: Span, first: Span) -> Diagnostic:
    also, notes = [], []
    if first.source is span.source:
        also.append(Label(first, "first here", primary=False))
    else:
        notes.append(Note("first here", (Label(first),)))
    return error(
        "declared-twice", f"`{name}` is declared twice", span, "declared again",
        also=also, notes=notes, help="rename one of them",
    )  # fmt: skip
