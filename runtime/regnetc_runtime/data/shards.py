"""Tars of images and labels, here or behind URLs, as a part of a data set.

Where every image lies is listed when the part is made; reading one is then one read of a file, in any
order, so that a training goes on exactly where it was. Shards from afar are fetched whole, once to be
listed and again whenever the cache had to drop them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import torch
from torch import Tensor

from .. import files
from ..limits import IMAGE_BYTES, SHARD_LIST_BYTES, SHARDS
from ..problems import Problem, printable
from ..progress import Progress, silent
from . import decode, fetch, tars
from .cache import Cache
from .fetch import Remote
from .names import Names
from .tars import Listing

FETCHED_AT_ONCE = 1  # more would need room for more in a cache that may be small
BRACES = 32  # in a pattern
DROPPED = 10  # times that the cache may lose a shard between fetching and reading it
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")

Shard = Path | Remote


@dataclass(frozen=True, slots=True, eq=False)
class ShardPart:
    """The images of shards, in order; `groups` (N, int32) says which shard each lies in.

    `offsets` and `sizes` (N, int64) are those of the images in the shards, in bytes.
    """

    shards: tuple[Shard, ...]
    cache: Cache | None
    names: Names
    groups: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    labels: Tensor
    channels: int
    notes: tuple[str, ...] = ()
    pixels: None = field(default=None, init=False)

    def encoded(self, index: int) -> bytes:
        """The bytes of an image's file. Raises `bad-image`, and as `tars.read_bytes` and `Cache.path`."""
        shard, size = self.shards[self.groups[index]], int(self.sizes[index])
        if size > IMAGE_BYTES:
            raise decode.bad(self.name(index), f"it has more than {IMAGE_BYTES:,} bytes")
        for _ in range(DROPPED):
            path = self._path(shard)
            try:
                return tars.read_bytes(path, int(self.offsets[index]), size)
            except Problem as e:
                if e.name != "no-such-file" or not isinstance(shard, Remote):
                    raise
        raise Problem(
            "small-cache",
            f"{_shown(shard)} was dropped {DROPPED} times before it could be read",
            help="allow the cache more, or let fewer processes share it",
        )

    def image(self, index: int) -> Tensor:
        """The decoded image (channels x H x W, uint8). Raises `bad-image`, and as `encoded`."""
        return decode.decode(self.encoded(index), self.name(index), self.channels)

    def name(self, index: int) -> str:
        """The shard, and the file in it."""
        return f"{_shown(self.shards[self.groups[index]])}/{self.names[index]}"

    def _path(self, shard: Shard) -> Path:
        if isinstance(shard, Path):
            return shard
        if self.cache is None:
            raise AssertionError("shards from afar come with a cache")
        return self.cache.path(shard)


def open_shards(
    shards: Sequence[Shard], channels: int, cache: Cache | None, progress: Progress = silent
) -> ShardPart:
    """List shards, fetching those from afar that were never listed.

    Raises `no-images`, and what `tars.index` and `Cache.listing` raise.
    """
    listings: list[Listing] = []

    def listed(shard: Shard) -> Listing:
        if isinstance(shard, Path):
            return tars.index(shard)
        if cache is None:
            raise AssertionError("shards from afar come with a cache")
        return cache.listing(shard)

    with ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="shards") as pool:
        try:
            for listing in pool.map(listed, shards):
                listings.append(listing)
                progress(len(listings), len(shards), "listing shards")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _part(shards, listings, channels, cache)


def _part(
    shards: Sequence[Shard], listings: list[Listing], channels: int, cache: Cache | None
) -> ShardPart:
    counts = [len(listing.names) for listing in listings]
    if not sum(counts):
        raise Problem(
            "no-images",
            f"no image with a label is in {_shown(shards[0])}"
            + (f" and {len(shards) - 1:,} other shards" if len(shards) > 1 else ""),
            help="a sample is NAME.jpg (.jpeg, .png, .webp) and NAME.cls with its class index",
        )
    sized = tuple(  # a shard that has another size from now on is another shard
        replace(s, bytes=listing.bytes) if isinstance(s, Remote) else s
        for s, listing in zip(shards, listings, strict=True)
    )
    notes = [note for listing in listings for note in listing.notes]
    for s, n in zip(shards, counts, strict=True):
        said = s.samples if isinstance(s, Remote) else None
        if not n or said not in (None, n):
            more = f", the index says {said:,}" if said is not None else ""
            notes.append(f"{_shown(s)} holds {n:,} labelled images{more}")
    return ShardPart(
        shards=sized,
        cache=cache,
        names=Names.chained([listing.names for listing in listings]),
        groups=np.repeat(np.arange(len(shards), dtype=np.int32), counts),
        offsets=np.concatenate([listing.offsets for listing in listings]),
        sizes=np.concatenate([listing.sizes for listing in listings]),
        labels=torch.from_numpy(np.concatenate([listing.labels for listing in listings])),
        channels=channels,
        notes=tuple(notes),
    )


