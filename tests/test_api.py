"""From Python, from torch.hub, and as the folder of transformers: one network, its weights, its images."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regnetc as package
import server as servers
import torch
from PIL import Image
from regnetc import zoo
from regnetc.cli import api, opening
from regnetc_runtime import transfer
from regnetc_runtime.preprocess import Preprocess
from regnetc_runtime.problems import Problem
from safetensors.torch import load_file, save_file
from server import Server
from test_cli import regnetc
from torch import Tensor, nn

SMALL = """use "families.regnet"

model Small extends AnyNet {
  block = Y
  se = 1/4
  image = 32
  classes = 3
  stem = 8
  stages = 2
  w[i] = [8, 16]
  d[i] = 1
  b[i] = 1
  g[i] = 8
}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small network, its weights, and two images."""
    monkeypatch.chdir(tmp_path)
    Path("small.regnet").write_text(SMALL)
    net = package.load("small.regnet", seed=1)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(2)))
    save_file(net.state_dict(), "small.safetensors")
    for name, colour in (("red", (250, 10, 20)), ("blue", (10, 20, 250))):
        Image.new("RGB", (40, 36), colour).save(f"{name}.png")
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("REGNETC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with servers.running() as running:
        yield running


def refused(*given: Any, **named: Any) -> Problem:
    with pytest.raises(Problem) as e:
        package.load(*given, **named)
    return e.value


def test_a_network_by_name_by_spec_and_by_file(here: Path, root: Path) -> None:
    ways = ["x200mf", "regnetx_002", "RegNetX-200MF", root / "spec/x200mf.regnet", root / "generated/x200mf.py"]  # fmt: skip
    nets = [package.load(str(way), seed=4) for way in ways]
    for net in nets:
        assert sum(p.numel() for p in net.parameters()) == 2_684_792
        assert net.training
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), nets[0].parameters(), strict=True))  # fmt: skip


def test_several_models_of_one_spec(here: Path) -> None:
    Path("two.regnet").write_text(SMALL + SMALL.partition("\n\n")[2].replace("Small", "Other"))
    assert refused("two.regnet").name == "which-model"
    assert isinstance(package.load("two.regnet:Other"), nn.Module)
    Path("bad.regnet").write_text(SMALL.replace("stem = 8", "steam = 8"))
    with pytest.raises(package.SpecError, match="steam"):
        package.load("bad.regnet")


def test_names_that_are_nobodys(here: Path) -> None:
    problem = refused("regnetx_00")
    assert problem.name == "unknown-network"
    assert problem.help is not None
    assert "did you mean" in problem.help
    assert refused("small.regnet", "torchvision").name == "no-such-file"
    assert refused("small.regnet", True).name == "no-weights"
    assert refused("x400mf", "nothing.pth").name == "no-such-file"
    assert refused("small.regnet", device="abacus").name == "unknown-device"


def test_weights_in_anybodys_names(here: Path) -> None:
    ours = load_file("small.safetensors")
    for dialect in ("timm", "torchvision", "transformers"):
        ran = regnetc("weights", "convert", "small.safetensors", "--to", dialect, "-o", f"{dialect}.safetensors")  # fmt: skip
        assert ran.code == 0, ran.err
        net = package.load("small.regnet", f"{dialect}.safetensors")
        assert all(torch.equal(net.state_dict()[k], ours[k]) for k in ours)


def test_other_classes_make_the_classifier_anew(here: Path) -> None:
    ours = load_file("small.safetensors")
    with pytest.warns(UserWarning, match="for 3 classes; the classifier for 7 is new"):
        net = package.load("small.regnet", "small.safetensors", classes=7)
    state = net.state_dict()
    assert state["head.fc.weight"].shape == (7, 16)
    assert all(torch.equal(state[k], ours[k]) for k in ours if not k.startswith("head."))
    with pytest.warns(UserWarning, match="the classifier for 3 classes is left out"):
        assert "head.fc.weight" not in package.load("small.regnet", "small.safetensors", classes=0).state_dict()  # fmt: skip
    same = package.load("small.regnet", "small.safetensors", classes=3).state_dict()
    assert torch.equal(same["head.fc.weight"], ours["head.fc.weight"])
    save_file({k: v for k, v in ours.items() if not k.startswith("head.")}, "trunk.safetensors")
    with pytest.warns(UserWarning, match="for 0 classes"):
        package.load("small.regnet", "trunk.safetensors", classes=5)
    Path("other.regnet").write_text(SMALL.replace("classes = 3", "classes = 4"))
    assert refused("other.regnet", "small.safetensors").name == "class-count"
    wrong = refused("x200mf", "small.safetensors", classes=3)
    assert wrong.name == "wrong-weights"


def scores(found: list[list[tuple[int, float]]]) -> list[dict[int, float]]:
    return [dict(one) for one in found]


def test_predictions_are_those_of_the_command_line(here: Path) -> None:
    images = ["red.png", "blue.png"]
    found = package.predict("small.regnet", images, "small.safetensors", top=3)
    assert regnetc("compile", "small.regnet", "-o", ".").code == 0
    ran = regnetc("predict", "small.py", *images, "--weights", "small.safetensors", "--top", "3", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    said = [[(c["index"], c["score"]) for c in p["classes"]] for p in ran.json]
    assert found == said
    assert all(abs(sum(score for _, score in one) - 1) < 1e-5 for one in found)
    net = package.load("small.py", "small.safetensors")
    assert package.predict(net, images, top=3) == found
    assert package.predict(net, Path("red.png"), top=1) == [found[0][:1]]
    with pytest.raises(Problem, match="has its weights already"):
        package.predict(net, images, "small.safetensors")
    with pytest.raises(Problem, match="is not known"):
        package.predict(nn.Linear(2, 2), images)


def test_weights_of_bgr_images_see_bgr_images(here: Path) -> None:
    """pycls's own file: the same answers as from the file whose stem was turned around."""
    state = load_file("small.safetensors")
    torch.save({"model_state": state, "epoch": 3}, "theirs.pyth")
    turned = {**state, "stem.conv.weight": state["stem.conv.weight"].flip(1).contiguous()}
    save_file(turned, "turned.safetensors")
    images = ["red.png", "blue.png"]
    with pytest.warns(UserWarning, match="blue, green, red"):
        found = package.predict("small.regnet", images, "theirs.pyth", top=3)
    for a, b in zip(scores(found), scores(package.predict("small.regnet", images, "turned.safetensors", top=3)), strict=True):  # fmt: skip
        assert a.keys() == b.keys()
        assert all(abs(a[k] - b[k]) < 1e-5 for k in a)


