"""Who may import whom, and who may do what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import regnetc

ARITHMETIC = {"regnet.py", "complexity.py", "distributions.py"}
ORDER = [
    "limits", "diagnostics", "tree", "scan", "vocabulary", "mistakes", "tables", "grammar", "syntax", "library", "program",
    "scopes", "check_lines", "check_blocks", "values", "cells", "distributions", "draws", "check_bounds", "check",
    "refinement", "canonical", "regnet", "complexity", "network", "fitting", "scaling", "resolve", "facts", "bounds", "expect", "published",
    "names", "ir", "emit", "verify", "driver", "render", "fmt", "writing", "zoo", "lift",
]  # fmt: skip


SPACES = [
    "folders", "space", "hull", "box", "normal", "arrays", "random", "counting", "lines", "expressions", "chains",
    "members", "batch", "engine", "report", "sampling", "partial", "store",
]  # fmt: skip

RECIPES = [
    "forms", "fields", "words", "reading", "lines", "resolve", "canonical", "describe", "overrides", "finding",
]  # fmt: skip


IMPORTING = [
    "reading", "table", "drafts", "bare", "pycls", "mmpretrain", "timm", "transformers", "classyvision",
]  # fmt: skip


def for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path: Path) -> set[str]:
    """Modules that a file imports when it runs, at any depth; relative ones with a leading dot."""
    found = set()
    tree = ast.parse(path.read_text("utf-8"))
    tree.body = [node for node in tree.body if not for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            if node.module:
                found.add(dots + node.module)
            else:
                found |= {dots + alias.name for alias in node.names}
    return found


def test_the_compiler_never_imports_torch_or_the_runtime(root: Path) -> None:
    for path in (root / "compiler/regnetc").glob("*.py"):
        heads = {name.split(".")[0] for name in imports(path)}
        assert not heads & {"torch", "regnetc_runtime", "numpy", "fvcore"}, path


def test_the_runtime_never_imports_the_compiler(root: Path) -> None:
    for path in (root / "runtime").rglob("*.py"):
        assert "regnetc" not in {name.split(".")[0] for name in imports(path)}, path


def test_arithmetic_imports_nothing_of_ours(root: Path) -> None:
    for name in ARITHMETIC:
        assert not [
            x
            for x in imports(root / "compiler/regnetc" / name)
            if x.startswith(".") or "regnetc" in x
        ]


def test_stages_lean_on_earlier_stages_only(root: Path) -> None:
    modules = {p.stem for p in (root / "compiler/regnetc").glob("*.py")} - {"__init__", "__main__"}
    assert modules == set(ORDER)
    for name in ORDER:
        for other in imports(root / f"compiler/regnetc/{name}.py"):
            if name == "driver" and other == ".spaces":
                continue  # proofs that a space is empty, without arrays
            if name in ("check", "driver") and other.startswith(".recipes"):
                continue  # where a spec has recipes
            if other.startswith(".") and other != ".__version__":
                assert ORDER.index(other[1:]) < ORDER.index(name) or {name, other[1:]} == {
                    "grammar",
                    "tables",
                }, (name, other)


def test_spaces_lean_on_the_compiler_and_on_earlier_ones(root: Path) -> None:
    home = root / "compiler/regnetc/spaces"
    assert {p.stem for p in home.glob("*.py")} - {"__init__"} == set(SPACES)
    for name in SPACES:
        for other in imports(home / f"{name}.py"):
            assert not other.startswith("torch"), name
            if other.startswith("..") or other == ".":
                assert other.removeprefix("..") in ORDER, (name, other)
            elif other.startswith("."):
                assert SPACES.index(other[1:]) < SPACES.index(name), (name, other)


def test_recipes_lean_on_the_compiler_and_on_earlier_ones(root: Path) -> None:
    home = root / "compiler/regnetc/recipes"
    assert {p.stem for p in home.glob("*.py")} - {"__init__"} == set(RECIPES)
    for name in RECIPES:
        for other in imports(home / f"{name}.py"):
            assert other.split(".")[0] not in ("torch", "numpy", "regnetc_runtime", "click"), name
            if other.startswith("..") or other == ".":
                assert other.removeprefix("..") in ORDER, (name, other)
            elif other.startswith("."):
                lower = other.removeprefix(".")
                assert RECIPES.index(lower) < RECIPES.index(name), (name, other)


def test_configs_lean_on_the_compiler_and_execute_nothing(root: Path) -> None:
    home = root / "compiler/regnetc/importing"
    assert {p.stem for p in home.glob("*.py")} - {"__init__"} == set(IMPORTING)
    for name in IMPORTING:
        path = home / f"{name}.py"
        for other in imports(path):
            heads = (
                "torch",
                "numpy",
                "regnetc_runtime",
                "click",
                "importlib",
                "subprocess",
                "pickle",
            )
            assert other.split(".")[0] not in heads, name
            assert other != "yaml" or name == "reading"
            if other.startswith(".."):
                assert other.removeprefix("..") in (*ORDER, "zoo", "lift"), (name, other)
            elif other.startswith("."):
                assert IMPORTING.index(other[1:]) < IMPORTING.index(name), (name, other)
        called = {
            n.func.id
            for n in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__", "open", "getattr"}, name


def test_what_proves_a_space_empty_needs_no_arrays(root: Path) -> None:
    for name in ("folders", "space", "hull", "box", "normal"):
        assert "numpy" not in imports(root / f"compiler/regnetc/spaces/{name}.py"), name


def test_nobody_but_the_command_line_prints(root: Path) -> None:
    for folder in ("compiler/regnetc", "runtime/regnetc_runtime"):
        for path in (root / folder).glob("*.py"):
            names = {
                n.func.id
                for n in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            }
            assert not names & {"print", "input", "breakpoint", "eval"}, path
            assert "click" not in imports(path), path


def test_one_module_writes_files(root: Path) -> None:
    """The compiler opens nothing for writing; what it makes is written by regnetc_runtime.files."""
    for path in (root / "compiler").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and path.name != "grammar.py":
                assert node.attr not in ("write_text", "write_bytes", "unlink", "rename"), path
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "open"
            ):
                assert len(node.args) == 1, path


@pytest.mark.parametrize(
    "verb", [["check"], ["show"], ["explain"], ["compile", "-o", "OUT"], ["fmt", "--check"]]
)
def test_verbs_of_the_compiler_leave_torch_alone(
    verb: list[str], root: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom regnetc.cli import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "assert not {'torch', 'numpy', 'fvcore'} & set(sys.modules), 'too much was imported'\n"
    )
    arguments = [str(tmp_path) if a == "OUT" else a for a in verb]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "spec/x800mf.regnet"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("spec", ["x800mf", "recipes"])
def test_check_loads_only_what_it_needs(spec: str, root: Path) -> None:
    program = (
        "import sys\nfrom regnetc.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'jinja2', 'jsonschema', 'rich', 'difflib', 'regnetc_runtime'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "check", f"spec/{spec}.regnet"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_everything_public_is_there_and_nothing_else() -> None:
    assert sorted(regnetc.__all__) == [
        "SpecError",
        "UnreadableError",
        "__version__",
        "check_file",
        "compile_file",
        "load",
        "predict",
    ]
    for name in regnetc.__all__:
        assert getattr(regnetc, name) is not None
    with pytest.raises(AttributeError):
        _ = regnetc.nothing


def test_the_version_is_said_once_more_only_in_the_project_file(root: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == regnetc.__version__
