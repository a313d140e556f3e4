"""The README's five minutes, typed as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import regnetc

BLOCK = re.compile(r"<!-- tour(?:: (?P<what>[\w.]+))? -->\n```\w*\n(?P<text>.*?)```", re.DOTALL)


SECTIONS = {
    "Five minutes": [
        "403,980,928  measuring it  equal", "wrote nets/mine.py", "Equation 4", "246 agrees, 33 erratum", "403980928",
    ],
    "Your own design space in five minutes": ["200 networks", "e_fit"],
    "Train it, kill it, trust the number": ["top-1", "equal, bit for bit"],
}  # fmt: skip
"""Sections of the README that are typed, each in a folder of its own, with parts of what they show."""


def sections(root: Path) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", (root / "README.md").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_no_section_is_left_out(root: Path) -> None:
    typed = {title for title, text in sections(root).items() if BLOCK.search(text)}
    assert typed == SECTIONS.keys()


@pytest.mark.parametrize("title", SECTIONS)
def test_the_tour(title: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("spec", "generated"):
        shutil.copytree(root / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    shown = ""
    for match in BLOCK.finditer(sections(root)[title]):
        what, text = match["what"], match["text"]
        if what is None:
            commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
            assert commands
            for command in commands:
                program, *words = shlex.split(command)
                assert program == "regnetc"
                ran = regnetc(*words)
                assert ran.code == (1 if words[0] == "diff" else 0), (command, ran)
                shown += ran.out
        elif what == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (text, done.stderr)
            shown += done.stdout
        else:
            Path(what).write_text(text, "utf-8")
    for part in SECTIONS[title]:
        assert part in shown


def test_the_readme_names_targets_and_files_that_are_there(root: Path) -> None:
    text = (root / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert (
        {"demo", "test"} <= set(re.findall(r"^ {4}make ([a-z-]+)", text, re.MULTILINE)) <= targets
    )
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (root / link).exists(), link


@pytest.mark.parametrize(
    "page",
    [
        "docs/language.md",
        "docs/commands.md",
        "docs/flops.md",
        "docs/zoo.md",
        "docs/weights.md",
        "docs/architecture.md",
        "SECURITY.md",
    ],
)
def test_links_of_the_pages_lead_somewhere(page: str, root: Path) -> None:
    path = root / page
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / link).exists(), link
