"""`regnetc weights`: checkpoints of every code base told apart, lifted, converted; hostile ones refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from regnetc import lift, zoo
from regnetc_runtime import dialects, safetensors_file
from test_cli import regnetc
from torch import Tensor


def state(stem: str, dialect: str, *, classes: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of a shipped network in the names of a code base."""
    network = zoo.find(stem).network._replace(classes=classes)
    shapes = lift.shapes_of(network)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        k: torch.randn(s, generator=generator) if s else torch.tensor(3) for k, s in shapes.items()
    }
    return {theirs: tensors[k] for k, theirs in dialects.renamed(shapes, dialect).items()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dialect", dialects.NAMES)
def test_what_a_checkpoint_is(dialect: str, here: Path) -> None:
    content = {"state_dict": state("x200mf", dialect), "epoch": np.int64(7)}
    new = dialect != "mmpretrain"  # whose files are written as torch did before 1.6
    torch.save(content, "net.pth", _use_new_zipfile_serialization=new)
    ran = regnetc("weights", "inspect", "net.pth", "-o", "net.regnet", "--json")
    assert ran.code == 0, ran.err
    said = ran.json
    assert (said["dialect"], said["zoo"], said["classes"]) == (dialect, ["x200mf"], 10)
    assert said["wrapper"] == "state_dict"
    assert said["extra"] == ["epoch"]
    assert said["channel_order"] == {"mmpretrain": "bgr", "pycls": "unknown"}.get(dialect, "rgb")
    table = regnetc("weights", "inspect", "net.pth")
    assert "equal to the zoo's x200mf" in table.out
    assert "beside the weights: epoch" in table.out
    assert "not read, as it is no tensor: numpy" in table.out
    assert regnetc("compile", "net.regnet", "-o", ".").code == 0
    assert "error[exists]" in regnetc("weights", "inspect", "net.pth", "-o", "net.regnet").err
    assert regnetc("weights", "inspect", "net.pth", "-o", "net.regnet", "--force").code == 0
    evaluated = regnetc("predict", "net.py", "none.png", "--weights", "net.pth")
    assert "none.png" in evaluated.err  # the weights were taken


def test_wrappers_of_pycls_and_vissl(here: Path) -> None:
    ours = state("x200mf", "pycls")
    torch.save(
        {"epoch": 1, "model_state": ours, "ema_state": state("x200mf", "pycls", seed=1)}, "a.pyth"
    )
    said = regnetc("weights", "inspect", "a.pyth", "--json").json
    assert (said["channel_order"], said["ema"], said["wrapper"]) == ("bgr", True, "model_state")
    assert "EMA" in regnetc("weights", "inspect", "a.pyth").out
    trunk = {
        k.replace(".block", ".block1-part0.block", 1): t
        for k, t in state("x200mf", "vissl").items()
        if "heads" not in k
    }
    heads = {"0.clf.0.weight": torch.zeros(10, 368), "0.clf.0.bias": torch.zeros(10)}
    model = {"base_model": {"model": {"trunk": trunk, "heads": heads}}}
    torch.save({"classy_state_dict": model, "iteration": 3}, "b.torch")
    said = regnetc("weights", "inspect", "b.torch", "--json").json
    assert (said["dialect"], said["zoo"], said["classes"]) == ("vissl", ["x200mf"], 10)


PAIRS = [
    pytest.param(a, b, marks=[] if "pycls" in (a, b) else pytest.mark.slow)
    for a in dialects.NAMES
    for b in dialects.NAMES
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_there_and_back_are_the_same_bytes(one: str, other: str, here: Path) -> None:
    stem = "x200mf" if "mmpretrain" in (one, other) else "y200mf"  # that one has no excitation
    tensors = state(stem, one)
    Path("a.safetensors").write_bytes(safetensors_file.encode(tensors, {}))
    there = regnetc("weights", "convert", "a.safetensors", "--to", other, "-o", "b.safetensors")
    assert there.code == 0, there.err
    back = regnetc(
        "weights", "convert", "b.safetensors", "--to", one, "-o", "c.safetensors", "--json"
    )
    assert back.code == 0, back.err
    found, meta = safetensors_file.parse(Path("c.safetensors").read_bytes(), "c")
    assert meta["dialect"] == one
    assert back.json["names"] == list(tensors)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name


def test_flipping_ema_and_another_head(here: Path) -> None:
    ours, average = state("x200mf", "pycls"), state("x200mf", "pycls", seed=1)
    torch.save({"model_state": ours, "ema_state": average}, "a.pyth")
    ran = regnetc(
        "weights", "convert", "a.pyth", "--to", "timm", "--ema", "--flip-channels", "--classes", "3",
        "-o", "b.safetensors", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert any("has learnt nothing: 3 classes, where there were 10" in n for n in ran.json["notes"])
    found, meta = safetensors_file.parse(Path("b.safetensors").read_bytes(), "b")
    assert meta["channel_order"] == "rgb"
    assert torch.equal(found["stem.conv.weight"], average["stem.conv.weight"].flip(1))
    assert torch.equal(found["s1.b1.conv1.conv.weight"], average["s1.b1.f.a.weight"])
    assert found["head.fc.weight"].shape == (3, 368)
    assert found["head.fc.weight"].std().item() == pytest.approx(0.01, rel=0.2)
    headless = regnetc(
        "weights",
        "convert",
        "a.pyth",
        "--to",
        "torchvision",
        "--classes",
        "0",
        "-o",
        "c.safetensors",
    )
    assert "the classifier is left out" in headless.out
    Path("plain.pth").write_bytes(Path("a.pyth").read_bytes())
    torch.save(ours, "plain.pth")
    assert (
        "error[no-average]"
        in regnetc("weights", "convert", "plain.pth", "--to", "timm", "--ema").err
    )


def test_what_a_code_base_does_not_build(here: Path) -> None:
    for stem, to in (
        ("timm_zd8", "torchvision"),
        ("timm_v064", "transformers"),
        ("y200mf", "mmpretrain"),
    ):
        torch.save(state(stem, "pycls"), "a.pth")
        ran = regnetc("weights", "convert", "a.pth", "--to", to)
        assert ran.code == 1
        assert "error[cannot-hold]" in ran.err
        assert not list(here.glob("*.safetensors"))


def test_names_that_are_nobodys_are_dropped_and_said(here: Path) -> None:
    tensors = state("x200mf", "timm")
    del tensors["s1.b1.conv1.bn.num_batches_tracked"]
    torch.save({**tensors, "queue.pointer": torch.zeros(3)}, "a.pth")
    ran = regnetc("weights", "convert", "a.pth", "--to", "pycls", "--json")
    assert ran.json["dropped"] == ["queue.pointer"]
    assert ran.json["added"] == ["s1.b1.f.a_bn.num_batches_tracked"]
    assert "exists" in regnetc("weights", "convert", "a.pth", "--to", "pycls").err
    assert regnetc("weights", "convert", "a.pth", "--to", "pycls", "--force").code == 0


def test_weights_of_another_network_are_refused_with_the_difference(root: Path, here: Path) -> None:
    torch.save(state("x400mf", "timm", classes=1000), "a.pth")
    ran = regnetc(
        "run",
        root / "generated/y400mf.py",
        "--eval",
        "--data",
        "synthetic:32",
        "--weights",
        "a.pth",
    )
    assert ran.code == 1
    for part in (
        "error[wrong-weights]",
        "they are those of RegNetX-400MF",
        "block: X there, Y here",
        "w[1]: 32 there, 48 here",
    ):
        assert part in ran.err


# Files that anybody may have written.


class Run:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


def hostile() -> dict[str, bytes]:
    ours = state("x200mf", "pycls")
    whole = io.BytesIO()
    torch.save(ours, whole)
    code = io.BytesIO()
    torch.save({"state_dict": ours, "meta": Run()}, code)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(200_000_000))
    odd = io.BytesIO()
    torch.save({**ours, "stem.conv.weight": torch.zeros(32, 3, 3, 3, dtype=torch.complex64)}, odd)
    return {
        "code.pth": code.getvalue(), "cut.pth": whole.getvalue()[:-2000], "bomb.pth": bomb.getvalue(),
        "header.safetensors": struct.pack("<Q", 1 << 60) + b"{}", "odd.pth": odd.getvalue(),
        "list.pth": pickle.dumps([1]), "empty.safetensors": b"",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "code.pth",
        "cut.pth",
        "bomb.pth",
        "header.safetensors",
        "odd.pth",
        "list.pth",
        "empty.safetensors",
    ],
)
@pytest.mark.parametrize("verb", [["inspect"], ["convert", "--to", "timm"]])
def test_hostile_files_are_refused(name: str, verb: list[str], here: Path) -> None:
    Path(name).write_bytes(hostile()[name])
    ran = regnetc("weights", verb[0], name, *verb[1:])
    assert ran.code == 1
    assert "error[bad-weights]" in ran.err or "error[unsafe-weights]" in ran.err
    assert "Traceback" not in ran.err
    assert {p.name for p in here.iterdir()} == {name}, "nothing was executed or written"


def test_no_numbers_and_other_precisions_are_said(here: Path) -> None:
    tensors = {
        k: t.half() if t.is_floating_point() else t for k, t in state("x200mf", "timm").items()
    }
    tensors["stem.conv.weight"][0, 0, 0, 0] = float("nan")
    torch.save(tensors, "a.pth")
    said = regnetc("weights", "inspect", "a.pth", "--json").json
    assert said["dtypes"] == ["float16", "int64"]
    assert any("NaN" in note for note in said["notes"])


def test_what_no_code_base_has_written(here: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, "a.pth")
    assert "error[unknown-dialect]" in regnetc("weights", "inspect", "a.pth").err
    part = {k: t for k, t in state("x200mf", "timm").items() if not k.startswith("s3")}
    torch.save(part, "b.pth")
    ran = regnetc("weights", "inspect", "b.pth")
    assert ran.code == 1
    assert "error[unknown-network]" in ran.err
    assert json.loads(json.dumps(ran.err))


def test_weights_that_are_no_floats_are_refused(here: Path) -> None:
    theirs = state("x200mf", "timm")
    theirs["s2.b1.conv2.conv.weight"] = theirs["s2.b1.conv2.conv.weight"].to(torch.int32)
    torch.save(theirs, "net.pth")
    for verb in (["inspect"], ["convert", "--to", "pycls", "-o", "out.safetensors"]):
        ran = regnetc("weights", verb[0], "net.pth", *verb[1:])
        assert (ran.code, ran.out) == (1, "")
        assert "error[wrong-dtype]" in ran.err
        assert "s2.b1.f.b.weight" in ran.err
    assert not (here / "out.safetensors").exists()


def test_an_average_of_something_else(here: Path) -> None:
    """It never stands in the way of the weights, and is not written for theirs."""
    ours, average = state("x200mf", "timm"), state("x200mf", "timm", seed=1)
    stem, block = "stem.conv.weight", "s1.b1.conv1.conv.weight"
    for wrong in (
        {k: t for k, t in average.items() if k != block},
        {k: t for k, t in average.items() if "head" not in k},
        {**average, stem: torch.zeros(3)},
        {"foo": torch.zeros(3)},
        {**average, block: average[block].to(torch.int32)},
    ):
        torch.save({"state_dict": ours, "state_dict_ema": wrong}, "net.pth")
        assert regnetc("weights", "inspect", "net.pth").code == 0
        plain = [
            "weights",
            "convert",
            "net.pth",
            "--to",
            "pycls",
            "-o",
            "out.safetensors",
            "--force",
        ]
        assert regnetc(*plain).code == 0
        for more in (["--ema"], ["--ema", "--flip-channels"]):
            ran = regnetc(*plain, *more)
            assert ran.code == 1
            assert "error[wrong-average]" in ran.err or "error[wrong-dtype]" in ran.err


def test_what_was_renamed_and_what_has_no_colours(here: Path) -> None:
    torch.save(state("x200mf", "timm"), "net.pth")
    renamed = {
        to: regnetc("weights", "convert", "net.pth", "--to", to, "-o", f"{to}.safetensors", "--json").json["renamed"]
        for to in ("timm", "pycls")
    }  # fmt: skip
    assert renamed["timm"] == 0
    assert renamed["pycls"] > 200
    grey = state("x200mf", "timm") | {"stem.conv.weight": torch.zeros(32, 1, 3, 3)}
    torch.save(grey, "grey.pth")
    ran = regnetc("weights", "convert", "grey.pth", "--to", "pycls", "--flip-channels")
    assert (ran.code, "error[no-colours]" in ran.err) == (1, True)


def test_what_a_file_says_of_its_images_is_held_against_its_network(here: Path) -> None:
    ours = state("x200mf", "pycls", classes=1000)
    for said, why in {
        '{"channels": 1, "mean": [0], "std": [1]}': "prepares images of 1 channels",
        "[3]": "it is a mapping",
        '{"foo": 3}': "it is a mapping",
        '{"mean": ["a", "b", "c"]}': "its values are",
        "{": "no JSON",
    }.items():
        data = safetensors_file.encode(ours, {"preprocess": said})
        Path("net.safetensors").write_bytes(data)
        ran = regnetc("predict", "x200mf", "none.png", "--weights", "net.safetensors")
        assert (ran.code, "error[bad-preprocess]" in ran.err, why in ran.err) == (1, True, True), (
            ran.err
        )
        ran = regnetc("weights", "inspect", "net.safetensors")
        assert (ran.code, why in ran.out.replace("\n", " ")) == (0, True), ran.out
