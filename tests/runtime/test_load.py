from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from regnetc_runtime.load import build, load
from regnetc_runtime.problems import Problem


def test_the_bytes_run_and_nothing_else(code: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("raise SystemExit('the file on the disk ran')")
    before = set(sys.modules)
    module = load(code, str(path))
    assert module.__file__ == str(path)
    assert module.__name__ == "net"
    assert module.__loader__ is None
    assert set(sys.modules) <= before | {"torch.jit"}
    assert [p.name for p in tmp_path.iterdir()] == ["net.py"]


def test_torchscript_and_export_work(code: bytes) -> None:
    net = build(load(code, "digits.py")).eval()
    x = torch.rand(2, 1, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(net)
    assert torch.equal(script(x), net(x))


@pytest.mark.parametrize(
    ("code", "message", "detail"),
    [
        (b"x = (", "SyntaxError", "line 1: x = ("),
        (b"import torch\n\n1 / 0\n", "ZeroDivisionError: division by zero", "line 3: 1 / 0"),
        (b"raise SystemExit(0)", "SystemExit: 0", "line 1: raise SystemExit(0)"),
        (b"raise ValueError('\\x1b[2J')", "ValueError: \\x1b[2J", None),
        (b"import no_such_module", "ModuleNotFoundError", "line 1: import no_such_module"),
        (b"x = '\0'", "does not run", None),
        (b"\xff", "SyntaxError", None),
        (b"def f(): f()\nf()", "RecursionError", "line 1: def f(): f()"),
    ],
)
def test_a_module_that_fails(code: bytes, message: str, detail: str | None) -> None:
    with pytest.raises(Problem) as e:
        load(code, "strange.py")
    assert e.value.name == "module-fails"
    assert message in e.value.message
    assert "\x1b" not in e.value.message
    assert detail is None or e.value.details == (detail,)


def test_weights_depend_on_the_seed_alone(code: bytes) -> None:
    module = load(code, "digits.py")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = build(module, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    same, other = build(module, seed=5).state_dict(), build(module, seed=6).state_dict()
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["stem.conv.weight"], other["stem.conv.weight"])


def test_classes(code: bytes) -> None:
    module = load(code, "digits.py")
    assert build(module).get_parameter("head.fc.bias").shape == (10,)
    assert build(module, classes=3).get_parameter("head.fc.bias").shape == (3,)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (b"", "no-network", "defines no function model"),
        (b"model = 3", "no-network", "defines no function model"),
        (b"def model(classes=1): return 3", "no-network", "makes no torch module"),
        (b"def model(): return 3", "module-fails", "TypeError"),
        (b"def model(classes):\n    return classes / 0", "module-fails", "ZeroDivisionError"),
    ],
)
def test_modules_without_a_network(code: bytes, name: str, message: str) -> None:
    with pytest.raises(Problem, match=message) as e:
        build(load(code, "m.py"), classes=2)
    assert e.value.name == name
