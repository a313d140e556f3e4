"""A data set to a picture of some of its images by class, to see whether labels and pixels agree."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..problems import Problem, printable, require
from .parts import Part

CLASSES, IMAGES = 12, 8  # of each class
TILE, GAP, MARGIN, LABEL = 112, 6, 20, 190  # pixels
PAPER, INK, PALE, FRAME = "#ffffff", "#1f2328", "#6e7781", "#f1f3f5"
TITLE, NAME, SMALL = 20, 15, 12  # pixels of type


def contact_sheet(part: Part, classes: Sequence[str], title: str) -> bytes:
    """A PNG with a row of up to 8 images for each of up to 12 classes, taken evenly from all over.

    Images keep their shape. One that cannot be read is a crossed tile. Raises `missing-package`.
    """
    image_module = require("PIL.Image", "run")
    draw_module = require("PIL.ImageDraw", "run")
    labels = part.labels.numpy()
    counts = np.bincount(labels, minlength=len(classes))
    shown = _evenly(np.arange(len(classes)), CLASSES)
    top = MARGIN + TITLE + SMALL + 3 * GAP
    size = (
        2 * MARGIN + LABEL + IMAGES * (TILE + GAP) - GAP,
        top + len(shown) * (TILE + GAP) - GAP + MARGIN,
    )
    sheet = image_module.new("RGB", size, PAPER)
    draw = draw_module.Draw(sheet)
    draw.text((MARGIN, MARGIN), printable(title, 100), INK, font=_font(TITLE))
    draw.text(
        (MARGIN, MARGIN + TITLE + GAP), _said(len(labels), classes, shown), PALE, _font(SMALL)
    )
    for row, label in enumerate(shown.tolist()):
        y = top + row * (TILE + GAP)
        _name(draw, y, classes[label], label, int(counts[label]))
        members = _evenly(np.flatnonzero(labels == label), IMAGES)
        for column, index in enumerate(members.tolist()):
            x = MARGIN + LABEL + column * (TILE + GAP)
            _tile(sheet, draw, (x, y), part, index)
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _evenly(numbers: np.ndarray, most: int) -> np.ndarray:
    if len(numbers) <= most:
        return numbers
    chosen: np.ndarray = numbers[np.linspace(0, len(numbers) - 1, most).astype(np.int64)]
    return chosen


def _said(images: int, classes: Sequence[str], shown: np.ndarray) -> str:
    which = f", {len(shown)} of them here" if len(shown) < len(classes) else ""
    return f"{images:,} images, {len(classes):,} classes{which}"


def _name(draw: Any, y: int, name: str, label: int, count: int) -> None:
    """A class at the left of its row: its name in up to two lines, its number and its images."""
    font = _font(NAME)
    lines = _broken(draw, printable(name, 400), font)
    height = len(lines) * (NAME + GAP // 2) + SMALL + GAP
    at = y + (TILE - height) // 2
    for line in lines:
        draw.text((MARGIN, at), line, INK, font=font)
        at += NAME + GAP // 2
    images = "1 image" if count == 1 else f"{count:,} images"
    draw.text((MARGIN, at + GAP // 2), f"class {label} · {images}", PALE, font=_font(SMALL))


def _broken(draw: Any, text: str, font: Any) -> list[str]:
    """A name in at most two lines that fit, cut with an ellipsis where it is longer."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < 2:
        fits = len(rest)
        while fits > 1 and draw.textlength(rest[:fits], font=font) > LABEL - 2 * GAP:
            fits -= 1
        space = rest.rfind(" ", 0, fits + 1) if fits < len(rest) else -1
        fits = space if space > 0 else fits
        lines.append(rest[:fits])
        rest = rest[fits:].lstrip()
    if rest:
        lines[-1] = lines[-1][:-1] + "…"
    return lines


def _tile(sheet: Any, draw: Any, at: tuple[int, int], part: Part, index: int) -> None:
    x, y = at
    image_module = require("PIL.Image", "run")
    draw.rectangle((x, y, x + TILE - 1, y + TILE - 1), FRAME)
    try:
        pixels = part.image(index).permute(1, 2, 0).numpy()
    except Problem:
        draw.line((x + 30, y + 30, x + TILE - 30, y + TILE - 30), PALE, 2)
        draw.line((x + 30, y + TILE - 30, x + TILE - 30, y + 30), PALE, 2)
        return
    image = image_module.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    scale = TILE / max(image.size)
    # Small images are enlarged without smoothing: their pixels are what is to be seen.
    how = image_module.Resampling.NEAREST if scale > 2 else image_module.Resampling.LANCZOS
    image = image.resize(tuple(max(1, round(n * scale)) for n in image.size), how)
    sheet.paste(image, (x + (TILE - image.width) // 2, y + (TILE - image.height) // 2))


def _font(size: int) -> Any:
    return require("PIL.ImageFont", "run").load_default(size)
