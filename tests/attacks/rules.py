"""What a run did, said and left behind in; the rules that it broke out, a line for each.

`watch` is for the process that runs: it notes what that reads, writes and starts. The rest judges
from outside.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MESSAGE = 64 * 1024  # bytes of what a run says
CPU, WALL = 2.0, 20.0  # seconds
RESIDENT = 256  # MiB

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def by_path(name: str) -> Any:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


probe = by_path("probe")


def readable(specs: Path) -> tuple[str, ...]:
    """Where a run may read: its own folder, the library, and what Python and the product consist of."""
    product = [ROOT / x for x in ("spec", "compiler", "runtime")]
    python = [Path(sys.prefix), Path(sys.base_prefix), Path(os.__file__).parent]
    also = [Path(p) for p in sys.path if p]
    return tuple({os.path.realpath(p) for p in (specs, *product, *python, *also)})


TOUCHES = frozenset(
    "os.mkdir os.rename os.remove os.rmdir os.symlink os.link os.chmod os.chown os.truncate os.utime "
    "os.mkfifo os.mknod os.setxattr os.removexattr shutil.rmtree shutil.move shutil.copyfile".split()
)
REACHES = frozenset(
    "subprocess.Popen os.system os.exec os.fork os.forkpty os.posix_spawn os.spawn os.startfile "
    "os.kill os.killpg pty.spawn socket.connect socket.bind socket.getaddrinfo ctypes.dlopen".split()
)
LOOKS = frozenset(("os.listdir", "os.scandir"))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(log: int, out: Path, allowed: tuple[str, ...]) -> None:
    """Note every effect of this process but writing to `out` and reading where it may."""
    own = (str(out),)
    busy: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if busy or not (event == "open" or event in TOUCHES | REACHES | LOOKS):
            return
        busy.append(event)
        try:
            for note in effects(event, args, own, allowed):
                os.write(log, f"{note}\n".encode("utf-8", "backslashreplace"))
        finally:
            busy.pop()

    sys.addaudithook(hook)


def effects(
    event: str, args: tuple[Any, ...], own: tuple[str, ...], allowed: tuple[str, ...]
) -> Iterator[str]:
    if event in REACHES:
        yield event
        return
    paths = [os.path.abspath(os.fsdecode(a)) for a in args[:2] if isinstance(a, (str, bytes))]
    if event == "open":
        writes = bool((args[2] or 0) & WRITES)
        paths = paths[:1] if isinstance(args[0], (str, bytes)) else []
    else:
        writes = event in TOUCHES
    for path in paths:
        if path != os.devnull and not within(path, own if writes else own + allowed):
            yield f"{'writes' if writes else 'reads'} {path!a}"


def within(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def wrong_end(code: int, mib: int) -> Iterator[str]:
    """An exit code (negative for a signal) or a size that no run may have."""
    if code == -signal.SIGPROF:
        yield f"slow: more than {CPU:g} s of processor time"
    elif code == -signal.SIGALRM:
        yield f"hang: more than {WALL:g} s"
    elif code < 0:
        yield f"killed by {signal.Signals(-code).name}"
    elif code not in (0, 1):
        yield f"exit code {code}"
    if mib > RESIDENT:
        yield f"memory: {mib} MiB"


def wrong_words(said: bytes, code: int) -> Iterator[str]:
    """A message that is too long, no text, for programmers, or missing."""
    if len(said) > MESSAGE:
        yield f"message of {len(said)} bytes"
    try:
        text = said.decode("utf-8")
    except UnicodeDecodeError:
        yield "message is not UTF-8"
        return
    if "Traceback (most recent call last)" in text:
        yield "traceback: " + ascii(text.strip().rpartition("\n")[2])[:200]
    elif found := CONTROL.search(text):
        yield f"control character U+{ord(found.group()):04X} in the message"
    if code == 1 and not text.strip():
        yield "refused without a message"


def outside(said: str, name: str, data: bytes) -> Iterator[str]:
    """Positions in the spec that it does not have, however its lines are counted."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    ways = [text.split("\n"), text.replace("\r", "\n").split("\n")]
    for found in re.finditer(re.escape(name) + r":(\d+):(\d+)", said):
        line, column = map(int, found.groups())
        fits = (
            1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1 for lines in ways
        )
        if not any(fits):
            yield f"position outside the file: {line}:{column}"
            return


def wrong_output(out: Path) -> Iterator[str]:
    """What is in the folder after exit code 0 and is no sound module."""
    files = sorted(p for p in out.rglob("*") if not p.is_dir())
    if not files:
        yield "accepted without output"
    for path in files:
        if path.suffix != ".py" or path.is_symlink():
            yield f"output {path.name!a}: not a module"
        else:
            yield from (f"output {path.name}: {x}" for x in wrong_module(path.read_bytes()))


def wrong_module(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n")[:2]:
        cookie = probe.COOKIE.match(line)
        if cookie and cookie.group(1).lower() not in (b"utf-8", b"utf8"):
            yield "a PEP 263 cookie in its first two lines"
    try:
        text = data.decode("utf-8")
        tree = ast.parse(text)
        if ast.dump(ast.parse(data)) != ast.dump(tree):
            yield "reads differently as bytes and as text"
    except (UnicodeDecodeError, SyntaxError, ValueError) as e:
        yield f"does not parse: {type(e).__name__}: {e}"[:200]
        return
    if CONTROL.search(text):
        yield "a control character"
    yield from sorted(set(probe.suspicious(tree)))


def names_in(folder: Path) -> str:
    return ", ".join(sorted(ascii(p.name) for p in folder.rglob("*")))[:200]
