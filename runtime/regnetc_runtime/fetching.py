"""A published file to a path in a cache that any number of processes share: fetched once, then never again.

A file lies under its own name in a folder that is called after its URL. It has that name only once it is
whole and its digest is right; its SHA-256 stands beside it, as `sha256sum` writes it, and is held to
for ever after. What is there of an unfinished one is kept, and the next call goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import files, transfer
from .limits import FETCHED_BYTES
from .problems import Problem, printable
from .transfer import Order, Tell, shown

WAIT = 0.05  # seconds between looks at a lock
PREFIX = 8  # digits of a digest that say enough, as publishers put them into names


@dataclass(frozen=True, slots=True)
class Published:
    """A file that somebody publishes. `sha256` is its digest or how that begins, `size` its bytes.

    What is not known is empty or 0.
    """

    url: str
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in the cache. `cached`: nothing was asked of the network."""

    path: Path
    sha256: str
    size: int
    cached: bool


def cache_folder() -> Path:
    """Where everything from afar is kept: $REGNETC_CACHE, or `regnetc` in the user's cache folder."""
    ours = os.environ.get("REGNETC_CACHE")
    if ours:
        return Path(ours)
    home = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path there is to be ignored, says XDG.
    return (Path(home) if home.startswith("/") else Path("~/.cache").expanduser()) / "regnetc"


def place(published: Published, cache: Path | None = None) -> Path:
    """Where in the cache a file is, or would be."""
    digest = hashlib.sha256(published.url.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", urlsplit(published.url).path.rpartition("/")[2])
    name = name[-100:].lstrip(".-") or "weights"
    return (cache or cache_folder()) / "weights" / digest / name


def fetch(
    published: Published,
    cache: Path | None = None,
    *,
    mirrors: Sequence[str] = (),
    offline: bool = False,
    tell: Tell | None = None,
) -> Fetched:
    """The file, from the cache if it is there, else from its URL or from the first mirror that has it.

    Raises `not-cached` where it may not be fetched, `cannot-fetch`, `wrong-digest`, `wrong-size`,
    `too-large`, `bad-digest` for a digest that is none, and `cannot-write`.
    """
    _check_digest(published)
    path = place(published, cache)
    found = _cached(published, path)
    if found is not None:
        return found
    if offline:
        raise Problem(
            "not-cached",
            f"{shown(published.url)} is not in the cache, {printable(path.parent)}",
            help="leave out `--offline` to fetch it",
        )
    files.make_folder(path.parent)
    with _alone(path.with_name(f"{path.name}.lock")):
        found = _cached(published, path)  # another process may have fetched it meanwhile
        return found or _fetch(published, path, (published.url, *mirrors), tell)


def _check_digest(published: Published) -> None:
    said = published.sha256
    if said and not re.fullmatch(rf"[0-9a-fA-F]{{{PREFIX},64}}", said):
        raise Problem(
            "bad-digest",
            f"`{printable(said)}` is no SHA-256",
            help=f"give {PREFIX} to 64 hexadecimal digits",
        )


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    while True:
        with files.locked(lock) as held:
            if held:
                yield
                return
        time.sleep(WAIT)


def _cached(published: Published, path: Path) -> Fetched | None:
    """What is in the cache, if its bytes are still those that were fetched."""
    try:
        digest = files.sha256(path)
        size = path.stat().st_size
    except (Problem, OSError):
        return None
    wanted = _expected(published, path)
    if not wanted or not digest.startswith(wanted) or published.size not in (0, size):
        return None
    return Fetched(path, digest, size, cached=True)


def _expected(published: Published, path: Path) -> str:
    """What the digest has to be, or to begin with; empty where nothing is known of it yet."""
    known, recorded = published.sha256.lower(), _recorded(path)
    return recorded if recorded.startswith(known) else known


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str:
    """The digest of the file as it was first fetched; empty where none was."""
    try:
        said = files.read(_record(path), 4096).decode("utf-8", "replace").partition(" ")[0]
    except Problem:
        return ""
    return said if re.fullmatch("[0-9a-f]{64}", said) else ""


def _fetch(published: Published, path: Path, urls: Sequence[str], tell: Tell | None) -> Fetched:
    """From the first URL that gives the right file; the caller holds the lock."""
    failed: list[Problem] = []
    for url in urls:
        try:
            return _from(url, published, path, tell)
        except Problem as e:
            if e.name == "cannot-write":
                raise
            failed.append(e)
    if len(failed) == 1:
        raise failed[0]
    raise Problem(
        "cannot-fetch",
        f"{shown(published.url)} cannot be fetched, nor from {len(failed) - 1} other place"
        f"{'s' if len(failed) > 2 else ''}",
        details=[line for e in failed for line in (e.message, *(f"  {d}" for d in e.details))],
        help=failed[0].help,
    )


def _from(url: str, published: Published, path: Path, tell: Tell | None) -> Fetched:
    # An unfinished file belongs to its URL: a mirror may have other bytes.
    mark = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    part, source = (path.with_name(f"{path.name}.{mark}.{end}") for end in ("part", "source"))
    order = Order(
        url, published.size or None, FETCHED_BYTES, lambda why: _wrong_size(url, why), private=True, tell=tell
    )  # fmt: skip
    try:
        size = transfer.download(order, part, source)
    except Problem as e:
        if e.name in ("wrong-size", "too-large"):
            _forget(part, source)
        raise
    digest = files.sha256(part)
    expected = _expected(published, path)
    if not digest.startswith(expected):
        _forget(part, source)
        raise _wrong_digest(url, digest, expected, _record(path))
    files.write(_record(path), f"{digest}  {path.name}\n".encode())
    files.move(part, path)
    _forget(part, source)
    return Fetched(path, digest, size, cached=False)


def _forget(*paths: Path) -> None:
    for path in paths:
        files.remove(path)


def _wrong_size(url: str, why: str) -> Problem:
    return Problem(
        "wrong-size", f"{shown(url)} is not the file that was published: {why}",
        help="the file has been replaced where it lies; another source may still have it",
    )  # fmt: skip


def _wrong_digest(url: str, digest: str, expected: str, record: Path) -> Problem:
    details = [f"its SHA-256 is {digest}"]
    if len(expected) == 64 and record.exists():
        details.append(f"of the one that was fetched before: {expected}")
        help_ = f"if it may have changed, delete {printable(record)}"
    else:
        details.append(f"published: {expected}{'' if len(expected) == 64 else '...'}")
        help_ = "nothing was kept of it; try again, or another source"
    return Problem(
        "wrong-digest", f"{shown(url)} is another file than was expected", details=details, help=help_
    )  # fmt: skip
