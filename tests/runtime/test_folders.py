from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from regnetc_runtime.data import folders
from regnetc_runtime.data.batches import check_classes
from regnetc_runtime.data.names import Names
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem

SMALL = Preprocess(resize=8, crop=8)


def put(path: Path, colour: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (colour, colour, colour)).save(path, "PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes with two and three images, in an order that only sorting gets right."""
    for i, name in enumerate(["b/2.png", "b/10.PNG", "a/z.jpeg", "a/y.webp", "b/1.JPG"]):
        put(tmp_path / name, 50 * i)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "readme.txt").write_text("no class")
    put(tmp_path / "a" / ".hidden.png")
    return tmp_path


def files(found: folders.ImageFolder) -> list[tuple[str, int]]:
    """Each image's path with its class index."""
    return list(zip(found.names, found.labels.tolist(), strict=True))


def test_the_order(root: Path) -> None:
    found = folders.scan(root)
    assert found.classes == ("a", "b")
    assert [(Path(p).name, i) for p, i in files(found)] == [
        ("y.webp", 0),
        ("z.jpeg", 0),
        ("1.JPG", 1),
        ("10.PNG", 1),
        ("2.png", 1),
    ]
    assert found.notes == ()


def test_odd_entries(root: Path) -> None:
    (root / "a" / "loop").symlink_to("..")
    (root / "again").symlink_to(".")
    (root / "a" / "linked.png").symlink_to("y.webp")
    (root / "a" / "dangling.png").symlink_to("nowhere")
    (root / "a" / "folder.png").mkdir()
    (root / "c").mkdir()
    put(root / os.fsdecode(b"d\xff") / os.fsdecode(b"\xe9.png"))
    found = folders.scan(root)
    assert found.classes == ("a", "b", "c", "d\udcff")
    assert [Path(p).name for p, i in files(found) if i == 0] == ["linked.png", "y.webp", "z.jpeg"]
    assert [i for _, i in files(found)].count(3) == 1
    assert found.notes == (
        "links to folders are not followed: again",
        "folders within class folders (1) are not looked into: a/folder.png",
        "classes without images (1): c",
    )
    assert len(found.labels) == 7


@pytest.mark.parametrize(
    ("files", "inside", "problem", "message"),
    [
        ([], [], "no-classes", "has no class folders"),
        (["1.jpg"], [], "unsorted-images", "no folder for each class"),
        ([], ["a", "b"], "no-images", "hold no images"),
        ([], ["train", "val"], "no-classes", "but train, val"),
    ],
)
def test_other_layouts(
    tmp_path: Path, files: list[str], inside: list[str], problem: str, message: str
) -> None:
    for name in files:
        put(tmp_path / name)
    for name in inside:
        (tmp_path / name).mkdir()
    with pytest.raises(Problem, match=message) as e:
        folders.scan(tmp_path)
    assert e.value.name == problem


def test_no_folder(tmp_path: Path) -> None:
    put(tmp_path / "x.png")
    for name, problem in {
        "none": "no-such-folder",
        "x.png": "no-such-folder",
        "a\0": "cannot-read",
    }.items():
        with pytest.raises(Problem) as e:
            folders.scan(tmp_path / name)
        assert e.value.name == problem


def test_limits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "DATA_FILES", 2)
    with pytest.raises(Problem, match="more than 2 images"):
        folders.scan(root)
    monkeypatch.setattr(folders, "DATA_CLASSES", 1)
    with pytest.raises(Problem, match="more than 1 class folders"):
        folders.scan(root)


def test_class_counts_name_both_numbers() -> None:
    check_classes("x", 10, 10)
    with pytest.raises(Problem) as e:
        check_classes("the folder x", 2, 1000)
    assert e.value.name == "class-count"
    assert e.value.message == "the folder x has 2 classes, the network has 1,000"


def test_a_part_reads_what_was_listed(root: Path) -> None:
    found = folders.scan(root)
    part = folders.FolderPart(found, 1)
    assert part.labels.tolist() == [0, 0, 1, 1, 1]
    assert found.sizes.tolist() == [part.path(i).stat().st_size for i in range(5)]
    assert part.name(3) == str(root / "b" / "10.PNG")
    assert part.image(3).shape == (1, 10, 12)
    assert part.image(3).float().mean() == 50
    assert part.encoded(3) == (root / "b" / "10.PNG").read_bytes()
    (root / "b" / "10.PNG").unlink()
    with pytest.raises(Problem) as e:
        part.image(3)
    assert e.value.name == "no-such-file"
    with pytest.raises(IndexError):
        part.image(5)


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xe9\n.png")
    put(tmp_path / "a" / name)
    part = folders.FolderPart(folders.scan(tmp_path), 3)
    assert part.name(0) == str(tmp_path / "a" / name)
    assert part.image(0).shape == (3, 10, 12)


def test_names_are_kept_compactly() -> None:
    first, second = Names.of(["a", "", "bc"]), Names.of([])
    chained = Names.chained([first, second, first])
    assert list(chained) == ["a", "", "bc", "a", "", "bc"]
    assert list(Names.chained([])) == []
    assert chained.encoded(2) == b"bc"
    for index in (-1, 6):
        with pytest.raises(IndexError):
            chained[index]
