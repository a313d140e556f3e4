"""A server on this machine that gives files, and misbehaves as it is told to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Files by name. `asked` holds what was asked for: path and range."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.fail: Counter[str] = Counter()  # how often to answer 503
        self.cuts: dict[str, list[int]] = {}  # after how many bytes to hang up, once each
        self.redirect: dict[str, str] = {}
        self.tags: dict[str, str] = {}  # instead of the digest
        self.ranges = True
        self.kind = "application/octet-stream"
        self.pause = 0.0  # seconds between pieces of 1,000 bytes

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, name = self.server, self.path[1:].partition("?")[0]
        server.asked.append((self.path, self.headers.get("Range")))
        if name in server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect[name])
            self.end_headers()
            return
        if server.fail[name]:
            server.fail[name] -= 1
            self.send_error(503)
            return
        if name not in server.files:
            self.send_error(404)
            return
        data = server.files[name]
        tag = server.tags.get(name, f'"{hashlib.sha256(data).hexdigest()[:8]}"')
        said, begin = self.headers.get("Range"), 0
        if said and server.ranges and self.headers.get("If-Range") == tag:
            begin = int(said.removeprefix("bytes=").removesuffix("-"))
        if begin and begin >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", server.kind)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        cuts = server.cuts.get(name, [])
        end = begin + cuts.pop(0) if cuts else len(data)
        self.send(data[begin:end])
        self.close_connection = True

    def send(self, data: bytes) -> None:
        if not self.server.pause:
            self.wfile.write(data)
            return
        for at in range(0, len(data), 1000):
            self.wfile.write(data[at : at + 1000])
            time.sleep(self.server.pause)


@contextmanager
def running() -> Iterator[Server]:
    """A server that serves."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
