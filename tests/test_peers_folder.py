"""The folder that `regnetc export` writes, as transformers reads it; and its own folders, as we read them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import regnetc as package
import torch
from peers import import_timm
from PIL import Image
from test_cli import regnetc

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("timm") is None
        or importlib.util.find_spec("transformers") is None,
        reason="`make peers` installs timm, torchvision and transformers",
    ),
    pytest.mark.filterwarnings("ignore"),
]


def transformers() -> Any:
    import_timm()  # which makes torchvision importable beside a CPU build of torch
    import transformers

    return transformers


@pytest.mark.parametrize(("name", "classes"), [("x200mf", 10), ("y200mf", 1000), ("y400mf", 0)])
def test_transformers_reads_our_folder(
    name: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = package.load(name, classes=classes, seed=3)
    torch.save(net.state_dict(), "w.pth")
    ran = regnetc("export", name, "--weights", "w.pth", "--classes", str(classes), "--to", "huggingface", "-o", "folder")  # fmt: skip
    assert ran.code == 0, ran.err
    peer = transformers()
    kind = peer.RegNetForImageClassification if classes else peer.RegNetModel
    theirs, said = kind.from_pretrained("folder", output_loading_info=True)
    assert not any(said[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        ours = net.eval()(x)
        for p in theirs.parameters():  # out of the mapped file: how numbers lie there changes sums
            p.data = p.data.clone()
        out = theirs.eval()(x)
    found = out.logits if classes else out.pooler_output.flatten(1)
    assert torch.equal(found, ours)


def test_its_processor_prepares_images_as_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(package.load("x200mf").state_dict(), "w.pth")
    assert regnetc("export", "x200mf", "--weights", "w.pth", "--to", "huggingface", "-o", "folder").code == 0  # fmt: skip
    Image.effect_mandelbrot((300, 280), (-2, -1.5, 1, 1.5), 50).convert("RGB").save("i.png")
    processor = transformers().AutoImageProcessor.from_pretrained("folder")
    theirs = torch.as_tensor(processor(Image.open("i.png"), return_tensors="pt")["pixel_values"])
    from regnetc_runtime.data import decode
    from regnetc_runtime.preprocess import Preprocess

    prepare = Preprocess()
    ours = prepare.normalise(prepare.fit(decode.read(Path("i.png"), 3), "i.png")[None])
    assert theirs.shape == ours.shape
    assert (theirs - ours).abs().mean() < 0.01


def test_we_read_a_folder_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    peer = transformers()
    config = peer.RegNetConfig(
        hidden_sizes=[16, 40, 72], depths=[1, 2, 1], groups_width=8, layer_type="y", num_labels=6, embedding_size=24,
        hidden_act="silu", downsample_in_first_stage=False,
    )  # fmt: skip
    theirs = peer.RegNetForImageClassification(config).eval()
    theirs.save_pretrained("theirs")
    assert json.loads(Path("theirs/config.json").read_text())["model_type"] == "regnet"
    ran = regnetc("import", "theirs", "-o", "theirs.regnet")
    assert ran.code == 0, ran.err
    net = package.load("theirs.regnet", "theirs").eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(x), theirs(x).logits)
