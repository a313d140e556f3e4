"""Runs of `regnetc`, each forked within milliseconds from a process that has torch loaded.

A run is a process of its own with its own group, standard streams in files and a mark in shared memory
that says what it was doing last. It can be told to lose its life or its disk at the Nth call that
writes.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import importlib
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import IO, Any, cast

MARK_BYTES = 128
WRITING = ("open", "write", "pwrite", "ftruncate", "fsync", "fchmod", "replace", "mkdir", "unlink")
PRELOADED = (
    "regnetc.cli.training", "regnetc_runtime.data.workers", "regnetc_runtime.training.loop", "torch._dynamo",
    "torch.distributed", "torch.utils.data",
)  # fmt: skip
STREAMS = {1: "stdout", 2: "stderr"}
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
PATIENCE_S = 60.0  # for a run to end by itself


@dataclass(frozen=True)
class Ended:
    """How a run ended: `code` is negative for a signal; `doing` is what it did last."""

    code: int
    out: str
    err: str
    doing: str
    calls: int
    hung: bool

    @property
    def traced(self) -> bool:
        """Whether anything came out that is no message."""
        return "Traceback" in self.err or "Exception ignored" in self.err


@dataclass
class Run:
    """A run that has begun; `wait` has to be called in the end."""

    pid: int
    streams: Path
    nursery: Nursery

    def send(self, number: int) -> None:
        """A signal to this process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def send_group(self, number: int) -> None:
        """A signal to it and its workers, as a terminal sends one."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def children(self) -> list[int]:
        """The processes that it has started."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(n) for n in text.split()]

    def doing(self) -> str:
        """What it is doing."""
        return str(self.nursery.ask({"doing": self.pid})["doing"])

    def said(self) -> str:
        """What is on standard error so far."""
        return (self.streams / "err").read_text(errors="replace")

    def until(self, there: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        """Wait until something is the case."""
        end = time.monotonic() + patience_s
        while not there():
            if time.monotonic() > end:
                self.send_group(signal.SIGKILL)
                raise AssertionError(f"waited in vain: {self.wait()}")
            time.sleep(0.002)

    def wait(self, patience_s: float = PATIENCE_S) -> Ended:
        """See it end; one that hangs is killed."""
        found = self.nursery.ask({"wait": self.pid, "patience_s": patience_s})
        out, err = ((self.streams / n).read_text(errors="replace") for n in ("out", "err"))
        return Ended(found["code"], out, err, found["doing"], found["calls"], found["hung"])


class Nursery:
    """The process that runs are forked from."""

    def __init__(self) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )
        self.started = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request, one answer."""
        to, answers = cast("IO[bytes]", self.process.stdin), cast("IO[bytes]", self.process.stdout)
        to.write((json.dumps(request) + "\n").encode())
        to.flush()
        found: dict[str, Any] = json.loads(answers.readline())
        return found

    def begin(
        self,
        arguments: Sequence[str | Path],
        streams: Path,
        *,
        hooks: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> Run:
        """Start `regnetc` with these arguments; `streams` is a folder for what it says.

        `hooks` are those of `_hook`.
        """
        self.started += 1
        place = streams / f"said-{self.started}"
        place.mkdir(parents=True)
        for name in ("out", "err"):
            (place / name).touch()
        request = {
            "arguments": [str(a) for a in arguments], "streams": str(place),
            "hooks": hooks or {}, "env": env or {},
        }  # fmt: skip
        return Run(self.ask(request)["pid"], place, self)

    def run(self, arguments: Sequence[str | Path], streams: Path, **more: Any) -> Ended:
        """Start it, and see it end."""
        return self.begin(arguments, streams, **more).wait()

    def close(self) -> None:
        """Let it end."""
        cast("IO[bytes]", self.process.stdin).close()
        cast("IO[bytes]", self.process.stdout).close()
        self.process.wait()


@cache
def nursery() -> Nursery:
    """The one of this test session."""
    opened = Nursery()
    atexit.register(opened.close)
    return opened


# What follows runs in the nursery and in its children.


class _Mark:
    """What a run is doing, and how many of its writing calls are done, in memory that outlives it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, MARK_BYTES)

    def say(self, text: str) -> None:
        data = text.encode()[: MARK_BYTES - 8]
        self.memory[8:MARK_BYTES] = data.ljust(MARK_BYTES - 8, b"\0")

    def count(self, calls: int) -> None:
        self.memory[:8] = calls.to_bytes(8, "little")

    @property
    def said(self) -> str:
        return self.memory[8:MARK_BYTES].rstrip(b"\0").decode()

    @property
    def calls(self) -> int:
        return int.from_bytes(self.memory[:8], "little")

    def around(self, owner: Any, name: str, label: Callable[..., str]) -> None:
        """Say something while a function runs, and afterwards what was said before."""
        real = getattr(owner, name)

        @wraps(real)
        def marked(*args: Any, **kwargs: Any) -> Any:
            before = self.said
            self.say(label(*args))
            try:
                return real(*args, **kwargs)
            finally:
                self.say(before)

        setattr(owner, name, marked)

    def watch(self) -> None:
        """Follow a training from its start to its end."""
        from regnetc.cli import outcomes, training
        from regnetc_runtime import files
        from regnetc_runtime.training import loop, results

        def shown(path: Path, *_: object) -> str:
            inside = "states" if path.parent.name == "checkpoints" else path.name
            return f"writing {inside}"

        self.say("start-up")
        self.around(loop.Training, "_take_up", lambda *_: "taking up")
        self.around(loop.Training, "_learn", lambda *_: "step")
        self.around(loop.Training, "_phase", lambda *_: "reading images")
        self.around(results, "validate", lambda *_: "validation")
        self.around(results, "held_out", lambda *_: "test")
        self.around(outcomes, "say", lambda *_: "saying what came of it")
        self.around(training, "_finish", lambda *_: "finishing")
        self.around(training, "_draw", lambda *_: "drawing")
        self.around(files, "write", shown)
        self.around(files, "append", shown)
        self.around(files, "remove", lambda *_: "removing old states")


