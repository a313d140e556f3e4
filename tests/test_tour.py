"""The README's five minutes, typed as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_the_tour(title: str, root: Path, tmp_path: Path) -> None:
    for folder in ("spec", "generated"):
        shutil.copytree(root / folder, tmp_path / folder)
    tools = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    outputs = []
    for match in BLOCK.finditer(sections(root)[title]):
        what, text = match["what"], match["text"]
        if what is None:
            lines = text.splitlines()
            commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
            assert commands
        elif what == "python":
            commands = [["python", "-c", text]]
        else:
            (tmp_path / what).write_text(text, "utf-8")
            continue
        for command in commands:
            done = subprocess.run(
                command,
                shell=isinstance(command, str),
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            differs = isinstance(command, str) and command.startswith("regnetc diff")
            assert done.returncode == (1 if differs else 0), (command, done.stdout, done.stderr)
            outputs.append(done.stdout)
    for part in SECTIONS[title]:
        assert part in "".join(outputs)


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
