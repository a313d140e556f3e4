"""Generated modules, built and run: what they cost, how they behave, what their bytes are."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from facts import SHIPPED, measured
from regnetc import emit, ir, zoo
from regnetc.driver import check_file, compile_file
from regnetc.names import class_name, module_name
from regnetc.network import Network
from regnetc_runtime.count import count
from regnetc_runtime.load import build, load
from strategies import AnyNet, any_net, unusual_net
from torch import nn

# All 500 networks of `make test-all`; a plain run tries the first of them.
MODULES = int(os.environ.get("REGNETC_MODULES", "24"))
STEMS = [entry.stem for entry in zoo.entries()]
SPACES = ("anynetx", "regnety", "regnetz", "x400mf_space", "regimes")


POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.MaxPool2d, nn.AvgPool2d)


def hooked(net: nn.Module, channels: int, image: int) -> dict[str, int]:
    """The conventions that no tool at hand counts, by the definition of each, from what passes by."""
    c = dict.fromkeys(("macs", "pycls", "mmcv"), 0)

    def add(m: nn.Module, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        if isinstance(m, nn.Conv2d | nn.Linear):
            spread = out.numel() // out.shape[1]  # how often every weight is used
            biased = out.numel() if m.bias is not None else 0
            for name in c:
                c[name] += m.weight.numel() * spread
            c["pycls"] += biased
            c["mmcv"] += biased if isinstance(m, nn.Conv2d) else 0
        elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
            c["mmcv"] += 2 * out.numel()
        elif isinstance(m, nn.ReLU):
            c["mmcv"] += out.numel()
        elif isinstance(m, POOLS):
            c["mmcv"] += args[0].numel()

    hooks = [m.register_forward_hook(add) for m in net.modules()]
    with torch.no_grad():
        net.eval()(torch.zeros(1, channels, image, image))
    for hook in hooks:
        hook.remove()
    return c


def network(path: Path) -> Network:
    (module,) = compile_file(path)
    return module.network


def built(n: Network) -> nn.Module:
    return build(load(emit.emit(n).encode(), "net.py"))


@pytest.mark.parametrize("kind", [any_net, unusual_net])
@pytest.mark.parametrize("part", range(4))
def test_emitted_modules_cost_what_the_closed_forms_say(
    part: int, kind: Callable[[random.Random], AnyNet], tmp_path: Path
) -> None:
    r = random.Random(1)
    nets = [kind(r) for _ in range(MODULES if kind is any_net else MODULES // 2)]
    for net in nets[part::4]:
        path = tmp_path / "net.regnet"
        path.write_text(net.spec(), "utf-8")
        n = network(path)
        found = count(built(n), n.channels, n.image)
        counts = n.counts
        assert (found.params, found.fvcore, found.acts, found.torch2) == (
            counts.params, counts.fvcore, counts.acts, counts.torch2,
        ), net  # fmt: skip
        assert hooked(built(n), n.channels, n.image) == {
            k: getattr(counts, k) for k in ("macs", "pycls", "mmcv")
        }, net
        sides = [x.side for x in n.parts()[1:-1]]
        with torch.no_grad():
            features = built(n).eval().features(torch.zeros(1, n.channels, n.image, n.image))  # type: ignore[operator]
        assert [tuple(f.shape) for f in features] == [
            (1, s.w, side, side) for s, side in zip(n.stages, sides, strict=True)
        ]


@pytest.mark.parametrize("stem", SHIPPED)
def test_fvcore_measures_what_the_module_declares(stem: str, root: Path) -> None:
    n = network(root / f"spec/{stem}.regnet")
    found = count(build(load((root / f"generated/{stem}.py").read_bytes(), f"{stem}.py")), 3, 224)
    facts = measured(stem)
    assert (found.params, found.fvcore, found.acts) == (
        facts["params"],
        facts["fvcore"],
        facts["acts"],
    )
    assert (n.counts.fvcore, n.counts.params, n.counts.acts) == (
        found.fvcore,
        found.params,
        found.acts,
    )


@pytest.mark.parametrize("stem", STEMS)
def test_committed_modules_are_what_their_specs_emit(stem: str, root: Path) -> None:
    (module,) = compile_file(root / f"spec/{stem}.regnet")
    assert module.file == f"{stem}.py"
    assert (root / "generated" / module.file).read_text("utf-8") == module.text


def test_nothing_else_is_committed_as_generated(root: Path) -> None:
    assert {p.stem for p in (root / "generated").glob("*.py")} == set(STEMS)
    assert {p.stem for p in (root / "spec").glob("*.regnet")} == {
        *STEMS,
        *SPACES,
        "families",
        "recipes",
    }


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_bytes_do_not_depend_on_hash_seed_or_locale(
    seed: str, locale: str, root: Path, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "TZ": "Asia/Tokyo",
    }
    command = [
        sys.executable,
        "-m",
        "regnetc",
        "compile",
        "-o",
        str(tmp_path),
        "spec/x400mf.regnet",
        "spec/digits.regnet",
    ]
    subprocess.run(command, env=environment, cwd=root, check=True, capture_output=True)
    for stem in ("x400mf", "digits"):
        assert (tmp_path / f"{stem}.py").read_bytes() == (
            root / f"generated/{stem}.py"
        ).read_bytes()


@pytest.mark.parametrize("stem", ["x400mf", "digits"])
def test_modules_import_torch_alone(stem: str, root: Path) -> None:
    tree = ast.parse((root / f"generated/{stem}.py").read_text("utf-8"))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(n) for n in imports] == ["from torch import Tensor, nn"]


def kinds(root: Path) -> list[Path]:
    return sorted((root / "tests/cases").glob("model*/*.py"))


def test_every_kind_of_module_is_formatted(root: Path) -> None:
    files = [*map(str, kinds(root)), *map(str, (root / "generated").glob("*.py"))]
    python = [sys.executable, "-m"]
    formatted = subprocess.run(
        [*python, "ruff", "format", "--isolated", "--line-length", "100", "--check", *files],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.slow  # `make type` looks at those in generated/
def test_every_kind_of_module_is_typed(root: Path) -> None:
    files = [str(file) for file in kinds(root) if file.parent.name in TYPED]
    assert len(files) == len(TYPED)
    for file in files:  # they share names
        typed = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--config-file=", file],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert typed.returncode == 0, typed.stdout


TYPED = ("model_z", "model_any", "model_pre", "model_tiered", "model_backbone")
SMALL = {
    "model_x": 64,
    "model_y": 64,
    "model_z": 64,
    "model_z_gelu": 64,
    "model_any": 32,
    "model_b2": 64,
    "model_pre": 64,
    "model_tiered": 64,
    "model_backbone": 64,
}


def channels_of(net: nn.Module) -> int:
    """Channels of the images that a network takes."""
    return next(m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("case", SMALL)
def test_modules_script_export_and_train(case: str, root: Path) -> None:
    module = load(
        (root / f"tests/cases/{case}/input.py").read_bytes(),
        str(root / f"tests/cases/{case}/input.py"),
    )
    net = build(module).eval()
    channels = channels_of(net)
    x = torch.randn(2, channels, SMALL[case], SMALL[case])
    with torch.no_grad():
        wanted = net(x)
        exported = torch.export.export(net, (x,)).module()(x)
        assert torch.equal(exported, wanted)
    loss = net.train()(x).square().mean()
    loss.backward()
    assert all(p.grad is not None for p in net.parameters() if p.requires_grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", SMALL)
def test_modules_run_under_torchscript(case: str, root: Path) -> None:
    path = root / f"tests/cases/{case}/input.py"
    net = build(load(path.read_bytes(), str(path))).eval()
    x = torch.randn(2, channels_of(net), SMALL[case], SMALL[case])
    with torch.no_grad():
        assert torch.equal(torch.jit.script(net)(x), net(x))
        assert len(torch.jit.script(net).features(x)) == len(net.features(x))  # type: ignore[operator]


def test_weights_start_as_in_the_papers_code(root: Path) -> None:
    net = build(load((root / "generated/x400mf.py").read_bytes(), "x400mf.py"))
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            fan_out = m.kernel_size[0] * m.kernel_size[1] * m.out_channels
            if m.weight.numel() > 5_000:
                assert m.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        elif isinstance(m, nn.BatchNorm2d):
            assert (m.weight == 1).all()
            assert (m.bias == 0).all()
            assert (m.eps, m.momentum) == (1e-5, 0.1)
        elif isinstance(m, nn.Linear):
            assert m.weight.std().item() == pytest.approx(0.01, rel=0.05)
            assert (m.bias == 0).all()


def test_constants_say_what_features_return(root: Path) -> None:
    module = load((root / "generated/x400mf.py").read_bytes(), "x400mf.py")
    net = build(module, classes=7).eval()
    with torch.no_grad():
        x = torch.zeros(1, 3, 96, 96)
        features = net.features(x)  # type: ignore[operator]
        assert net(x).shape == (1, 7)
    assert tuple(f.shape[1] for f in features) == module.CHANNELS == (32, 64, 160, 384)
    assert tuple(96 // f.shape[2] for f in features) == module.STRIDES == (4, 8, 16, 32)


# Text of a spec in the module.


HOSTILE = [
    '""" ; open("x", "w") ; """', "ends in \\", 'a "quote"', '""""""', '\\"""', "\\N{X} \\x \\u12 \\777", "{{ 7 * 7 }} {% raw %}",
    "%s {0.__class__} ${x}", "# coding: utf_7", "'''", "  indented\n\n\n  more", "naïve 幅", '\\\\"""" \\', "a\n\"\"\"\nb",
]  # fmt: skip


