"""A URL to bytes, in memory or in a file; what breaks off is taken up where it broke off."""

from __future__ import annotations

import ipaddress
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from . import files
from .problems import Problem, printable

SECONDS = 30.0  # without a byte
TRIES = 5  # without progress
PAUSE = 0.5  # seconds after the first failure, then twice as long
CHUNK = 4 * 1024 * 1024
PIECE = 256 * 1024  # that is read, and told of, at a time
REDIRECTS = 5
_AGAIN = {408, 425, 429, 500, 502, 503, 504}

Tell = Callable[[int, int], None]
"""Is told how many bytes there are, and how many there will be."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched: its bytes where they are known, and how many it may have at most.

    `wrong` makes the problem of a file that is not what was ordered, out of the reason. `private`: the
    bytes may only come encrypted, or from this machine.
    """

    url: str
    bytes: int | None
    limit: int
    wrong: Callable[[str], Problem]
    private: bool = False
    tell: Tell | None = None


def shown(url: str) -> str:
    """A URL for a message: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}{parts.path}")


def download(order: Order, path: Path, source: Path) -> int:
    """Put a file at `path`, where it has all its bytes or fewer; how many there are.

    What is there already of the same version is kept, as `source` remembers it. Whether the bytes are
    the right ones is for the caller to see. Raises `cannot-fetch`, `too-large`, `cannot-write` and what
    `order.wrong` makes.
    """
    failed, before = 0, -1
    while True:
        have = path.stat().st_size if path.exists() else 0
        failed = 0 if have - before >= CHUNK else failed
        before = have
        try:
            return _continue(order, path, source, have)
        except _RetryError as e:
            if isinstance(e, _ChangedError):
                files.remove(path)
            failed += 1
            if failed >= TRIES:
                raise cannot_fetch(order.url, f"{e}, {failed} times in a row") from e
            time.sleep(PAUSE * 2 ** (failed - 1))


def fetch_bytes(url: str, limit: int) -> bytes:
    """The content of a URL. Raises `cannot-fetch` and `too-large`."""
    for failed in range(TRIES):
        try:
            with _answer(url, {}) as response:
                data = _read(response, limit + 1)
        except _RetryError as e:
            if failed == TRIES - 1:
                raise cannot_fetch(url, str(e)) from e
            time.sleep(PAUSE * 2**failed)
            continue
        if len(data) > limit:
            raise Problem("too-large", f"{shown(url)} is larger than {limit:,} bytes")
        return data
    raise AssertionError("the last try returns or raises")


def cannot_fetch(url: str, why: str) -> Problem:
    return Problem("cannot-fetch", f"{shown(url)} cannot be fetched: {why}")


class _RetryError(Exception):
    """It did not work, and may the next time."""


class _ChangedError(_RetryError):
    """What is there so far is of no use."""


class _WholeError(Exception):
    """Nothing is missing: the file has as many bytes as are there already."""


def _continue(order: Order, path: Path, source: Path, have: int) -> int:
    """One request, for what is missing."""
    version = _remembered(source, order) if have else None
    if have and version is None:
        files.remove(path)
        have = 0
    asked = {"Range": f"bytes={have}-", "If-Range": version} if have and version else {}
    try:
        with _answer(order.url, asked, private=order.private, have=have) as response:
            begin, total = _extent(response, order)
            if begin not in (0, have):
                raise cannot_fetch(order.url, f"the server sends a part that begins at {begin:,}")
            if begin != have:  # the server sends all of it
                files.remove(path)
            _check_size(order, total)
            files.write(source, _memory(order, response.headers))
            got = begin + _receive(response, order, path, begin, total)
    except _WholeError:
        _check_size(order, have)
        return have
    if got < total:
        raise _RetryError(f"the connection ended after {got:,} of {total:,} bytes")
    return total


def _receive(response: HTTPResponse, order: Order, path: Path, begin: int, total: int) -> int:
    """Append what comes, in chunks; how many bytes came. What came before a fault is kept, too."""
    got = 0
    waiting = bytearray()
    if not path.exists():
        files.append(path, b"")
    try:
        while begin + got < total:
            data = _piece(response, min(PIECE, CHUNK, total - begin - got))
            if not data:
                break
            got += len(data)
            waiting += data
            if order.tell is not None:
                order.tell(begin + got, total)
            if len(waiting) >= CHUNK:
                files.append(path, bytes(waiting))
                waiting.clear()
    finally:
        if waiting:
            files.append(path, bytes(waiting))
    return got


def _piece(response: HTTPResponse, count: int) -> bytes:
    """What has come by now, at most so many bytes; nothing at the end."""
    try:
        return response.read1(count)
    except (OSError, HTTPException) as e:
        raise _RetryError(_said(e)) from e


def _read(response: HTTPResponse, count: int) -> bytes:
    try:
        return response.read(count)
    except (OSError, HTTPException) as e:
        raise _RetryError(_said(e)) from e


def _extent(response: HTTPResponse, order: Order) -> tuple[int, int]:
    """Where the answer begins in the file, and the size of the file."""
    said = response.headers.get("Content-Range", "")
    if response.status == 206:
        place, _, total = said.removeprefix("bytes ").partition("/")
        begin = place.partition("-")[0]
        if begin.isdigit() and total.isdigit():
            return int(begin), int(total)
        raise cannot_fetch(order.url, f"the server sends a part that it calls {printable(said)}")
    length = response.headers.get("Content-Length", "")
    if not length.isdigit():
        raise cannot_fetch(order.url, "the server does not say how long it is")
    return 0, int(length)


def _check_size(order: Order, total: int) -> None:
    if order.bytes is not None and total != order.bytes:
        raise order.wrong(f"it has {total:,} bytes, not {order.bytes:,}")
    if total > order.limit:
        raise Problem("too-large", f"{shown(order.url)} is larger than {order.limit:,} bytes")


def _memory(order: Order, headers: HTTPMessage) -> bytes:
    """What `_remembered` reads: which version of the file the bytes are of."""
    version = headers.get("ETag") or headers.get("Last-Modified")
    if version is not None and version.startswith("W/"):
        version = None  # a weak tag does not promise the same bytes
    return json.dumps({"url": order.url, "version": version}).encode()


def _remembered(source: Path, order: Order) -> str | None:
    try:
        said = json.loads(files.read(source, 65_536))
    except (Problem, ValueError):
        return None
    same = isinstance(said, dict) and said.get("url") == order.url
    version = said.get("version") if same else None
    return version if isinstance(version, str) else None


def is_private(url: str) -> bool:
    """Whether nobody on the way can read or change what a URL gives: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows, but neither into files nor out of what is encrypted, and not for ever."""

    max_redirections = REDIRECTS
    max_repeats = 2

    def __init__(self, *, private: bool) -> None:
        self.private = private

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after != "https" and (after != before or (self.private and not is_private(newurl))):
            fp.close()
            raise cannot_fetch(
                req.full_url,
                f"it leads to {shown(newurl)}, which is "
                f"{'not encrypted' if after == 'http' else 'another scheme'}",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Opener(urllib.request.OpenerDirector):
    """Knows http and https, and nothing else."""

    send = urllib.request.OpenerDirector.open


def _opener(*, private: bool) -> _Opener:
    opener = _Opener()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirect(private=private),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _answer(
    url: str, headers: dict[str, str], *, private: bool = False, have: int = 0
) -> Iterator[HTTPResponse]:
    """A server's answer to a request for a URL. Raises `cannot-fetch`, or that it is worth a retry."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise cannot_fetch(url, "only http and https are spoken")
    if private and not is_private(url):
        raise cannot_fetch(url, "it is not encrypted: anybody on the way could change the file")
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
        response = _opener(private=private).send(request, timeout=SECONDS)
    except urllib.error.HTTPError as e:
        e.close()
        raise _refusal(url, e, have) from e
    except (OSError, HTTPException) as e:
        raise _RetryError(_said(e)) from e
    except ValueError as e:
        raise cannot_fetch(url, printable(e)) from e
    with response:
        yield response


def _refusal(url: str, e: urllib.error.HTTPError, have: int) -> Exception:
    """What an answer means that is no file."""
    if e.code == 416:
        whole = have and e.headers.get("Content-Range", "").strip() == f"bytes */{have}"
        return _WholeError() if whole else _ChangedError("the file has changed")
    if e.code in _AGAIN:
        return _RetryError(f"the server answers {e.code}")
    if 300 <= e.code < 400:
        other = "not allowed" in str(
            e.reason
        )  # urllib's own word for schemes that it does not follow
        why = "to another scheme" if other else "from one place to the next, without an end"
        return cannot_fetch(url, f"it leads {why}")
    return cannot_fetch(url, f"the server answers {e.code} {printable(e.reason)}")


def _said(e: Exception) -> str:
    reason = getattr(e, "reason", None) or getattr(e, "strerror", None) or e
    return printable(reason) or type(e).__name__