# Published weights.


def published(server: Server, monkeypatch: pytest.MonkeyPatch, path: Path, **sources: dict[str, Any]) -> None:  # fmt: skip
    """Let x200mf be published by this machine, by each source with what is known of its file."""
    entry = zoo.find("x200mf")
    server.files["w.safetensors"] = path.read_bytes()
    row = next(r for r in entry.rows if r.weights)
    rows = tuple(
        row._replace(row=row.row._replace(source=source), name=f"{source}-x", weights=server.url("w.safetensors") + f"?{source}",
                     **{"sha256": "", "size": 0, "licence": "", **known})
        for source, known in sources.items()
    )  # fmt: skip
    monkeypatch.setattr(zoo, "find", lambda name: entry._replace(rows=rows))
    monkeypatch.setattr(zoo, "entries", lambda: (entry._replace(rows=rows),))


@pytest.fixture
def x200(tmp_path: Path) -> Path:
    net = package.load("x200mf", seed=9)
    save_file(net.state_dict(), tmp_path / "x200.safetensors")
    return tmp_path / "x200.safetensors"


def test_fetching_what_somebody_publishes(
    server: Server, monkeypatch: pytest.MonkeyPatch, x200: Path
) -> None:
    published(server, monkeypatch, x200, here={"licence": "MIT"}, there={"licence": ""})
    ran = regnetc("weights", "fetch", "x200mf")
    assert ran.code == 1
    assert "error[which-source]" in ran.err
    assert "--source here: here, here-x" in ran.err
    assert "error[unknown-source]" in regnetc("weights", "fetch", "x200mf", "--source", "nobody").err  # fmt: skip
    miss = regnetc("weights", "fetch", "x200mf", "--source", "here", "--offline")
    assert "error[not-cached]" in miss.err
    assert not server.asked
    got = regnetc("weights", "fetch", "x200mf", "--source", "here", "--json")
    assert got.code == 0, got.err
    assert Path(got.json["path"]).read_bytes() == x200.read_bytes()
    assert (got.json["licence"], got.json["cached"], got.json["size"]) == ("MIT", False, x200.stat().st_size)  # fmt: skip
    again = regnetc("weights", "fetch", "here-x", "--offline")
    assert again.code == 0
    assert "licence: MIT" in again.out
    assert got.json["path"] in again.out
    assert len(server.asked) == 1
    fresh = package.load("x200mf", seed=9).state_dict()
    net = package.load("x200mf", "here")
    assert all(torch.equal(v, fresh[k]) for k, v in net.state_dict().items())
    assert len(server.asked) == 1
    assert "none is named" in regnetc("weights", "fetch", "x200mf", "--source", "there").out


