"""Populations: the same bytes however they were found, whole or refused, every member a network of the space."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from regnetc import ir
from regnetc.cells import Cell
from regnetc.driver import check_file
from regnetc.spaces import members, store
from regnetc.spaces.box import shrink
from regnetc.spaces.sampling import Layout, StarvedError, State
from regnetc.spaces.sampling import Search as Found
from regnetc.spaces.space import Space, read
from regnetc_runtime import files
from regnetc_runtime.problems import Problem
from test_cli import Ran, regnetc

ROOT = Path(__file__).parent.parent
REGIME = ROOT / "spec" / "x400mf_space.regnet"
LADDER = ROOT / "spec" / "anynetx.regnet"
FILES = ["lock.json", "members.sqlite", "space.regnet"]
COUNTS = ("params", "macs", "pycls", "fvcore", "mmcv", "torch2", "acts")

# Some seconds of search, a member in a million candidates.
HARD = """use "anynetx.regnet"
space Hard extends RegNetX_E {
  flops in 400MF +- 0.02%
}
"""
HARD_N = "60"
# Four networks and no more, each met again and again.
FEW = """use "families.regnet"
space Few extends RegNetX {
  d  ~ choice(13, 14)
  w0 = 24
  wa = 36.4
  wm = 2.49
  g  ~ choice(4, 8)
  b  = 1
}
"""


def sample(spec: str | Path, n: int | str, folder: str | Path, *options: str) -> Ran:
    return regnetc("sample", spec, "-n", str(n), "-o", folder, *options)


def sampled(spec: str | Path, n: int | str, folder: str | Path, *options: str) -> dict[str, bytes]:
    """The files of a population that is drawn without trouble."""
    ran = sample(spec, n, folder, *options)
    assert (ran.code, ran.err.count("error")) == (0, 0), ran.err
    return held(folder)


def held(folder: str | Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}


def lock_of(folder: str | Path) -> dict[str, Any]:
    lock: dict[str, Any] = json.loads((Path(folder) / "lock.json").read_text())
    return lock


def space_of(path: Path, name: str) -> Space:
    checked = check_file(path)
    assert not checked.failed
    return read(checked.scopes[name])


def query(folder: str | Path, text: str) -> list[tuple[Any, ...]]:
    base = sqlite3.connect(f"file:{folder}/members.sqlite?mode=ro", uri=True)
    rows = base.execute(text).fetchall()
    base.close()
    return rows


def is_said(ran: Ran, *names: str, code: int = 1) -> None:
    """A problem of one of these names, and nothing else but what was known before."""
    assert ran.code == code, ran
    found = re.findall(r"^error\[([a-z-]+)\]", ran.err, re.MULTILINE)
    assert len(found) == 1, ran.err
    assert not names or found[0] in names, ran.err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def regime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of the regime of 400 MF, to read from."""
    folder = tmp_path_factory.mktemp("populations") / "regime"
    sampled(REGIME, 150, folder)
    return folder


@pytest.fixture
def pop(here: Path, regime: Path) -> Path:
    """A copy of the same in `pop`, to be damaged."""
    shutil.copytree(regime, here / "pop")
    return here / "pop"


# The same bytes, however the search went.


@pytest.mark.parametrize(
    ("workers", "chunk"),
    [(1, 1_000), (1, 7_919), (1, 1_000_000), (2, None), (2, 1_000), (2, 50_000), (7, 16_000)],
)
def test_neither_workers_nor_chunks_show(
    workers: int, chunk: int | None, here: Path, regime: Path
) -> None:
    options = ["--workers", str(workers), *(["--chunk", str(chunk)] if chunk else [])]
    assert sampled(REGIME, 150, "other", *options) == held(regime)
    assert sorted(held(regime)) == FILES


@pytest.mark.parametrize(
    ("workers", "chunk"), [(1, 1_000), (2, 3_001), (7, 1_000), (7, 8_000), (7, 40_000)]
)
def test_nor_where_almost_all_are_members(workers: int, chunk: int, here: Path) -> None:
    """The last piece is cut in its middle: what lies behind the last network is not counted."""
    whole = sampled(f"{LADDER}:AnyNetX_D", 2_500, "whole")
    options = ("--workers", str(workers), "--chunk", str(chunk))
    assert sampled(f"{LADDER}:AnyNetX_D", 2_500, "other", *options) == whole


def test_a_larger_number_goes_on_from_a_smaller_one(here: Path, regime: Path) -> None:
    for n, more in ((1, ()), (17, ("--workers", "2")), (120, ("--chunk", "1000")), (150, ())):
        sampled(REGIME, n, "grown", *more)
        assert query("grown", "SELECT count(*) FROM member") == [(n,)]
    assert held("grown") == held(regime)
    ran = sample(REGIME, 150, "grown")
    assert "is there already" in ran.out
    assert held("grown") == held(regime)


def test_a_smaller_population_begins_a_larger_one(here: Path, regime: Path) -> None:
    sampled(REGIME, 100, "small")
    shape = "SELECT * FROM stage WHERE member < 100"
    assert query("small", shape) == query(regime, shape)
    columns = "SELECT member, candidate, params FROM member WHERE member < 100"
    assert query("small", columns) == query(regime, columns)


def test_another_seed_is_another_population(here: Path, regime: Path) -> None:
    other = sampled(REGIME, 150, "other", "--seed", "1")
    assert other["space.regnet"] == held(regime)["space.regnet"]
    shapes = "SELECT group_concat(w || ' ' || d || ' ' || inner_w || ' ' || g) FROM stage GROUP BY member"
    same = set(query("other", shapes)) & set(query(regime, shapes))
    assert len(same) < 75


def test_a_population_can_be_drawn_again_from_its_own_space(here: Path, regime: Path) -> None:
    """The space that lies beside the networks is all that they follow from."""
    shutil.copy(regime / "space.regnet", "alone.regnet")
    assert sampled("alone.regnet", 150, "again") == held(regime)


NAMED = """use "families.regnet"
# {comment}
space {parent} extends RegNetX {{
  d  ~ uniform(8..30)
  {lines[0]}  # {comment}
  {lines[1]}
}}

space {name} extends {parent} {{
  {lines[2]}

  {lines[3]}
  flops <= 500MF
}}
"""
LINES = ("w0 ~ log_uniform(8..96 by 8)", "wa ~ uniform(8..60)", "wm ~ choice(2, 2.25, 2.5)",
         "g ~ choice(8, 16)", "b = 1")  # fmt: skip


def test_names_comments_and_order_mean_nothing(here: Path) -> None:
    pairs = (
        ("a.regnet", "Alpha", "Old", "first", LINES),
        ("another-file.regnet", "Gamma", "A-much-longer-name", "second\n# third", LINES[::-1]),
    )
    found = []
    for file, name, parent, comment, lines in pairs:
        joined = [*lines[:3], "\n  ".join(lines[3:])]
        text = NAMED.format(name=name, parent=parent, comment=comment, lines=joined)
        (here / file).write_text(text.replace("# third  #", "#"))
        found.append(sampled(f"{file}:{name}", 60, name))
        assert "Old" not in str(found[-1])
        assert "much-longer" not in str(found[-1])
    assert lock_of("Alpha")["digest"] == lock_of("Gamma")["digest"]
    renamed = {k: x.replace(b"Alpha", b"Gamma") for k, x in found[0].items() if k != "lock.json"}
    assert renamed == {k: found[1][k] for k in renamed}
    digests = {k: hashlib.sha256(x).hexdigest() for k, x in renamed.items()}
    assert {**lock_of("Alpha"), "space": "Gamma", "files": digests} == lock_of("Gamma")
    assert lock_of("Alpha")["space"] == "Alpha"


