"""Write the README's pictures: what the commands print on a terminal, as SVG."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs/pictures"
REGNETC = str(Path(sys.executable).parent / "regnetc")

WRONG = """use "families.regnet"

model Mine extends RegNetX {
  d  = 13
  w0 = 24
  wa = 36.44
  wm = 2.49
  g  = 8
  b  = 1

  expect { flops = 0.41GF }
}

model Other extends RegNetx {
  w[i] = [32, 64, 100, 384]
}
"""

# rich's own frame asks a web server for a font; the picture should need nothing
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g>
</svg>
"""


def picture(name: str, title: str, text: str) -> None:
    """Save text with ANSI colours as a picture of a terminal that is just wide enough."""
    found = Text.from_ansi(text.rstrip("\n"))
    width = max(line.cell_len for line in found.split())
    screen = {"force_terminal": True, "color_system": "truecolor", "file": io.StringIO()}
    console = Console(record=True, width=max(width, 60), **screen)  # type: ignore[arg-type]
    console.print(found, soft_wrap=True)
    console.save_svg(
        str(OUT / f"{name}.svg"), title=title, theme=MONOKAI, code_format=FRAME, unique_id=name
    )
    print(f"wrote docs/pictures/{name}.svg")


def said(*arguments: str, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "FORCE_COLOR": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "110"}
    environment.pop("NO_COLOR", None)
    done = subprocess.run(
        [REGNETC, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else done.stderr


def own_space() -> str:
    """The space of the README's tour."""
    readme = (ROOT / "README.md").read_text("utf-8")
    text = readme.split("<!-- tour: own_space.regnet -->\n```\n")[1]
    return text.split("```")[0]


def spaces(folder: Path) -> None:
    """The report of the README's space, a population of it, and networks against their lines."""
    (folder / "own_space.regnet").write_text(own_space())
    picture(
        "space",
        "regnetc space own_space.regnet",
        said("space", "own_space.regnet", cwd=folder),
    )
    said("sample", "own_space.regnet", "-n", "200", "-o", "own", cwd=folder)
    out = str(OUT / "population.svg")
    said("plot", "own", "-o", out, "--force", cwd=folder)
    specs = [f"spec/{stem}.regnet" for stem in ("x400mf", "x1_6gf", "x4_0gf")]
    said("plot", *specs, "-o", str(OUT / "widths.svg"), "--force")
    print("wrote docs/pictures/population.svg and widths.svg")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        spaces(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mine.regnet").write_text(WRONG)
        picture(
            "diagnostic",
            "regnetc check mine.regnet",
            said("check", "mine.regnet", cwd=Path(folder)),
        )
        train = ("run", "generated/digits.py", "--train", "--eval", "--data", "digits")
        trained = said(*train, "-o", str(Path(folder, "digits-1")))
        picture("demo", "make demo, the last step", trained.replace(folder, "runs"))
        seeds = [f"--seed={seed}" for seed in range(3)]
        said(*train, *seeds, "-o", str(Path(folder, "seeds")))
        runs = [str(Path(folder, f"seeds/seed-{seed}")) for seed in range(3)]
        said("runs", *runs, "--plot", str(OUT / "digits.svg"), "--force")
        print("wrote docs/pictures/digits.svg")
    picture(
        "reconcile",
        "regnetc run generated/x3_2gf.py --eval",
        said("run", "generated/x3_2gf.py", "--eval"),
    )


if __name__ == "__main__":
    main()
