from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from regnetc_runtime import files
from regnetc_runtime.problems import Problem

CALLS = ("open", "write", "fsync", "replace", "close", "fchmod", "lstat", "ftruncate", "fstat")


class Faults:
    """Counts the calls to the system and makes the Nth one fail."""

    def __init__(self, patch: pytest.MonkeyPatch, nth: int, error: BaseException) -> None:
        self.calls = 0
        self.nth = nth
        self.error = error
        self.failed = ""
        for name in CALLS:
            patch.setattr(os, name, self._shim(name, getattr(os, name)))

    def _shim(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.nth:
                self.failed = name
                if name == "close":
                    real(*args)  # a descriptor is gone even when close reports an error
                raise self.error
            return real(*args, **kwargs)

        return call


def open_files() -> set[tuple[str, str]]:
    """Each descriptor with what it leads to, but the one that lists them."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        with contextlib.suppress(FileNotFoundError):
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))  # noqa: PTH115 - no file's name
    return found


def run_with_fault(
    path: Path, data: bytes, nth: int, error: BaseException
) -> tuple[Faults, str | None]:
    """The shim, and what the write said of the fault."""
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, nth, error)
        try:
            files.write(path, data)
        except (Problem, KeyboardInterrupt) as e:
            return faults, str(e)
    return faults, None


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_whatever_fails_the_file_is_whole(
    tmp_path: Path, existing: bool, error: BaseException
) -> None:
    path = tmp_path / "target"
    for nth in range(1, 100):
        path.unlink(missing_ok=True)
        if existing:
            path.write_bytes(b"old")
        before = open_files()
        faults, reported = run_with_fault(path, b"new" * 10, nth, error)
        content = path.read_bytes() if path.exists() else None
        if faults.calls < nth:
            assert content == b"new" * 10
            break
        assert reported == (
            "" if isinstance(error, KeyboardInterrupt) else f"cannot write {path}: no space left"
        )
        # Only the folder's fsync and close come after the replacement.
        after = faults.failed in ("fsync", "close") and content == b"new" * 10
        assert after or content == (b"old" if existing else None)
        assert [p.name for p in tmp_path.iterdir()] in ([], ["target"])
        assert open_files() <= before  # what earlier tests left to the collector may go
    else:
        pytest.fail("the write never ended")
    assert nth > 6


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    files.write(tmp_path / "x", bytes(range(100)))
    assert (tmp_path / "x").read_bytes() == bytes(range(100))


def test_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        files.write(tmp_path / "new", b"")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644
    finally:
        os.umask(before)
    secret = tmp_path / "secret"
    secret.write_bytes(b"")
    secret.chmod(0o600)
    files.write(secret, b"x")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, why in {
        "link": "symbolic link",
        "loop": "symbolic link",
        "folder": "a folder",
        "fifo": "no regular file",
        "none/x": "no folder",
        "real/x": "not a directory",
        "a\0b": "null",
        "n" * 300: "name too long",
    }.items():
        for act in (lambda p: files.write(p, b"new"), files.check_writable):
            with pytest.raises(Problem, match=why) as e:
                act(tmp_path / name)
            assert e.value.name == "cannot-write"
    assert (tmp_path / "real").read_bytes() == b"old"


def test_a_folder_without_permission_is_found_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.check_writable(tmp_path / "x")
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(Problem, match="cannot be written to"):
        files.check_writable(tmp_path / "x")


def test_what_a_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert not files.holds(path, b"one")
    files.write(path, b"one")
    assert files.holds(path, b"one")
    for other in (b"on", b"ones", b"two"):
        assert not files.holds(path, other)
    (tmp_path / "link").symlink_to("x")
    assert not files.holds(tmp_path / "link", b"one")
    assert not files.holds(tmp_path / ("x" * 5000), b"one")


def test_make_folder(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Problem, match="exists"):
        files.make_folder(tmp_path / "file")


def test_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to("x")
    assert files.read(path, 5) == files.read(tmp_path / "link", 5) == b"12345"
    os.mkfifo(tmp_path / "fifo")
    for name, limit, problem in [
        ("x", 4, "too-large"),
        ("none", 9, "no-such-file"),
        ("x/y", 9, "no-such-file"),
        (".", 9, "not-a-file"),
        ("fifo", 9, "not-a-file"),
        ("/dev/zero", 9, "not-a-file"),
        ("a\0b", 9, "cannot-read"),
    ]:
        with pytest.raises(Problem) as e:
            files.read(tmp_path / name, limit)
        assert e.value.name == problem
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(os, "open", lambda *args: (_ for _ in ()).throw(denied))
    with pytest.raises(Problem, match="cannot be read: permission denied"):
        files.read(path, 9)


def test_the_limit_holds_for_files_that_hide_their_size() -> None:
    """A file under /proc says that it has no bytes, and has some."""
    with pytest.raises(Problem) as e:
        files.read(Path("/proc/cpuinfo"), 10)
    assert e.value.name == "too-large"


@pytest.mark.parametrize("half", [False, True])
def test_a_line_is_there_or_not(half: bool, tmp_path: Path) -> None:
    """Whichever call fails, and if half of it was written before: no half line is left."""
    path = tmp_path / "log"
    for nth in range(1, 30):
        path.write_bytes(b"one\n")
        before = open_files()
        with pytest.MonkeyPatch.context() as patch:
            if half:
                real = os.write
                patch.setattr(os, "write", lambda fd, data: real(fd, data[:2]))  # noqa: B023
            faults = Faults(patch, nth, OSError(errno.ENOSPC, "No space left"))
            try:
                files.append(path, b"second\n")
            except Problem as e:
                assert e.message == f"cannot write {path}: no space left"  # noqa: PT017
            else:
                assert faults.calls < nth
        content = path.read_bytes()
        assert content in (b"one\n", b"one\nsecond\n"), faults.failed
        assert open_files() <= before  # what earlier tests left to the collector may go
        if faults.calls < nth:
            assert content == b"one\nsecond\n"
            break
    assert nth > 5


def test_what_is_not_appended_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    for name in ("link", ".", "none/x", "real/x", "a\0b", "n" * 300):
        with pytest.raises(Problem) as e:
            files.append(tmp_path / name, b"new")
        assert e.value.name == "cannot-write"
    assert (tmp_path / "real").read_bytes() == b"old"
    files.append(tmp_path / "new", b"a")
    files.append(tmp_path / "new", b"b")
    assert (tmp_path / "new").read_bytes() == b"ab"


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = open_files()
    with files.locked(path) as mine:
        assert mine
        assert path.read_text() == f"{os.getpid()}\n"
        with files.locked(path) as theirs:
            assert not theirs
        assert path.read_text() == f"{os.getpid()}\n"
    with files.locked(path) as mine:
        assert mine
    assert open_files() <= before


def test_a_lock_that_cannot_be_had_is_no_lock_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks, and a full one."""
    before = open_files()
    refuse = OSError(errno.ENOLCK, "No locks available")
    for name in ("none/lock", ".", "a\0b"):
        with pytest.raises(Problem, match="cannot write"), files.locked(tmp_path / name):
            pass
    (tmp_path / "link").symlink_to("lock")
    with pytest.raises(Problem, match="cannot write"), files.locked(tmp_path / "link"):
        pass
    for owner, name in ((fcntl, "flock"), (os, "ftruncate"), (os, "pwrite")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, lambda *_: (_ for _ in ()).throw(refuse))
            with (
                pytest.raises(Problem, match="no locks available"),
                files.locked(tmp_path / "lock"),
            ):
                pass
    with files.locked(tmp_path / "lock") as mine:
        assert mine
    assert open_files() <= before


def test_a_forked_child_holds_no_lock(tmp_path: Path) -> None:
    """One that outlives its parent would keep the lock for it."""
    path = tmp_path / "lock"
    (told, say), (hold, end) = os.pipe(), os.pipe()
    with files.locked(path) as mine:
        assert mine
        child = os.fork()
        if child == 0:
            os.close(end)
            os.write(say, bytes([len(files._locks)]))
            os.read(hold, 1)
            os._exit(0)
        assert os.read(told, 1) == b"\0"
    with files.locked(path) as again:
        assert again
    for fd in (told, say, hold, end):
        os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_sweeping(tmp_path: Path) -> None:
    left = f".regnetc-{'0' * 16}.tmp"
    for name in (left, ".regnetc-1.tmp", "x.tmp"):
        (tmp_path / name).write_bytes(b"")
    files.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".regnetc-1.tmp", "x.tmp"]
    with pytest.raises(Problem):
        files.sweep(tmp_path / "none")


def test_removing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    files.remove(tmp_path / "x")
    files.remove(tmp_path / "x")
    with pytest.raises(Problem, match="cannot write"):
        files.remove(tmp_path)
