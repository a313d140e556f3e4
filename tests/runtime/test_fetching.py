"""Published files over a network that fails: the same bytes in the end, or a clear message and nothing else."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import server as servers
from regnetc_runtime import fetching, files, transfer
from regnetc_runtime.fetching import Fetched, Published
from regnetc_runtime.problems import Problem
from server import Server

DATA = random.Random(1).randbytes(50_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    monkeypatch.setattr(transfer, "SECONDS", 5.0)
    monkeypatch.setattr(transfer, "CHUNK", 4_000)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with servers.running() as running:
        running.files["w.pth"] = DATA
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def published(server: Server, **known: object) -> Published:
    return Published(server.url("w.pth"), **known)  # type: ignore[arg-type]


def fetch(what: Published, cache: Path, **how: object) -> Fetched:
    return fetching.fetch(what, cache, **how)  # type: ignore[arg-type]


def refused(what: Published, cache: Path, **how: object) -> Problem:
    with pytest.raises(Problem) as e:
        fetch(what, cache, **how)
    assert not fetching.place(what, cache).exists()
    return e.value


def once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TRIES", 1)


def test_a_file_is_fetched_once(server: Server, cache: Path) -> None:
    told: list[tuple[int, int]] = []
    what = published(server, sha256=DIGEST[:8], size=len(DATA))
    found = fetch(what, cache, tell=lambda done, total: told.append((done, total)))
    assert found.path.read_bytes() == DATA
    assert found.path.name == "w.pth"
    assert (found.sha256, found.size, found.cached) == (DIGEST, len(DATA), False)
    assert told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    again = fetch(what, cache, offline=True)
    assert again == Fetched(found.path, DIGEST, len(DATA), cached=True)
    assert len(server.asked) == 1
    listed = (found.path.parent / "w.pth.sha256").read_text()
    assert listed == f"{DIGEST}  w.pth\n"
    left = {p.name for p in found.path.parent.iterdir()}
    assert left == {"w.pth", "w.pth.sha256", "w.pth.lock"}


def test_interruptions_anywhere_lead_to_the_same_bytes(server: Server, cache: Path) -> None:
    chance = random.Random(3)
    for k in range(12):
        server.cuts["w.pth"] = [chance.choice([0, 1, *([chance.randrange(20_000)] * 3)]) for _ in range(4)]  # fmt: skip
        before = len(server.asked)
        assert fetch(published(server, sha256=DIGEST), cache / str(k)).path.read_bytes() == DATA
        ranges = [said for _, said in server.asked[before:] if said]
        begins = [int(r.removeprefix("bytes=").removesuffix("-")) for r in ranges]
        assert begins == sorted(begins), "what came is kept"


def test_what_an_earlier_call_left_is_gone_on_with(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts["w.pth"] = [12_345]
    with monkeypatch.context() as patch:
        once(patch)
        assert "ended after 12,345 of 50,000" in refused(published(server), cache).message
    assert fetch(published(server), cache).sha256 == DIGEST
    assert server.asked[-1][1] == "bytes=12345-"


def test_a_server_without_ranges(server: Server, cache: Path) -> None:
    server.ranges = False
    server.cuts["w.pth"] = [20_000, 30_000]
    assert fetch(published(server, sha256=DIGEST), cache).path.read_bytes() == DATA
    assert len(server.asked) == 3


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_version_nothing_is_taken_up(server: Server, cache: Path, tag: str) -> None:
    server.tags["w.pth"] = tag
    server.cuts["w.pth"] = [20_000]
    assert fetch(published(server, sha256=DIGEST), cache).path.read_bytes() == DATA
    assert [said for _, said in server.asked] == [None, None]


def test_a_file_that_changed_between_two_requests(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts["w.pth"] = [30_000]
    with monkeypatch.context() as patch:
        once(patch)
        refused(published(server), cache)
    server.files["w.pth"] = DATA[::-1]
    assert fetch(published(server), cache).path.read_bytes() == DATA[::-1]
    assert server.asked[-1][1] == "bytes=30000-"


def test_a_whole_file_that_was_not_yet_given_its_name(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the last byte and the check: nothing is sent again."""

    sha256 = files.sha256

    def stop(path: Path) -> str:
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return sha256(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(published(server), cache)
    assert fetch(published(server), cache).sha256 == DIGEST
    assert server.asked[-1][1] == "bytes=50000-"


@pytest.mark.parametrize(("known", "shown"), [("0" * 64, "0" * 64), ("1234abcd", "1234abcd...")])
def test_a_wrong_digest_says_both_and_leaves_nothing(
    server: Server, cache: Path, known: str, shown: str
) -> None:
    problem = refused(published(server, sha256=known), cache)
    assert problem.name == "wrong-digest"
    assert problem.details == (f"its SHA-256 is {DIGEST}", f"published: {shown}")
    folder = fetching.place(published(server), cache).parent
    assert {p.name for p in folder.iterdir()} == {"w.pth.lock"}


def test_the_first_digest_is_held_to(server: Server, cache: Path) -> None:
    what = published(server)
    path = fetch(what, cache).path
    path.unlink()
    server.files["w.pth"] = b"another"
    problem = refused(what, cache)
    assert problem.name == "wrong-digest"
    assert problem.details[1] == f"of the one that was fetched before: {DIGEST}"
    assert problem.help is not None
    assert "w.pth.sha256" in problem.help
    (path.parent / "w.pth.sha256").unlink()
    assert fetch(what, cache).path.read_bytes() == b"another"


def test_a_file_that_rotted_in_the_cache_is_fetched_again(server: Server, cache: Path) -> None:
    what = published(server, sha256=DIGEST[:10])
    path = fetch(what, cache).path
    path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(Problem, match="not in the cache"):
        fetch(what, cache, offline=True)
    assert fetch(what, cache).path.read_bytes() == DATA


def test_a_wrong_size(server: Server, cache: Path) -> None:
    problem = refused(published(server, size=49_999), cache)
    assert problem.name == "wrong-size"
    assert "50,000 bytes, not 49,999" in problem.message


def test_a_digest_that_is_none(server: Server, cache: Path) -> None:
    for wrong in ("1234567", "0" * 65, "nothing!"):
        assert refused(published(server, sha256=wrong), cache).name == "bad-digest"
    assert not server.asked


def test_redirects(server: Server, cache: Path) -> None:
    server.redirect["a"] = "/w.pth"
    assert fetch(Published(server.url("a"), DIGEST), cache).path.read_bytes() == DATA
    for leads_to, why in (
        ("http://192.0.2.1/w.pth", "not encrypted"), ("ftp://127.0.0.1/w.pth", "another scheme"),
        ("file:///etc/hostname", "another scheme"), ("/b", "without an end"),
    ):  # fmt: skip
        server.redirect["b"] = leads_to
        problem = refused(Published(server.url("b")), cache)
        assert problem.name == "cannot-fetch"
        assert why in problem.message, leads_to
    for k in range(10):
        server.redirect[f"c{k}"] = f"/c{k + 1}"
    assert "without an end" in refused(Published(server.url("c0")), cache).message
    assert len([path for path, _ in server.asked if path.startswith("/c")]) <= 6


def test_only_what_is_encrypted_or_of_this_machine(cache: Path) -> None:
    for url in ("http://example.org/w.pth", "ftp://example.org/w", "file:///etc/passwd", "w.pth"):
        assert refused(Published(url), cache).name == "cannot-fetch"


def test_what_a_server_says(server: Server, cache: Path) -> None:
    assert "answers 404" in refused(Published(server.url("none")), cache).message
    assert len(server.asked) == 1, "no second try"
    server.fail["w.pth"] = 2
    assert fetch(published(server), cache).sha256 == DIGEST
    server.fail["w.pth"] = 99
    assert "answers 503, 5 times in a row" in refused(published(server), cache / "other").message
    secret = Published(server.url("none?token=secret"))
    assert "secret" not in str(refused(secret, cache))


def test_mirrors_are_tried_in_order(server: Server, cache: Path) -> None:
    server.files["bad"] = b"another file"
    server.files["good"] = DATA
    what = Published(server.url("none"), DIGEST)
    other = hashlib.sha256(b"another file").hexdigest()
    problem = refused(what, cache, mirrors=[server.url("bad"), server.url("away")])
    assert problem.name == "cannot-fetch"
    assert "nor from 2 other places" in problem.message
    assert problem.details[2] == f"  its SHA-256 is {other}"
    assert len(problem.details) == 5
    found = fetch(what, cache, mirrors=[server.url("bad"), server.url("good")])
    assert found.path.read_bytes() == DATA
    assert found.path.name == "none", "the cache knows it by its publisher's URL"
    assert fetch(what, cache, offline=True).cached


def test_a_full_disk_keeps_what_there_is(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files._write_all

    def full(fd: int, data: bytes) -> None:
        if os.fstat(fd).st_size >= 20_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_all", full)
        problem = refused(published(server), cache)
        assert problem.name == "cannot-write"
        assert "no space left" in problem.message
    assert fetch(published(server), cache).sha256 == DIGEST
    asked = str(server.asked[-1][1])  # a write may have carried it a little beyond
    assert 20_000 <= int(asked.removeprefix("bytes=").removesuffix("-")) < len(DATA)


def test_ctrl_c_keeps_what_has_come(server: Server, cache: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 10_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(published(server), cache, tell=stop)
    (part,) = fetching.place(published(server), cache).parent.glob("*.part")
    have = part.stat().st_size
    assert have > 10_000
    assert fetch(published(server), cache).sha256 == DIGEST
    assert server.asked[-1][1] == f"bytes={have}-"


CHILD = """
import sys
from pathlib import Path
from regnetc_runtime import fetching, transfer
transfer.CHUNK = 4_000
print(fetching.fetch(fetching.Published(sys.argv[1]), Path(sys.argv[2])).sha256)
"""


def child(server: Server, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url("w.pth"), str(cache)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip


def test_two_processes_at_once_fetch_once(server: Server, cache: Path) -> None:
    server.pause = 0.01
    children = [child(server, cache) for _ in range(2)]
    assert [c.communicate(timeout=60)[0].strip() for c in children] == [DIGEST] * 2
    assert len(server.asked) == 1


def test_a_killed_process_leaves_a_part_that_is_used(server: Server, cache: Path) -> None:
    server.pause = 0.05
    running = child(server, cache)
    folder = fetching.place(published(server), cache).parent
    until = time.monotonic() + 30
    while not any(p.stat().st_size for p in folder.glob("*.part")):
        assert time.monotonic() < until
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    server.pause = 0.0
    assert not (folder / "w.pth").exists()
    assert fetch(published(server), cache).sha256 == DIGEST
    said = server.asked[-1][1]
    assert said is not None
    assert int(said.removeprefix("bytes=").removesuffix("-")) >= 4_000


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("REGNETC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert fetching.cache_folder() == Path("/home/somebody/.cache/regnetc")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert fetching.cache_folder() == Path("/home/somebody/.cache/regnetc")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/me")
    assert fetching.cache_folder() == Path("/var/cache/me/regnetc")
    monkeypatch.setenv("REGNETC_CACHE", str(tmp_path))
    assert fetching.cache_folder() == tmp_path


def test_names_stay_in_the_cache(cache: Path) -> None:
    for url in ("https://x/", "https://x/..", "https://x/a/../../b", "https://x/%2e%2e", "https://x/" + "a" * 500):  # fmt: skip
        path = fetching.place(Published(url), cache)
        assert path.resolve().is_relative_to(cache.resolve())
        assert 0 < len(path.name) <= 100
        assert path.name not in (".", "..")
