from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from regnetc_runtime.data import bad as bad_module
from regnetc_runtime.data import loader, workers
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.batches import Batch
from regnetc_runtime.data.folders import FolderPart, scan
from regnetc_runtime.data.memory import MemoryPart
from regnetc_runtime.data.parts import Chunk, Part
from regnetc_runtime.data.subsets import Subset
from regnetc_runtime.data.synthetic import SyntheticPart
from regnetc_runtime.problems import Problem
from torch import Tensor
from torch.nn.functional import interpolate

SIDE = 16


def shrunk(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """An image to 16 x 16, turned by chance."""
    small = interpolate(pixels[None], size=(SIDE, SIDE), mode="bilinear", antialias=True)[0]
    return torch.rot90(small, int(rng.integers(4)), (1, 2))


def jpeg(seed: int, width: int = 48, height: int = 40, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(out, kind)
    return out.getvalue()


def said_to_be(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + height.to_bytes(2) + width.to_bytes(2) + data[place + 4 :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of two classes."""
    root = tmp_path_factory.mktemp("images")
    for k in range(40):
        path = root / "ab"[k % 2] / f"{k:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(k))
    return root


@pytest.fixture
def spoilt(folder: Path, tmp_path: Path) -> Path:
    """The same, with three that cannot be read: 002 and 004 in a row, and 039, the last."""
    for path in folder.rglob("*.jpg"):
        to = tmp_path / path.relative_to(folder)
        to.parent.mkdir(exist_ok=True)
        to.write_bytes(path.read_bytes())
    (tmp_path / "a/002.jpg").write_bytes(b"")
    (tmp_path / "a/004.jpg").write_bytes(jpeg(4)[:-200])
    (tmp_path / "b/039.jpg").write_bytes(b"hello")
    return tmp_path


def chunks(part: Part, size: int, epochs: int = 1) -> Iterator[Chunk]:
    count = len(part.labels)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(count)
        for first in range(0, count, size):
            yield Chunk(epoch, first, order[first : first + size])


def in_order(part: Part, size: int) -> list[Chunk]:
    numbers = np.arange(len(part.labels))
    return [Chunk(0, s, numbers[s : s + size]) for s in range(0, len(numbers), size)]


def run(part: Part, chunks: Any, count: int = 0, **more: Any) -> list[Batch]:
    more = {"bad": BadImages(), "seed": 7, **more}
    prepare = more.pop("prepare", shrunk)
    return list(loader.load(part, chunks, prepare, workers=count, **more))


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x.images, y.images)
        and torch.equal(x.labels, y.labels)
        and x.unreadable == y.unreadable
        and x.indices is not None
        and y.indices is not None
        and torch.equal(x.indices, y.indices)
        for x, y in zip(a, b, strict=True)
    )


def no_children() -> bool:
    return not multiprocessing.active_children()


def test_pixels_in_memory_are_picked() -> None:
    pixels = torch.arange(10 * 2 * 2).view(10, 1, 2, 2).float()
    part = MemoryPart("ten", pixels, torch.arange(10) % 3)
    batches = run(part, chunks(part, 4), 5, prepare=None)
    assert [len(b.labels) for b in batches] == [4, 4, 2]
    for batch, chunk in zip(batches, chunks(part, 4), strict=True):
        assert torch.equal(batch.images, pixels[chunk.indices])
        assert batch.labels.tolist() == (chunk.indices % 3).tolist()
        assert batch.indices is not None
        assert batch.indices.tolist() == chunk.indices.tolist()
    assert no_children()


def test_pixels_in_memory_that_are_prepared() -> None:
    part = MemoryPart("four", torch.full((4, 1, 8, 8), 12.6), torch.zeros(4).long())
    (batch,) = run(part, in_order(part, 4))
    assert batch.images.dtype is torch.uint8
    assert bool((batch.images == 13).all())


@pytest.mark.parametrize("piece", [256, 3])
def test_any_number_of_workers_gives_the_same(
    folder: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "PIECE", piece)
    part = FolderPart(scan(folder), 3)
    state = torch.get_rng_state()
    here = run(part, chunks(part, 7, epochs=2))
    assert [len(b.labels) for b in here] == [7, 7, 7, 7, 7, 5] * 2
    for count in (1, 3):
        assert same(here, run(part, chunks(part, 7, epochs=2), count))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(here, run(part, chunks(part, 7, epochs=2), seed=8))
    assert no_children()


def test_a_subset_and_an_empty_list(folder: Path) -> None:
    part = FolderPart(scan(folder), 1)
    subset = Subset(part, np.array([5, 3]))
    (batch,) = run(subset, in_order(subset, 4))
    whole = run(part, [Chunk(0, 0, np.array([5, 3]))])[0]
    assert torch.equal(batch.images, whole.images)
    assert run(part, [], 2) == []


def test_chance_belongs_to_the_place_not_to_the_image(folder: Path) -> None:
    part = FolderPart(scan(folder), 1)
    twice = run(part, [Chunk(0, 0, np.array([1, 1, 1, 1, 1, 1]))])[0].images
    assert len({t.numpy().tobytes() for t in twice}) > 1
    later = run(part, [Chunk(0, 2, np.array([1, 1, 1, 1]))])[0].images
    assert torch.equal(twice[2:], later)


@pytest.mark.parametrize("count", [0, 2])
def test_training_replaces_what_cannot_be_read(spoilt: Path, count: int) -> None:
    part = FolderPart(scan(spoilt), 3)
    names = [str(spoilt / n) for n in ("a/002.jpg", "a/004.jpg", "b/039.jpg")]
    told: list[str] = []
    bad = BadImages(tell=lambda name, why: told.append(name))
    first, *rest = run(part, in_order(part, 10), count, bad=bad)
    # The next that can be read is 006, for 002 and for 004; after the last comes the first.
    assert first.indices is not None
    assert first.indices.tolist() == [0, 3, 3, 3, 4, 5, 6, 7, 8, 9]
    assert set(first.unreadable) == set(names[:2])
    last = rest[-1]
    assert last.indices is not None
    assert last.indices.tolist()[-1] == 0
    assert last.labels.tolist()[-2:] == [1, 0], "it brings its own label"
    assert last.unreadable == (names[2],)
    again = run(part, in_order(part, 10), count, bad=bad)
    assert [b.unreadable for b in again] == [()] * 4, "named once in a run"
    assert sorted(told) == names
    assert sorted(bad.found) == names


@pytest.mark.parametrize("count", [0, 2])
def test_evaluation_leaves_out_what_cannot_be_read(spoilt: Path, count: int) -> None:
    part = FolderPart(scan(spoilt), 3)
    batches = run(part, in_order(part, 20), count, bad=BadImages(replace=False))
    assert [len(b.labels) for b in batches] == [18, 19]
    assert [len(b.unreadable) for b in batches] == [2, 1]
    singles = run(part, in_order(part, 1), count, bad=BadImages(replace=False))
    assert [len(b.images) for b in singles[:3]] == [1, 0, 0]
    assert len(singles) == 40


def test_too_many_bad_images(spoilt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = FolderPart(scan(spoilt), 3)
    monkeypatch.setattr(bad_module, "BAD_IMAGES", 2)
    with pytest.raises(Problem) as e:
        run(part, in_order(part, 10), 2)
    assert e.value.name == "too-many-bad-images"
    assert e.value.message == "3 of 40 images cannot be read, bearable are 2"
    assert any("b/039.jpg" in line for line in e.value.details)
    assert run(part, in_order(part, 10), 2, bad=BadImages(limit=3 / 40))
    assert no_children()


def test_without_any_limit_the_first_is_said(spoilt: Path) -> None:
    part = FolderPart(scan(spoilt), 3)
    with pytest.raises(Problem, match=r"002\.jpg is no usable image: it is empty") as e:
        run(part, in_order(part, 10), bad=BadImages(limit=0))
    assert e.value.name == "bad-image"


def test_a_part_without_any_readable_image(spoilt: Path) -> None:
    part = FolderPart(scan(spoilt), 3)
    hopeless = Subset(part, np.array([1, 2, 39]))
    with pytest.raises(Problem) as e:
        run(hopeless, in_order(hopeless, 3), 2)
    assert e.value.name == "too-many-bad-images"
    (batch,) = run(hopeless, in_order(hopeless, 3), bad=BadImages(replace=False))
    assert len(batch.labels) == len(batch.images) == 0


@pytest.mark.parametrize("replace", [True, False])
def test_a_disk_that_vanishes(spoilt: Path, replace: bool) -> None:
    part = FolderPart(scan(spoilt), 3)
    batches = loader.load(
        part, chunks(part, 4, 50), shrunk, seed=0, workers=2, bad=BadImages(replace=replace)
    )
    next(batches)
    spoilt.rename(spoilt.with_name(f"{spoilt.name}-elsewhere"))
    with pytest.raises(Problem) as e:
        list(batches)
    assert e.value.name == "vanished-data"
    assert no_children()


def test_a_few_that_vanish_are_bad_images(spoilt: Path) -> None:
    part = FolderPart(scan(spoilt), 3)
    for path in sorted(spoilt.rglob("*.jpg"))[20:24]:
        path.unlink()
    bad = BadImages()
    batches = run(part, in_order(part, 4), bad=bad)
    assert len(bad.found) == 7
    assert all(len(b.labels) == 4 for b in batches)


class Dying:
    """Prepares images, and dies at some of them as long as a file is there."""

    def __init__(self, marks: Path, times: int) -> None:
        self.marks = marks
        for k in range(times):
            (marks / f"{k}.mark").touch()

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        for mark in sorted(self.marks.glob("*.mark")):
            with contextlib.suppress(FileNotFoundError):
                mark.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return shrunk(pixels, rng)


def test_a_killed_worker_is_replaced_and_nothing_is_lost(folder: Path, tmp_path: Path) -> None:
    part = FolderPart(scan(folder), 3)
    expected = run(part, chunks(part, 4, 2))
    said: list[str] = []
    dying = Dying(tmp_path, 1)
    found = run(part, chunks(part, 4, 2), 2, prepare=dying, warn=said.append)
    assert same(expected, found)
    assert said == [
        "a process that decodes images was killed by SIGKILL; its work is done again (1 of 3 times)"
    ]
    assert no_children()


def test_a_worker_that_is_killed_from_outside_while_the_network_works(folder: Path) -> None:
    """No exception strikes where the main thread happens to be."""
    part = FolderPart(scan(folder), 3)
    said: list[str] = []
    batches = loader.load(
        part, chunks(part, 4, 9), shrunk, seed=7, workers=2, bad=BadImages(), warn=said.append
    )
    found = [next(batches)]
    victim = multiprocessing.active_children()[0].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        torch.ones(10).sum()
    found += list(batches)
    assert same(run(part, chunks(part, 4, 9)), found)
    assert len(said) == 1
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


@pytest.mark.slow
def test_workers_that_keep_dying(folder: Path, tmp_path: Path) -> None:
    part = FolderPart(scan(folder), 3)
    said: list[str] = []
    with pytest.raises(Problem) as e:
        run(part, chunks(part, 4), 1, prepare=Dying(tmp_path, 9), warn=said.append)
    assert e.value.name == "worker-died"
    assert "/dev/shm" in str(e.value.help)
    assert len(said) == 3
    assert no_children()


@pytest.mark.slow
def test_giving_up_at_the_first_death(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WORKER_RESTARTS", 0)
    part = FolderPart(scan(folder), 3)
    with pytest.raises(Problem) as e:
        run(part, chunks(part, 4), 1, prepare=Dying(tmp_path, 1))
    assert e.value.name == "worker-died"
    assert "killed by SIGKILL" in e.value.message


def test_a_mistake_of_the_program_stays_one(folder: Path) -> None:
    def wrong(pixels: Tensor, rng: np.random.Generator) -> Tensor:
        raise KeyError("a bug")

    part = FolderPart(scan(folder), 3)
    for count in (0, 1):
        with pytest.raises(KeyError, match="a bug"):
            run(part, chunks(part, 4), count, prepare=wrong)
    assert no_children()


def test_what_is_no_fault_of_an_image_ends_the_run(folder: Path) -> None:
    part = FolderPart(scan(folder), 2)
    for count in (0, 1):
        with pytest.raises(Problem) as e:
            run(part, chunks(part, 4), count)
        assert e.value.name == "wrong-input"


def test_closing_leaves_nothing_behind_and_is_quick() -> None:
    part = SyntheticPart("much", 100_000, 10, 3, 160)
    batches: Any = loader.load(part, in_order(part, 256), None, seed=0, workers=3, bad=BadImages())
    next(batches)
    assert len(multiprocessing.active_children()) == 3
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 2
    assert no_children()


INTERRUPTED = """
import multiprocessing, sys, numpy as np
from regnetc_runtime.data import loader
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.parts import Chunk
from regnetc_runtime.data.synthetic import SyntheticPart
part = SyntheticPart("much", 1_000_000, 10, 3, 64)
chunks = (Chunk(0, s, np.arange(s, s + 64)) for s in range(0, 900_000, 64))
batches = loader.load(part, chunks, None, seed=0, workers=2, bad=BadImages())
try:
    for k, batch in enumerate(batches):
        if k == 2:
            print(*(p.pid for p in multiprocessing.active_children()), flush=True)
except KeyboardInterrupt:
    batches.close()
    sys.exit(len(multiprocessing.active_children()))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_death_leave_no_process(number: int) -> None:
    """Of the whole group, as a terminal sends it; or of the main process alone, which cannot tidy up."""
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    pids = [int(p) for p in running.stdout.readline().split()]
    assert len(pids) == 2
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.kill()
    try:
        _, said = running.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert running.returncode == (0 if number == signal.SIGINT else -9)
    assert said == "" or number == signal.SIGKILL
    until = time.monotonic() + 20
    while any(Path(f"/proc/{p}").exists() for p in pids) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{p}").exists() for p in pids)


# A folder of 2,000 files with everything in it that data sets have been seen to have.

BAD = {
    "empty.jpg": "it is empty",
    "truncated.jpg": "Premature end of JPEG file",
    "gif.jpg": "its content is GIF",
    "text.jpg": "its content is in no known format",
    "page.jpg": "its content is an HTML page",
    "huge.jpg": "20000 x 20000 is more than 67,108,864 pixels",
    "huge.png": "20000 x 20000 is more than 67,108,864 pixels",
}
ODD = ("cmyk.jpg", "deep.png", "turned.jpg", "really.jpg")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zoo")
    good = [jpeg(k, 40 + k % 9, 40 + k % 7) for k in range(50)]
    for k in range(2_000 - len(BAD) - len(ODD)):
        path = root / f"class{k % 10}" / f"{k:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(good[k % 50])
    picture = Image.open(io.BytesIO(good[0]))
    png = jpeg(0, kind="PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {
        "empty.jpg": b"",
        "truncated.jpg": good[0][:-100],
        "gif.jpg": jpeg(0, kind="GIF"),
        "text.jpg": b"hello",
        "page.jpg": b"<!DOCTYPE html><html>404</html>",
        "huge.jpg": said_to_be(good[0], 20_000, 20_000),
        "huge.png": png[:16] + (20_000).to_bytes(4) * 2 + png[24:],
        "really.jpg": png,
    }
    for k, (name, data) in enumerate(made.items()):
        (root / f"class{k}" / name).write_bytes(data)
    picture.convert("CMYK").save(root / "class3/cmyk.jpg")
    picture.save(root / "class3/turned.jpg", exif=exif)
    deep = np.random.default_rng(0).integers(0, 65536, (40, 40)).astype(np.uint16)
    Image.fromarray(deep).save(root / "class9/deep.png")
    return root


LOADED = """
import hashlib, json, resource, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_loader import shrunk
from regnetc_runtime.data import loader
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.folders import FolderPart, scan
from regnetc_runtime.data.parts import Chunk
part = FolderPart(scan(Path(sys.argv[1])), 3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = []
for workers in (0, 1, 3):
    for replace in (True, False):
        told, pixels, images, named = [], hashlib.sha256(), 0, 0
        bad = BadImages(replace=replace, tell=lambda name, why: told.append((Path(name).name, why)))
        numbers = np.random.default_rng(1).permutation(2000) if replace else np.arange(2000)
        chunks = [Chunk(0, s, numbers[s : s + 64]) for s in range(0, 2000, 64)]
        for batch in loader.load(part, chunks, shrunk, seed=3, workers=workers, bad=bad):
            pixels.update(batch.images.numpy().tobytes() + batch.labels.numpy().tobytes())
            named += len(batch.unreadable)
            images += len(batch.labels)
        said.append([images, named, sorted(told), pixels.hexdigest()])
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([said, before, own, children]))
"""


def test_a_zoo_of_broken_files(zoo: Path) -> None:
    """Each bad file is named once, the tensors do not depend on workers, and memory is bounded."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADED, zoo, Path(__file__).parent],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said, before, own, children = json.loads(done.stdout)
    assert said[0:2] == said[2:4] == said[4:6]
    for found, images in zip(said, (2_000, 2_000 - len(BAD)), strict=False):
        count, named, told, _ = found
        assert count == images
        assert named == len(BAD)
        assert [name for name, _ in told] == sorted(BAD), "each of them once"
        assert all(BAD[name] in why for name, why in told)
    # In KiB; to decode one of the huge ones would take 1.2 GB.
    assert max(own, children) - before < 100_000, (before, own, children)


def test_the_odd_ones_are_decoded(zoo: Path) -> None:
    part = FolderPart(scan(zoo), 3)
    for index in range(2_000):
        if Path(part.name(index)).name in ODD:
            assert part.image(index).shape[0] == 3
