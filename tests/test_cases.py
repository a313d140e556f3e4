"""Golden cases: a folder with `input.regnet`, and what the compiler makes of it.

`problems.txt` holds every diagnostic as a person reads it; a sound spec has `<model>.ir.json` and
`<model>.py` besides, and `<recipe>.recipe.json` for each recipe, a case called `draw_...` what comes of drawing from its last space. `pytest tests/test_cases.py --update` writes them; read the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from regnetc import ir
from regnetc.diagnostics import SpecError
from regnetc.driver import Checked, check_file, modules
from regnetc.emit import emit
from regnetc.recipes import canonical
from regnetc.render import as_text
from regnetc.spaces.box import shrink
from regnetc.spaces.sampling import Search, StarvedError
from regnetc.spaces.space import read

CASES = Path(__file__).parent / "cases"


def outcome(case: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Every golden file of a case, by name."""
    monkeypatch.chdir(case)
    checked = check_file(Path("input.regnet"))
    files = {"problems.txt": as_text(checked.problems)} if checked.problems else {}
    if case.name.startswith("draw_"):
        files["drawn.txt"] = drawn(checked)
    elif not checked.failed:
        for module in modules(checked, "input.regnet"):
            stem = Path(module.file).stem
            files[f"{stem}.py"] = module.text
            files[f"{stem}.ir.json"] = ir.to_json(module.network) + "\n"
        for name, recipe in checked.recipes.items():
            files[f"{name}.recipe.json"] = canonical.to_json(recipe) + "\n"
    return files


def drawn(checked: Checked) -> str:
    """What comes of drawing twenty networks from the last space of a spec."""
    try:
        space = read([s for s in checked.scopes.values() if s.declaration.kind == "space"][-1])
        search = Search(space, 0, 20, box=shrink(space), patience=30_000)
        search.run()
    except SpecError as e:
        return as_text(e.problems)
    except StarvedError as e:
        return as_text([e.problem])
    rows = "".join(f"{' '.join(map(str, row))}\n" for row in search.state.rows)
    return f"{space.text}\n\n{rows}"


@pytest.mark.parametrize(
    "case", sorted(p.parent for p in CASES.glob("*/input.regnet")), ids=lambda p: p.name
)
def test_case(case: Path, monkeypatch: pytest.MonkeyPatch, *, update: bool) -> None:
    files = outcome(case, monkeypatch)
    inputs = {p.name for p in case.iterdir() if p.suffix == ".regnet"}
    if update:
        for old in case.iterdir():
            if old.is_file() and old.name not in inputs:
                old.unlink()
        for name, text in files.items():
            (case / name).write_text(text, "utf-8")
    assert {p.name for p in case.iterdir() if p.is_file()} - inputs == set(files)
    for name, text in files.items():
        assert (case / name).read_text("utf-8") == text


@pytest.mark.parametrize("path", sorted(CASES.glob("*/*.ir.json")), ids=lambda p: p.parent.name)
def test_a_network_read_back_emits_the_same_bytes(path: Path) -> None:
    network, _ = ir.from_json(path.read_text("utf-8"))
    module = path.with_name(path.name.replace(".ir.json", ".py"))
    assert emit(network) == module.read_text("utf-8")


def test_every_problem_has_a_case() -> None:
    source = "".join(
        p.read_text("utf-8")
        for folder in ("compiler/regnetc", "compiler/regnetc/recipes", "compiler/regnetc/spaces")
        for p in (CASES.parent.parent / folder).glob("*.py")
    )
    said = re.compile(
        r'(?:error|say|_say|_report|_warning|Diagnostic)\(\s*(?:"(?:error|warning)",\s*)?"([a-z][a-z-]+)",'
    )
    names = set(said.findall(source)) | set(re.findall(r'refuse\(\s*use,\s*"([a-z-]+)"', source))
    names |= set(re.findall(r'_say_at\(\s*cells,\s*"\w+",\s*"([a-z-]+)"', source))
    shown = set()
    for path in [*CASES.glob("*/problems.txt"), *CASES.glob("*/drawn.txt")]:
        shown |= set(
            re.findall(r"^(?:error|warning)\[([a-z-]+)\]", path.read_text("utf-8"), re.MULTILINE)
        )
    names -= {"error", "warning", "too-much-work"}  # the last has a test of its own
    names -= {"skipped"}  # what a space refuses, silently
    names -= {"override"}  # of a command line, as the next: tests/test_recipes.py
    names -= {"which-recipe"}
    assert len(names) > 30
    assert names - shown == set()
