"""What only one place may do, and who may import whom, read off the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import regnetc_runtime

ROOT = Path(regnetc_runtime.__file__).parent
TREES = {
    p.relative_to(ROOT).as_posix(): ast.parse(p.read_bytes()) for p in sorted(ROOT.rglob("*.py"))
}

ONLY_IN = {
    "eval": set(),
    "exec": {"load.py"},
    "compile": {"load.py"},
    "__import__": set(),
    "torch.load": {"pickle_file.py"},
    "torch.save": set(),
    "torch.jit.load": set(),
    "numpy.load": set(),
    "np.load": set(),
    "pickle.load": set(),
    "pickle.loads": set(),
    "pickle.Unpickler": set(),
    "importlib.import_module": {"problems.py"},
    "open": set(),
    "os.open": {"files.py"},
    "os.fdopen": {"files.py"},
    "os.write": {"files.py"},
    "os.system": set(),
    "print": set(),
}  # fmt: skip
WRITING_METHODS = {
    "write_text",
    "write_bytes",
    "replace",
    "rename",
    "unlink",
    "mkdir",
    "touch",
    "symlink_to",
    "save_file",
}  # fmt: skip
FORBIDDEN_IMPORTS = {"regnetc", "rich", "click", "subprocess", "shelve", "marshal", "dill", "yaml"}


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


def test_dangerous_calls_are_in_their_one_place() -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute):
                seen[ast.unparse(node)].add(name)
    assert {call: seen[call] for call in ONLY_IN} == ONLY_IN


def test_files_change_in_one_place() -> None:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method = node.func.attr
                assert method not in WRITING_METHODS or name == "files.py", (name, node.lineno)
                assert method != "open" or ast.unparse(node.func) in (
                    "os.open",
                    "image_module.open",
                )


def test_torch_load_never_runs_code() -> None:
    calls = [
        node
        for node in ast.walk(TREES["pickle_file.py"])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert len(calls) == 1
    assert ast.unparse(calls[0]).endswith("weights_only=True)")


def test_who_imports_whom() -> None:
    for name, tree in TREES.items():
        assert not imports(tree) & FORBIDDEN_IMPORTS, name
        assert "pickle" not in imports(tree) or name == "pickle_file.py"
    assert [type(n) for n in TREES["__init__.py"].body] == [ast.Expr]


def test_what_the_compiler_uses_leaves_torch_alone() -> None:
    code = (
        "import sys, regnetc_runtime.files, regnetc_runtime.problems, regnetc_runtime.limits;"
        "sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
