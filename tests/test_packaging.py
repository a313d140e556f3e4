"""What pip installs: the wheel in an environment of its own, and the editable checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(root),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_packages_and_the_specs_and_nothing_else(
    wheel: Path, root: Path
) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names} == {
        "regnetc",
        "regnetc_runtime",
        "regnetc-0.1.0.dist-info",
    }
    for needed in (
        "regnet.lark",
        "tables.py",
        "ir.schema.json",
        "templates/network.py.j2",
        "cli/run.py",
        "py.typed",
    ):
        assert f"regnetc/{needed}" in names
    assert {n for n in names if n.startswith("regnetc/spec/")} == {
        f"regnetc/spec/{p.name}" for p in (root / "spec").glob("*.regnet")
    }


def test_the_wheel_works_where_only_it_is_installed(
    wheel: Path, root: Path, tmp_path: Path
) -> None:
    """The installed command finds the library beside itself and writes the same bytes."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    site = next((environment / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    # the dependencies are those of this environment; the package is the wheel's
    here = Path(next(p for p in sys.path if p.endswith("site-packages")))
    for entry in here.iterdir():
        if (
            "regnetc" not in entry.name
            and not (site / entry.name).exists()
            and not entry.name.endswith(".pth")
        ):
            (site / entry.name).symlink_to(entry)
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine.regnet").write_text((root / "spec/x400mf.regnet").read_text("utf-8"), "utf-8")
    python = environment / "bin/python"

    def regnetc(*arguments: str) -> str:
        done = subprocess.run(
            [python, "-m", "regnetc", *arguments],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import regnetc; print(regnetc.__file__)"],
        cwd=work,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
    regnetc("compile", "mine.regnet")
    ours, theirs = (
        (root / "generated/x400mf.py").read_text(),
        (work / "generated/mine.py").read_text(),
    )
    assert theirs.replace("mine.regnet", "x400mf.regnet") == ours
    assert "RegNetX-12GF" in regnetc("zoo")


def test_the_checkout_is_installed_editable(root: Path) -> None:
    import regnetc
    import regnetc_runtime

    assert Path(regnetc.__file__).parent == root / "compiler/regnetc"
    assert Path(str(regnetc_runtime.__file__)).parent == root / "runtime/regnetc_runtime"


@pytest.mark.parametrize(
    "verb", [["run", "FILE", "--eval"], ["predict", "FILE", "x.png", "--weights", "w"]]
)
def test_without_torch_the_remedy_is_said(verb: list[str], root: Path) -> None:
    """The compiler alone can be installed; what runs networks says what is missing."""
    program = "import sys\nsys.modules['torch'] = None\nfrom regnetc.cli import main\nmain()\n"
    arguments = [str(root / "generated/digits.py") if a == "FILE" else a for a in verb]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error[missing-package]" in done.stderr
    assert "regnetc[run]" in done.stderr
    assert "Traceback" not in done.stderr
