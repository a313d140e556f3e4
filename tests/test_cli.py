"""The command line as a user meets it: what is said where, exit codes, files that stay as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from regnetc import ir
from regnetc.cli import main

SPEC = 'use "families.regnet"\n\nmodel Net extends AnyNetX {\n  stages = 2\n  w[i] = [8, 16]\n  d[i] = 1\n  b[i] = 1\n  g[i] = 8\n}\n'


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def regnetc(*arguments: str | Path) -> Ran:
    done = CliRunner().invoke(main, [str(a) for a in arguments], standalone_mode=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert "Traceback" not in done.output
    return Ran(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with one sound spec."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.regnet").write_text(SPEC)
    return tmp_path


# check


def test_check_says_nothing_is_wrong(here: Path) -> None:
    assert regnetc("check", "net.regnet") == Ran(0, "1 spec checked: no problems\n", "")


def test_check_finds_every_problem_of_every_file(here: Path) -> None:
    (here / "bad.regnet").write_text(
        SPEC.replace("w[i] = [8, 16]", "w[i] = [8, 20]").replace("stages", "stage")
    )
    ran = regnetc("check", "net.regnet", "bad.regnet")
    assert ran.code == 1
    assert "error[unknown-parameter]" in ran.err
    assert "2 specs checked: 1 error" in ran.err


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_check_as_json(option: list[str], here: Path) -> None:
    (here / "bad.regnet").write_text(SPEC.replace("d[i] = 1", "d[i] = 0"))
    ran = regnetc("check", *option, "bad.regnet")
    assert ran.code == 1
    assert ran.err == ""
    (problem,) = ran.json
    assert (problem["severity"], problem["name"]) == ("error", "out-of-range")
    assert problem["labels"][0] | {} == {
        "file": "bad.regnet", "line": 6, "column": 10, "end_line": 6, "end_column": 11, "text": "", "primary": True,
    }  # fmt: skip


def test_check_as_annotations(here: Path) -> None:
    (here / "bad.regnet").write_text(SPEC.replace("d[i] = 1", "d[i] = 0"))
    ran = regnetc("check", "--format", "github", "bad.regnet")
    assert ran.out.startswith(
        "::error file=bad.regnet,line=6,col=10,endLine=6,endColumn=10,title=out-of-range::`d` cannot be 0%0Ahelp: "
    )
    assert ran.out.count("\n") == 1


def test_a_problem_of_a_shared_file_is_said_once(here: Path) -> None:
    (here / "shared.regnet").write_text("space S {\n  d ==\n}\n")
    for name in ("a", "b"):
        (here / f"{name}.regnet").write_text('use "shared.regnet"\n')
    assert regnetc("check", "a.regnet", "b.regnet").err.count("error[syntax]") == 1


@pytest.mark.parametrize(
    "file", ["missing.regnet", ".", "missing/missing.regnet", "net.regnet/x", "x" * 5000]
)
@pytest.mark.parametrize("verb", ["check", "compile", "show", "explain", "fmt"])
def test_a_file_that_cannot_be_read_is_wrong_use(verb: str, file: str, here: Path) -> None:
    ran = regnetc(verb, file)
    assert ran.code in (1, 2)
    assert ran.err.startswith("error[")
    assert ran.out == ""


def test_an_unreadable_file(here: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (here / "net.regnet").chmod(0)
    assert "may not be read" in regnetc("check", "net.regnet").err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["check"],
        ["nonsense"],
        ["check", "--nonsense", "x"],
        ["compile"],
        ["run", "x.py"],
        ["diff", "x"],
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], here: Path) -> None:
    ran = regnetc(*arguments)
    assert ran.code == 2
    assert arguments == [] or ran.err.startswith("error[usage]")


def test_help_and_version() -> None:
    assert regnetc("--version").out == "regnetc 0.1.0\n"
    text = regnetc("--help").out
    for verb in ("check", "compile", "show", "explain", "fmt", "diff", "run", "predict", "zoo"):
        assert f"  {verb} " in text
        assert f"regnetc {verb}" in regnetc(verb, "--help").out, "an example"


def test_completion() -> None:
    environment = {
        **os.environ,
        "_REGNETC_COMPLETE": "bash_complete",
        "COMP_WORDS": "regnetc ex",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [Path(sys.executable).parent / "regnetc"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "plain,explain\nplain,export\n"


# compile


def test_compile_writes_once_and_only_on_change(here: Path) -> None:
    first = regnetc("compile", "net.regnet")
    assert first.code == 0
    assert "wrote generated/net.py" in first.out
    assert "Net: 20,936 params" in first.out
    written = (here / "generated/net.py").stat()
    assert "unchanged generated/net.py" in regnetc("compile", "net.regnet").out
    assert (here / "generated/net.py").stat().st_mtime_ns == written.st_mtime_ns
    assert [p.name for p in here.rglob("*") if p.is_file()] == ["net.regnet", "net.py"]


def test_compile_check_tells_stale_from_missing(here: Path) -> None:
    assert "missing generated/net.py" in regnetc("compile", "--check", "net.regnet").err
    assert not (here / "generated").exists()
    regnetc("compile", "net.regnet")
    fresh = regnetc("compile", "--check", "net.regnet")
    assert (fresh.code, fresh.out) == (0, "1 file is up to date\n")
    (here / "net.regnet").write_text(SPEC.replace("16]", "24]"))
    stale = regnetc("compile", "--check", "net.regnet")
    assert stale.code == 1
    assert "stale generated/net.py: `regnetc compile net.regnet` mends it" in stale.err
    assert regnetc("compile", "--check", "--json", "net.regnet").json[0]["stale"]


def test_compile_writes_nothing_where_anything_is_wrong(here: Path) -> None:
    (here / "bad.regnet").write_text("model M {\n}\n")
    assert regnetc("compile", "net.regnet", "bad.regnet").code == 1
    assert not (here / "generated").exists()


def test_compile_json_says_what_is_wrong(here: Path) -> None:
    (here / "bad.regnet").write_text("model M {\n}\n")
    ran = regnetc("compile", "--json", "bad.regnet")
    assert (ran.code, ran.err) == (1, "")
    assert {p["name"] for p in ran.json} == {"left-open"}


def test_compile_keeps_what_it_did_not_write(here: Path) -> None:
    (here / "generated").mkdir()
    mine = here / "generated/net.py"
    mine.write_text("print('mine')\n")
    ran = regnetc("compile", "net.regnet")
    assert ran.code == 1
    assert "error[not-ours]: `generated/net.py` was not written by regnetc" in ran.err
    assert "--force" in ran.err
    assert mine.read_text() == "print('mine')\n"
    assert regnetc("compile", "--force", "net.regnet").code == 0
    assert mine.read_text().startswith("# @generated by regnetc")


def test_compile_keeps_what_was_changed_since(here: Path) -> None:
    regnetc("compile", "net.regnet")
    path = here / "generated/net.py"
    path.write_text(path.read_text().replace("stride=2", "stride=1"))
    ran = regnetc("compile", "net.regnet")
    assert ran.code == 1
    assert "error[edited]" in ran.err


def test_compile_replaces_its_own_older_output(here: Path) -> None:
    regnetc("compile", "net.regnet")
    (here / "net.regnet").write_text(SPEC.replace("16]", "24]"))
    assert "wrote generated/net.py" in regnetc("compile", "net.regnet").out


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_compile_replaces_neither_folders_nor_links(kind: str, here: Path) -> None:
    (here / "generated").mkdir()
    if kind == "folder":
        (here / "generated/net.py").mkdir()
    else:
        (here / "precious.txt").write_text("precious")
        (here / "generated/net.py").symlink_to(here / "precious.txt")
    ran = regnetc("compile", "net.regnet")
    assert ran.code == 1
    assert ran.err.startswith("error[")
    assert kind == "folder" or (here / "precious.txt").read_text() == "precious"


def test_compile_to_a_folder_that_cannot_be(here: Path) -> None:
    (here / "file").write_text("")
    assert regnetc("compile", "-o", "file/below", "net.regnet").err.startswith(
        "error[cannot-write]"
    )
    assert regnetc("compile", "-o", "file", "net.regnet").code == 2


def test_compile_a_spec_of_several_models(here: Path) -> None:
    text = SPEC + SPEC.replace('use "families.regnet"\n', "").replace("Net ", "Other-2.5 ")
    (here / "two.regnet").write_text(text)
    regnetc("compile", "two.regnet")
    assert {p.name for p in (here / "generated").iterdir()} == {"net.py", "other_2_5.py"}


def test_two_specs_for_one_file(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub/net.regnet").write_text(SPEC)
    assert "error[names-collide]" in regnetc("compile", "net.regnet", "sub/net.regnet").err
    assert not (here / "generated").exists()


def test_nothing_to_compile(here: Path) -> None:
    (here / "space.regnet").write_text("space S\n")
    ran = regnetc("compile", "space.regnet")
    assert ran.code == 1
    assert "error[no-model]" in ran.err


def test_compile_json_reconciles(root: Path, here: Path) -> None:
    (entry,) = regnetc("compile", "--json", root / "spec/x3_2gf.regnet").json
    assert entry["written"]
    assert entry["counts"]["fvcore"] == 3199404208
    rows = [r for r in entry["published"] if r["source"] == "mmpretrain"]
    assert [(r["field"], r["verdict"], r["ours"]) for r in rows] == [
        ("params", "erratum", 15296552), ("flops", "erratum", 3210184992),
    ]  # fmt: skip
    assert {
        r["verdict"] for r in entry["published"] if r["source"] in ("pycls", "torchvision", "timm")
    } == {"agrees"}


def test_ir_and_back(here: Path) -> None:
    regnetc("compile", "net.regnet")
    regnetc("compile", "--emit", "ir", "net.regnet", "-o", "ir")
    regnetc("compile", "ir/net.ir.json", "-o", "again")
    assert (here / "again/net.py").read_bytes() == (here / "generated/net.py").read_bytes()
    text = (here / "ir/net.ir.json").read_text()
    assert ir.to_json(ir.from_json(text)[0]) + "\n" == text
    assert regnetc("compile", "--emit", "ir", "net.regnet", "-o", "ir").out.startswith("unchanged")
    (here / "ir/net.ir.json").write_text('{"mine": 1}')
    assert "error[not-ours]" in regnetc("compile", "--emit", "ir", "net.regnet", "-o", "ir").err
    assert "error[bad-ir]" in regnetc("compile", "ir/net.ir.json").err


# show, explain, diff, zoo, fmt


def test_show_json_has_the_counts(root: Path) -> None:
    shown = regnetc("show", "--json", root / "spec/x400mf.regnet").json
    assert shown["counts"] == {
        "params": 5157512, "macs": 397677568, "pycls": 397678568, "fvcore": 403980928, "mmcv": 406922496,
        "torch2": 795355136, "acts": 3143272,
    }  # fmt: skip
    assert shown["stages"][0] == {
        "w": 32,
        "d": 1,
        "stride": 2,
        "b": 1,
        "inner": 32,
        "g": 16,
        "se": [0],
    }
    smaller = regnetc("show", "--json", "--image", "112", root / "spec/x400mf.regnet").json
    assert (smaller["image"], smaller["counts"]["params"]) == (112, 5157512)
    assert smaller["counts"]["macs"] < shown["counts"]["macs"]


@pytest.mark.parametrize("after", ["parse", "scope", "resolve", "ir"])
def test_show_after_each_stage(after: str, root: Path) -> None:
    ran = regnetc("show", "--after", after, root / "spec/x400mf.regnet")
    assert ran.code == 0
    if after in ("parse", "ir"):
        assert ran.json["name"]
    wanted = {
        "parse": '"node": "Declaration"',
        "scope": "b[i] = b",
        "resolve": "14 x 14",
        "ir": '"regnetc_ir":1',
    }
    assert wanted[after] in ran.out


def test_show_a_generated_module_and_an_ir(root: Path, here: Path) -> None:
    assert (
        regnetc("show", root / "generated/x400mf.py").out
        == regnetc("show", root / "spec/x400mf.regnet").out
    )
    regnetc("compile", "--emit", "ir", "net.regnet", "-o", ".")
    assert regnetc("show", "net.ir.json").out.startswith("Net\n")
    (here / "plain.py").write_text("x = 1\n")
    for bad in ("plain.py", "net.regnet.json"):
        assert regnetc("show", bad).code in (1, 2)
    assert regnetc("show", "--after", "parse", "net.ir.json").err.startswith("error[no-spec]")


def test_names_of_declarations(root: Path, here: Path) -> None:
    families = root / "spec/families.regnet"
    assert "which-model" in regnetc("show", families).err
    assert regnetc("show", f"{families}:RegNetZ").out.startswith("space RegNetZ")
    ran = regnetc("show", f"{families}:RegNetx")
    assert "did you mean `RegNetX`?" in ran.err
    assert regnetc("show", "--json", f"{families}:RegNetX").json["lineage"] == [
        "AnyNet",
        "RegNet",
        "AnyNetX",
        "RegNetX",
    ]
    (here / "bad.regnet").write_text("model M {\n}\n")
    ran = regnetc("show", "bad.regnet")
    assert (ran.code, "--> bad.regnet:1" in ran.err) == (1, True)


def test_explain_derives_every_width(root: Path) -> None:
    text = regnetc("explain", root / "spec/x400mf.regnet").out
    for part in (
        "Equation 2",
        "Equation 3",
        "Equation 4",
        "384 (from 392)",
        "stage 4 would have 400 channels",
    ):
        assert part in text
    data = regnetc("explain", "--json", root / "spec/x400mf.regnet").json
    assert len(data["blocks"]) == 22
    assert [s["w"] for s in data["stages"]] == [32, 64, 160, 384]
    assert "written out" in regnetc("explain", root / "spec/digits.regnet").out
    assert "error[no-derivation]" in regnetc("explain", root / "generated/digits.py").err
    assert "error[no-derivation]" in regnetc("explain", f"{root}/spec/families.regnet:AnyNet").err


def test_explain_names_skipped_powers_and_the_other_rounding(here: Path) -> None:
    body = {
        "d": 4,
        "w0": 8,
        "wa": 60,
        "wm": 2,
        "g": 8,
        "b": 1,
        "stages": 4,
        "rounding": "torchvision",
    }
    lines = "".join(f"  {k} = {v}\n" for k, v in body.items())
    (here / "skip.regnet").write_text(
        f'use "families.regnet"\nmodel Skip extends RegNetX {{\n{lines}}}\n'
    )
    text = regnetc("explain", "skip.regnet").out
    assert "No block takes the powers 1, 2" in text
    assert "rounding = torchvision" in text


def test_diff_of_networks_and_spaces(root: Path) -> None:
    same = regnetc("diff", root / "spec/x400mf.regnet", root / "generated/x400mf.py")
    assert (same.code, same.out) == (0, "RegNetX-400MF and RegNetX-400MF are the same\n")
    ran = regnetc("diff", "--json", root / "spec/x400mf.regnet", root / "spec/x800mf.regnet")
    assert ran.code == 1
    assert {"what": "w[4]", "a": 384, "b": 672} in ran.json["differences"]
    families = root / "spec/families.regnet"
    spaces = regnetc("diff", f"{families}:RegNetX", f"{families}:RegNetY")
    assert spaces.code == 1
    assert "block = X" in spaces.out
    assert (
        "error[not-comparable]"
        in regnetc("diff", f"{families}:RegNetX", root / "spec/x400mf.regnet").err
    )


def test_zoo_lists_and_verifies(root: Path) -> None:
    assert [n["name"] for n in regnetc("zoo", "--json").json][:3] == [
        "Digits",
        "RegNetX-200MF",
        "RegNetY-200MF",
    ]
    assert "RegNetX-12GF" in regnetc("zoo").out
    rows = regnetc("zoo", "verify", "--json")
    assert rows.code == 0
    assert "246 agrees, 33 erratum" in regnetc("zoo", "verify").out


def test_fmt_lays_out_once(here: Path) -> None:
    (here / "ugly.regnet").write_text(
        SPEC.replace("  w[i] = ", "w[i]=").replace("d[i]", "     d[ i ]")
    )
    assert regnetc("fmt", "--check", "ugly.regnet").code == 1
    assert regnetc("fmt", "ugly.regnet").out == "laid out ugly.regnet\n"
    assert regnetc("fmt", "ugly.regnet").out == ""
    assert regnetc("fmt", "--check", "ugly.regnet").code == 0
    (here / "bad.regnet").write_text("model {\n")
    bad = regnetc("fmt", "bad.regnet")
    assert bad.code == 1
    assert (here / "bad.regnet").read_text() == "model {\n"


# How it speaks


def test_colour_only_where_it_is_wanted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "bad.regnet").write_text("model M {\n}\n")
    assert "\x1b[" not in regnetc("check", "bad.regnet").err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31merror[left-open]" in regnetc("check", "bad.regnet").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in regnetc("check", "bad.regnet").err


def test_a_locale_without_letters_stops_nothing(here: Path) -> None:
    (here / "bad.regnet").write_text("space S extends Nothing  # \u00e4\n", "utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "regnetc", "check", "bad.regnet"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"error[unknown-name]" in done.stderr


def test_a_closed_pipe_is_no_error(root: Path) -> None:
    command = f"{sys.executable} -m regnetc show --after parse {root}/spec/x400mf.regnet | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_odd_file_names_are_shown_harmlessly(here: Path) -> None:
    name = "a\x1b[31m\n\u202e.regnet"
    (here / name).write_text("model M {\n}\n")
    err = regnetc("check", name).err
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert "a<U+001B>[31m<U+000A><U+202E>.regnet:1:7" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("verb", [["show"], ["show", "--json"], ["fit"], ["explain"]])
def test_output_onto_a_full_disk_is_said(verb: list[str], root: Path) -> None:
    command = [sys.executable, "-m", "regnetc", *verb, str(root / "spec/x400mf.regnet")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error[cannot-write]: there is no room for what goes to standard output\n"
