from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from regnetc_runtime.data import inspect, layout, sheet
from regnetc_runtime.data.check import Report, check
from regnetc_runtime.problems import Problem


def picture(seed: int, width: int = 32, height: int = 24) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def encoded(image: Image.Image, kind: str = "JPEG", **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes with four training and two validation images each; nothing is wrong with them."""
    seed = 0
    for part, count in (("train", 4), ("val", 2)):
        for name in ("ant", "bee", "cat"):
            (tmp_path / part / name).mkdir(parents=True)
            for _ in range(count):
                seed += 1
                data = encoded(picture(seed, 32 + seed))
                (
                    tmp_path / part / name / f"ILSVRC2012_{part}_{seed * 7919 % 50000:08}.JPEG"
                ).write_bytes(data)
    return tmp_path


def looked_at(place: Path | str, **more: Any) -> Report:
    return check(layout.find(str(place), 3), **more)


def test_a_clean_data_set(root: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    report = looked_at(root, workers=3, progress=lambda *said: told.append(said))
    assert report.clean
    assert (report.kind, report.classes) == ("folder", ("ant", "bee", "cat"))
    assert (report.broken, report.odd, report.mistakes, report.notes) == ((), (), (), ())
    train, test = report.parts["train"], report.parts["test"]
    assert (train.images, train.seen, train.counts, train.empty) == (12, 12, (4, 4, 4), ())
    assert test.counts == (2, 2, 2)
    assert train.width is not None
    assert (train.width.least, train.width.median, train.width.most) == (33, 38.5, 44)
    assert told == [(k + 1, 18, "train" if k < 12 else "test") for k in range(18)]
    assert not report.stopped


ODD = {
    "cmyk.jpg": (encoded(picture(0).convert("CMYK")), "its colours are CMYK"),
    "deep.png": (
        encoded(Image.fromarray(np.arange(600).reshape(20, 30).astype(np.uint16) * 99), "PNG"),
        "16 bits a channel",
    ),
    "animated.webp": (
        encoded(picture(1), "WEBP", save_all=True, append_images=[picture(2)]),
        "animated: the first of 2 frames",
    ),
    "really.jpg": (encoded(picture(3), "PNG"), "ends in .jpg, its content is PNG"),
}
BROKEN = {
    "empty.jpg": (b"", "it is empty"),
    "truncated.jpg": (encoded(picture(4))[:-60], "Premature end of JPEG file"),
    "truncated.png": (encoded(picture(4), "PNG")[:-60], "truncated"),
    "gif.jpg": (encoded(picture(5), "GIF"), "its content is GIF"),
    "page.jpeg": (b"<html>not found</html>", "its content is an HTML page"),
}


def test_every_broken_and_every_odd_file_is_named_once(root: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 8
    odd = {
        **ODD,
        "turned.jpg": (encoded(picture(6), exif=turned), "turned by 270 degrees, which is ignored"),
    }
    for name, (data, _) in {**odd, **BROKEN}.items():
        (root / "train/bee" / name).write_bytes(data)
    report = looked_at(root)
    for found, expected in ((report.odd, odd), (report.broken, BROKEN)):
        assert sorted(Path(f.name).name for f in found) == sorted(expected)
        for finding in found:
            assert expected[Path(finding.name).name][1] in " ".join(finding.reasons)
    assert not report.clean
    shutil.copy(root / "train/bee/cmyk.jpg", root / "train/ant/other.jpg")
    for name in BROKEN:
        (root / "train/bee" / name).unlink()
    assert looked_at(root).clean, "what is only odd can be used"


def test_two_oddities_of_one_file(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    (root / "val/ant/x.png").write_bytes(encoded(picture(0).convert("CMYK"), exif=exif))
    (finding,) = looked_at(root).odd
    assert [r.split(",")[0] for r in finding.reasons] == [
        "its name ends in .png", "its colours are CMYK", "EXIF says that it is turned by 180 degrees",
    ]  # fmt: skip


def test_the_same_image_in_both_parts(root: Path) -> None:
    source = min((root / "val/cat").iterdir())
    shutil.copy(source, root / "train/ant/leak.JPEG")
    (mistake,) = looked_at(root).mistakes
    assert mistake.name == "leakage"
    assert "shares 1 of its 6 images" in mistake.message
    assert mistake.details == (f"{root}/train/ant/leak.JPEG = {source}",)


def test_copies_within_a_part(root: Path) -> None:
    source = min((root / "train/cat").iterdir())
    shutil.copy(source, root / "train/cat/zz.JPEG")
    shutil.copy(source, root / "train/ant/zz.JPEG")
    report = looked_at(root)
    assert report.clean
    copies, torn = report.notes
    assert "copies of other images in the part (2)" in copies
    assert "under another class (2)" in torn


def test_a_flat_validation_folder(root: Path) -> None:
    for k, path in enumerate(sorted((root / "val").rglob("*.JPEG"))):
        path.rename(root / "val" / f"ILSVRC2012_val_{k:08}.JPEG")
    for name in ("ant", "bee", "cat"):
        (root / "val" / name).rmdir()
    report = looked_at(root)
    (mistake,) = report.mistakes
    assert mistake.name == "unsorted-images"
    assert "guessing, 33% top-1" in mistake.message
    assert "ILSVRC2012_validation_ground_truth.txt" in mistake.message
    assert report.parts["train"].seen == 12, "the other part is looked at all the same"
    shutil.rmtree(root / "train")
    with pytest.raises(Problem) as e:
        looked_at(root)
    assert e.value.name == "unsorted-images"


def test_other_classes(root: Path) -> None:
    (root / "val/cat").rename(root / "val/dog")
    (mistake,) = looked_at(root).mistakes
    assert mistake.name == "classes-differ"
    assert "as if guessed, 33% top-1" in mistake.message
    assert mistake.details == (f"only in {root}/train: cat", f"only in {root}/val: dog")


def test_validation_images_dealt_out_by_number(root: Path) -> None:
    shutil.rmtree(root / "val")
    for k in range(15):
        path = root / "val" / ("ant", "bee", "cat")[k // 5] / f"ILSVRC2012_val_{k + 1:08}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(100 + k)))
    (mistake,) = looked_at(root).mistakes
    assert mistake.name == "sorted-by-number"
    assert "3 of 3 classes" in mistake.message


def test_notes(tmp_path: Path) -> None:
    for k in (1, 2, 10):
        (tmp_path / str(k)).mkdir()
        (tmp_path / str(k) / "x.png").write_bytes(encoded(picture(k), "PNG"))
    (tmp_path / "3").mkdir()
    (tmp_path / "1/x.tiff").write_bytes(b"")
    report = looked_at(tmp_path)
    assert report.parts["test"].empty == (3,)
    empty, numbers, other = report.notes
    assert "classes without images (1): 3" in empty
    assert "1, 10, 2, 3" in numbers
    assert "1 files in class folders do not end in" in other


def test_a_sample_is_taken_from_all_over(root: Path) -> None:
    report = looked_at(root, limit=3)
    assert report.parts["train"].seen == report.parts["test"].seen == 3
    assert report.parts["train"].images == 12
    last = max((root / "train/cat").iterdir())
    last.write_bytes(b"")
    assert [f.name for f in looked_at(root, limit=3).broken] == [str(last)]


def test_ctrl_c_says_what_was_seen(root: Path) -> None:
    def press(done: int, total: int | None, text: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    report = looked_at(root, progress=press)
    assert report.stopped
    assert report.parts["train"].seen == 5
    assert report.parts["test"].seen == 0
    assert report.parts["test"].width is None


@pytest.mark.parametrize("place", ["digits", "synthetic:50"])
def test_data_that_are_no_files(place: str) -> None:
    report = looked_at(place, limit=20)
    assert report.clean
    assert report.parts["train"].seen == 20


def test_files_that_vanish_while_they_are_looked_at(root: Path) -> None:
    found = layout.find(str(root), 3)
    shutil.rmtree(root / "val")
    report = check(found)
    assert len(report.broken) == 6
    assert "there is no file" in report.broken[0].reasons[0]


def test_a_look_never_fails_on_damage() -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = encoded(picture(0), kind, exif=exif)
        for _ in range(200):
            data = bytearray(whole)
            for _ in range(3):
                data[rng.integers(len(data))] = rng.integers(256)
            found = inspect.look(bytes(data), "x.jpg", 3)
            assert (found.problem is None) == (found.width > 0)


def test_a_contact_sheet(root: Path) -> None:
    (root / "train/ant/broken.jpg").write_bytes(b"hello")
    found = layout.find(str(root), 3)
    data = sheet.contact_sheet(found.parts["train"], found.classes, "title\n")
    assert data == sheet.contact_sheet(found.parts["train"], found.classes, "title\n")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (
            image.width == 2 * sheet.MARGIN + sheet.LABEL + 8 * (sheet.TILE + sheet.GAP) - sheet.GAP
        )
        pixels = np.asarray(image.convert("RGB"))
    # The first tile of the first row is the first image, as large as it fits.
    top = sheet.MARGIN + sheet.TITLE + sheet.SMALL + 3 * sheet.GAP
    left = sheet.MARGIN + sheet.LABEL
    tile = pixels[top : top + sheet.TILE, left : left + sheet.TILE].astype(int)
    first = found.parts["train"].image(0).permute(1, 2, 0).numpy().reshape(-1, 3).mean(0)
    middle = tile[sheet.TILE // 3 : -sheet.TILE // 3].reshape(-1, 3).mean(0)
    assert np.abs(first - middle).max() < 40
    assert len(np.unique(tile.reshape(-1, 3), axis=0)) > 100


def test_a_contact_sheet_of_many_classes_and_long_names() -> None:
    found = layout.find("synthetic:400", 1)
    names = [f"class {'x' * 300}\x1b"] * 10
    data = sheet.contact_sheet(found.parts["train"], names, "t" * 500)
    with Image.open(io.BytesIO(data)) as image:
        assert image.height < 12 * (sheet.TILE + sheet.GAP) + 120


def test_the_class_that_is_missing_is_the_one_named(root: Path) -> None:
    """A part with classes of its own is counted by their names, not by their places."""
    shutil.rmtree(root / "val/bee")
    report = looked_at(root)
    assert report.parts["test"].counts == (2, 0, 2)
    assert report.parts["test"].empty == (1,)


def test_files_that_cannot_be_read_are_no_leak(root: Path) -> None:
    for part in ("train", "val"):
        (root / part / "ant/broken.jpg").write_bytes(b"the same text in both parts")
    report = looked_at(root)
    assert len(report.broken) == 2
    assert report.mistakes == ()