@pytest.mark.parametrize("doc", HOSTILE)
def test_comments_reach_the_docstring_letter_by_letter(doc: str, root: Path) -> None:
    n = network(root / "spec/x400mf.regnet")._replace(doc=doc)
    text = emit.emit(n)
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    assert docstring is not None
    assert doc in docstring
    assert ir.from_json(emit.own_ir(text) or "")[0] == n


def test_a_module_that_is_not_the_templates_code_is_not_proved(root: Path) -> None:
    n = network(root / "spec/x400mf.regnet")
    text = emit.emit(n)
    for changed in (
        text.replace("bias=False", "bias=True", 1),
        text + "\nimport os\n",
        text.replace('"""RegNetX', '"""x"""; open("x")\n"""RegNetX', 1),
        "# coding: utf_7\n" + text,
    ):
        with pytest.raises(emit.UnprovedError):
            emit.prove(changed, n)
    with pytest.raises(emit.UnprovedError):
        emit.prove(text, n._replace(doc="another comment"))


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("RegNetX-400MF", "RegNetX400MF"), ("RegNetX-1.6GF", "RegNetX1_6GF"), ("tiny-net", "TinyNet"), ("Block", "BlockNet"),
        ("nn", "Nn"), ("None", "NoneNet"), ("model", "Model"), ("int", "Int"), ("Tensor", "TensorNet"), ("CHANNELS", "CHANNELSNet"),
        ("Exception", "ExceptionNet"), ("a" * 100, "A" + "a" * 59),
    ],
)  # fmt: skip
def test_class_names(title: str, name: str) -> None:
    assert class_name(title) == name


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("x400mf", "x400mf"), ("x1.6gf", "x1_6gf"), ("my-net", "my_net"), ("torch", "torch_net"), ("types", "types_net"),
        ("class", "class_net"), ("match", "match_net"), ("CON", "CON_net"), ("123", "net_123"), ("--", "network"),
        ("coding=utf_7 ", "coding_utf_7"), ("caf\u00e9", "caf"), ("x" * 300, "x" * 100),
    ],
)  # fmt: skip
def test_file_names(stem: str, name: str) -> None:
    assert module_name(stem) == name


def test_an_odd_file_name_stays_out_of_the_first_line(tmp_path: Path) -> None:
    body = "model M extends AnyNetX {\n  w[i] = 8\n  d[i] = 1\n  b[i] = 1\n  g[i] = 8\n}\n"
    for name in (
        "coding=utf_7 .regnet",
        "coding:latin-1.regnet",
        "caf\u00e9.regnet",
        "a\nb.regnet",
    ):
        path = tmp_path / name
        path.write_text('use "families.regnet"\n' + body, "utf-8")
        (module,) = compile_file(path)
        assert module.text.split("\n")[0].startswith(
            "# @generated by regnetc 0.1.0 from a spec (sha256 "
        )


def test_line_ends_and_byte_order_marks_make_the_same_module(tmp_path: Path, root: Path) -> None:
    text = (root / "spec/x400mf.regnet").read_bytes()
    texts = set()
    for data in (text, text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text):
        path = tmp_path / "x400mf.regnet"
        path.write_bytes(data)
        texts |= {m.text for m in compile_file(path)}
    assert len(texts) == 1


def test_checked_once_is_checked_alike(root: Path) -> None:
    assert (
        check_file(root / "spec/x400mf.regnet").problems
        == check_file(root / "spec/x400mf.regnet").problems
    )
