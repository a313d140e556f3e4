"""A tar of samples to a list of its images: where each lies and which class it has.

A sample is an image and its label, one behind the other, under one name: `0012.jpg` and `0012.cls`
(WebDataset's convention). The list is made once, by looking at the headers; an image is then one read.
Formats: POSIX.1-1988 (ustar), GNU long names, and the paths and sizes of POSIX.1-2001 (pax).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..limits import DATA_CLASSES, SHARD_LABEL_BYTES, SHARD_MEMBERS, SHARD_NAME_BYTES
from ..problems import Problem, printable, some
from .folders import EXTENSIONS
from .names import Names

LABELS = (".cls", ".txt", ".json")
BLOCK = 512
PEEK = 8 * BLOCK  # holds a header, a label and the next header
_PLAIN = b"\x0007"
_LONG_NAME, _PAX, _PAX_GLOBAL, _FOLDER = b"Lxg5"
_EMPTY = b"123456"  # links, devices and folders have no bytes, whatever size they claim


class Member(NamedTuple):
    """A regular file in a tar: its bytes begin at `offset`."""

    name: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The images of a tar, in order, by name; `offsets`, `sizes` (bytes) and `labels` are int64 (N).

    `bytes` is the size of the tar, `notes` are oddities that change no label.
    """

    bytes: int
    names: Names
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    notes: tuple[str, ...] = ()


def read_bytes(path: Path, offset: int, count: int) -> bytes:
    """Up to `count` bytes of a file from `offset` on. Raises `no-such-file` and `cannot-read`."""
    try:
        data: bytes = np.fromfile(path, np.uint8, count, offset=offset).tobytes()
    except FileNotFoundError as e:
        raise Problem("no-such-file", f"there is no file {printable(path)}") from e
    except (OSError, ValueError) as e:
        raise Problem("cannot-read", f"{printable(path)} cannot be read: {printable(e)}") from e
    return data


def index(path: Path) -> Listing:
    """List a tar. What is readable of one that was cut short is listed, and noted.

    Raises `damaged-shard` for what is no tar or oversteps a limit, `bad-label`, `no-such-file`,
    `not-a-file` and `cannot-read`.
    """
    reader = _Reader(path)
    samples = _Samples(path)
    for member in reader.members():
        samples.add(member, reader)
    samples.end_of_sample()
    return samples.listing(reader)