def test_verbs_run_what_has_a_name_with_what_somebody_publishes(
    server: Server, monkeypatch: pytest.MonkeyPatch, here: Path, x200: Path, root: Path
) -> None:
    published(server, monkeypatch, x200, here={})
    module = str(root / "generated/x200mf.py")
    seen = [
        regnetc("predict", what, "red.png", "--weights", weights, "--top", "3", "--json").json
        for what, weights in [
            ("regnetx_002", "here"), (module, "here-x"), (module, str(x200)), ("x200mf", str(x200)),
        ]
    ]  # fmt: skip
    assert len(seen[0][0]["classes"]) == 3
    assert all(said == seen[0] for said in seen)
    assert len(server.asked) == 1
    ran = regnetc("predict", module, "red.png", "--weights", "nobody")
    assert "error[unknown-source]" in ran.err
    ran = regnetc("predict", "small.regnet", "red.png", "--weights", "here")
    assert "error[no-such-file]" in ran.err


def test_images_are_prepared_as_the_publisher_of_a_file_does(
    server: Server, monkeypatch: pytest.MonkeyPatch, here: Path, x200: Path
) -> None:
    """Fetched by name, or a file that its digest gives away, also behind a conversion."""
    how = {"resize": 40, "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.25,) * 3}
    digest = hashlib.sha256(x200.read_bytes()).hexdigest()
    published(server, monkeypatch, x200, here=how | {"sha256": digest[:8], "licence": "MIT"})
    entry = zoo.find("x200mf")
    row = entry.rows[0]
    rows = (row._replace(row=row.row._replace(image=32)),)
    monkeypatch.setattr(zoo, "find", lambda name: entry._replace(rows=rows))
    monkeypatch.setattr(zoo, "entries", lambda: (entry._replace(rows=rows),))
    wanted = Preprocess(40, 32, (0.5,) * 3, (0.25,) * 3, interpolation="bicubic")
    for weights in ("here", x200):
        assert api.loaded("x200mf", weights).prepare == wanted
    ran = regnetc("weights", "inspect", x200)
    assert "published by here as here-x" in ran.out
    assert "short side to 40 (bicubic, antialiased), centre 32 x 32" in ran.out
    for flip, order in ([], "rgb"), (["--flip-channels"], "bgr"):
        made = regnetc(
            "weights", "convert", x200, "--to", "timm", "-o", f"{order}.safetensors", *flip
        )
        assert made.code == 0, made.err
        prepare = api.loaded("x200mf", f"{order}.safetensors").prepare
        assert (prepare.resize, prepare.crop, prepare.channel_order) == (40, 32, order)
    scores = [
        regnetc("predict", "x200mf", "red.png", "--weights", w, "--top", "2", "--json").json[0]["classes"]
        for w in ("here", "rgb.safetensors", "bgr.safetensors")
    ]  # fmt: skip
    for other in scores[1:]:
        assert [c["index"] for c in other] == [c["index"] for c in scores[0]]
        assert other[0]["score"] == pytest.approx(scores[0][0]["score"], rel=1e-4)
    plain = regnetc(
        "predict",
        "x200mf",
        "red.png",
        "--weights",
        x200,
        "--mean",
        "0.1,0.1,0.1",
        "--top",
        "1",
        "--json",
    )
    assert plain.json[0]["classes"] != scores[0][:1]


def test_run_takes_whatever_is_one_network(here: Path, root: Path) -> None:
    """A module, a spec, an IR and a member of a population; the bytes that run are those of `compile`."""
    assert regnetc("compile", "small.regnet", "-o", ".").code == 0
    assert regnetc("compile", "small.regnet", "-o", ".", "--emit", "ir").code == 0
    ways = ("small.py", "small.regnet", "small.regnet:Small", "small.ir.json")
    assert len({opening.open_network(way).generated.digest for way in ways}) == 1
    ran = regnetc("run", "small.regnet", "--eval", "--json")
    assert (ran.code, ran.json["digest"]) == (0, opening.open_network("small.py").generated.digest)
    space = 'use "families.regnet"\nspace S extends AnyNetX {\n  image = 32\n  stages = 1\n  d[i] ~ choice(1, 2)\n  w[i] = 8\n  b[i] = 1\n  g[i] = 8\n}\n'
    Path("space.regnet").write_text(space)
    assert "is a space, not one network" in regnetc("run", "space.regnet", "--eval").err
    assert "no network of the zoo is called `paper100`" in regnetc("run", "paper100", "--eval").err
    assert regnetc("sample", "space.regnet", "-n", "2", "-o", "pop").code == 0
    made = regnetc("compile", "pop#1", "-o", "members")
    assert made.code == 0, made.err
    (member,) = Path("members").glob("*.py")
    assert member.read_bytes() == opening.open_network("pop#1").generated.code


def test_folders_do_not_hide_what_has_a_name(here: Path) -> None:
    """Whoever has cloned timm has a folder of that name."""
    for name in ("timm", "torchvision", "x400mf", "regnet_x_400mf"):
        Path(name).mkdir()
    for name in ("timm:regnetx_004", "x400mf", "torchvision:regnet_x_400mf", "regnet_x_400mf"):
        assert regnetc("show", name).code == 0
        assert isinstance(package.load(name), nn.Module)
    assert "error[which-source]" in regnetc("predict", "regnet_x_400mf", "red.png", "--weights", "torchvision").err  # fmt: skip


def test_a_training_of_what_has_a_name(here: Path) -> None:
    ran = regnetc("run", "digits", "--train", "--data", "digits", "--set", "epochs=1")
    assert ran.code == 0, ran.err
    assert "regnetc run digits --eval --data digits --weights runs/digits-1" in ran.out
    manifest = json.loads(Path("runs/digits-1/manifest.json").read_text())
    assert manifest["module"]["file"] == "digits.py"


def test_mirrors_and_digests_at_the_command_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, x200: Path
) -> None:
    published(server, monkeypatch, x200, here={"sha256": "00000000"})
    wrong = regnetc("weights", "fetch", "x200mf")
    assert wrong.code == 1
    assert "error[wrong-digest]" in wrong.err
    assert "published: 00000000..." in wrong.err
    published(server, monkeypatch, x200, here={})
    del server.files["w.safetensors"]
    server.files["mirror"] = x200.read_bytes()
    assert "answers 404" in regnetc("weights", "fetch", "x200mf").err
    got = regnetc("weights", "fetch", "x200mf", "--mirror", server.url("nothing"), "--mirror", server.url("mirror"))  # fmt: skip
    assert got.code == 0, got.err
    assert isinstance(package.load("x200mf", True), nn.Module)