def test_another_line_is_another_space(here: Path) -> None:
    windows = ("360MF..400MF", "0.36GF..0.4GF", "360MF..401MF")
    digests = []
    for k, window in enumerate(windows):
        spec = here / f"{k}.regnet"
        lines = f"space S extends RegNetX_E {{\n  flops in {window}\n}}\n"
        spec.write_text(f'use "anynetx.regnet"\n{lines}')
        digests.append(space_of(spec, "S").digest)
    assert digests[0] == digests[1], "units are no difference"
    assert digests[0] != digests[2]


# Stopped, killed, and begun again.


# `regnetc`, but for how often it keeps what it has, and a file that says that the search begins.
DRIVER = """
import sys
from pathlib import Path
from regnetc.cli import main, sample
from regnetc.spaces.sampling import Search
sample._KEPT_EVERY_S, begun, run = float(sys.argv.pop(1)), Path(sys.argv.pop(1)), Search.run
Search.run = lambda self, **options: (begun.touch(), run(self, **options))[1]
main()
"""


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], float]:
    """A search of some seconds: its spec, what comes of it, and how long it takes."""
    folder = tmp_path_factory.mktemp("hard")
    (folder / "hard.regnet").write_text(HARD)
    started = time.monotonic()
    whole = sampled(folder / "hard.regnet", HARD_N, folder / "whole")
    return folder / "hard.regnet", whole, time.monotonic() - started


