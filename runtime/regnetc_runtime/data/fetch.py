"""A URL to bytes, in memory or in a file; what breaks off is taken up where it broke off."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from .. import files
from ..limits import SHARD_BYTES
from ..problems import Problem, printable
from .tars import read_bytes

SECONDS = 30.0  # without a byte
TRIES = 5  # without progress
PAUSE = 0.5  # seconds after the first failure, then twice as long
CHUNK = 4 * 1024 * 1024
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Remote:
    """A file behind an http or https URL; its bytes, digest and number of samples, where an index says.

    `digest` is `sha256:` or `md5:` and hexadecimal digits.
    """

    url: str
    bytes: int | None = None
    digest: str | None = None
    samples: int | None = None

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        return shown(self.url)


def shown(url: str) -> str:
    """A URL for a message: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}{parts.path}")


def download(remote: Remote, path: Path, source: Path) -> int:
    """Put a file at `path`, where it has all its bytes or fewer; how many there are.

    What is there already of the same version is kept, as `source` remembers it. The last bytes go into
    the file when size and digest are what the index says. Raises `cannot-fetch`, `wrong-shard` and
    `cannot-write`.
    """
    failed, before = 0, -1
    while True:
        have = path.stat().st_size if path.exists() else 0
        failed = 0 if have - before >= CHUNK else failed
        before = have
        try:
            return _continue(remote, path, source, have)
        except _RetryError as e:
            if isinstance(e, _ChangedError):
                files.remove(path)
            failed += 1
            if failed >= TRIES:
                raise _cannot_fetch(remote.url, f"{e}, {failed} times in a row") from e
            time.sleep(PAUSE * 2 ** (failed - 1))


def fetch_bytes(url: str, limit: int) -> bytes:
    """The content of a URL. Raises `cannot-fetch` and `too-large`."""
    for failed in range(TRIES):
        try:
            with _answer(url, {}) as response:
                data = _read(response, limit + 1)
        except _RetryError as e:
            if failed == TRIES - 1:
                raise _cannot_fetch(url, str(e)) from e
            time.sleep(PAUSE * 2**failed)
            continue
        if len(data) > limit:
            raise Problem("too-large", f"{shown(url)} is larger than {limit:,} bytes")
        return data
    raise AssertionError("the last try returns or raises")


class _RetryError(Exception):
    """It did not work, and may the next time."""


class _ChangedError(_RetryError):
    """What is there so far is of no use."""


def _continue(remote: Remote, path: Path, source: Path, have: int) -> int:
    """One request, for what is missing."""
    version = _remembered(source, remote) if have else None
    if have and version is None:
        files.remove(path)
        have = 0
    asked = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}
    with _answer(remote.url, asked) as response:
        begin, total = _extent(response, remote)
        if begin != have:  # the server sends all of it
            files.remove(path)
        _check_size(remote, total)
        files.write(source, _memory(remote, response.headers))
        got = begin + _receive(response, remote, path, begin, total)
    if got < total:
        raise _RetryError(f"the connection ended after {got:,} of {total:,} bytes")
    return total


def _receive(response: HTTPResponse, remote: Remote, path: Path, begin: int, total: int) -> int:
    """Append what comes; the last piece only after the check. How many bytes came."""
    digest = _digest(remote, path, begin)
    got = 0
    while begin + got < total:
        data = _read(response, min(CHUNK, total - begin - got))
        if not data:
            break
        got += len(data)
        if digest is not None:
            digest.update(data)
            if (
                begin + got == total
                and digest.hexdigest() != (remote.digest or "").partition(":")[2]
            ):
                files.remove(path)
                raise _wrong(remote, "its digest is not what the index says")
        files.append(path, data)
    return got


def _read(response: HTTPResponse, count: int) -> bytes:
    try:
        return response.read(count)
    except (OSError, HTTPException) as e:
        raise _RetryError(_said(e)) from e