def test_what_nobody_publishes() -> None:
    assert "error[no-weights]" in regnetc("weights", "fetch", "digits").err
    assert "error[unknown-network]" in regnetc("weights", "fetch", "resnet50").err


# torch.hub.


def test_torch_hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    net = torch.hub.load(str(root), "regnetx_200mf", source="local", classes=5)  # type: ignore[no-untyped-call]
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    spec = importlib.util.spec_from_file_location("hubconf", root / "hubconf.py")
    assert spec is not None
    assert spec.loader is not None
    hubconf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hubconf)
    entries = {k for k, v in vars(hubconf).items() if callable(v) and not k.startswith("_")}
    assert {"regnetx_400mf", "regnetx_004", "regnet_y_32gf", "regnety_128gf", "x200mf"} <= entries
    assert "RegNetX-200MF, also called" in hubconf.regnetx_002.__doc__
    assert hubconf.regnetx_002.__name__ == "regnetx_002"
    assert all(zoo.find(name) for name in hubconf._words().values())


def test_torch_hub_in_a_process_of_its_own(root: Path, tmp_path: Path) -> None:
    """Where nothing is installed but the dependencies."""
    program = f"import torch\nprint(type(torch.hub.load({str(root)!r}, 'x200mf', source='local')).__name__)"  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "RegNetX200MF\n", done.stderr


