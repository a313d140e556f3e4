from __future__ import annotations

import contextlib
import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime import limits
from regnetc_runtime.data import decode, formats
from regnetc_runtime.problems import Problem


def picture(width: int = 40, height: int = 30) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A header that claims a size, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_lossless_formats(kind: str) -> None:
    pixels = decode.decode(encoded(picture(), kind, lossless=True), "x", 3)
    assert pixels.dtype is torch.uint8
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(picture()))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_as_pillow_decodes_it(channels: int, options: dict[str, Any]) -> None:
    data = encoded(picture(), "JPEG", **options)
    pixels = decode.decode(data, "x.jpg", channels)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L" if channels == 1 else "RGB", None)  # libjpeg's own grey
        expected = np.array(image)
    assert pixels.shape == (channels, 30, 40)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy().squeeze(), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_kinds_of_pixels(mode: str, channels: int) -> None:
    grey = picture().convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = (grey if mode == "1" else picture()).convert(mode)
    options = {"transparency": b"\0\x80"} if mode == "P" else {}
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG", **options)
    pixels = decode.decode(data, "x", channels).float()
    assert pixels.shape == (channels, 30, 40)
    if mode not in ("1", "P"):
        expected = torch.from_numpy(np.array(grey)).float()
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        luma = (pixels * weights).sum(0) if channels == 3 else pixels[0]
        assert (luma - expected).abs().mean() < 2


def test_grey_jpeg_for_three_channels() -> None:
    pixels = decode.decode(encoded(picture().convert("L"), "JPEG"), "x", 3)
    assert torch.equal(pixels[0], pixels[2])


def test_the_orientation_in_exif_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert decode.decode(encoded(picture(), "JPEG", exif=exif), "x", 3).shape == (3, 30, 40)


def test_the_first_frame_of_an_animation() -> None:
    frames = [picture(), picture().rotate(180)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    pixels = decode.decode(data, "x", 3)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(picture()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        encoded(picture(), "JPEG")[:-40],
        encoded(picture(), "PNG")[:-40],
        encoded(picture(), "WEBP")[:-40],
        encoded(picture().convert("CMYK"), "JPEG")[:-200],
        encoded(picture(), "GIF"),
        png_of_size(8193, 8192),
        png_of_size(2**31 - 1, 2**31 - 1),
        png_of_size(0, 5),
        png_of_size(100, 100),
    ],
)
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(Problem) as e:
        decode.decode(data, "bad\x1b.jpg", 3)
    assert e.value.name == "bad-image"
    assert e.value.message.startswith("bad\\x1b.jpg is no usable image")


def test_any_damage_is_a_problem_or_an_image() -> None:
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        whole = encoded(picture(), kind)
        for _ in range(100):
            data = bytearray(whole)
            for _ in range(4):
                data[generator.integers(len(data))] = generator.integers(256)
            with contextlib.suppress(Problem):
                assert decode.decode(bytes(data), "x", 3).shape[0] == 3


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encoded(picture(), "PNG"))
    assert decode.read(path, 1).shape == (1, 30, 40)
    with pytest.raises(Problem) as e:
        decode.read(tmp_path / "none.png", 3)
    assert e.value.name == "no-such-file"
    monkeypatch.setattr(decode, "IMAGE_BYTES", 10)
    with pytest.raises(Problem, match="more than 10 bytes"):
        decode.decode(b"x" * 11, "x", 3)
    assert limits.IMAGE_BYTES == 64 * 2**20


def test_four_channels_and_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Problem) as e:
        decode.decode(b"", "x", 4)
    assert e.value.name == "wrong-input"
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(Problem) as e:
        decode.decode(encoded(picture(), "JPEG"), "x", 3)
    assert e.value.name == "missing-package"


def test_why_in_words() -> None:
    for data, why in {
        b"": "it is empty",
        b"hello": "its content is in no known format",
        b"<!DOCTYPE html>": "its content is an HTML page",
        encoded(picture(), "GIF"): "its content is GIF",
        encoded(picture(), "TIFF"): "its content is TIFF",
    }.items():
        with pytest.raises(Problem) as e:
            decode.decode(data, "x.jpg", 3)
        assert e.value.message == f"x.jpg is no usable image: {why}"


@pytest.mark.parametrize("size", [(9_000, 10_000), (16_000, 16_000), (16_383, 16_383)])
def test_a_large_size_is_refused_before_pillow_warns_of_it(size: tuple[int, int]) -> None:
    """By the header alone; Pillow would warn of the first and allocate it."""
    width, height = size
    bmp = bytearray(encoded(picture(), "BMP"))
    struct.pack_into("<ii", bmp, 18, width, -height)
    webp = bytearray(encoded(picture(), "WEBP"))
    struct.pack_into("<HH", webp, 26, width, height)
    lossless = bytearray(encoded(picture(), "WEBP", lossless=True))
    struct.pack_into("<I", lossless, 21, (width - 1) | (height - 1) << 14)
    frames = [picture(), picture().rotate(180)]
    extended = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    extended[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    for data in (
        png_of_size(width, height),
        bytes(bmp),
        bytes(webp),
        bytes(lossless),
        bytes(extended),
    ):
        with pytest.raises(Problem, match=f"{width} x {height} is more than"):
            decode.decode(data, "x", 3)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_sizes_read_off_headers_are_pillow_s(kind: str) -> None:
    for lossless in (False, True):
        data = encoded(picture(123, 77), kind, lossless=lossless)
        assert formats.size(data) == (123, 77)
        assert formats.size(data[:20]) is None
    assert formats.size(encoded(picture(), "JPEG")) is None