def _digest(remote: Remote, path: Path, have: int) -> Any:
    """The digest of what is there so far, to go on with; None where none is known."""
    if remote.digest is None:
        return None
    digest = hashlib.new(remote.digest.partition(":")[0], usedforsecurity=False)
    for offset in range(0, have, CHUNK):
        digest.update(read_bytes(path, offset, min(CHUNK, have - offset)))
    return digest


def _extent(response: HTTPResponse, remote: Remote) -> tuple[int, int]:
    """Where the answer begins in the file, and the size of the file."""
    said = response.headers.get("Content-Range", "")
    if response.status == 206:
        place, _, total = said.removeprefix("bytes ").partition("/")
        begin = place.partition("-")[0]
        if begin.isdigit() and total.isdigit():
            return int(begin), int(total)
        raise _cannot_fetch(remote.url, f"the server sends a part that it calls {printable(said)}")
    length = response.headers.get("Content-Length", "")
    if not length.isdigit():
        raise _cannot_fetch(remote.url, "the server does not say how long it is")
    return 0, int(length)


def _check_size(remote: Remote, total: int) -> None:
    if remote.bytes is not None and total != remote.bytes:
        raise _wrong(remote, f"it has {total:,} bytes, the index says {remote.bytes:,}")
    if total > SHARD_BYTES:
        raise Problem("too-large", f"{remote.shown} is larger than {SHARD_BYTES:,} bytes")


def _memory(remote: Remote, headers: HTTPMessage) -> bytes:
    """What `_remembered` reads: which version of the file the bytes are of."""
    version = headers.get("ETag") or headers.get("Last-Modified")
    if version is not None and version.startswith("W/"):
        version = None  # a weak tag does not promise the same bytes
    return json.dumps({"url": remote.url, "version": version}).encode()


def _remembered(source: Path, remote: Remote) -> str | None:
    try:
        said = json.loads(files.read(source, 65_536))
    except (Problem, ValueError):
        return None
    same = isinstance(said, dict) and said.get("url") == remote.url
    version = said.get("version") if same else None
    return version if isinstance(version, str) else None


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows, but not to another scheme: neither into files nor out of what is encrypted."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != urlsplit(req.full_url).scheme:
            fp.close()
            raise _cannot_fetch(
                req.full_url, f"it leads to {shown(newurl)}, which is another scheme"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Opener(urllib.request.OpenerDirector):
    """Knows http and https, and nothing else."""

    send = urllib.request.OpenerDirector.open


def _opener() -> _Opener:
    opener = _Opener()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirect(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _answer(url: str, headers: dict[str, str]) -> Iterator[HTTPResponse]:
    """A server's answer to a request for a URL. Raises `cannot-fetch`, or that it is worth a retry."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise _cannot_fetch(url, "only http and https are spoken")
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
        response = _opener().send(request, timeout=SECONDS)
    except urllib.error.HTTPError as e:
        e.close()
        if e.code == 416:  # what is there is longer than the file
            raise _ChangedError("the file has changed") from e
        if e.code in _AGAIN:
            raise _RetryError(f"the server answers {e.code}") from e
        raise _cannot_fetch(url, f"the server answers {e.code} {printable(e.reason)}") from e
    except (OSError, HTTPException) as e:
        raise _RetryError(_said(e)) from e
    except ValueError as e:
        raise _cannot_fetch(url, printable(e)) from e
    with response:
        yield response


def _said(e: Exception) -> str:
    reason = getattr(e, "reason", None) or getattr(e, "strerror", None) or e
    return printable(reason) or type(e).__name__


def _wrong(remote: Remote, why: str) -> Problem:
    return Problem("wrong-shard", f"{remote.shown} is not what the index describes: {why}")


def _cannot_fetch(url: str, why: str) -> Problem:
    return Problem("cannot-fetch", f"{shown(url)} cannot be fetched: {why}")
