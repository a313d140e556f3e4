"""Bytes to and from files; no other module of the product opens a file for writing.

A file that is written is whole: it has its old content or its new one, whatever happens in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from .problems import Problem, printable

_AT_ONCE = 4 * 1024 * 1024
_TEMPORARY = re.compile(r"\.regnetc-[0-9a-f]{16}\.tmp")


def write(path: Path, data: bytes) -> None:
    """Put `data` into a file, new or old, keeping the permissions of an old one.

    Raises `cannot-write`; whatever was there is then still there, or already replaced in full.
    """
    try:
        mode = _mode_for(path)
        _replace(path, data, mode)
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def holds(path: Path, data: bytes) -> bool:
    """Whether a file, and no link to one, holds exactly `data`."""
    try:
        return read(path, len(data)) == data and not path.is_symlink()
    except Problem:  # missing, longer, unreadable: `write` finds out what matters of that
        return False


def check_writable(path: Path) -> None:
    """Raise `cannot-write` now for what would make `write` fail after hours of work."""
    try:
        _mode_for(path)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _cannot_write(path, f"the folder {printable(path.parent)} cannot be written to")
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing. Raises `cannot-write`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def remove(path: Path) -> None:
    """Delete a file, if it is there. Raises `cannot-write`."""
    try:
        path.unlink(missing_ok=True)
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def append(path: Path, data: bytes) -> None:
    """Put `data` behind what a file holds, in one piece. Raises `cannot-write`.

    Whoever reads such a file takes a last line without an end for one that was cut short.
    """
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o666)
        try:
            before = os.fstat(fd).st_size
            try:
                _write_all(fd, data)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, before)  # a full disk leaves no half line
                raise
        finally:
            os.close(fd)
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def move(old: Path, new: Path) -> None:
    """Give a file another name in its folder, in place of what has it. Raises `cannot-write`."""
    try:
        old.replace(new)
        folder = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, ValueError) as e:
        raise _cannot_write(new, _reason(e)) from e


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder with these files: all of them, or no folder. Raises `cannot-write`.

    Nothing but an empty folder may have its name.
    """
    temporary = path.parent / f".regnetc-{secrets.token_hex(8)}.tmp"
    try:
        temporary.mkdir()
        try:
            for name, data in contents.items():
                _write_new(temporary / name, data, None)
            temporary.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                for name in contents:
                    (temporary / name).unlink(missing_ok=True)
                temporary.rmdir()
            raise
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


_locks: set[int] = set()
"""Descriptors of the locks that this process holds."""


def _let_go() -> None:
    """A child that was forked holds no lock, or a lock would outlive the process that took it."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a file as a lock; False where another process holds it. Raises `cannot-write`.

    The lock ends with the process, however that ends. The file stays, and holds the process's number.
    """
    fd, mine = _lock(path)
    try:
        yield mine
    finally:
        if fd in _locks:  # not in a child
            _locks.discard(fd)
            os.close(fd)


def _lock(path: Path) -> tuple[int, bool]:
    """The descriptor of a file, and whether this process holds it as a lock now."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        _locks.add(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            return fd, False
        except BaseException:
            _locks.discard(fd)
            os.close(fd)
            raise
        return fd, True
    except (OSError, ValueError) as e:
        raise _cannot_write(path, _reason(e)) from e


def sweep(folder: Path) -> None:
    """Remove what writes that were killed half-way have left in a folder. Raises `cannot-write`."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except OSError as e:
        raise _cannot_write(folder, _reason(e)) from e
    for name in names:
        if _TEMPORARY.fullmatch(name):
            remove(folder / name)


def read(path: Path, limit_bytes: int) -> bytes:
    """The content of a regular file, or of one that a link leads to.

    Raises `no-such-file`, `not-a-file` (a folder, pipe or device), `cannot-read` and `too-large`.
    """
    shown = printable(path)
    try:
        _refuse_irregular(path.stat(), shown)
        # Between the two looks the file can change into a pipe, which must not hang.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as f:
            status = os.fstat(fd)
            _refuse_irregular(status, shown)
            room = min(
                limit_bytes, max(status.st_size, 65_536)
            )  # it makes room for as much at once
            data = f.read(room + 1) if status.st_size <= limit_bytes else None
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Problem("no-such-file", f"there is no file {shown}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{shown} cannot be read: {_reason(e)}") from e
    if data is None or len(data) > limit_bytes:
        raise Problem("too-large", f"{shown} is larger than {limit_bytes:,} bytes")
    return data


def sha256(path: Path) -> str:
    """The SHA-256 of a regular file of any size, in hexadecimal. Raises what `read` raises."""
    shown = printable(path)
    digest = hashlib.sha256()
    try:
        _refuse_irregular(path.stat(), shown)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as f:
            _refuse_irregular(os.fstat(fd), shown)
            while data := f.read(_AT_ONCE):
                digest.update(data)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Problem("no-such-file", f"there is no file {shown}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{shown} cannot be read: {_reason(e)}") from e
    return digest.hexdigest()


def _refuse_irregular(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise Problem("not-a-file", f"{shown} is {what}")


def _mode_for(path: Path) -> int | None:
    """Permissions of the file to be replaced, None where there is none."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise _cannot_write(
                path, f"there is no folder {printable(path.parent)}", "make the folder first"
            ) from None
        return None
    if stat.S_ISLNK(status.st_mode):
        # Replacing would leave the link's target as it was, and writing through it could hit any file.
        raise _cannot_write(path, "it is a symbolic link", "name the file that the link leads to")
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise _cannot_write(path, f"it is {what}")
    return stat.S_IMODE(status.st_mode)


def _replace(path: Path, data: bytes, mode: int | None) -> None:
    """Write a file beside `path`, then give it that name, and see that both reach the disk."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        temporary = path.parent / f".regnetc-{secrets.token_hex(8)}.tmp"
        try:
            _write_new(temporary, data, mode)
            temporary.replace(path)
        except BaseException:  # Ctrl-C as well leaves nothing behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_new(path: Path, data: bytes, mode: int | None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if mode is not None:
            os.fchmod(fd, mode)
        _write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _cannot_write(path: Path, reason: str, help: str | None = None) -> Problem:
    return Problem("cannot-write", f"cannot write {printable(path)}: {reason}", help=help)


def _reason(e: OSError | ValueError) -> str:
    """What the system says, in lower case; a ValueError is a path with a NUL in it."""
    text = (e.strerror or str(e)) if isinstance(e, OSError) else str(e)
    return printable(text[:1].lower() + text[1:])