def expand(pattern: str) -> list[str]:
    """What a pattern with braces stands for: `{000..146}` numbers, `{a,b}` words, also nested.

    Raises `wrong-input` for more than `SHARDS`, and for more than `BRACES` braces.
    """
    if pattern.count("{") > BRACES:
        raise Problem("wrong-input", f"{printable(pattern)} has more than {BRACES} braces")
    found = _expand(pattern, SHARDS)
    if len(found) > SHARDS:
        raise Problem("wrong-input", f"{printable(pattern)} names more than {SHARDS:,} shards")
    return found


def _expand(pattern: str, limit: int) -> list[str]:
    """At most one more than `limit`."""
    begin = pattern.find("{")
    end = _closing(pattern, begin)
    if begin < 0 or end < 0:
        return [pattern]
    inside = pattern[begin + 1 : end]
    tails = _expand(pattern[end + 1 :], limit)
    numbers = _RANGE.fullmatch(inside)
    heads: Iterable[str]
    if numbers is not None:
        low, high = numbers.groups()
        width = len(low) if low.startswith("0") else 0
        heads = (f"{n:0{width}}" for n in range(int(low), int(high) + 1))
    else:
        heads = (h for choice in _choices(inside) for h in _expand(choice, limit))
    found: list[str] = []
    for head in heads:
        found.extend(pattern[:begin] + head + tail for tail in tails)
        if len(found) > limit:
            break
    return found


def _closing(pattern: str, begin: int) -> int:
    """Where the brace that opens at `begin` closes, -1 for nowhere."""
    depth = 0
    for place in range(max(0, begin), len(pattern)):
        depth += (pattern[place] == "{") - (pattern[place] == "}")
        if depth == 0:
            return place
    return -1


def _choices(inside: str) -> list[str]:
    """What commas separate, outside of inner braces."""
    choices, depth = [""], 0
    for c in inside:
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            choices.append("")
        else:
            choices[-1] += c
    return choices


def read_index(place: str) -> list[Shard]:
    """The shards that an index lists: JSON with `shardlist`, of `url` and perhaps `filesize`, `sha256`.

    An index is a file or a URL; URLs in it are relative to it. Raises `bad-index`, and what reading
    it raises.
    """
    remote = _is_url(place)
    text = (
        fetch.fetch_bytes(place, SHARD_LIST_BYTES)
        if remote
        else files.read(Path(place), SHARD_LIST_BYTES)
    )
    try:
        said = json.loads(text)
        base = str(said.get("base_path") or "")
        return [_shard(place, base, entry) for entry in said["shardlist"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        where = fetch.shown(place) if remote else printable(place)
        raise Problem(
            "bad-index",
            f"{where} is no index of shards",
            details=(printable(f"{type(e).__name__}: {e}"),),
            help='an index is {"shardlist": [{"url": "train-000.tar", "nsamples": 1000}, ...]}',
        ) from e


def _shard(place: str, base: str, entry: dict[str, Any]) -> Shard:
    url = str(entry["url"])
    if base:
        url = urljoin(base.rstrip("/") + "/", url)
    if not _is_url(url):
        if not _is_url(place):
            return Path(place).parent / url
        url = urljoin(place, url)
    size = entry.get("filesize")
    digests = ((kind, entry.get(key)) for kind, key in (("sha256", "sha256"), ("md5", "md5sum")))
    digest = next((f"{kind}:{str(d).lower()}" for kind, d in digests if d), None)
    samples = entry.get("nsamples")
    size, samples = (int(n) if n is not None else None for n in (size, samples))
    return Remote(url, size, digest, samples)


def shard(place: str) -> Shard:
    """A shard by its URL or path."""
    return Remote(place) if _is_url(place) else Path(place)


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _shown(shard: Shard) -> str:
    return shard.shown if isinstance(shard, Remote) else str(shard)
