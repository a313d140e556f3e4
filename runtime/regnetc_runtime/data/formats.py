"""The first bytes of an image file to what it is and how large it says it is; nothing is decoded."""

from __future__ import annotations

import struct

SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_BEGINNINGS = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<html", "an HTML page"),
    (b"<!doctype html", "an HTML page"),
    (b"%PDF", "PDF"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\3\4", "a zip archive"),
    (b"version https://git-lfs", "a pointer of Git LFS"),
)
_BRANDS = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}


def kind(data: bytes) -> str | None:
    """What the content is, by how it begins; None for what is not known here."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    head = data[:32].lstrip().lower()
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning) or (beginning[:1] == b"<" and head.startswith(beginning)):
            return name
    return None


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a PNG, BMP or WebP says it has; None where its beginning does not say."""
    try:
        match kind(data):
            case "PNG":
                width, height = struct.unpack_from(">II", data, 16)
            case "BMP":
                width, height = struct.unpack_from("<ii", data, 18)
            case "WebP":
                return _webp_size(data)
            case _:
                return None
    except struct.error:
        return None
    return width, abs(height)  # a BMP from top to bottom has a height below 0


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """RFC 9649: sections 2.5 (lossy), 2.6 (lossless) and 2.7 (extended)."""
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            low, high, low2, high2 = struct.unpack_from("<HBHB", data, 24)
            return (low | high << 16) + 1, (low2 | high2 << 16) + 1
    return None