# The folder of transformers.


def exported(*more: str, out: str = "folder") -> Any:
    return regnetc("export", "small.regnet", "--weights", "small.safetensors", "--to", "huggingface", "-o", out, *more)  # fmt: skip


def test_a_folder_out_and_in(here: Path) -> None:
    ran = exported("--licence", "MIT", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["files"] == ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]  # fmt: skip
    config = json.loads(Path("folder/config.json").read_text())
    assert (config["hidden_sizes"], config["depths"], config["layer_type"]) == ([8, 16], [1, 1], "y")  # fmt: skip
    card = Path("folder/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "license: mit\n---" in card
    assert "| parameters | 2,3" in card or "| parameters | " in card
    again = regnetc("import", "folder", "-o", "again.regnet")
    assert again.code == 0, again.err
    images = ["red.png", "blue.png"]
    wanted = package.predict("small.regnet", images, "small.safetensors", top=3)
    assert package.predict("small.regnet", images, "folder", top=3) == wanted
    net = package.load("again.regnet", "folder").eval()
    x = torch.rand(2, 3, 32, 32)
    small: Tensor = package.load("small.regnet", "small.safetensors").eval()(x)
    assert torch.equal(net(x), small)
    assert "error[exists]" in exported().err


def test_a_folder_is_whole_or_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regnetc_runtime import files

    write, count = files._write_new, 0

    def full(path: Path, data: bytes, mode: int | None) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(28, os.strerror(28))
        write(path, data, mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_new", full)
        ran = exported()
    assert "error[cannot-write]" in ran.err
    assert not Path("folder").exists()
    assert not [p for p in here.iterdir() if p.name.startswith(".regnetc")]
    assert exported().code == 0


def test_a_folder_of_bgr_weights_is_for_rgb(here: Path) -> None:
    torch.save({"model_state": load_file("small.safetensors")}, "theirs.pyth")
    with pytest.warns(UserWarning, match="blue, green, red"):
        ran = regnetc("export", "small.regnet", "--weights", "theirs.pyth", "--to", "huggingface", "-o", "folder")  # fmt: skip
    assert "the stem takes red, green, blue now" in ran.err
    with pytest.warns(UserWarning, match="blue, green, red"):
        theirs = scores(package.predict("small.regnet", ["red.png"], "theirs.pyth", top=3))
    ours = scores(package.predict("small.regnet", ["red.png"], "folder", top=3))
    assert all(abs(theirs[0][k] - ours[0][k]) < 1e-5 for k in theirs[0])


def test_what_transformers_cannot_hold(here: Path) -> None:
    Path("z.regnet").write_text(SMALL.replace("block = Y", "block = Z").replace("b[i] = 1", "b[i] = 1/4"))  # fmt: skip
    net = package.load("z.regnet")
    save_file(net.state_dict(), "z.safetensors")
    ran = regnetc("export", "z.regnet", "--weights", "z.safetensors", "--to", "huggingface", "-o", "folder")  # fmt: skip
    assert "error[cannot-hold]" in ran.err
    assert not Path("folder").exists()


def test_a_changed_file_with_other_classes(here: Path) -> None:
    assert regnetc("compile", "small.regnet", "-o", ".").code == 0
    text = Path("small.py").read_text()
    Path("small.py").write_text(text.replace("He's", "his"))
    refused_ = regnetc("export", "small.py", "--weights", "small.safetensors", "--to", "huggingface", "-o", "f")  # fmt: skip
    assert "error[changed]" in refused_.err
    digest = next(line for line in refused_.err.splitlines() if "SHA-256 is" in line).split()[-1]
    with pytest.warns(UserWarning, match="for 9 is new"):
        ran = regnetc("export", "small.py", "--weights", "small.safetensors", "--to", "huggingface", "-o", "f", "--trust", digest, "--classes", "9")  # fmt: skip
    assert ran.code == 0, ran.err
    assert len(json.loads(Path("f/config.json").read_text())["id2label"]) == 9
    shutil.rmtree("f")
