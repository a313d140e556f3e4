"""Mutants of the shipped specs in, verdicts on `regnetc compile` out.

    fuzz.py [-n 20000] [--seed 0] [-j 2]     compile mutants 0 to N-1 and judge every run
    fuzz.py [--seed 0] --only I              compile mutant I and show what was said

A mutant is compiled by the real command in a forked child, so that it costs milliseconds and no
mutant meets what another left behind. A failure is reproduced by its seed and index, with the same
specs. Exit code 0: no rule broken; 1: some were.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import rules

SPECS = rules.ROOT / "spec"
LARGEST = 256 * 1024  # bytes of a mutant
ADDRESSES = 1024 << 20  # bytes of address space
CHUNK = 25  # mutants handed to a worker at a time
SHOWN = 50  # failures

mutate = rules.by_path("mutate")


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant: exit code (negative for a signal), cost, and the rules it broke."""

    index: int
    made_of: str
    code: int
    seconds: float  # of processor time
    mib: int  # resident at most, the pages shared with the parent included
    broken: tuple[str, ...]
    said: str


class Lab:
    """A folder of valid specs in which mutants are compiled one after the other."""

    def __init__(self, entry: str, seed: int, home: Path) -> None:
        module, _, name = entry.partition(":")
        self.command: Callable[[], Any] = getattr(importlib.import_module(module), name)
        self.seed = seed
        self.seeds: dict[str, bytes] = mutate.read(SPECS, [".regnet"])
        self.box = Path(os.path.realpath(tempfile.mkdtemp(dir=home)))
        self.specs, self.out, self.cwd = (self.box / x for x in ("specs", "out", "cwd"))
        for folder in (self.specs, self.out, self.cwd):
            folder.mkdir()
        for path, data in self.seeds.items():
            (self.specs / path).write_bytes(data)
        self.readable = rules.readable(self.specs)

    def warm(self) -> None:
        """Import what a run imports, in this process, by compiling a valid spec."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            self.call(self.specs / "x400mf.regnet", self.box / "warm")

    def call(self, spec: Path, out: Path) -> int:
        """The command as the installed script calls it; its exit code."""
        sys.argv = ["regnetc", "compile", str(spec), "-o", str(out)]
        try:
            code = self.command()
        except SystemExit as e:
            code = e.code
        return code if isinstance(code, int) else int(code is not None)

    def judge(self, index: int) -> Verdict:
        """Make a mutant, compile it in a child, and look at what came of it."""
        _, used, data = mutate.mutant(self.seed, index, self.seeds, set(mutate.FAMILIES), LARGEST)
        spec = self.specs / f"m{self.seed}-{index:07d}.regnet"
        spec.write_bytes(data)
        try:
            status, usage = self.apart(spec)
            code, mib = os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024
            said = (self.box / "stderr").read_bytes()
            broken = tuple(self.broken(spec, data, code, mib, said))
        finally:
            spec.unlink()
            for folder in (self.out, self.cwd):
                shutil.rmtree(folder)
                folder.mkdir()
        seconds = usage.ru_utime + usage.ru_stime
        words = said.decode("utf-8", "backslashreplace").replace(f"{self.specs}{os.sep}", "")
        return Verdict(index, "+".join(used), code, seconds, mib, broken, words)

    def apart(self, spec: Path) -> tuple[int, resource.struct_rusage]:
        """Run the command in a child: its wait status, and what it used."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self.child(spec)
        _, status, usage = os.wait4(pid, 0)
        return status, usage

    def child(self, spec: Path) -> NoReturn:
        code = 99
        try:
            self.confine()
            try:
                code = self.call(spec, self.out)
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code & 0xFF)

    def confine(self) -> None:
        """Give the child streams, a folder, limits and a watch of its own."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(self.box / name, flags), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(self.box / "effects", flags | os.O_APPEND)
        os.chdir(self.cwd)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, rules.CPU)
        signal.setitimer(signal.ITIMER_REAL, rules.WALL)
        rules.watch(log, self.out, self.readable)

    def broken(self, spec: Path, data: bytes, code: int, mib: int, said: bytes) -> Iterator[str]:
        """Every rule that a run broke."""
        yield from rules.wrong_end(code, mib)
        yield from rules.wrong_words(said, code)
        yield from rules.wrong_words((self.box / "stdout").read_bytes(), 0)
        yield from rules.outside(said.decode("utf-8", "replace"), spec.name, data)
        effects = (self.box / "effects").read_text("utf-8", "replace")
        yield from sorted({f"effect: {line}" for line in effects.splitlines()})[:5]
        if left := rules.names_in(self.cwd):
            yield f"wrote to the working directory: {left}"
        if code == 0:
            yield from rules.wrong_output(self.out)
        elif left := rules.names_in(self.out):
            yield f"output left behind: {left}"


LAB: list[Lab] = []  # the one of this worker


def open_lab(entry: str, seed: int, home: Path) -> None:
    sys.dont_write_bytecode = True
    LAB.append(Lab(entry, seed, home))


def judge_all(indices: range) -> list[Verdict]:
    """The verdicts on some mutants; what was said is kept of those that broke a rule."""
    verdicts = map(LAB[0].judge, indices)
    return [v if v.broken else replace(v, said="") for v in verdicts]


def run(entry: str, seed: int, count: int, workers: int, home: Path) -> list[Verdict]:
    """The verdicts on mutants 0 to `count` - 1, in order."""
    Lab(entry, seed, home).warm()
    chunks = [range(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
    verdicts: list[Verdict] = []
    told = started = time.monotonic()
    with ProcessPoolExecutor(workers, get_context("fork"), open_lab, (entry, seed, home)) as pool:
        for done in as_completed([pool.submit(judge_all, chunk) for chunk in chunks]):
            verdicts += done.result()
            now = time.monotonic()
            if now - told > 5 or len(verdicts) == count:
                told, broke = now, sum(bool(v.broken) for v in verdicts)
                rate = len(verdicts) / (now - started)
                print(
                    f"{len(verdicts):,} of {count:,}, {rate:.0f} a second, {broke} broke a rule",
                    file=sys.stderr,
                )
    return sorted(verdicts, key=lambda v: v.index)


def summary(verdicts: list[Verdict], seed: int) -> Iterator[str]:
    failures = [v for v in verdicts if v.broken]
    for v in failures[:SHOWN]:
        for rule in v.broken:
            yield f"--seed {seed} --only {v.index}  ({v.made_of})  {rule}"
    if len(failures) > SHOWN:
        yield f"... and {len(failures) - SHOWN} more"
    codes = Counter(v.code for v in verdicts)
    slowest = max(verdicts, key=lambda v: v.seconds)
    largest = max(verdicts, key=lambda v: v.mib)
    yield f"{len(verdicts):,} mutants of seed {seed}: {len(failures)} broke a rule"
    yield "exit codes: " + ", ".join(f"{code}: {n:,}" for code, n in sorted(codes.items()))
    yield f"slowest: {slowest.seconds:.2f} s (mutant {slowest.index})"
    yield f"largest: {largest.mib} MiB (mutant {largest.index})"


def show(entry: str, seed: int, index: int, home: Path) -> list[Verdict]:
    """One mutant, with all that was said of it."""
    lab = Lab(entry, seed, home)
    lab.warm()
    verdict = lab.judge(index)
    print(verdict.said, end="")
    return [verdict]


def main() -> int:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("-n", type=int, default=20_000, help="how many mutants")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("-j", type=int, default=2, help="how many at a time")
    p.add_argument("--only", type=int, metavar="I", help="compile mutant I and stop")
    p.add_argument("--entry", default="regnetc.cli:main", help="the command, as MODULE:FUNCTION")
    a = p.parse_args()
    if a.n < 1 or a.j < 1:
        p.error("-n and -j are at least 1")
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        home = Path(folder)
        one = a.only is not None
        verdicts = (
            show(a.entry, a.seed, a.only, home) if one else run(a.entry, a.seed, a.n, a.j, home)
        )
    print("\n".join(summary(verdicts, a.seed)))
    return int(any(v.broken for v in verdicts))


if __name__ == "__main__":
    sys.exit(main())
