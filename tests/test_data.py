"""`regnetc data check` as a user meets it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import regnetc


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((40, 30)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    seed = 0
    for part, count in (("train", 6), ("val", 2)):
        for name in ("ant", "bee"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                seed += 1
                (folder / f"{k}.jpg").write_bytes(jpeg(seed))
    return tmp_path


def test_a_clean_data_set(here: Path) -> None:
    ran = regnetc("data", "check", "pets")
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "pets  (folder)",
        "2 classes: ant, bee",
        "6 / 6 / 6",
        "40 / 40 / 40",
        "no problems",
    ):
        assert part in ran.out
    assert "16 images looked at" in ran.out


def test_problems(here: Path) -> None:
    (here / "pets/train/ant/3.jpg").write_bytes(b"")
    (here / "pets/train/ant/4.jpg").write_bytes(jpeg(99)[:-50])
    (here / "pets/val/bee/0.jpg").write_bytes((here / "pets/train/bee/0.jpg").read_bytes())
    with Image.open(here / "pets/train/bee/1.jpg") as image:
        image.convert("CMYK").save(here / "pets/train/bee/1.jpg")
    ran = regnetc("data", "check", "pets")
    assert ran.code == 1
    assert "2 files cannot be read\n  pets/train/ant/3.jpg: it is empty\n" in ran.out
    assert "pets/train/ant/4.jpg: Premature end" in ran.out
    assert "1 file odd, but can be read\n  pets/train/bee/1.jpg: its colours are CMYK" in ran.out
    assert "error[leakage]: the test part shares 1 of its 4 images" in ran.err
    assert "pets/train/bee/0.jpg = pets/val/bee/0.jpg" in ran.err
    assert "3 problems" in ran.out


def test_json(here: Path) -> None:
    (here / "pets/train/ant/bad\n.jpg").write_bytes(b"x")
    ran = regnetc("data", "check", "pets", "--json", "--limit", "7", "--channels", "1")
    assert (ran.code, ran.err) == (1, "")
    said = ran.json
    assert said["clean"] is False
    assert said["classes"] == ["ant", "bee"]
    assert len(said["digest"]) == 64
    assert said["parts"]["train"]["seen"] == 7
    assert said["parts"]["train"]["counts"] == [7, 6]
    assert said["parts"]["test"]["empty"] == []
    (broken,) = said["broken"]
    assert broken["name"] == "pets/train/ant/bad<U+000A>.jpg"


def test_a_list_that_is_long_is_cut(here: Path) -> None:
    for k in range(30):
        (here / f"pets/train/ant/x{k:02}.jpg").write_bytes(b"")
    ran = regnetc("data", "check", "pets")
    assert "30 files cannot be read" in ran.out
    assert "and 10 more (--json lists all)" in ran.out
    assert len(regnetc("data", "check", "pets", "--json").json["broken"]) == 30


def test_a_sheet(here: Path) -> None:
    ran = regnetc("data", "check", "pets", "--sheet", "sheet.png")
    assert ran.code == 0
    assert "wrote sheet.png" in ran.out
    with Image.open(here / "sheet.png") as image:
        image.load()
        assert image.format == "PNG"
    again = regnetc("data", "check", "pets", "--sheet", "sheet.png")
    assert "error[exists]" in again.err
    assert regnetc("data", "check", "pets", "--sheet", "sheet.png", "--force").code == 0
    assert regnetc("data", "check", "pets", "--sheet", "sheet.jpg").code == 2
    assert "error[cannot-write]" in regnetc("data", "check", "pets", "--sheet", "no/x.png").err


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("nowhere", "unknown-data"),
        ("pets/train/ant/0.jpg", "unknown-data"),
        ("x.tar", "no-such-file"),
    ],
)
def test_what_is_no_data_set(here: Path, place: str, problem: str) -> None:
    ran = regnetc("data", "check", place)
    assert ran.code == 1
    assert f"error[{problem}]" in ran.err
    assert ran.out == ""


def test_help() -> None:
    assert "check" in regnetc("data", "--help").out
    assert "regnetc data check" in regnetc("data", "check", "--help").out
    assert regnetc("data").code == 2


def test_digits() -> None:
    ran = regnetc("data", "check", "digits", "--channels", "1")
    assert ran.code == 0
    assert "139 / 145 / 146" in ran.out


def test_ctrl_c_says_what_was_seen() -> None:
    """As a terminal sends it, in the midst of work without end."""
    running = subprocess.Popen(
        [Path(sys.executable).parent / "regnetc", "data", "check", "synthetic:1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while threads(running.pid) < 3 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "stopped by Ctrl-C" in out
    assert "Traceback" not in err


def threads(pid: int) -> int:
    """How many threads a process has: those that look at images come last."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
