from __future__ import annotations

import contextlib
import hashlib
import io
import json
import multiprocessing
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from regnetc_runtime import transfer
from regnetc_runtime.data import cache as cache_module
from regnetc_runtime.data import fetch, loader, shards, tars
from regnetc_runtime.data.bad import BadImages
from regnetc_runtime.data.cache import Cache
from regnetc_runtime.data.fetch import Remote
from regnetc_runtime.data.parts import Chunk
from regnetc_runtime.data.shards import ShardPart, expand
from regnetc_runtime.data.sources import Subset, open_data, order
from regnetc_runtime.problems import Problem


def png(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def tar(members: list[tuple[str, bytes]], how: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=how) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def samples(first: int, count: int) -> list[tuple[str, bytes]]:
    return [
        member
        for k in range(first, first + count)
        for member in ((f"{k:04}.png", png(k)), (f"{k:04}.cls", f"{k % 5}\n".encode()))
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six shards of ten images, red levels 0 to 59, five classes."""
    for k in range(6):
        (tmp_path / f"train-{k:03}.tar").write_bytes(tar(samples(10 * k, 10)))
    return tmp_path


def levels(part: Any) -> list[int]:
    return [int(part.image(i)[0, 0, 0]) for i in range(len(part.labels))]


def listed(path: Path, data: bytes) -> tars.Listing:
    path.write_bytes(data)
    return tars.index(path)


def problem(data: bytes, path: Path) -> Problem:
    with pytest.raises(Problem) as e:
        listed(path, data)
    return e.value


# Tars.


@pytest.mark.parametrize("how", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_listing_agrees_with_tarfile(tmp_path: Path, how: int) -> None:
    rng = np.random.default_rng(how)
    members = []
    for k in range(200):
        name = f"{'f' * 60}/{'g' * 60}/{k}" if k % 3 == 0 else f"{k}"
        if k % 7 == 0 and how != tarfile.USTAR_FORMAT:
            name = "ü" * 120 + name
        members += [
            (f"{name}.jpg", rng.bytes(int(rng.integers(0, 3000)))),
            (f"{name}.cls", str(k % 9).encode()),
        ]
    found = listed(tmp_path / "x.tar", tar(members, how))
    with tarfile.open(tmp_path / "x.tar") as t:
        expected = [(m.name, m.offset_data, m.size) for m in t if m.name.endswith(".jpg")]
    assert list(zip(found.names, found.offsets, found.sizes, strict=True)) == expected
    assert found.labels.tolist() == [k % 9 for k in range(200)]
    assert found.notes == ()


def test_labels_and_names_of_all_kinds(tmp_path: Path) -> None:
    found = listed(
        tmp_path / "x.tar",
        tar(
            [
                ("./a.JPEG", b"1"), ("./a.txt", b" 7 \n"),
                ("b.json", b'{"label": 3, "text": "x"}'), ("b.webp", b"2"),
                ("c.jpg", b"3"), ("c.json", b"4"),
                ("d.jpg", b"4"), ("d.txt", b"a dog"), ("d.cls", b"0"), ("d.json", b'{"a": [1]}'),
                ("folder/e.1.jpg", b"5"), ("folder/e.cls", b"1"),
                ("f.jpg", b"6"), ("g.cls", b"2"), (".hidden.jpg", b"7"),
            ]
        ),
    )  # fmt: skip
    assert list(found.names) == ["./a.JPEG", "b.webp", "c.jpg", "d.jpg"]
    assert found.labels.tolist() == [7, 3, 4, 0]
    (note,) = found.notes
    assert "3 names have no image or no label: folder/e, f, g" in note


@pytest.mark.parametrize(
    "label", [b"", b"-1", b"cat", b"1000000", b"9" * 30, b"\xb2", b"1_0", b"x" * 70000]
)
def test_labels_that_are_none(tmp_path: Path, label: bytes) -> None:
    found = problem(tar([("a.jpg", b"1"), ("a.cls", label)]), tmp_path / "x.tar")
    assert found.name == "bad-label"
    assert "a.cls in" in found.message


def test_links_devices_and_folders_are_passed_over(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for kind in (
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.FIFOTYPE,
            tarfile.DIRTYPE,
        ):
            info = tarfile.TarInfo(f"odd{kind.decode()}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            t.addfile(info)
    found = listed(tmp_path / "x.tar", out.getvalue()[:2560] + tar(samples(0, 2)))
    assert list(found.names) == ["0000.png", "0001.png"]
    assert "odd2.jpg, odd1.jpg, odd3.jpg, odd6.jpg" in found.notes[0]


def test_a_tar_that_was_cut_short_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    data = tar(samples(0, 5))
    for end, count, word in ((4 * 2048 + 540, 4, "within 0004.png"), (4 * 2048, 4, "no end")):
        found = listed(tmp_path / "x.tar", data[:end])
        assert len(found.names) == count
        assert word in found.notes[0]


def test_what_is_no_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tar(samples(0, 3))
    flipped = bytearray(whole)
    flipped[2048 + 5] ^= 1
    huge = bytearray(tar([("a" * 200, b"1")]))
    huge[124:136] = b"77777777777\0"
    huge[148:156] = b" " * 8
    huge[148:156] = b"%06o\0 " % sum(huge[:512])
    for data in (b"hello" * 200, b"x" * 100, bytes(flipped), whole[: 2048 + 100], bytes(huge)):
        found = problem(data, tmp_path / "x.tar")
        assert found.name == "damaged-shard", data[:20]
    assert len(listed(tmp_path / "x.tar", b"").names) == 0
    monkeypatch.setattr(tars, "SHARD_MEMBERS", 5)
    assert "more than 5 members" in problem(whole, tmp_path / "x.tar").message
    monkeypatch.setattr(tars, "SHARD_NAME_BYTES", 150)
    long = tar([("a" * 200 + ".jpg", b"1")])
    assert "more than 150 bytes" in problem(long, tmp_path / "x.tar").message
    for path, name in ((tmp_path / "none.tar", "no-such-file"), (tmp_path, "not-a-file")):
        with pytest.raises(Problem) as e:
            tars.index(path)
        assert e.value.name == name


def test_any_damage_is_a_problem_or_a_listing(tmp_path: Path) -> None:
    whole = tar([("ü" * 80 + name, data) for name, data in samples(0, 4)], tarfile.PAX_FORMAT)
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.integers(len(data))] = rng.integers(256)
        found = None
        with contextlib.suppress(Problem):
            found = listed(tmp_path / "x.tar", bytes(data))
        if found is not None:
            ends = found.offsets + found.sizes
            assert (found.offsets >= 512).all()
            assert (ends <= len(data)).all()


# Shards here.


def test_a_folder_of_shards(folder: Path) -> None:
    data = open_data(str(folder), channels=3, side=32)
    assert (data.kind, data.classes) == ("shards", ("0", "1", "2", "3", "4"))
    assert data.test is None
    assert isinstance(data.train, ShardPart)
    assert levels(data.train) == list(range(60))
    assert data.train.labels.tolist() == [k % 5 for k in range(60)]
    assert data.train.name(15) == f"{folder}/train-001.tar/0015.png"
    assert data.train.groups.tolist() == [k // 10 for k in range(60)]
    assert data.digest == open_data(str(folder), channels=1, side=8).digest
    (folder / "classes.txt").write_text("a\nb\nc\nd\ne\nf\n")
    assert open_data(str(folder), channels=3, side=32).classes == tuple("abcdef")
    (folder / "classes.txt").write_text("a\n")
    with pytest.raises(Problem) as e:
        open_data(str(folder), channels=3, side=32)
    assert e.value.name == "classes-differ"


@pytest.mark.parametrize(
    ("layout", "place", "parts"),
    [
        ("train-{k}.tar val-{k}.tar", "", (3, 3)),
        ("train/{k}.tar val/{k}.tar", "", (3, 3)),
        ("{k}.tar", "", (0, 3)),
        ("imagenet1k-train-{k}.tar imagenet1k-validation-{k}.tar", "", (3, 3)),
        ("train-{k}.tar", "train-{0..1}.tar", (2, 0)),
        ("x-{k}.tar", "x-{0..1}.tar", (0, 2)),
        ("train-{k}.tar val-{k}.tar", "{train-{0..2},val-0}.tar", (3, 1)),
    ],
)
def test_layouts_of_shards(tmp_path: Path, layout: str, place: str, parts: tuple[int, int]) -> None:
    for name in layout.split():
        for k in range(3):
            path = tmp_path / name.format(k=k)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(tar(samples(k, 1)))
    data = open_data(str(tmp_path / place), channels=3, side=32)
    assert tuple(len(p.labels) if p is not None else 0 for p in (data.train, data.test)) == parts


def test_shards_without_labelled_images(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar([("a.jpg", b"1")]))
    with pytest.raises(Problem) as e:
        open_data(str(tmp_path), channels=3, side=32)
    assert e.value.name == "no-images"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("x{a,b{1..2}}y{c,}", ["xayc", "xay", "xb1yc", "xb1y", "xb2yc", "xb2y"]),
        ("{3..2}", []),
        ("a{b", ["a{b"]),
    ],
)
def test_patterns(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


def test_a_pattern_cannot_explode() -> None:
    with pytest.raises(Problem, match="more than 1,000,000 shards"):
        expand("{0..999999}" * 3)
    with pytest.raises(Problem, match="more than 32 braces"):
        expand("{" * 5000)


def test_an_order_takes_a_window_of_shards_at_a_time(folder: Path) -> None:
    data = open_data(str(folder), channels=3, side=32)
    part = data.train
    assert isinstance(part, ShardPart)
    epochs = [order(part, epoch, 0) for epoch in range(3)]
    for found in epochs:
        assert sorted(found) == list(range(60))
        assert len(set(part.groups[found[:40]])) == 4
        assert len(set(part.groups[found[:10]])) > 1, "they are mixed"
    assert len({tuple(e) for e in epochs}) == 3
    assert np.array_equal(epochs[2], order(part, 2, 0))
    subset = Subset(part, np.arange(5, 55, 2))
    found = order(subset, 0, 0)
    assert sorted(found) == list(range(25))
    assert subset.groups is not None
    assert len(set(subset.groups[found[:16]])) <= 5


def test_images_of_a_shard_that_vanished_or_was_spoilt(folder: Path) -> None:
    part = open_data(str(folder), channels=3, side=32).train
    assert part is not None
    path = folder / "train-002.tar"
    path.write_bytes(path.read_bytes()[:2048])
    chunk = Chunk(0, 0, np.arange(15, 35))
    bad = BadImages()
    (batch,) = loader.load(part, [chunk], None, seed=0, workers=0, bad=bad)
    assert batch.indices is not None
    assert batch.indices.tolist()[5:] == [20, *([30] * 9), 30, 31, 32, 33, 34]
    assert len(bad.found) == 9


# Shards from afar: a server that misbehaves as it is told to.


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[tuple[str, str | None]] = []
        self.fail: Counter[str] = Counter()  # how often to answer 503
        self.cut: dict[str, int] = {}  # after how many bytes to hang up, each time
        self.redirect: dict[str, str] = {}
        self.etags = True
        self.ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sent(self, name: str) -> int:
        return sum(path == f"/{name}" for path, _ in self.asked)


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
        path = server.root / name
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        begin = 0
        said = self.headers.get("Range")
        if said and server.ranges and self.headers.get("If-Range") == etag:
            begin = int(said.removeprefix("bytes=").removesuffix("-"))
        if begin >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if server.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        end = begin + server.cut[name] if name in server.cut else len(data)
        self.wfile.write(data[begin:end])
        self.close_connection = True


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    monkeypatch.setattr(transfer, "SECONDS", 5.0)
    monkeypatch.setattr(transfer, "CHUNK", 1000)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


def opened(place: str, cache: Cache) -> ShardPart:
    data = open_data(place, channels=3, side=32, cache=cache)
    part = data.train or data.test
    assert isinstance(part, ShardPart)
    return part


def refused(place: str, cache: Cache) -> Problem:
    with pytest.raises(Problem) as e:
        opened(place, cache)
    return e.value


def test_shards_are_fetched_once(server: Server, cache: Cache, folder: Path) -> None:
    place = f"{server.url}/train-{{000..005}}.tar?key=secret"
    part = opened(place, cache)
    assert levels(part) == list(range(60))
    assert "secret" not in part.name(0)
    assert len(server.asked) == 6
    assert levels(opened(place, cache)) == list(range(60))
    assert len(server.asked) == 6
    here = open_data(str(folder), channels=3, side=32)
    assert here.train is not None
    assert here.train.labels.tolist() == part.labels.tolist()


def test_a_download_goes_on_where_it_broke_off(server: Server, cache: Cache) -> None:
    server.cut["train-000.tar"] = 3000
    server.fail["train-000.tar"] = 2
    part = opened(f"{server.url}/train-000.tar", cache)
    assert levels(part) == list(range(10))
    size = len(tar(samples(0, 10)))
    ranges = [said for _, said in server.asked]
    assert ranges == [None] * 3 + [f"bytes={n}-" for n in range(3000, size, 3000)]


def test_what_a_killed_process_left_is_used(server: Server, cache: Cache) -> None:
    server.cut["train-000.tar"] = 0
    remote = Remote(f"{server.url}/train-000.tar")
    assert refused(remote.url, cache).name == "cannot-fetch"
    server.cut["train-000.tar"] = 5000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "TRIES", 1)
        assert refused(remote.url, cache).name == "cannot-fetch"
    server.cut.clear()
    assert levels(opened(remote.url, cache)) == list(range(10))
    assert server.asked[-1][1] == "bytes=5000-"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(
    server: Server, cache: Cache, folder: Path, ranges: bool
) -> None:
    server.ranges = ranges
    server.cut["train-000.tar"] = 5000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "TRIES", 1)
        refused(f"{server.url}/train-000.tar", cache)
    server.cut.clear()
    (folder / "train-000.tar").write_bytes(tar(samples(100, 10)))
    assert levels(opened(f"{server.url}/train-000.tar", cache)) == list(range(100, 110))


def test_without_a_version_nothing_is_taken_up(server: Server, cache: Cache) -> None:
    server.etags = False
    server.cut["train-000.tar"] = 5000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "TRIES", 1)
        refused(f"{server.url}/train-000.tar", cache)
    server.cut.clear()
    assert levels(opened(f"{server.url}/train-000.tar", cache)) == list(range(10))
    assert {said for _, said in server.asked} == {None}


def test_a_download_that_was_whole_but_not_listed(server: Server, cache: Cache) -> None:
    part = opened(f"{server.url}/train-000.tar", cache)
    for path in cache.folder.glob("*.size"):
        path.unlink()
    assert levels(part) == list(range(10))


def test_what_cannot_be_fetched(server: Server, cache: Cache, folder: Path) -> None:
    assert "answers 404" in refused(f"{server.url}/none.tar", cache).message
    assert server.sent("none.tar") == 1, "no second try"
    server.fail["train-000.tar"] = 9
    found = refused(f"{server.url}/train-000.tar?token=secret", cache)
    assert "answers 503, 5 times in a row" in found.message
    assert "secret" not in found.message
    for leads_to in ("https://127.0.0.1/x.tar", "ftp://127.0.0.1/x.tar", "file:///etc/passwd"):
        server.redirect["there.tar"] = leads_to
        found = refused(f"{server.url}/there.tar", cache)
        assert found.name == "cannot-fetch", leads_to
    server.redirect["there.tar"] = "/train-001.tar"
    assert levels(opened(f"{server.url}/there.tar", cache)) == list(range(10, 20))
    nobody = f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    assert "refused" in refused(f"{nobody}/train-003.tar", cache).message.lower()


def index_of(folder: Path, **wrong: Any) -> bytes:
    entries = []
    for k in range(6):
        data = (folder / f"train-{k:03}.tar").read_bytes()
        entries.append(
            {
                "url": f"train-{k:03}.tar", "nsamples": 10, "filesize": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )  # fmt: skip
    entries[3].update(wrong)
    return json.dumps({"wids_version": 1, "shardlist": entries}).encode()


def test_an_index(server: Server, cache: Cache, folder: Path) -> None:
    (folder / "index.json").write_bytes(index_of(folder))
    server.cut["train-002.tar"] = 4000
    assert levels(opened(f"{server.url}/index.json", cache)) == list(range(60))
    assert levels(opened(str(folder / "index.json"), cache)) == list(range(60))
    md5 = hashlib.md5((folder / "train-003.tar").read_bytes()).hexdigest()
    (folder / "index.json").write_bytes(index_of(folder, nsamples=11, sha256=None, md5sum=md5))
    data = open_data(f"{server.url}/index.json", channels=3, side=32, cache=cache)
    assert data.notes == (
        f"train: {server.url}/train-003.tar holds 10 labelled images, the index says 11",
    )


@pytest.mark.parametrize(
    "wrong", [{"filesize": 5}, {"sha256": "0" * 64}, {"md5sum": "0" * 32, "sha256": None}]
)
def test_a_shard_that_is_not_what_the_index_says(
    server: Server, cache: Cache, folder: Path, wrong: dict[str, Any]
) -> None:
    (folder / "index.json").write_bytes(index_of(folder, **wrong))
    found = refused(f"{server.url}/index.json", cache)
    assert found.name == "wrong-shard"
    whole = [cache._place(Remote(f"{server.url}/train-003.tar"))]
    assert not any(p.exists() and p.with_suffix(".size").exists() for p in whole)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"shardlist": [{"nsamples": 1}]}', b'{"shardlist": 3}']
)
def test_what_is_no_index(tmp_path: Path, cache: Cache, text: bytes) -> None:
    (tmp_path / "index.json").write_bytes(text)
    assert refused(str(tmp_path / "index.json"), cache).name == "bad-index"


def test_a_small_cache_drops_what_was_not_used_for_longest(
    server: Server, cache: Cache, folder: Path
) -> None:
    size = (folder / "train-000.tar").stat().st_size
    small = Cache(cache.folder, 3 * size + 100)
    part = opened(f"{server.url}/train-{{000..005}}.tar", small)
    assert len(list(cache.folder.glob("*.tar"))) <= 3
    server.asked.clear()
    assert levels(part) == list(range(60))
    assert len(list(cache.folder.glob("*.tar"))) <= 3
    assert len(server.asked) <= 6, "each at most once more"
    assert (
        refused(f"{server.url}/train-000.tar", Cache(cache.folder / "x", 100)).name == "small-cache"
    )


def test_an_epoch_fetches_each_shard_about_once(server: Server, cache: Cache, folder: Path) -> None:
    size = (folder / "train-000.tar").stat().st_size
    part = opened(f"{server.url}/train-{{000..005}}.tar", Cache(cache.folder, 4 * size + 100))
    server.asked.clear()
    taken = order(part, 0, 0)
    chunks = [Chunk(0, s, taken[s : s + 6]) for s in range(0, 60, 6)]
    batches = list(loader.load(part, chunks, None, seed=0, workers=0, bad=BadImages(limit=0)))
    found = [int(level) for b in batches for level in b.images[:, 0, 0, 0]]
    assert found == taken.tolist()
    assert len(server.asked) <= 6


def test_workers_share_the_cache(server: Server, cache: Cache, folder: Path) -> None:
    part = opened(f"{server.url}/train-{{000..005}}.tar", cache)
    for path in (*cache.folder.glob("*.tar"), *cache.folder.glob("*.size")):
        path.unlink()
    server.asked.clear()
    chunks = [Chunk(0, s, np.arange(s, s + 4)) for s in range(0, 60, 4)]
    batches = list(loader.load(part, chunks, None, seed=0, workers=3, bad=BadImages(limit=0)))
    assert [int(x) for b in batches for x in b.images[:, 0, 0, 0]] == list(range(60))
    assert len(server.asked) == 6, "no shard twice, though three processes wanted each"
    assert not multiprocessing.active_children()


def test_a_shard_that_cannot_be_fetched_any_more_ends_the_run(
    server: Server, cache: Cache, folder: Path
) -> None:
    part = opened(f"{server.url}/train-{{000..001}}.tar", cache)
    for path in (*cache.folder.glob("*.tar"), *cache.folder.glob("*.size")):
        path.unlink()
    (folder / "train-001.tar").write_bytes(b"changed")
    with pytest.raises(Problem) as e:
        list(
            loader.load(
                part, [Chunk(0, 0, np.arange(20))], None, seed=0, workers=1, bad=BadImages()
            )
        )
    assert e.value.name == "wrong-shard"


def test_where_shards_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_module.default_folder() == Path("/somewhere/regnetc/shards")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_module.default_folder() == Path("/home/me/.cache/regnetc/shards")


def test_a_shard_by_its_place() -> None:
    assert shards.shard("a/b.tar") == Path("a/b.tar")
    assert shards.shard("https://x/b.tar") == Remote("https://x/b.tar")
    with pytest.raises(Problem, match="only http and https"):
        fetch.fetch_bytes("file:///etc/passwd", 10)
