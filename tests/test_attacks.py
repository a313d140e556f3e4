"""Hostile specs and file names against the installed command: what must hold of every run.

The rules are those of `attacks/probe.py`, which runs the command under limits and watches it; the
specs are made by `attacks/make_attacks.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from probing import COMMAND, HERE, by_path, judged

make_attacks = by_path("make_attacks")

NAMES = [attack[0] for attack in make_attacks.ATTACKS]
# Where the language may choose, this is what it chose: these compile, the others are refused.
COMPILE = set(
    "a01_doc_triple_quote a02_doc_trailing_backslash a03_doc_trailing_quote a04_doc_bad_escapes "
    "a05_doc_escaped_quotes a07_doc_coding_cookie a08_doc_jinja a09_doc_formats a10_string_escapes "
    "a12_name_keyword a13_name_of_helper a15_name_shadows_module a16_name_device_file "
    "a22_html_and_script a24_formula a25_sql b01_bom_utf8 b06_crlf c16_group_wider_than_width "
    "c18_precision".split()
)
ALSO_CHECKED = (
    "a06_doc_lone_cr a25_sql b03_bad_utf8 b20_unterminated c02_bignum_exponent d01_parens_20000 "
    "d11_extends_cycle d14_value_doubling e01_traversal e03_devices e12_missing_2000".split()
)
# Of `make_attacks.links`: which can be read as a spec.
SOUND = {
    b"real.regnet", b"not-utf8-\xff\xfe.regnet", b"new\nline.regnet", b"-rf.regnet", b"coding=utf_7 .regnet",
    b"space bar.regnet", "café.regnet".encode(), b"a" * 247 + b".regnet",
}  # fmt: skip
ODD = {
    b"loop.regnet",
    b"escape.regnet",
    b"zero.regnet",
    b"dangling.regnet",
    b"pipe.regnet",
    b"readonly",
}
LOCKED = b"locked.regnet"  # opens for root all the same
MODEL = """\
use "families.regnet"

model M extends RegNetX {
  d  = 22
  w0 = 24
  wa = 24.48
  wm = 2.54
  g  = 16
  b  = 1
}
"""


class Runs:
    """The runs of one verb over the attacks, the next one under way while one is looked at."""

    def __init__(self, verb: str, folder: Path, names: list[str]) -> None:
        self.verb = verb
        self.pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
        self.folder = folder
        self.names = names
        head, *rows = (
            line.split("\t") for line in (folder / "MANIFEST.tsv").read_text("utf-8").splitlines()
        )
        self.expect = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
        self.started: dict[str, Future[Any]] = {}

    def result(self, name: str) -> dict[str, Any]:
        at = self.names.index(name)
        for wanted in self.names[at : at + 2]:
            if wanted not in self.started:
                spec = self.folder / f"{wanted}.txt"
                self.started[wanted] = self.pool.submit(
                    judged, self.verb, spec, self.expect[spec.name]
                )
        result: dict[str, Any] = self.started[name].result()
        return result

    def close(self) -> None:
        self.pool.shutdown()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The attacks, with the library and the other files that they name."""
    folder = tmp_path_factory.mktemp("attacks")
    make = [sys.executable, str(HERE / "make_attacks.py"), "--out", str(folder)]
    subprocess.run(make, check=True, capture_output=True)
    for name in ("families.regnet", "make_attacks.py"):
        shutil.copyfile(HERE / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def compiling(folder: Path) -> Iterator[Runs]:
    runs = Runs("compile {file} -o {out}", folder, NAMES)
    yield runs
    runs.close()


@pytest.fixture(scope="session")
def checking(folder: Path) -> Iterator[Runs]:
    runs = Runs("check {file}", folder, ALSO_CHECKED)
    yield runs
    runs.close()


@pytest.mark.parametrize("name", NAMES)
def test_compile(name: str, compiling: Runs) -> None:
    result = compiling.result(name)
    assert result["broken"] == []
    assert (result["rc"] == 0) == (name in COMPILE)


@pytest.mark.parametrize("name", ALSO_CHECKED)
def test_check(name: str, checking: Runs) -> None:
    result = checking.result(name)
    assert result["broken"] == []
    assert (result["rc"] == 0) == (name in COMPILE)


def test_the_attacks_cover_what_they_are_said_to(folder: Path) -> None:
    assert {f"{name}.txt" for name in NAMES} == {p.name for p in folder.glob("*.txt")}
    assert set(NAMES) >= COMPILE | set(ALSO_CHECKED)
    assert len(NAMES) > 100


@pytest.fixture(scope="session")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("links")
    make_attacks.links(folder)
    return folder


def ran(*arguments: str | bytes, cwd: Path) -> tuple[int, str]:
    """Exit code and message of a run that ends, with a message fit for a person."""
    done = subprocess.run(
        [os.fsencode(COMMAND), *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 2)
    for said in (done.stdout, done.stderr):
        assert len(said) <= 65536
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", said.decode("utf-8"))
        assert b"Traceback" not in said
    assert done.stderr.strip() or done.returncode == 0
    return done.returncode, done.stderr.decode("utf-8")


def test_the_links_are_as_expected(links: Path) -> None:
    assert {os.fsencode(p.name) for p in links.iterdir()} == SOUND | ODD | {LOCKED}


def test_names_on_the_command_line(links: Path) -> None:
    for name in sorted(SOUND):
        code, said = ran("check", b"./" + name, cwd=links)
        assert (name, code, said) == (name, 0, "")
    for name in sorted(ODD):
        assert ran("check", b"./" + name, cwd=links)[0] in (1, 2), name
    assert ran("check", b"./" + LOCKED, cwd=links)[0] == (0 if os.geteuid() == 0 else 2)


def test_a_name_that_looks_like_an_option_is_one(links: Path) -> None:
    code, said = ran("check", b"-rf.regnet", cwd=links)
    assert code == 2
    assert said.startswith("error[usage]")


def test_names_in_use_lines(tmp_path: Path) -> None:
    make_attacks.links(tmp_path)
    user = tmp_path / "user.regnet"
    for name in sorted(SOUND | ODD | {LOCKED}):
        user.write_bytes(b'use "' + name + b'"\n\nspace B extends A\n')
        code, said = ran("check", "user.regnet", cwd=tmp_path)
        assert code == 0 or name != b"real.regnet", said
        assert code == 1 or name not in ODD, name
        assert "root:" not in said  # of /etc/passwd


def test_a_model_in_a_file_of_any_name(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in sorted(SOUND):
            path = tmp_path / os.fsdecode(name)
            path.write_text(MODEL)
            result = pool.submit(judged, "compile {file} -o {out}", path, {}).result()
            assert (name, result["broken"]) == (name, [])


def test_output_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "m.regnet").write_text(MODEL)
    (tmp_path / "mine.py").write_text("mine = 1\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.py").symlink_to(tmp_path / "mine.py")
    code, _ = ran("compile", "m.regnet", "-o", "out", cwd=tmp_path)
    assert code == 1
    assert (tmp_path / "mine.py").read_text() == "mine = 1\n"