class Search:
    """`regnetc sample` in a process group of its own; `kept` is how often it keeps what it has."""

    def __init__(self, spec: Path, folder: Path, *options: str, kept: float = 10.0) -> None:
        self.folder, self.begun = folder, folder.parent / "begun"
        self.begun.unlink(missing_ok=True)
        command = [sys.executable, "-c", DRIVER, str(kept), str(self.begun), "sample", str(spec)]
        self.process = subprocess.Popen(
            [*command, "-n", HARD_N, "-o", str(folder), *options],
            start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait_for(self, path: Path) -> None:
        while self.process.poll() is None and not path.exists():
            time.sleep(0.005)

    def end(self, how: signal.Signals | None = None) -> Ran:
        if how is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return Ran(self.process.returncode, out, err)


def test_ctrl_c_and_the_same_command_again(
    here: Path, hard: tuple[Path, dict[str, bytes], float]
) -> None:
    spec, whole, took = hard
    search = Search(spec, here / "pop")
    search.wait_for(here / "pop")
    assert search.end(signal.SIGINT).code in (1, 130), "before the search, or as it begins"
    ways: tuple[list[str], ...] = (
        [],
        ["--workers", "2"],
        ["--chunk", "30000"],
        ["--workers", "3", "--chunk", "100000"],
    )
    stopped, reached = 0, -1
    for share, options in zip((0.02, 0.12, 0.2, 0.1), ways, strict=True):
        search = Search(spec, here / "pop", *options)
        search.wait_for(search.begun)
        time.sleep(share * took)
        ran = search.end(signal.SIGINT)
        if ran.code == 0:
            break
        assert "error[stopped]: stopped by Ctrl-C" in ran.err
        assert ran.out == ""
        assert set(held("pop")) <= {"partial.npz"}
        if ran.code == 1:
            stopped += 1
            assert "the same command goes on from here" in ran.err
            candidates = re.search(r"after ([\d,]+) candidates", ran.err)
            assert candidates is not None
            now = int(candidates[1].replace(",", ""))
            assert now >= reached, "nothing that was looked at is looked at again"
            reached = now
    assert stopped >= 2
    is_said(sample(spec, HARD_N, "pop", "--seed", "9"), "other-population")
    ran = Search(spec, here / "pop").end()
    assert (ran.code, "on from" in ran.out or "already" in ran.out) == (0, True)
    assert held("pop") == whole


def test_killed_and_the_same_command_again(
    here: Path, hard: tuple[Path, dict[str, bytes], float]
) -> None:
    """What was kept last is what is gone on from; nothing of a half-written file is seen."""
    spec, whole, took = hard
    search = Search(spec, here / "pop", "--workers", "2")
    search.wait_for(search.begun)
    search.end(signal.SIGKILL)
    assert held("pop") == {}, "nothing was kept yet"
    for share, workers in ((0.02, "1"), (0.1, "2"), (0.2, "1")):
        search = Search(spec, here / "pop", "--workers", workers, "--chunk", "50000", kept=0.02)
        search.wait_for(search.begun)
        search.wait_for(here / "pop" / "partial.npz")
        time.sleep(share * took)
        if search.end(signal.SIGKILL).code == 0:
            break
        assert not (here / "pop" / "lock.json").exists()
    ran = Search(spec, here / "pop").end()
    assert (ran.code, "on from" in ran.out or "already" in ran.out) == (0, True)
    assert {name: held("pop")[name] for name in FILES} == whole


def test_an_unfinished_search_that_is_damaged(here: Path) -> None:
    (here / "few.regnet").write_text(FEW)
    is_said(sample("few.regnet", 5, "pop", "--patience", "1000"), "exhausted")
    partial = here / "pop" / "partial.npz"
    whole = partial.read_bytes()
    for cut in (0, 1, 100, 1000, len(whole) - 1):
        partial.write_bytes(whole[:cut])
        ran = sample("few.regnet", 4, "pop")
        is_said(ran, "bad-population")
        assert "delete its `partial.npz`" in ran.err
    assert sampled("few.regnet", 4, "pop", "--force") == sampled("few.regnet", 4, "fresh")


# Stopped in the middle of a piece, or by a space that brings nothing more.


WINDOW = HARD.replace("+- 0.02%", "+- 1%")


def search_for(
    space: Space, wanted: int, state: State | None = None, patience: int = 10**7
) -> Found:
    return Found(space, 0, wanted, box=shrink(space), state=state, patience=patience)


def same(a: State, b: State) -> bool:
    arrays = (np.array_equal(a.rows, b.rows), np.array_equal(a.refused, b.refused))
    return all(arrays) and (a.times, a.next, a.accepted, a.newest) == (b.times, b.next, b.accepted, b.newest)  # fmt: skip


@pytest.mark.parametrize("calls", [1, 2, 17, 100, 399])
def test_a_search_that_is_interrupted_in_a_piece_goes_on(
    calls: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while a network is looked up: the search that it stops and a new one go on alike."""
    space = space_of(LADDER, "AnyNetX_C")
    whole = search_for(space, 400).run(chunk=1_000)
    stopped, identity, left = search_for(space, 400), Layout.identity, calls

    def interrupted(layout: Layout, row: Any) -> bytes:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return identity(layout, row)

    monkeypatch.setattr(Layout, "identity", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(chunk=300)
    assert sum(stopped.state.times) == stopped.state.accepted
    again = search_for(space, 400, stopped.state)
    assert same(again.run(chunk=70), whole)
    assert same(stopped.run(chunk=130), whole)


@pytest.mark.parametrize("patience", [500, 2_000, 5_000, 9_000])
def test_a_search_that_starves_is_one_to_go_on_from(patience: int, here: Path) -> None:
    """However it is cut into pieces, it ends at the candidate at which patience does."""
    (here / "window.regnet").write_text(WINDOW)
    space = space_of(here / "window.regnet", "Hard")
    whole = search_for(space, 20).run()
    ends = []
    for chunk in (100, 7_001, 16_000, 10**6):
        search = search_for(space, 20, patience=patience)
        with pytest.raises(StarvedError) as e:
            search.run(chunk=chunk)
        assert e.value.state is search.state
        assert search.state.next == search.state.newest + 1 + patience
        ends.append(search.state)
    assert all(same(one, ends[0]) for one in ends)
    with pytest.raises(StarvedError):
        search_for(space, 20, ends[0], patience).run()
    assert same(search_for(space, 20, ends[0]).run(chunk=30_000), whole)


def test_a_starved_search_and_the_same_command_with_more_patience(here: Path) -> None:
    (here / "window.regnet").write_text(WINDOW)
    whole = sampled("window.regnet", 20, "whole")
    for patience in ("1000", "5000", "9000"):
        is_said(sample("window.regnet", 20, "pop", "--patience", patience), "starved")
    assert sampled("window.regnet", 20, "pop", "--workers", "2") == whole


def test_fewer_than_an_unfinished_search_found(here: Path) -> None:
    """What lies behind the last of them has been looked at already, and is not to be counted."""
    (here / "few.regnet").write_text(FEW)
    whole = {n: sampled("few.regnet", n, f"whole-{n}") for n in (2, 4)}
    for n in (4, 2):
        ran = sample("few.regnet", 5, f"pop-{n}", "--patience", "1000")
        assert f"ask for {4}" in ran.err
        assert sampled("few.regnet", n, f"pop-{n}") == whole[n]
    is_said(sample("few.regnet", 5, "pop-2", "--patience", "1000"), "exhausted")
    assert sampled("few.regnet", 4, "pop-2") == whole[4]
    is_said(sample("few.regnet", 5, "pop-4", "--patience", "1000"), "exhausted")
    assert "is there already" in sample("few.regnet", 4, "pop-4").out


# Stopped at every step of the writing.


class Killed(BaseException):
    """As SIGKILL: nobody handles it."""


def full() -> Problem:
    return Problem("cannot-write", "the disk is full")


def cut_short(monkeypatch: pytest.MonkeyPatch, step: int, how: Callable[[], BaseException]) -> None:
    """Let a program end before it changes the disk for so many more times."""
    for name in ("write", "remove"):
        real = getattr(files, name)

        def changed(*arguments: Any, real: Callable[..., None] = real) -> None:
            nonlocal step
            step -= 1
            if step == -1:
                raise how()
            real(*arguments)

        monkeypatch.setattr(files, name, changed)


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty networks, the twelve that come first, and twelve others."""
    folder = tmp_path_factory.mktemp("thirty")
    sampled(REGIME, 30, folder / "whole")
    sampled(REGIME, 12, folder / "grown")
    sampled(REGIME, 12, folder / "forced", "--seed", "5")
    return folder


@pytest.mark.parametrize("how", [Killed, KeyboardInterrupt, full], ids=["killed", "Ctrl-C", "full"])
@pytest.mark.parametrize("kind", ["new", "grown", "forced"])
@pytest.mark.parametrize("step", range(6))
def test_cut_short_at_every_step_of_writing(
    step: int,
    kind: str,
    how: Callable[[], BaseException],
    here: Path,
    thirty: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same command goes on, and until then nobody takes what is there for what it is not."""
    if kind != "new":
        shutil.copytree(thirty / kind, "pop")
    options = ("--force",) if kind == "forced" else ()
    with monkeypatch.context() as m:
        cut_short(m, step, how)
        with contextlib.suppress(Killed):
            ran = sample(REGIME, 30, "pop", *options)
            assert ran.code == (step < 5) or how is KeyboardInterrupt
            if "the same command goes on" not in ran.err:
                assert "cannot-write" in ran.err or ran.code == 0
    before = held("pop")
    if set(before) >= {*FILES}:
        shown = regnetc("show", "--json", "pop#3")
        if shown.code:
            is_said(shown, "unfinished")
        else:
            known = [thirty / "whole"] + [thirty / kind] * (kind != "new")
            networks = [regnetc("show", "--json", f"{folder}#3").json for folder in known]
            assert shown.json["stages"] in [network["stages"] for network in networks]
    elif "partial.npz" in before:
        is_said(regnetc("show", "pop#3"), "unfinished")
    assert kind == "new" or set(before) >= {*FILES}
    assert sampled(REGIME, 30, "pop", *options) == held(thirty / "whole")


@pytest.mark.parametrize("before", [[], ["partial.npz"], ["space.regnet"], FILES])
def test_what_a_killed_write_leaves_is_removed(before: list[str], here: Path, regime: Path) -> None:
    (here / "pop").mkdir()
    (here / "few.regnet").write_text(FEW)
    sampled("few.regnet", 4, "whole")
    is_said(sample("few.regnet", 5, "starved", "--patience", "1000"), "exhausted")
    for name in before:
        shutil.copy(here / ("starved" if name == "partial.npz" else "whole") / name, "pop")
    for digits in ("0123456789abcdef", "f" * 16):
        (here / "pop" / f".regnetc-{digits}.tmp").write_bytes(b"half of a f")
    ran = sample("few.regnet", 4, "pop")
    assert (ran.code, "there already" in ran.out) == (0, before == FILES)
    assert held("pop") == held("whole")


def test_a_killed_write_is_told_from_a_file_of_somebody_else(here: Path) -> None:
    (here / "pop").mkdir()
    for name in (".regnetc-0123.tmp", ".regnetc-0123456789abcdef.tmp.txt"):
        (here / "pop" / name).write_bytes(b"precious")
        is_said(sample(REGIME, 5, "pop"), "not-empty")
        (here / "pop" / name).unlink()


# Stopped while something is there already.


def begun(folder: Path, spec: Path, n: int, *options: str, after: int) -> str:
    """Stop a search after so many pieces, and return what is said."""

    def stopped(search: Found, **more: Any) -> State:
        pieces = [after]

        def tell(state: State) -> None:
            pieces[0] -= 1
            if pieces[0] < 0:
                raise KeyboardInterrupt

        return run(search, workers=1, chunk=2_000, tell=tell)

    run = Found.run
    with pytest.MonkeyPatch.context() as m:
        m.setattr(Found, "run", stopped)
        ran = sample(spec, n, folder, *options)
    is_said(ran, "stopped")
    assert "the same command goes on from here" in ran.err
    return ran.err


def candidates_said(text: str) -> int:
    found = re.search(r"(?:after|on from) ([\d,]+) candidates", text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def test_growing_goes_on_from_where_it_was_stopped(here: Path, regime: Path) -> None:
    sampled(REGIME, 20, "pop")
    small = held("pop")
    reached = 0
    for after in (0, 3, 1):
        now = candidates_said(begun(here / "pop", REGIME, 150, after=after))
        assert now > reached
        reached = now
        assert {name: held("pop")[name] for name in FILES} == small, "which is still there"
        assert regnetc("show", "pop#19").code == 0
    assert "is there already" in sample(REGIME, 20, "pop").out
    ran = sample(REGIME, 150, "pop")
    assert candidates_said(ran.out) == reached
    assert held("pop") == held(regime)


def test_less_than_was_stopped_while_growing(here: Path, regime: Path) -> None:
    sampled(REGIME, 20, "pop")
    begun(here / "pop", REGIME, 150, after=4)
    assert sampled(REGIME, 22, "pop") == sampled(REGIME, 22, "fresh")


@pytest.mark.parametrize("there", ["other", "same", "junk", "nothing"])
def test_force_goes_on_from_where_it_was_stopped(there: str, here: Path, regime: Path) -> None:
    if there in ("other", "same"):
        sampled(REGIME, 20, "pop", "--seed", "0" if there == "same" else "7")
    elif there == "junk":
        (here / "pop").mkdir()
        (here / "pop" / "members.sqlite").write_bytes(b"junk")
    first = candidates_said(begun(here / "pop", REGIME, 150, "--force", after=1))
    second = candidates_said(begun(here / "pop", REGIME, 150, "--force", after=1))
    assert second > first
    ran = sample(REGIME, 150, "pop", "--force")
    assert candidates_said(ran.out) == second
    assert held("pop") == held(regime)


def test_force_takes_nothing_of_another_search(here: Path, regime: Path) -> None:
    begun(here / "pop", REGIME, 150, "--seed", "8", after=1)
    assert sampled(REGIME, 150, "pop", "--force") == held(regime)


# Processes.


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end_of(pids: list[int]) -> bool:
    """Whether processes end within some seconds."""
    for _ in range(200):
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("verb", ["sample", "fit"])
def test_processes_end_with_the_one_that_began_them(verb: str, here: Path, regime: Path) -> None:
    """Even where it is killed, and has no time to tell them."""
    (here / "hard.regnet").write_text(HARD.replace("0.02%", "0.0001%"))
    search = ("sample", "hard.regnet", "-n", "1000", "-o", "pop", "--workers", "3")
    command = search if verb == "sample" else ("fit", str(regime), "-j", "3")
    process = subprocess.Popen(
        [sys.executable, "-c", "from regnetc.cli import main; main()", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    workers: list[int] = []
    while process.poll() is None and len(workers) < 3:
        workers = children(process.pid)
        time.sleep(0.01)
    time.sleep(0.3 if verb == "sample" else 0)
    process.kill()
    process.wait()
    try:
        assert len(workers) >= 3
        assert end_of(workers)
    finally:
        for pid in filter(alive, workers):
            os.kill(pid, signal.SIGKILL)
        assert process.stderr is not None
        process.stderr.close()


# Every process that a pool starts hears Ctrl-C before it has done anything.
CTRL_C_AT_BIRTH = """
import os, signal
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
"""


PROGRESS = {"sample": "sampling", "compile": "compiling", "fit": "fitting"}
"""What a slow machine says now and then."""


@pytest.mark.parametrize("command", ["sample", "compile", "fit"])
def test_ctrl_c_while_a_process_starts(command: str, here: Path, regime: Path) -> None:
    arguments = {
        "sample": ["sample", str(REGIME), "-n", "150", "-o", "pop", "--workers", "2"],
        "compile": ["compile", str(regime), "-o", "nets", "-j", "2"],
        "fit": ["fit", str(regime), "-j", "2"],
    }[command]
    program = CTRL_C_AT_BIRTH + "from regnetc.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    said = [
        line for line in done.stderr.splitlines() if not line.startswith(f"{PROGRESS[command]}: ")
    ]
    assert (done.returncode, said) == (0, [])
    assert command != "sample" or held("pop") == held(regime)


CTRL_C_AT_THE_END = """
import os, signal, threading, time
from regnetc.spaces.sampling import Pool
try:
    with Pool(2, time.sleep, 0) as pool:
        for _ in range(8):
            pool.submit(time.sleep, 0.5)
        time.sleep(0.3)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
except KeyboardInterrupt:
    print("stopped")
"""


def test_ctrl_c_while_processes_are_waited_for() -> None:
    """It is heard once they have ended; a pool that it interrupts in this waits for ever."""
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_AT_THE_END],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_a_process_that_is_killed(here: Path, hard: tuple[Path, dict[str, bytes], float]) -> None:
    """Nothing that was found is lost with it."""
    spec, whole, took = hard
    search = Search(spec, here / "pop", "--workers", "2", "--chunk", "20000")
    search.wait_for(search.begun)
    time.sleep(0.2 * took)
    for pid in children(search.process.pid)[:1]:
        os.kill(pid, signal.SIGKILL)
    ran = search.end()
    if ran.code:
        is_said(ran, "lost-worker")
        assert "the same command goes on from here" in ran.err
    assert Search(spec, here / "pop").end().code == 0
    assert held("pop") == whole


# What a population holds.


SPACES = [
    (REGIME, "RegNetX-400MF-regime", 120),
    (LADDER, "AnyNetX_A", 150),
    (LADDER, "RegNetX_E", 100),
    (ROOT / "few.regnet", "Few", 4),
]


@pytest.fixture(scope="module", params=SPACES, ids=[name for _, name, _ in SPACES])
def drawn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Space]:
    """A population and the space that it came from, read anew from the spec."""
    path, name, n = request.param
    folder = tmp_path_factory.mktemp("drawn")
    if name == "Few":
        path = folder / "few.regnet"
        path.write_text(FEW)
    sampled(f"{path}:{name}", n, folder / "pop", "--seed", "5")
    return folder / "pop", space_of(path, name)


def stages_of(folder: Path) -> list[list[tuple[int, ...]]]:
    out: dict[int, list[tuple[int, ...]]] = {}
    for number, _, *values in query(folder, "SELECT * FROM stage ORDER BY member, stage"):
        out.setdefault(number, []).append(tuple(values))
    assert list(out) == list(range(len(out)))
    return list(out.values())


def test_networks_are_distinct_and_none_is_lost(drawn: tuple[Path, Space]) -> None:
    folder, _ = drawn
    lock, shapes = lock_of(folder), stages_of(folder)
    assert len({tuple(s) for s in shapes}) == len(shapes) == lock["found"]
    ((times, least, members_),) = query(
        folder, "SELECT sum(multiplicity), min(multiplicity), count(*) FROM member"
    )
    assert (times, members_) == (lock["accepted"], lock["found"])
    assert least >= 1
    assert lock["accepted"] - lock["found"] == sum(
        n - 1 for (n,) in query(folder, "SELECT multiplicity FROM member")
    )
    assert lock["accepted"] + sum(n for _, n in lock["refused"]) == lock["candidates"]
    candidates = [c for (c,) in query(folder, "SELECT candidate FROM member ORDER BY member")]
    assert candidates == sorted(set(candidates))
    assert candidates[-1] == lock["candidates"] - 1


def test_every_member_is_what_the_compiler_makes_of_it(drawn: tuple[Path, Space]) -> None:
    folder, space = drawn
    population, shapes = store.read(folder), stages_of(folder)
    columns = ", ".join(COUNTS)
    counts = query(folder, f"SELECT {columns} FROM member ORDER BY member")
    names = [v.name.replace("[", "_").replace("]", "") for v in space.variables]
    picked = query(folder, f"SELECT {', '.join(names)} FROM member ORDER BY member")
    resolved = set()
    for number, member in enumerate(population):
        values: dict[Cell, Fraction] = member.drawn
        assert [float(values[v.cell]) for v in space.variables] == list(picked[number])
        assert all(x in set(v.distribution.values()) for v, x in zip(space.variables, values.values(), strict=True))  # fmt: skip
        assert members.lies_in(space, values)
        resolution = members.resolve(space, "one", values)
        assert resolution is not None
        network = resolution.network
        assert tuple(network.counts) == counts[number] == tuple(member.counts)
        assert [(s.w, s.d, s.inner, s.g) for s in network.stages] == shapes[number]
        resolved.add((network.stages, network.stem, network.head))
        assert population.network(number).stages == network.stages
    assert len(resolved) == len(population) == len(counts)
    table = population.columns()
    assert [tuple(int(table[c][k]) for c in COUNTS) for k in range(len(counts))] == counts


def test_members_of_the_regime_by_hand(regime: Path) -> None:
    """The lines of the spec, on the numbers that anything that reads SQLite sees."""
    text = "SELECT member, d, w0, wa, wm, params, pycls, acts FROM member ORDER BY member"
    shapes = stages_of(regime)
    for number, d, w0, wa, wm, params, flops, acts in query(regime, text):
        assert 12 <= d <= 28
        assert wm >= 2
        assert (w0 % 8, round(wa * 10, 6) % 1) == (0, 0)
        assert 360e6 <= flops <= 400e6
        assert params <= 3e6 + 5.5e6 * flops / 1e9
        assert acts <= 6.5e6 * (flops / 1e9) ** 0.5
        w, depths, inner, g = zip(*shapes[number], strict=True)
        assert len(w) == 4
        assert sum(depths) == d
        assert (list(w), list(depths)) == (sorted(w), sorted(depths))
        assert w == inner
        assert all(x % y == 0 for x, y in zip(w, g, strict=True))


# Members by their address.


@pytest.mark.parametrize("number", ["150", "500", "-1", "x", "", "1.0", "1e1", " 1", "+1", "²", "9" * 30])  # fmt: skip
@pytest.mark.parametrize("verb", ["show", "explain", "compile"])
def test_an_address_of_no_member(verb: str, number: str, pop: Path) -> None:
    ran = regnetc(verb, f"pop#{number}")
    is_said(ran, "no-member")
    assert "members count from 0 to 149" in ran.err
    assert ran.out == ""
    is_said(regnetc("diff", "pop#0", f"pop#{number}"), "no-member")


def test_an_address_of_no_population(here: Path) -> None:
    (here / "empty").mkdir()
    for name in ("empty#0", "missing#0", "#0", "#"):
        is_said(regnetc("show", name), "unknown-network", "bad-population")


def test_a_file_whose_name_holds_a_mark_is_a_file(here: Path) -> None:
    (here / "net#0.regnet").write_text(FEW)
    assert regnetc("show", "net#0.regnet").code == 0


def test_members_are_shown_explained_compared_and_compiled(pop: Path, here: Path) -> None:
    columns = ", ".join(COUNTS)
    ((*counts,),) = query(pop, f"SELECT {columns} FROM member WHERE member = 7")
    shown = regnetc("show", "--json", "pop#7").json
    assert shown["counts"] == dict(zip(COUNTS, counts, strict=True))
    assert shown["name"].endswith("-007")
    assert regnetc("show", "--json", "pop#007").json == shown
    assert regnetc("show", "--json", "pop/#7").json["stages"] == shown["stages"]
    explained = regnetc("explain", "--json", "pop#7").json
    assert [s["w"] for s in explained["stages"]] == [s["w"] for s in shown["stages"]]
    assert regnetc("diff", "pop#7", "pop#7").code == 0
    assert regnetc("diff", "pop#7", "pop#8").code == 1
    (entry,) = regnetc("compile", "--json", "pop#7", "-o", "nets").json
    assert entry["counts"] == shown["counts"]
    assert regnetc("diff", "pop#7", entry["path"]).code == 0
    assert regnetc("show", "--json", entry["path"]).json["stages"] == shown["stages"]
    assert regnetc("compile", "--check", "pop#7", "-o", "nets").code == 0


def test_a_whole_population_is_compiled_alike_by_any_number_of_processes(here: Path) -> None:
    sampled(REGIME, 12, "pop")
    assert regnetc("compile", "pop", "-o", "one").code == 0
    assert regnetc("compile", "pop", "-o", "two", "-j", "2").code == 0
    assert held("one") == held("two")
    assert len(held("one")) == 12
    assert regnetc("compile", "--emit", "ir", "pop#3", "-o", "ir").code == 0
    (file,) = (here / "ir").iterdir()
    network = ir.from_json(file.read_text())[0]
    assert network.stages == store.read(Path("pop")).network(3).stages


# Damage.


def read_in_every_way(spec: Path = REGIME) -> list[Ran]:
    ways = (
        ("show", "pop#3"),
        ("explain", "pop#3"),
        ("compile", "pop#3", "-o", "nets"),
        ("sample", str(spec), "-n", "150", "-o", "pop"),
        ("sample", str(spec), "-n", "160", "-o", "pop"),
    )
    return [regnetc(*way) for way in ways]


@pytest.mark.parametrize(
    "cut", [0, 1, 15, 16, 17, 99, 100, 4095, 4096, 8192, 20_000, -4096], ids=str
)
def test_networks_that_are_cut_short(cut: int, pop: Path) -> None:
    path = pop / "members.sqlite"
    path.write_bytes(path.read_bytes()[:cut])
    before = held(pop)
    for ran in read_in_every_way():
        is_said(ran, "bad-population")
    assert held(pop) == before


def test_networks_that_are_something_else(pop: Path) -> None:
    sampled(REGIME, 150, "other", "--seed", "1")
    other = Path("other/members.sqlite").read_bytes()
    for data in (b"junk" * 4000, b"SQLite format 3\x00", b"\x00" * 8192, other):
        (pop / "members.sqlite").write_bytes(data)
        for ran in read_in_every_way():
            is_said(ran, "bad-population")


def test_a_flipped_bit_of_the_networks_never_changes_what_is_read(here: Path) -> None:
    """Either the damage is said, or the network of the address is the one that it was."""
    whole = sampled(REGIME, 12, "pop")
    shown = regnetc("show", "--json", "pop#3").out
    data = whole["members.sqlite"]
    used = [k for k, byte in enumerate(data) if byte]
    refused = 0
    for k in used[:: len(used) // 100]:
        changed = bytearray(data)
        changed[k] ^= 1 << (k % 8)
        Path("pop/members.sqlite").write_bytes(changed)
        ran = regnetc("show", "--json", "pop#3")
        if ran.code == 0:
            assert ran.out == shown, k
        else:
            is_said(ran, "bad-population")
            refused += 1
    assert refused > 40


Change = Callable[[dict[str, Any]], object]
LOCKS: dict[str, Change | str] = {
    "empty": "",
    "null": "null",
    "list": "[]",
    "number": "5",
    "cut": '{"seed": 0, ',
    "no json": "\x00",
    "long number": f'{{"found": {"9" * 5000}}}',
    "less": lambda lock: lock.pop("found"),
    "more": lambda lock: lock.update(new=1),
    "found more": lambda lock: lock.update(found=151),
    "found fewer": lambda lock: lock.update(found=149),
    "accepted": lambda lock: lock.update(accepted=lock["accepted"] + 1),
    "candidates": lambda lock: lock.update(candidates="x"),
    "no refusals": lambda lock: lock.update(refused=[]),
    "odd refusals": lambda lock: lock.update(refused=7),
    "large refusals": lambda lock: lock.update(refused=[["x", 10**30]]),
    "outside": lambda lock: lock.update(outside=float("nan")),
    "space": lambda lock: lock.update(space="Other"),
    "odd space": lambda lock: lock.update(space="}{"),
    "seed": lambda lock: lock.update(seed=1),
    "digest": lambda lock: lock.update(digest="0" * 64),
    "sampler": lambda lock: lock.update(sampler=2),
    "found as text": lambda lock: lock.update(found="150"),
    "found null": lambda lock: lock.update(found=None),
    "found a float": lambda lock: lock.update(found=150.0),
    "found true": lambda lock: lock.update(found=True),
    "found none": lambda lock: lock.update(found=0),
    "found less than none": lambda lock: lock.update(found=-1),
    "space a number": lambda lock: lock.update(space=3),
    "no files": lambda lock: lock.update(files={}),
    "odd files": lambda lock: lock.update(files=["members.sqlite", "space.regnet"]),
    "other files": lambda lock: lock.update(files=dict.fromkeys(lock["files"], "0" * 64)),
    "deep": "[" * 200_000,
    "deep in it": '{"schema": ' + "[" * 200_000,
}


@pytest.mark.parametrize("what", LOCKS)
def test_a_lock_that_was_changed(what: str, pop: Path) -> None:
    change = LOCKS[what]
    text = change if isinstance(change, str) else json.dumps(_changed(lock_of(pop), change))
    (pop / "lock.json").write_text(text)
    before = held(pop)
    for ran in read_in_every_way():
        is_said(ran, "bad-population", "other-population")
    assert held(pop) == before


def _changed(lock: dict[str, Any], change: Change) -> dict[str, Any]:
    change(lock)
    return lock


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_lock_of_another_schema(schema: object, pop: Path) -> None:
    """Whatever else it holds: what a lock of another schema must hold is not known."""
    lock = lock_of(pop)
    for other in (lock, {**lock, "new": 1}, {"new": 1}, {**lock, "found": "x"}):
        (pop / "lock.json").write_text(json.dumps({**other, "schema": schema}))
        for ran in read_in_every_way():
            is_said(ran, "other-schema")


def test_a_lock_laid_out_otherwise_says_the_same(pop: Path) -> None:
    (pop / "lock.json").write_text(json.dumps(lock_of(pop)))
    assert regnetc("show", "pop#3").code == 0


def test_a_population_without_its_networks(pop: Path) -> None:
    (pop / "members.sqlite").unlink()
    for ran in read_in_every_way():
        is_said(ran, "no-such-file", "bad-population")
    (pop / "members.sqlite").mkdir()
    for ran in read_in_every_way():
        is_said(ran, "not-a-file", "bad-population")


def test_a_population_without_its_lock_is_unfinished(pop: Path) -> None:
    before = held(pop)
    (pop / "lock.json").unlink()
    for command in (("show", "pop#3"), ("compile", "pop"), ("fit", "pop"), ("plot", "pop")):
        ran = regnetc(*command)
        is_said(ran, "unfinished")
        assert "the `regnetc sample` that began it finishes it" in ran.err
    is_said(sample(f"{LADDER}:AnyNetX_A", 150, "pop"), "not-empty")
    assert sampled(REGIME, 150, "pop") == before


@pytest.mark.parametrize("verb", ["show", "explain", "compile"])
@pytest.mark.parametrize("damage", ["gone", "cut", "longer"])
def test_a_population_with_a_space_that_is_damaged(damage: str, verb: str, pop: Path) -> None:
    space = pop / "space.regnet"
    data = space.read_bytes()
    space.unlink()
    if damage != "gone":
        space.write_bytes(data[:-3] if damage == "cut" else data + b"# more\n")
    ran = regnetc(verb, "pop#3")
    is_said(ran, "bad-population")
    assert "`space.regnet` is" in ran.err


def test_a_row_that_was_changed_is_seen(pop: Path) -> None:
    """Numbers that go together as before, in a file that is no longer the one that was written."""
    base = sqlite3.connect(pop / "members.sqlite")
    base.execute("UPDATE member SET multiplicity = 3 - multiplicity WHERE member IN (0, 1)")
    base.execute("UPDATE member SET params = params + 1 WHERE member = 7")
    base.commit()
    base.close()
    for ran in (*read_in_every_way(), regnetc("plot", "pop")):
        is_said(ran, "bad-population")
        assert "`members.sqlite` is not the one that its lock names" in ran.err


def test_a_database_does_not_say_which_sqlite_wrote_it(pop: Path) -> None:
    header = (pop / "members.sqlite").read_bytes()[:100]
    assert header[16:18] == (4096).to_bytes(2, "big")
    assert header[96:] == bytes(4)
    base = sqlite3.connect(pop / "members.sqlite")
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    base.close()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW more AS SELECT 1",
        "ALTER TABLE member ADD COLUMN spare",
        "DROP TABLE stage",
        (
            "ALTER TABLE stage RENAME TO held; CREATE VIEW stage AS WITH RECURSIVE r AS "
            "(SELECT 0 AS n UNION ALL SELECT n + 1 FROM r) SELECT n, n, n, n, n, n FROM r"
        ),
    ],
)
def test_a_database_of_other_tables_is_refused_whoever_signed_it(change: str, pop: Path) -> None:
    """A view could compute for ever; what follows from the lock alone does not keep that out."""
    base = sqlite3.connect(pop / "members.sqlite")
    base.executescript(change)
    base.close()
    lock = json.loads((pop / "lock.json").read_text())
    digest = hashlib.sha256((pop / "members.sqlite").read_bytes()).hexdigest()
    lock["files"]["members.sqlite"] = digest
    (pop / "lock.json").write_text(json.dumps(lock))
    ran = regnetc("show", "pop#3")
    is_said(ran, "bad-population")
    assert "its tables are not those of a population" in ran.err


def test_compiling_a_damaged_population_in_processes_says_so(pop: Path) -> None:
    (pop / "space.regnet").unlink()
    for verb in (("compile", "-o", "nets"), ("fit",)):
        is_said(regnetc(*verb, "pop", "-j", "2"), "bad-population")


# What lies in the folder already.


def test_a_folder_with_another_population_is_kept(here: Path, regime: Path) -> None:
    shutil.copytree(regime, "pop")
    (here / "few.regnet").write_text(FEW)
    for ran in (
        sample(REGIME, 150, "pop", "--seed", "1"),
        sample(REGIME, 200, "pop", "--seed", "1"),
        sample(REGIME, 149, "pop"),
        sample(f"{LADDER}:AnyNetX_A", 150, "pop"),
        sample("few.regnet", 4, "pop"),
    ):
        is_said(ran, "other-population")
        assert "holds 150 networks of `RegNetX-400MF-regime`, seed 0" in ran.err
        assert "--force" in ran.err
        assert held("pop") == held(regime)


def test_force_replaces(here: Path, regime: Path) -> None:
    fresh = sampled(REGIME, 20, "fresh", "--seed", "1")
    shutil.copytree(regime, "pop")
    assert sampled(REGIME, 20, "pop", "--seed", "1", "--force") == fresh
    (here / "pop" / "members.sqlite").write_bytes(b"junk")
    assert sampled(REGIME, 20, "pop", "--seed", "1", "--force") == fresh


@pytest.mark.parametrize("name", ["notes.txt", "members.sqlite", "space.regnet", ".hidden", "sub"])
def test_a_folder_with_foreign_files_is_kept(name: str, here: Path) -> None:
    (here / "pop").mkdir()
    if name == "sub":
        (here / "pop" / name).mkdir()
    else:
        (here / "pop" / name).write_text("precious")
    is_said(sample(REGIME, 5, "pop"), "not-empty")
    assert [p.name for p in (here / "pop").iterdir()] == [name]
    assert name == "sub" or (here / "pop" / name).read_text() == "precious"


def test_force_leaves_foreign_files_where_they_are(here: Path) -> None:
    (here / "pop").mkdir()
    (here / "pop" / "notes.txt").write_text("precious")
    files = sampled(REGIME, 5, "pop", "--force")
    assert files.pop("notes.txt") == b"precious"
    assert files == sampled(REGIME, 5, "fresh")


def test_an_empty_folder_will_do(here: Path) -> None:
    (here / "pop").mkdir()
    assert sorted(sampled(REGIME, 5, "pop")) == FILES
    assert sampled(REGIME, 5, "deep/er/pop") == held("pop")


def test_links_are_not_written_through(here: Path) -> None:
    (here / "precious.txt").write_text("precious")
    (here / "pop").mkdir()
    (here / "pop" / "members.sqlite").symlink_to(here / "precious.txt")
    is_said(sample(REGIME, 5, "pop", "--force"), "cannot-write")
    assert (here / "precious.txt").read_text() == "precious"


def test_a_folder_that_cannot_be(here: Path) -> None:
    (here / "file").write_text("precious")
    is_said(sample(REGIME, 5, "file/below"), "cannot-write")
    is_said(sample(REGIME, 5, "file"), "usage", code=2)
    is_said(sample(REGIME, 5, "n" * 300), "cannot-write")
    is_said(sample(REGIME, 5, "/dev/null"), "cannot-write")
    is_said(sample(REGIME, 5, "/dev/null", "--force"), "cannot-write")
    assert (here / "file").read_text() == "precious"


def test_a_folder_that_may_not_be_written(here: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (here / "pop").mkdir(mode=0o555)
    is_said(sample(REGIME, 5, "pop"), "cannot-write")


@pytest.mark.parametrize("limit", [0, 300, 2_000, 20_000])
def test_a_disk_that_is_full(limit: int, here: Path) -> None:
    """Files may grow to so many bytes and no further, as on a disk that is full."""
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    command = [
        sys.executable,
        "-c",
        full + DRIVER,
        "10",
        "begun",
        "sample",
        str(REGIME),
        "-n",
        "150",
    ]
    done = subprocess.run([*command, "-o", "pop"], capture_output=True, text=True, check=False)
    is_said(Ran(done.returncode, done.stdout, done.stderr), "cannot-write")
    assert "Traceback" not in done.stderr
    assert not list((here / "pop").glob(".*")), "nothing half-written is left"
    assert not (here / "pop" / "lock.json").exists()


# Spaces with nothing in them, or nearly so.


def test_an_empty_space_is_said_to_be(here: Path) -> None:
    (here / "empty.regnet").write_text(HARD.replace("400MF +- 0.02%", "1MF..2MF"))
    for ran in (
        sample("empty.regnet", 5, "pop"),
        regnetc("space", "empty.regnet"),
        regnetc("check", "empty.regnet"),
    ):
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("error[empty-space]: nothing lies in `Hard`")
        assert "flops in 1MF..2MF" in ran.err
    assert not (here / "pop").exists()


def test_a_starved_space_is_said_to_be(here: Path) -> None:
    (here / "starved.regnet").write_text(
        HARD.replace("400MF +- 0.02%", "400MF +- 0.001%\n  params in 5M +- 0.001%")
    )
    ran = sample("starved.regnet", 5, "pop", "--patience", "100000")
    is_said(ran, "starved")
    assert "`Hard` brings 0 networks of 5 wanted" in ran.err
    assert "--patience" in ran.err
    assert not (here / "pop" / "lock.json").exists()


@pytest.mark.parametrize(
    "options", [(), ("--workers", "2", "--chunk", "5000"), ("--chunk", "1000")]
)
def test_an_exhausted_space_is_said_to_be(options: tuple[str, ...], here: Path) -> None:
    (here / "few.regnet").write_text(FEW)
    ran = sample("few.regnet", 5, "pop", "--patience", "50000", *options)
    is_said(ran, "exhausted")
    assert "`Few` brings 4 networks of 5 wanted" in ran.err
    assert "ask for 4" in ran.err
    assert not (here / "pop" / "lock.json").exists()
    assert lock_of_few(here) == 4


def lock_of_few(here: Path) -> int:
    sampled("few.regnet", 4, here / "four")
    found: int = lock_of(here / "four")["found"]
    return found


@pytest.mark.slow
def test_counts_that_no_population_holds(here: Path) -> None:
    """What is said does not hang on the pieces; one that fits is drawn as ever."""
    text = """use "families.regnet"
space S extends AnyNetX {
  stages = 2
  image = 8192
  d[i] ~ uniform(1..256)
  w[i] ~ choice(8, 65536)
  b[i] = 1
  g[i] ~ choice(8, 65536)
  stem_type = cifar
  stride[i] = 1
}
"""
    (here / "large.regnet").write_text(text)
    said = []
    for options in ((), ("--chunk", "1000"), ("--workers", "2")):
        ran = sample("large.regnet", 30, "pop", *options)
        is_said(ran, "too-large")
        said.append(ran.err)
    assert len(set(said)) == 1
    message = re.search(r"has `(\w+)` of ([\d,]+), more than the ([\d,]+) that", said[0])
    assert message is not None
    count, most = (int(x.replace(",", "")) for x in message.groups()[1:])
    assert count > most == 2**63 - 1
    line = re.search(r"add a line such as `(.+)`", said[0])
    assert line is not None
    (here / "bounded.regnet").write_text(text.replace("\n}", f"\n  {line[1]}\n}}"))
    sampled("bounded.regnet", 30, "bounded")
    ((largest,),) = query("bounded", f"SELECT max({message[1]}) FROM member")
    assert largest < 2**63


def test_wrong_use_of_sample(here: Path) -> None:
    (here / "model.regnet").write_text(
        'use "families.regnet"\nmodel M extends RegNetX {\n  d = 13\n  w0 = 24\n  wa = 36.4\n  wm = 2.49\n  g = 8\n  b = 1\n}\n'
    )
    (here / "open.regnet").write_text('use "families.regnet"\nspace Open extends RegNetX {\n}\n')
    is_said(sample("model.regnet:M", 5, "pop"), "no-space")
    is_said(sample(LADDER, 5, "pop"), "which-model")
    is_said(sample(f"{LADDER}:AnyNetX_a", 5, "pop"), "unknown-model")
    open_ = sample("open.regnet", 5, "pop")
    assert open_.code == 1
    assert "error[left-open]" in open_.err
    for n in ("0", "-1", "1000001", "x"):
        is_said(sample(REGIME, n, "pop"), "usage", code=2)
    is_said(sample("missing.regnet", 5, "pop"), "unreadable", code=2)
    assert not (here / "pop").exists()


# What a space is.


@pytest.mark.parametrize(
    "target", [str(REGIME), f"{LADDER}:AnyNetX_A", f"{LADDER}:AnyNetX_E", f"{LADDER}:RegNetX_E"]
)
def test_the_numbers_of_a_space_are_coherent(target: str, here: Path) -> None:
    ran = regnetc("space", target, "--draws", "60000", "--json")
    assert (ran.code, ran.err) == (0, "")
    data = ran.json
    for share in (data["acceptance"], data["fitting"]):
        assert 0 <= share["low"] <= share["value"] <= share["high"]
        assert share["exact"] == (share["low"] == share["high"])
    assert data["acceptance"]["high"] <= 1
    assert data["fitting"]["high"] <= data["points"]
    refused = [x["share"] for x in data["refused"]]
    assert all(0 <= x <= 1 for x in refused)
    assert sum(refused) + data["acceptance"]["value"] == pytest.approx(1, abs=1e-9)
    assert data["members"] <= data["candidates"] == 60_000
    points = 1
    for m in data["marginals"]:
        points *= m["values"]
        assert sum(m["before"]) == pytest.approx(1)
        assert sum(m["after"]) == pytest.approx(1)
        assert len(m["before"]) == len(m["after"]) == len(m["widths"]) == len(m["edges"]) - 1
        assert m["edges"] == sorted(m["edges"])
    assert points == data["points"]
    assert data["free"] == [m["name"] for m in data["marginals"]]
    for ends in data["counts"].values():
        assert list(ends.values()) == sorted(ends.values())


def test_the_witness_of_a_space_lies_in_it(here: Path) -> None:
    data = regnetc("space", REGIME, "--draws", "60000", "--json").json
    witness = data["witness"]
    given = witness["parameters"]
    assert set(data["free"]) <= {*given} | {"g"}
    counts = witness["counts"]
    assert 360e6 <= counts["pycls"] <= 400e6
    assert counts["params"] <= 3e6 + 5.5e6 * counts["pycls"] / 1e9
    for name in ("params", "pycls", "acts"):
        assert data["counts"][name]["least"] <= counts[name] <= data["counts"][name]["largest"]
    free = "".join(f"  {name} = {given[name]}\n" for name in data["free"])
    (here / "w.regnet").write_text(
        f'use "{REGIME.name}"\nmodel W extends RegNetX-400MF-regime {{\n{free}}}\n'
    )
    for file in (REGIME, LADDER):
        shutil.copy(file, here)
    assert regnetc("check", "w.regnet") == Ran(0, "1 spec checked: no problems\n", "")
    model = regnetc("show", "--json", "w.regnet").json
    assert (model["counts"], model["stages"]) == (counts, witness["stages"])
    (here / "w.ir.json").write_text(json.dumps(witness))
    assert regnetc("diff", "w.ir.json", "w.regnet").code == 0


@pytest.mark.parametrize("target", [str(REGIME), f"{LADDER}:AnyNetX_D"])
@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}])  # fmt: skip
def test_a_space_is_said_in_plain_words(target: str, locale: dict[str, str]) -> None:
    environment = {**os.environ, "NO_COLOR": "1", **locale}
    done = subprocess.run(
        [sys.executable, "-m", "regnetc", "space", target, "--draws", "20000"],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\x1b" not in done.stdout
    text = done.stdout.decode("ascii" if locale else "utf-8")
    for part in ("space ", "free parameters", "points of the grid", "satisfy every line",
                 "of all draws are members", "refuses", "drawn from", "For example"):  # fmt: skip
        assert part in text
    assert "\\u" not in text
    assert max(map(len, text.split("\n"))) <= 160


def test_a_space_without_a_member_met_says_so(here: Path) -> None:
    (here / "hard.regnet").write_text(HARD)
    ran = regnetc("space", "hard.regnet", "--draws", "10000")
    assert ran.code == 0
    assert "No member was met among 10,000 candidates" in ran.out
    data = regnetc("space", "hard.regnet", "--draws", "10000", "--json").json
    assert (data["members"], data["witness"], data["counts"]) == (0, None, {})
    assert data["acceptance"]["low"] == 0 < data["acceptance"]["high"]


AS_WIDE = """use "families.regnet"
space S extends AnyNetX {{
  stages = {stages}
  d[i] ~ {d}
  w[i] = {w}
  b[i] = 1
  g[i] = {g}
}}
"""
ROOM = {
    "room": ((5, "uniform(145..204)", "8", "8"), True),
    "one too deep": ((5, "uniform(145..205)", "8", "8"), False),
    "one stage too deep": ((1, "uniform(1..257)", "8", "8"), False),
    "wide": ((2, "uniform(1..4)", "32768", "8"), True),
    "too wide in the end": ((1, "uniform(1..4)", "65535", "32767"), False),
    "worked out": ((2, "uniform(1..4)", "30 * d[i]", "8 * d[i]"), False),
}


@pytest.mark.parametrize("what", ROOM)
def test_a_share_is_exact_where_that_is_proved(what: str, here: Path) -> None:
    """One network in tens of thousands for which there is no room is met by no sample."""
    (stages, d, w, g), exact = ROOM[what]
    (here / "s.regnet").write_text(AS_WIDE.format(stages=stages, d=d, w=w, g=g))
    data = regnetc("space", "s.regnet", "--draws", "10000", "--json").json
    assert (data["fitting"]["exact"], data["acceptance"]["exact"]) == (exact, exact)
    assert not exact or data["fitting"]["value"] == data["points"]
    text = regnetc("space", "s.regnet", "--draws", "10000").out
    assert ("exactly" in text) == exact
    assert ("of which about" in text) != exact


@pytest.mark.parametrize(("se", "exact"), [("1/4", True), ("1/64", False)])
def test_a_squeeze_to_nothing_is_thought_of(se: str, exact: bool, here: Path) -> None:
    lines = AS_WIDE.format(stages=2, d="uniform(1..4)", w="16", g="8")
    lines = lines.replace("AnyNetX", "AnyNet").replace("b[i]", f"block = Y\n  se = {se}\n  b[i]")
    (here / "s.regnet").write_text(lines)
    data = regnetc("space", "s.regnet", "--draws", "10000", "--json").json
    assert data["acceptance"]["exact"] == exact


@pytest.mark.parametrize("bound", ["flops <= 100GF", "flops <= 500MF", "stages >= 4"])
def test_a_space_of_one_point(bound: str, here: Path) -> None:
    lines = FEW.replace("choice(13, 14)", "choice(13)").replace("g  ~ choice(4, 8)", f"g = 8\n  {bound}")  # fmt: skip
    (here / "one.regnet").write_text(lines)
    ran = regnetc("space", "one.regnet", "--draws", "10000")
    assert "of which 1 satisfy every line" in ran.out
    assert "100.00% of all draws are members, exactly" in ran.out


def test_an_interval_without_a_width_is_not_shown(here: Path) -> None:
    (here / "few.regnet").write_text(FEW)
    ran = regnetc("space", "few.regnet", "--draws", "10000")
    assert "of which about 4 satisfy every line\n" in ran.out
