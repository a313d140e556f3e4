"""Shards from afar, kept in a folder of bounded size that any number of processes share.

A shard is a tar, a list of what is in it, and a lock. It is whole when a file beside it says so, which is
written last and deleted first; so a process that dies leaves nothing that could be taken for whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import files
from ..fetching import cache_folder
from ..limits import SHARD_CACHE_BYTES, SHARD_LIST_BYTES
from ..problems import Problem, printable
from . import fetch, tars
from .fetch import Remote
from .names import Names
from .tars import Listing

WAIT = 0.05  # seconds between looks at a lock


def default_folder() -> Path:
    """Where shards are kept, unless the user says otherwise."""
    return cache_folder() / "shards"


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder that holds up to `limit` bytes of shards; those that were not used for longest go first."""

    folder: Path
    limit: int = SHARD_CACHE_BYTES

    def path(self, remote: Remote) -> Path:
        """The whole shard, fetched if it is not there.

        It may be gone again when it is opened. Raises `small-cache`, and what `fetch.download` and
        `tars.index` raise.
        """
        place = self._place(remote)
        while not self._whole(place, remote):
            with files.locked(place.with_suffix(".lock")) as held:
                if held and not self._whole(place, remote):
                    self._fetch(remote, place)
            if not held:
                time.sleep(WAIT)
        with contextlib.suppress(OSError):
            os.utime(place)  # when it was used last
        return place

    def listing(self, remote: Remote) -> Listing:
        """What is in a shard, which is fetched if that is not known. Raises what `path` raises."""
        files.make_folder(self.folder)
        place = self._place(remote)
        found = self._listed(place)
        if found is None or remote.bytes not in (None, found.bytes):
            self.path(remote)
            found = self._listed(place)
        if found is None:
            raise Problem("cannot-read", f"{printable(place)} has lost its list")
        return found

    def _place(self, remote: Remote) -> Path:
        digest = hashlib.sha256(remote.url.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        base = re.sub(r"[^A-Za-z0-9._-]", "_", remote.url.rpartition("/")[2].partition("?")[0])
        return self.folder / f"{digest}-{base[:100].removesuffix('.tar')}.tar"

    def _whole(self, place: Path, remote: Remote) -> bool:
        try:
            size = place.stat().st_size
            said = json.loads(files.read(place.with_suffix(".size"), 100))
        except (OSError, ValueError, Problem):
            return False
        return bool(size == said) and remote.bytes in (None, size)

    def _fetch(self, remote: Remote, place: Path) -> None:
        """Download and list a shard; the caller holds its lock."""
        have = place.stat().st_size if place.exists() else 0
        self._make_room((remote.bytes or 0) - have)
        files.remove(place.with_suffix(".size"))
        size = fetch.download(remote, place, place.with_suffix(".source"))
        listed = self._listed(place)
        if listed is None or listed.bytes != size:
            files.write(place.with_suffix(".list"), _to_json(tars.index(place)))
        files.write(place.with_suffix(".size"), str(size).encode())
        self._make_room(0, keep=place)  # where nobody said the size before

    def _listed(self, place: Path) -> Listing | None:
        try:
            return _from_json(files.read(place.with_suffix(".list"), SHARD_LIST_BYTES))
        except Problem:
            return None

    def _make_room(self, needed: int, keep: Path | None = None) -> None:
        """Delete shards until so many bytes more fit. Raises `small-cache`."""
        with self._alone():
            shards = sorted(self._shards(), key=lambda shard: shard[1])
            total = sum(size for _, _, size in shards) + max(0, needed)
            for path, _, size in shards:
                if total <= self.limit:
                    return
                if path != keep and self._delete(path):
                    total -= size
        if total > self.limit:
            raise Problem(
                "small-cache",
                f"the shards that are needed at a time take {total:,} bytes, "
                f"{printable(self.folder)} may have {self.limit:,}",
                help="allow it more",
            )

    def _shards(self) -> Iterator[tuple[Path, float, int]]:
        for path in self.folder.glob("*.tar"):
            with contextlib.suppress(OSError):  # another process may have deleted it
                status = path.stat()
                yield path, status.st_mtime, status.st_size

    def _delete(self, path: Path) -> bool:
        """Delete a shard, unless a process is fetching it. Its list stays."""
        with files.locked(path.with_suffix(".lock")) as held:
            if held:
                files.remove(path.with_suffix(".size"))
                files.remove(path)
        return held

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        while True:
            with files.locked(self.folder / "cache.lock") as held:
                if held:
                    yield
                    return
            time.sleep(WAIT)


def _to_json(listing: Listing) -> bytes:
    return json.dumps(
        {
            "bytes": listing.bytes,
            "names": list(listing.names),
            "offsets": listing.offsets.tolist(),
            "sizes": listing.sizes.tolist(),
            "labels": listing.labels.tolist(),
            "notes": listing.notes,
        }
    ).encode()


def _from_json(text: bytes) -> Listing | None:
    """What `_to_json` wrote; None for anything else."""
    try:
        said = json.loads(text)
        offsets, sizes, labels = (
            np.array(said[k], np.int64) for k in ("offsets", "sizes", "labels")
        )
        names = Names.of(said["names"])
        if not len(names) == len(offsets) == len(sizes) == len(labels) or labels.min(initial=0) < 0:
            return None
        return Listing(int(said["bytes"]), names, offsets, sizes, labels, tuple(said["notes"]))
    except (ValueError, TypeError, KeyError):
        return None
