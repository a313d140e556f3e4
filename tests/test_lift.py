"""State dicts to networks and back: names and shapes of every code base, recorded from its own code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
from pathlib import Path

import pytest
import torch
from regnetc import ir, lift, zoo
from regnetc.driver import check_file
from regnetc.emit import emit
from regnetc.network import Network
from regnetc_runtime import dialects
from regnetc_runtime.load import build, load
from regnetc_runtime.problems import Problem
from strategies import any_net, unusual_net
from test_cli import regnetc

LIFTED = int(os.environ.get("REGNETC_LIFTED", "30"))  # networks of each space; 170 take minutes
ROOT = Path(__file__).parent.parent
RECORDED = json.loads((ROOT / "tests/state_dicts.json").read_text("utf-8"))
BASES = [k for k in RECORDED if k != "about"]
CASES = [(base, name) for base in BASES for name in RECORDED[base]]
OWN = {  # names that no row of the zoo has, and the network they are of
    "regnet256Gf_1": "y256gf_seer", "regnet64Gf_3": "y64gf", "seer_10b": "y10b_seer",
    "regnet_y_256gf": "y256gf", "regnet_z_500mf": "z500mf", "regnet_z_4gf": "z4_0gf",
}  # fmt: skip


def entry_of(base: str, name: str) -> zoo.Entry:
    plain = name.removeprefix("vissl_")
    if plain in OWN:
        return zoo.find(OWN[plain])
    source = "classyvision" if base == "vissl" else base
    return zoo.find(f"{source}:{plain.removesuffix('-in1k')}")


def listed(n: Network, base: str) -> tuple[int, str]:
    """How many entries its state dict has in a code base, and the digest of their names and shapes."""
    shapes = lift.shapes_of(n)
    names = dialects.renamed(shapes, base)
    lines = "\n".join(f"{names[k]} {'x'.join(map(str, shapes[k]))}" for k in names)
    return len(names), hashlib.sha256(lines.encode()).hexdigest()[:16]


def test_all_of_them_are_recorded() -> None:
    assert {base: len(RECORDED[base]) for base in BASES} == {
        "timm": 41, "torchvision": 15, "mmpretrain": 8, "transformers": 32, "classyvision": 19, "vissl": 22,
    }  # fmt: skip


@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_code_bases_state_dict_is_written_to_the_letter(base: str, name: str) -> None:
    """Every name, every shape, in its order; and read back, the network is found among all of them."""
    classes, entries, digest = RECORDED[base][name]
    network = entry_of(base, name).network._replace(classes=classes)
    assert listed(network, base) == (entries, digest)
    shapes = lift.shapes_of(network)
    names = dialects.renamed(shapes, base)
    found = dialects.recognise(list(names.values()))
    assert found.dialect.name == base
    assert not found.strange
    assert list(found.names) == list(shapes)
    lifted = lift.lift({ours: shapes[ours] for ours in found.names})
    assert entry_of(base, name) in lifted.entries
    assert lifted.network.classes == classes


@pytest.mark.parametrize("kind", [any_net, unusual_net])
def test_shapes_are_those_of_the_module(kind: object, tmp_path: Path) -> None:
    r = random.Random(5)
    for _ in range(12):
        net = kind(r)  # type: ignore[operator]
        (tmp_path / "net.regnet").write_text(net.spec())
        (n,) = (x.network for x in check_file(tmp_path / "net.regnet").resolutions.values())
        module = build(load(emit(n).encode(), "net.py"))
        state = module.state_dict()
        assert {k: tuple(t.shape) for k, t in state.items()} == lift.shapes_of(n)
        assert list(state) == list(lift.shapes_of(n)) == dialects.in_our_order(list(state))


@pytest.mark.parametrize(
    ("space", "held_by"),
    [("x400mf_space:RegNetX-400MF-regime", 6), ("regnety", 5), ("regnetz", 3)],
)
def test_networks_of_the_spaces_are_lifted(space: str, held_by: int, tmp_path: Path) -> None:
    """In every dialect that holds them: the spec that is written down is of a network with these shapes."""
    file, _, name = space.partition(":")
    where = f"{ROOT}/spec/{file}.regnet" + (f":{name}" if name else "")
    pop, out = tmp_path / "pop", tmp_path / "ir"
    drawn = regnetc("sample", where, "-n", str(LIFTED), "-o", pop, "--patience", "10000000")
    assert drawn.code == 0, drawn.err
    assert regnetc("compile", pop, "--emit", "ir", "-o", out).code == 0
    networks = [ir.from_json(p.read_text())[0] for p in sorted(out.iterdir())]
    assert len(networks) == LIFTED
    for k, n in enumerate(networks):
        shapes = lift.shapes_of(n)
        held = 0
        lifted = None
        for base in dialects.NAMES:
            with contextlib.suppress(Problem):
                names = dialects.renamed(shapes, base)
                held += 1
                known = dialects.recognise(list(names.values()))
                assert known.dialect.name == base
                lifted = lifted or lift.lift({k: shapes[k] for k in known.names}, "Again")
                assert list(known.names) == list(shapes)
        assert held >= held_by
        assert lifted is not None
        assert lift.shapes_of(lifted.network) == shapes
        if k % 10 == 0:
            path = tmp_path / "again.regnet"
            path.write_text(lift.spec_of(lifted.network, "Again", "Lifted."))
            (again,) = (x.network for x in check_file(path).resolutions.values())
            assert lift.shapes_of(again) == shapes


@pytest.mark.parametrize("kind", [any_net, unusual_net])
def test_networks_with_anything_in_them_have_a_spec_of_their_shapes(
    kind: object, tmp_path: Path
) -> None:
    r = random.Random(11)
    for _ in range(60):
        net = kind(r)  # type: ignore[operator]
        for x in check_file(tmp_path / "net.regnet", net.spec().encode()).resolutions.values():
            shapes = lift.shapes_of(x.network)
            text = lift.spec_of(lift.lift(shapes).network, "Again", "Lifted.")
            checked = check_file(tmp_path / "again.regnet", text.encode())
            assert not checked.failed, text
            (again,) = (y.network for y in checked.resolutions.values())
            assert lift.shapes_of(again) == shapes


def test_what_is_no_network() -> None:
    network = zoo.find("x400mf").network
    shapes = lift.shapes_of(network)
    with pytest.raises(lift.LiftError, match=r"s3\.b2\.f\.b\.weight"):
        lift.lift({k: v for k, v in shapes.items() if k != "s3.b2.f.b.weight"})
    with pytest.raises(lift.LiftError):
        lift.lift({"stem.conv.weight": (32, 3, 3, 3)})
    with pytest.raises(lift.LiftError):
        lift.lift({**shapes, "s2.b1.f.b.weight": (64, 5, 3, 3)})


def test_a_network_of_other_classes_is_the_same_network() -> None:
    network = zoo.find("regnety_032").network
    shapes = lift.shapes_of(network._replace(classes=7))
    lifted = lift.lift(shapes)
    assert [e.stem for e in lifted.entries] == ["y3_2gf"]
    assert lifted.network.classes == 7
    assert torch.Size(lift.shapes_of(lifted.network)["head.fc.weight"]) == torch.Size((7, 1512))