class Disk:
    """Counts the calls that write into a folder, and acts at the Nth; `count` is told of each.

    `how` is `kill`, `once` or `on` (from then on), `error` the number of an error of the system; a
    write that fails has first written half.
    """

    def __init__(
        self,
        folder: str,
        nth: int,
        how: str,
        error: str = "ENOSPC",
        *,
        count: Callable[[int], None],
    ) -> None:
        self.folder, self.nth, self.how = str(Path(folder).absolute()), nth, how
        self.error, self.count = getattr(errno, error), count
        self.calls = 0
        self.ours: set[int] = set()
        self.real = {n: getattr(os, n) for n in (*WRITING, "close")}
        for name in WRITING:
            setattr(os, name, self._shim(name))
        os.close = self._close

    def restore(self) -> None:
        """Let all calls be as they were."""
        for name, real in self.real.items():
            setattr(os, name, real)

    def _shim(self, name: str) -> Callable[..., Any]:
        real = self.real[name]

        def call(first: Any, *rest: Any, **more: Any) -> Any:
            if not self._concerns(name, first, rest):
                return real(first, *rest, **more)
            self.calls += 1
            self.count(self.calls)
            if self.calls == self.nth or (self.how == "on" and self.calls > self.nth):
                self._act(name, first, rest)
            found = real(first, *rest, **more)
            if name == "open":
                self.ours.add(found)
            return found

        return call

    def _concerns(self, name: str, first: Any, rest: tuple[Any, ...]) -> bool:
        if isinstance(first, int):
            return first in self.ours
        inside = str(Path(first).absolute()).startswith(self.folder)
        kinds = os.O_CREAT | os.O_WRONLY | os.O_DIRECTORY
        return inside and (name != "open" or bool(rest[0] & kinds))

    def _act(self, name: str, first: Any, rest: tuple[Any, ...]) -> None:
        if name == "write":
            self.real["write"](first, rest[0][: len(rest[0]) // 2])
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error == errno.ENOSPC and name in ("unlink", "ftruncate", "fchmod"):
            return  # these need no room
        raise OSError(self.error, os.strerror(self.error))

    def _close(self, fd: int) -> None:
        self.ours.discard(fd)
        self.real["close"](fd)


def _short_of_memory(most: int) -> None:
    """No more than so many images go through a network that is trained at a time."""
    import torch
    from regnetc.cli import modules

    real = modules.build

    def refuse(net: Any, inputs: tuple[Any, ...]) -> None:
        if net.training and torch.is_grad_enabled() and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("out of memory")

    def build(*args: Any) -> Any:
        net = real(*args)
        net.register_forward_pre_hook(refuse)
        return net

    modules.build = build  # type: ignore[assignment]


def _mount_shared(size: str) -> None:
    """A /dev/shm of so many bytes that nobody else sees."""
    library = ctypes.CDLL(None, use_errno=True)
    private, new_namespace = 1 << 18 | 1 << 14, 1 << 17
    for failed in (
        library.unshare(new_namespace),
        library.mount(b"none", b"/", None, private, None),
        library.mount(b"none", b"/dev/shm", b"tmpfs", 0, f"size={size}".encode()),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "no mounting")


def _lead(fd: int, to: int) -> None:
    """Let a standard stream lead to an open file, as if it had from the beginning."""
    os.dup2(to, fd)
    os.close(to)
    if fd:
        setattr(sys, STREAMS[fd], os.fdopen(fd, "w", buffering=1, closefd=False))


def _spoil_stream(hooks: dict[str, Any]) -> None:
    """Close standard streams, or let one lead to a pipe that nobody reads or to a full disk."""
    for fd in hooks.get("close", ()):
        os.close(fd)
        setattr(sys, STREAMS[fd], None)
    if "pipe" in hooks:
        here, there = os.pipe()
        os.close(here)
        _lead(hooks["pipe"], there)
    if "full" in hooks:
        _lead(hooks["full"], os.open("/dev/full", os.O_WRONLY))


def _hook(mark: _Mark, hooks: dict[str, Any]) -> None:
    """What shall befall a run.

    `disk` takes the arguments of `Disk`, `memory` a number of images, `shared` a size, `user` a user's
    number, `close` numbers of standard streams, `pipe` and `full` the number of one.
    """
    if "disk" in hooks:
        Disk(**hooks["disk"], count=mark.count)
    if "memory" in hooks:
        _short_of_memory(hooks["memory"])
    if "shared" in hooks:
        _mount_shared(hooks["shared"])
    _spoil_stream(hooks)
    if "user" in hooks:
        os.setgroups([])
        os.setgid(hooks["user"])
        os.setuid(hooks["user"])


def _unblock_inside() -> None:
    """Signals that came since the fork are told to the command line, once that is there to answer."""
    import click

    real = click.Group.main

    def told(*args: Any, **kwargs: Any) -> Any:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return real(*args, **kwargs)

    click.Group.main = told  # type: ignore[method-assign]


def _live(request: dict[str, Any], mark: _Mark) -> int:
    """What a forked child does; the exit code."""
    import torch
    from regnetc.cli import main

    os.setpgid(0, 0)
    place = request["streams"]
    for fd, name in ((0, os.devnull), (1, f"{place}/out"), (2, f"{place}/err")):
        _lead(fd, os.open(name, os.O_RDWR | os.O_CREAT, 0o666))
    os.environ |= request["env"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    mark.watch()
    try:
        _hook(mark, request["hooks"])
        _unblock_inside()
        main(request["arguments"])
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    return 0


def _fork(request: dict[str, Any], mark: _Mark) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the child can answer
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # whoever comes first
        return pid
    code = 70
    try:
        code = _live(request, mark)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _reap(pid: int, patience_s: float) -> tuple[int, bool]:
    """The exit code, and whether it had to be killed."""
    end = time.monotonic() + patience_s
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), False
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), True
        time.sleep(0.002)


def _preload() -> None:
    """Do once what takes long for the first time: imports, the font of a picture, a module verified."""
    for name in PRELOADED:
        importlib.import_module(name)
    import sklearn.datasets
    import torch
    from regnetc.cli import modules
    from regnetc.recipes import canonical, find
    from regnetc_runtime.evaluation import pictures
    from regnetc_runtime.training.state import Epoch

    torch.set_num_threads(1)
    sklearn.datasets.load_digits()
    epoch = Epoch(1, 1, 2.0, 10.0, 0.1, 2.0, 10.0, None, 1.0, 1.0, 1.0)
    pictures.of_training([pictures.Curve("run", [[epoch]])], ".png")
    modules.resolved(modules.read(Path(__file__).parent.parent / "generated/digits.py", None))
    canonical.validate(find("digits", ()).json)


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _main() -> None:
    _preload()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    marks: dict[int, _Mark] = {}
    answer: dict[str, Any]
    for request in _requests():
        if "doing" in request:
            mark = marks[request["doing"]]
            answer = {"doing": mark.said}
        elif "wait" in request:
            code, hung = _reap(request["wait"], request["patience_s"])
            mark = marks.pop(request["wait"])
            answer = {"code": code, "hung": hung, "doing": mark.said, "calls": mark.calls}
        else:
            mark = _Mark()
            pid = _fork(request, mark)
            marks[pid] = mark
            answer = {"pid": pid}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