class _Reader:
    """The headers of a tar, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_file():
                kind = "not-a-file" if path.exists() else "no-such-file"
                raise Problem(kind, f"there is no file {printable(path)}")
            self.bytes = path.stat().st_size
        except (OSError, ValueError) as e:
            raise Problem("cannot-read", f"{printable(path)} cannot be read: {printable(e)}") from e
        self.notes: list[str] = []
        self.ignored: list[str] = []
        self._held = (0, b"")

    def peek(self, offset: int, count: int) -> bytes:
        """Bytes from an offset on; near what was looked at last, without a look at the disk."""
        start, held = self._held
        if not start <= offset <= offset + count <= start + len(held):
            start, held = self._held = (
                offset,
                read_bytes(self.path, offset, max(count, PEEK)),
            )
        return held[offset - start : offset - start + count]

    def members(self) -> Iterator[Member]:
        """Regular files; what else is in a tar is passed over, and links and devices are noted."""
        offset, seen = 0, 0
        long_name: bytes | None = None
        long_size: int | None = None
        while offset < self.bytes:
            header = self.peek(offset, BLOCK)
            if len(header) == BLOCK and not header.strip(b"\0"):
                return  # the end is marked by empty blocks
            name, size, kind = self._fields(header, offset)
            data, seen = offset + BLOCK, seen + 1
            if seen > SHARD_MEMBERS:
                raise _damaged(self.path, f"it has more than {SHARD_MEMBERS:,} members")
            if kind in (_LONG_NAME, _PAX):
                long_name, long_size = self._longer(data, size, kind, long_name)
                offset = _next(data, size)
                continue
            name, size = long_name or name, size if long_size is None else long_size
            if kind in _PLAIN:
                if data + size > self.bytes:
                    self._cut(name)
                    return
                yield Member(name, data, size)
            elif kind not in (_FOLDER, _PAX_GLOBAL):
                self.ignored.append(os.fsdecode(name))
            long_name = long_size = None
            offset = _next(data, 0 if kind in _EMPTY else size)
        self.notes.append(f"{printable(self.path)} has no end: it was cut short between its files")

    def _fields(self, header: bytes, offset: int) -> tuple[bytes, int, int]:
        """Name, size and kind out of a header."""
        if len(header) < BLOCK:
            raise _damaged(self.path, f"it ends within a header, at byte {offset:,}")
        said = _number(header[148:156])
        blank = header[:148] + b" " * 8 + header[156:]
        size = _number(header[124:136])
        if said != sum(blank) or size is None:
            raise _damaged(self.path, f"there is no header of a tar at byte {offset:,}")
        name = header[:100].partition(b"\0")[0]
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        return (prefix + b"/" + name if prefix else name), size, header[156]

    def _longer(
        self, data: int, size: int, kind: int, name: bytes | None
    ) -> tuple[bytes | None, int | None]:
        """Name and size of the next member, where its own header has no room for them."""
        if size > 64 * SHARD_NAME_BYTES:
            raise _damaged(self.path, f"a name at byte {data:,} has {size:,} bytes")
        text = self.peek(data, size)
        if kind == _LONG_NAME:
            return text.partition(b"\0")[0], None
        records = dict(_pax_records(text))
        length = records.get(b"size", b"")
        return records.get(b"path", name), int(length) if length.isdigit() else None

    def _cut(self, name: bytes) -> None:
        self.notes.append(
            f"{printable(self.path)} was cut short within {printable(os.fsdecode(name))}; "
            "what lies before that is used"
        )


class _Samples:
    """Images and labels that belong together, as the members of a tar go by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = b""
        self.image: Member | None = None
        self.label: int | None = None
        self.found: list[tuple[bytes, int, int, int]] = []
        self.incomplete: list[str] = []

    def add(self, member: Member, reader: _Reader) -> None:
        if len(member.name) > SHARD_NAME_BYTES:
            raise _damaged(self.path, f"a name has more than {SHARD_NAME_BYTES:,} bytes")
        folder, slash, base = member.name.rpartition(b"/")
        stem, dot, rest = base.partition(b".")
        suffix = os.fsdecode(dot + rest).lower()
        if not stem:  # hidden
            return
        if (key := folder + slash + stem) != self.key:
            self.end_of_sample()
            self.key = key
        if suffix in EXTENSIONS and self.image is None:
            self.image = member
        elif suffix in LABELS and self.label is None:
            self.label = self._label(member, suffix, reader)

    def end_of_sample(self) -> None:
        if self.image is not None and self.label is not None:
            self.found.append((self.image.name, self.image.offset, self.image.size, self.label))
        elif self.image is not None or self.label is not None:
            self.incomplete.append(os.fsdecode(self.key))
        self.key, self.image, self.label = b"", None, None

    def _label(self, member: Member, suffix: str, reader: _Reader) -> int | None:
        """The class index that a label says; None for a `.json` or `.txt` about something else."""
        if member.size > SHARD_LABEL_BYTES:
            raise self._bad_label(member, f"it has more than {SHARD_LABEL_BYTES:,} bytes")
        text = reader.peek(member.offset, member.size)
        if suffix == ".json":
            label = _json_label(text)
        else:
            label = int(text) if text.strip().isdigit() and len(text) < 20 else None
        if label is None and suffix != ".cls":
            return None
        if label is None or not 0 <= label < DATA_CLASSES:
            raise self._bad_label(member, f"it is no number from 0 to {DATA_CLASSES - 1:,}")
        return label

    def _bad_label(self, member: Member, why: str) -> Problem:
        name = printable(os.fsdecode(member.name))
        return Problem("bad-label", f"{name} in {printable(self.path)} is no class index: {why}")

    def listing(self, reader: _Reader) -> Listing:
        notes = list(reader.notes)
        where = printable(self.path)
        if reader.ignored:
            notes.append(f"links and devices in {where} are passed over: {some(reader.ignored)}")
        if self.incomplete:
            notes.append(
                f"in {where}, {len(self.incomplete):,} names have no image or no label: "
                f"{some(self.incomplete)}"
            )
        numbers = np.array([row[1:] for row in self.found], np.int64).reshape(-1, 3)
        names = Names.joined([row[0] for row in self.found])
        offsets, sizes, labels = numbers.T.copy()
        return Listing(reader.bytes, names, offsets, sizes, labels, tuple(notes))


def _json_label(text: bytes) -> int | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, dict):
        said = said.get("label", said.get("cls"))
    return said if type(said) is int else None


def _next(data: int, size: int) -> int:
    """Where the header after a member is."""
    return data + -(-size // BLOCK) * BLOCK


def _number(text: bytes) -> int | None:
    """Octal digits, or GNU's binary numbers for what has too many of them."""
    if text[:1] == b"\x80":
        return int.from_bytes(text[1:], "big")
    digits = text.strip(b" \0")
    return int(digits or b"0", 8) if not digits.strip(b"01234567") else None


def _pax_records(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keyword and value of records `LENGTH KEYWORD=VALUE`, up to the first that is none."""
    while text:
        digits, _, _ = text.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        keyword, equals, value = text[len(digits) + 1 : length].partition(b"=")
        if not equals:
            return
        yield keyword, value.removesuffix(b"\n")
        text = text[length:]


def _damaged(path: Path, why: str) -> Problem:
    return Problem(
        "damaged-shard",
        f"{printable(path)} cannot be used: {why}",
        help="shards are tars that are not compressed, of images and .cls files",
    )
