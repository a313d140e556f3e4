"""`regnetc import`: the configs of other tools, as people have them, become specs of the same networks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regnetc import zoo
from regnetc.driver import check_file
from regnetc.importing import ConfigError, from_what
from regnetc.importing.drafts import same
from regnetc.network import Network
from test_cli import Ran, regnetc

FACTS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "configs.json").read_text("utf-8")
)
PYCLS = """
MODEL:
  TYPE: regnet
  NUM_CLASSES: 1000
REGNET:
  {se}DEPTH: {d}
  W0: {w0}
  WA: {wa}
  WM: {wm}
  GROUP_W: {g}
OPTIM:
  LR_POLICY: cos
  BASE_LR: 0.8
  MAX_EPOCH: 100
  MOMENTUM: 0.9
  WEIGHT_DECAY: 5e-5
  WARMUP_EPOCHS: 5
TRAIN:
  DATASET: imagenet
  IM_SIZE: 224
  BATCH_SIZE: 1024
TEST:
  DATASET: imagenet
  IM_SIZE: 256
  BATCH_SIZE: 800
NUM_GPUS: 8
OUT_DIR: .
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(what: str | Path, *more: str) -> tuple[Network, dict[str, Any]]:
    """The network of the spec that is written, and what is said of it."""
    ran = regnetc("import", what, "--json", *more)
    assert ran.code == 0, ran.err
    Path("got.regnet").write_text(ran.json["spec"])
    checked = check_file("got.regnet")
    assert not checked.failed
    (resolution,) = checked.resolutions.values()
    assert regnetc("fmt", "--check", "got.regnet").code == 0
    return resolution.network, ran.json


def holds(network: Network, params: int, macs: int | None) -> None:
    counts = network._replace(classes=network.classes).counts_at(224)
    assert counts.params == params
    assert macs is None or counts.macs == macs


def refused(what: str | Path) -> Ran:
    ran = regnetc("import", what)
    assert ran.code == 1, ran.out
    assert not ran.out
    return ran


@pytest.mark.parametrize("name", FACTS["timm"])
def test_every_regnetcfg_of_timm(name: str, here: Path) -> None:
    config, params, macs = FACTS["timm"][name]
    (here / "cfg.json").write_text(json.dumps(config))
    network, said = imported("cfg.json")
    holds(network, params, macs)
    assert same(network, zoo.find(f"timm:{name}").network)
    assert not [n for n in said["notes"] if "no meaning" in n]


@pytest.mark.parametrize("name", FACTS["transformers"])
def test_every_preset_of_transformers(name: str, here: Path) -> None:
    config, params, macs = FACTS["transformers"][name]
    labels = {str(k): f"class {k}" for k in range(1000)}
    data = {**config, "model_type": "regnet", "id2label": labels, "transformers_version": "4.44.2"}
    (here / "config.json").write_text(json.dumps(data))
    network, said = imported("config.json")
    holds(network, params, macs)
    assert "`transformers_version` has no meaning here" in said["notes"]
    entry = zoo.find(f"transformers:{name.removesuffix('-in1k')}")
    assert said["zoo"] == [entry.stem]


def test_the_preset_that_transformers_cannot_build(here: Path) -> None:
    data = {
        "model_type": "regnet", "hidden_sizes": [640, 1696, 2544, 5088], "depths": [2, 7, 17, 1],
        "groups_width": 640,
    }  # fmt: skip
    (here / "config.json").write_text(json.dumps(data))
    ran = refused("config.json")
    assert "5,088 does not split into the 7 groups" in ran.err
    assert "transformers cannot build it either" in ran.err


@pytest.mark.parametrize("name", FACTS["classyvision"])
def test_every_network_of_classyvision(name: str, here: Path) -> None:
    config, params, macs = FACTS["classyvision"][name]
    head = {"name": "fully_connected", "unique_id": "default_head", "num_classes": 1000, "in_plane": 2016, "fork_block": "trunk_output"}  # fmt: skip
    data = {
        "name": "classification_task", "num_epochs": 90, "loss": {"name": "CrossEntropyLoss"},
        "model": {"name": "regnet", **config, "heads": [head]},
    }  # fmt: skip
    (here / "task.json").write_text(json.dumps(data))
    network, said = imported("task.json")
    holds(network, params, macs)
    assert "`num_epochs` has no meaning here" in said["notes"]
    assert not [n for n in said["notes"] if "model" in n and "no meaning" in n]


def test_classyvision_by_name(here: Path) -> None:
    data = {"model": {"name": "regnet_y_400mf", "heads": [{"name": "fully_connected", "num_classes": 7, "in_plane": 440}]}}  # fmt: skip
    (here / "task.json").write_text(json.dumps(data))
    network, said = imported("task.json")
    assert network.classes == 7
    assert said["zoo"] == ["y400mf"]
    data["model"]["heads"].append({})  # type: ignore[attr-defined]
    (here / "task.json").write_text(json.dumps(data))
    assert "more than one head" in refused("task.json").err


@pytest.mark.parametrize("name", FACTS["torchvision"])
def test_every_name_of_torchvision(name: str, here: Path) -> None:
    params, macs = FACTS["torchvision"][name]
    network, said = imported(f"torchvision:{name}")
    holds(network, params, macs)
    assert imported(name)[1]["spec"] == said["spec"]


@pytest.mark.parametrize("name", FACTS["mmpretrain"])
def test_every_config_of_mmpretrain(name: str, here: Path) -> None:
    arch, numbers, params, macs = FACTS["mmpretrain"][name]
    for k, said in enumerate((repr(arch), f"dict({', '.join(f'{a}={b}' for a, b in numbers.items())})")):  # fmt: skip
        text = f"""
        _base_ = ['../_base_/schedules/imagenet_bs1024_coslr.py', '../_base_/default_runtime.py']

        num_classes = 1000
        model = dict(
            type='ImageClassifier',
            backbone=dict(type='RegNet', arch={said}),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=384, topk=(1, 5)))
        train_dataloader = dict(batch_size=128)
        if num_classes > 10:
            raise SystemExit
        """
        (here / f"config{k}.py").write_text(textwrap.dedent(text))
        network, report = imported(f"config{k}.py")
        holds(network, params, macs)
        assert (
            "`_base_` ../_base_/default_runtime.py is not there, and not followed"
            in report["notes"]
        )
        assert "line 11: `if num_classes > 10:` is not run" in report["notes"]
        assert "`model.head.topk` has no meaning here" in report["notes"]


def test_configs_of_mmpretrain_that_build_on_others(here: Path) -> None:
    """Laid out as mmpretrain lays them out: models, a network on top, and another on top of that."""
    files = {
        "_base_/models/regnet/regnetx_400mf.py": """
            model = dict(type='ImageClassifier', backbone=dict(type='RegNet', arch='regnetx_400mf'),
                         neck=dict(type='GlobalAveragePooling'),
                         head=dict(type='LinearClsHead', num_classes=50, in_channels=384))""",
        "_base_/datasets/imagenet.py": "dataset_type = 'ImageNet'",
        "regnet/x400.py": """
            _base_ = ['../_base_/models/regnet/regnetx_400mf.py', '../_base_/datasets/imagenet.py']
            train_dataloader = dict(batch_size=128)""",
        "regnet/x1600.py": """
            _base_ = './x400.py'
            model = dict(backbone=dict(type='RegNet', arch='regnetx_1.6gf'), head=dict(in_channels=912))""",
        "regnet/own.py": """
            _base_ = ['x1600.py']
            model = dict(backbone=dict(_delete_=True, type='RegNet', arch='regnetx_800mf', in_channels=1),
                         head=dict(num_classes=7))""",
        "regnet/circle.py": "_base_ = ['./around.py']\nmodel = dict(backbone=dict(arch='regnetx_400mf'))",
        "regnet/around.py": "_base_ = ['../regnet/circle.py']",
        "regnet/broken.py": "_base_ = ['./bad.py']",
        "regnet/bad.py": "model = dict(",
        "regnet/alone.py": "_base_ = ['mmpretrain::regnet/x.py', 'missing.py']",
        "regnet/twice.py": "_base_ = ['x400.py', 'x1600.py']",
        "regnet/nothing.py": "_base_ = 'x400.py'\nmodel = dict(backbone=dict(arch=None, _delete_=True))",
        "regnet/typed.py": "_base_: str = 'x400.py'\nmodel: dict = dict(head=dict(num_classes=9))",
        "regnet/item.py": "_base_ = 'x400.py'\nmodel['head']['num_classes'] = 3",
        "regnet/maybe.py": "_base_ = 'x400.py'\nif True:\n    model = dict(head=dict(num_classes=3))",
        "regnet/gone.py": "model = dict(backbone=dict(type='RegNet', arch='regnetx_400mf'))\ndel model",
        "regnet/new.py": "from mmengine.config import read_base\nwith read_base():\n    from .x400 import *",
    }  # fmt: skip
    for name, text in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(textwrap.dedent(text))
    for name, equal, classes, channels in (
        ("x400", "x400mf", 50, 3), ("x1600", "x1_6gf", 50, 3), ("own", "x800mf", 7, 1),
    ):  # fmt: skip
        network, report = imported(f"regnet/{name}.py")
        wanted = zoo.find(equal).network
        assert [s[:5] for s in network.stages] == [s[:5] for s in wanted.stages], name
        assert (network.classes, network.channels) == (classes, channels)
        assert "`_base_` ../_base_/models/regnet/regnetx_400mf.py is followed" in report["notes"]
    assert "in a circle" in refused("regnet/circle.py").err
    assert "`_base_` ./bad.py: " in refused("regnet/broken.py").err
    assert "has to lie where it says" in refused("regnet/alone.py").err
    assert "which mmengine refuses" in refused("regnet/twice.py").err
    assert "no `backbone` with an `arch`" in refused("regnet/nothing.py").err
    assert imported("regnet/typed.py")[0].classes == 9
    for name in ("item", "maybe", "gone", "new"):  # only running them would tell what they say
        assert "is not run, and may change the network" in refused(f"regnet/{name}.py").err, name


@pytest.mark.parametrize("name", FACTS["timm"])
def test_pyclss_yaml_of_the_same_lines(name: str, here: Path) -> None:
    """pycls's networks are those of timm's numbers: 24 in its model zoo, and more that fit its config."""
    c, params, macs = FACTS["timm"][name]
    if {"act_layer", "num_features", "preact", "group_min_ratio", "bottle_ratio"} & c.keys():
        return
    values = {"d": c["depth"], "w0": c["w0"], "wa": c.get("wa", 42.63), "wm": c.get("wm", 2.66), "g": c.get("group_size", 24)}  # fmt: skip
    se = "SE_ON: true\n  " if c.get("se_ratio") else ""
    (here / "net.yaml").write_text(PYCLS.format(se=se, **values))
    network, said = imported("net.yaml")
    holds(network, params, macs)
    assert {"`OPTIM` has no meaning here", "`NUM_GPUS` has no meaning here"} <= set(said["notes"])
    assert "`TRAIN.DATASET` has no meaning here" in said["notes"]


def test_pyclss_anynet(here: Path) -> None:
    text = """
    MODEL: {TYPE: anynet, NUM_CLASSES: 10}
    ANYNET:
      STEM_TYPE: res_stem_cifar
      STEM_W: 16
      BLOCK_TYPE: res_bottleneck_block
      DEPTHS: [1, 2, 3]
      WIDTHS: [16, 32, 72]
      STRIDES: [1, 2, 2]
      BOT_MULS: [1.0, 0.5, 1.0]
      GROUP_WS: [8, 8, 24]
      SE_ON: true
      SE_R: 0.125
    TRAIN: {IM_SIZE: 32}
    """
    (here / "net.yaml").write_text(textwrap.dedent(text))
    network, _ = imported("net.yaml")
    assert [(s.w, s.d, s.stride, s.inner, s.g, s.se[-1]) for s in network.stages] == [
        (16, 1, 1, 16, 8, 2), (32, 2, 2, 16, 8, 4), (72, 3, 2, 72, 24, 9),
    ]  # fmt: skip
    assert (network.stem.type, network.stem.w, network.image, network.classes) == ("cifar", 16, 32, 10)  # fmt: skip
    (here / "net.yaml").write_text(textwrap.dedent(text).replace("res_bottleneck_block", "vanilla_block"))  # fmt: skip
    assert "`ANYNET.BLOCK_TYPE` is `vanilla_block`" in refused("net.yaml").err


def test_vissls_trunk(here: Path) -> None:
    text = """
    # @package _global_
    config:
      MODEL:
        TRUNK:
          NAME: regnet_fsdp
          REGNET: {depth: 27, w_0: 1744, w_a: 620.83, w_m: 2.52, group_width: 1010}
        HEAD:
          PARAMS: [["swav_head", {"dims": [28280, 8192], "use_bn": true}]]
    """
    (here / "seer.yaml").write_text(textwrap.dedent(text))
    network, said = imported("seer.yaml")
    assert network.counts.params == 9_323_934_872
    assert said["zoo"] == ["y10b_seer"]
    assert "`config.MODEL.HEAD` has no meaning here" in said["notes"]


def test_timms_own_config_beside_its_weights(here: Path) -> None:
    folder = here / "regnety_032.ra_in1k"
    folder.mkdir()
    data = {"architecture": "regnety_032", "num_classes": 12, "num_features": 1512, "pretrained_cfg": {"tag": "ra_in1k"}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(data))
    network, said = imported("regnety_032.ra_in1k")
    assert network.classes == 12
    assert said["zoo"] == ["y3_2gf"]
    assert said["notes"][0] == "`pretrained_cfg` has no meaning here"


@pytest.mark.parametrize(
    "what",
    [
        "timm:depth=22,w0=24,wa=24.48,wm=2.54,group_size=16",
        "RegNetCfg(depth=22, w0=24, wa=24.48, wm=2.54, group_size=16)",
        "timm:regnetx_004", "regnetx_004", "RegNetX-400MF", "transformers:regnet-x-004",
    ],
)  # fmt: skip
def test_one_network_said_in_six_ways(what: str, here: Path) -> None:
    network, said = imported(what, "--name", "Mine")
    assert said["zoo"] == ["x400mf"]
    assert network.name == "Mine"
    assert "w0 = 24\n" in said["spec"]


def test_group_norm_as_timms_source_says_it(here: Path) -> None:
    what = "RegNetCfg(depth=22, w0=96, wa=31.41, wm=2.24, group_size=64, se_ratio=0.25, act_layer='silu', norm_layer=partial(GroupNormAct, group_size=16))"  # fmt: skip
    network, said = imported(what)
    assert said["zoo"] == ["timm_y040_sgn"]
    assert network.norm == ("group", 16)


def test_widths_and_depths(here: Path) -> None:
    ran = regnetc("import", "--widths", "32,64,160,384", "--depths", "1,2,7,12", "--groups", "16", "-o", "net.regnet")  # fmt: skip
    assert ran.code == 0
    assert "equal to the zoo's x400mf" in ran.err
    assert "extends RegNetX" in ran.out, "it lies on a line"
    assert (here / "net.regnet").read_text() == ran.out
    again = regnetc("import", "x800mf", "-o", "net.regnet")
    assert "error[exists]" in again.err
    assert regnetc("import", "x800mf", "-o", "net.regnet", "--force").code == 0
    assert regnetc("show", "net.regnet", "--json").json["counts"]["params"] == 7_259_656


def test_widths_and_depths_of_other_blocks(here: Path) -> None:
    y = regnetc("import", "--widths", "48,104,208,440", "--depths", "1,3,6,6", "--groups", "8,8,8,8", "--block", "Y", "--se", "1/4", "--json")  # fmt: skip
    assert y.json["zoo"] == ["y400mf"]
    z = regnetc("import", "--widths", "16,40", "--depths", "1,2", "--groups", "4", "--block", "z", "--inside", "4", "--json")  # fmt: skip
    assert "extends RegNetZ" in z.json["spec"] or "block = Z" in z.json["spec"].replace("  ", " ")
    assert regnetc("import", "--widths", "8,x", "--depths", "1", "--groups", "8").code == 2
    assert regnetc("import", "--widths", "8").code == 2
    assert regnetc("import").code == 2
    wrong = regnetc("import", "--widths", "8,16", "--depths", "1", "--groups", "8")
    assert "there are 2 widths and 1 depths" in wrong.err
    uneven = regnetc("import", "--widths", "8,20", "--depths", "1,1", "--groups", "8")
    assert "error[no-network]" in uneven.err
    assert "20" in uneven.err


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_whatever_is_widths_and_depths(data: st.DataObject) -> None:
    """Any stages that can be said come back as they went in, on a line or not."""
    from regnetc.importing import bare, from_draft

    count = data.draw(st.integers(1, 5))
    group = data.draw(st.sampled_from([4, 8, 16]))
    widths = [group * data.draw(st.integers(1, 24)) for _ in range(count)]
    depths = [data.draw(st.integers(1, 6)) for _ in range(count)]
    block = data.draw(st.sampled_from("XYZ"))
    found = from_draft(bare.read(widths, depths, [group], block, None, None), "N", "a test").network
    assert [(s.w, s.d, s.g) for s in found.stages] == [(w, d, group) for w, d in zip(widths, depths, strict=True)]  # fmt: skip
    assert found.block == block
    assert {s.inner for s in found.stages} == {w * (4 if block == "Z" else 1) for w in widths}
    assert float(dict(found.parameters).get("se", 0)) == (0 if block == "X" else Fraction(1, 4))


# What is refused, and that nothing is executed.


def test_python_is_never_run(here: Path) -> None:
    traps = [
        "import os\nos.system('touch pwned')\nmodel = dict(backbone=dict(type='RegNet', arch='regnetx_400mf'))\n",
        "model = dict(backbone=dict(type='RegNet', arch=open('pwned', 'w').name))\n",
        "model = __import__('os').system('touch pwned')\n",
        "model = dict(backbone=dict(type='RegNet', arch=dict(w0=(lambda: open('pwned', 'w'))())))\n",
        "class M(type(open('pwned', 'w'))): pass\nmodel = M()\n",
    ]
    codes = []
    for k, text in enumerate(traps):
        (here / f"trap{k}.py").write_text(text)
        ran = regnetc("import", f"trap{k}.py")
        codes.append(ran.code)
        assert not (here / "pwned").exists(), text
    assert codes == [0, 1, 1, 1, 1]


DEEP = 50_000
HOSTILE = {
    "deep.json": "[" * DEEP + "]" * DEEP,
    "deep-object.json": '{"a":' * DEEP + "1" + "}" * DEEP,
    "twice.json": '{"model_type": "regnet", "depths": [1], "depths": [2]}',
    "number.json": '{"model_type": "regnet", "depths": [NaN]}',
    "huge-number.json": '{"depth": ' + "9" * 5_000 + ', "w0": 24}',
    "infinite.json": '{"depth": 22, "w0": 24, "wa": 1e999, "wm": 2.5}',
    "list.json": "[1, 2, 3]",
    "empty.json": "",
    "binary.json": "\x00\xff",
    "deep.yaml": "[" * 5_000 + "]" * 5_000,
    "deep-blocks.yaml": "".join("  " * k + f"a{k}:\n" for k in range(200)),
    "bomb.yaml": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "tag.yaml": "MODEL: !!python/object/apply:os.system ['touch pwned']\nREGNET: {}\n",
    "tag2.yaml": "!!python/name:os.system\n",
    "loop.yaml": "a: &a\n  b: *a\n",
    "twice.yaml": "MODEL: {TYPE: regnet}\nMODEL: {TYPE: anynet}\n",
    "many.yaml": "a: [" + "1, " * 30_000 + "1]\n",
    "keys.yaml": "? [a, b]\n: 1\n",
    "wide.yaml": "MODEL: {TYPE: regnet}\nREGNET: {DEPTH: 1000000000, W0: 24, WA: 24.48, WM: 2.54, GROUP_W: 16}\n",
    "words.yaml": "MODEL: {TYPE: regnet}\nREGNET: {DEPTH: many, W0: 24, WA: 24.48, WM: 2.54, GROUP_W: 16}\n",
    "minus.py": "model = " + "-" * 60_000 + "1\n",
    "nots.py": "model = " + "not " * 20_000 + "1\n",
    "deep.py": "model = " + "(" * 60_000 + ")" * 60_000,
    "sums.py": "model = " + "1+" * 30_000 + "1\n",
    "attributes.py": "model = a" + ".a" * 40_000 + "\n",
    "power.py": "model = dict(backbone=dict(type='RegNet', arch=dict(w0=" + "*".join(["99999999"] * 500) + ")))\n",
    "syntax.py": "model = dict(\n",
    "other.py": "print('hello')\n",
    "resnet.py": "model = dict(backbone=dict(type='ResNet', depth=50, arch='x'))\n",
    "eps.yaml": PYCLS.format(se="", d=22, w0=24, wa=24.48, wm=2.54, g=16) + "BN: {EPS: 1.0e-3}\n",
    "odd.yaml": PYCLS.format(se="TILT: 3\n  ", d=22, w0=24, wa=24.48, wm=2.54, g=16),
    "names.py": "a = [1] * 9\n" + "".join(f"{b} = [{a}, {a}, {a}, {a}]\n" for a, b in zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True)).replace("[1] * 9", "[1]") + "model = dict(backbone=dict(type=z, arch=z))\n_base_ = z\n",
    "long-name.json": '{"architecture": "' + "regnetx_" * 100_000 + '"}',
    "classes.json": '{"architecture": "regnetx_002", "num_classes": 999999999}',
    "args.json": '{"architecture": "regnetx_002", "num_classes": 10, "model_args": {"w0": 48}}',
    "stride.json": '{"architecture": "regnetx_002", "output_stride": 16}',
    "notes.txt": "hello",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, here: Path) -> None:
    (here / name).write_text(HOSTILE[name], "latin-1" if name.startswith("binary") else "utf-8")
    before = time.process_time()
    ran = regnetc("import", name)
    assert ran.code == 1
    assert ran.err.startswith("error[")
    assert len(ran.err) < 4_000
    assert not (here / "pwned").exists()
    assert time.process_time() - before < 10


def test_files_of_absurd_size(here: Path) -> None:
    for name in ("big.json", "big.yaml", "big.py"):
        (here / name).write_bytes(b" " * 5_000_000)
        assert "is larger than" in refused(name).err


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([".json", ".yaml", ".py"]))
def test_any_bytes_are_a_config_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("any") / f"x{suffix}"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        from_what(str(path))


@pytest.mark.parametrize("name", ["model", "RegNetX", "AnyNet", "use", "4x", "a b", "torch"])
def test_names_that_mean_something_else(name: str, here: Path) -> None:
    (here / f"{name}.json").write_text(json.dumps(FACTS["timm"]["regnetx_004"][0]))
    network, _ = imported(f"{name}.json")
    assert network.counts.params == 5_157_512


def test_what_timms_config_changes(here: Path) -> None:
    data = {"architecture": "regnetx_002", "num_classes": 5, "in_chans": 1, "drop_path_rate": 0.1, "global_pool": "catavgmax"}  # fmt: skip
    (here / "config.json").write_text(json.dumps(data))
    network, _ = imported("config.json")
    assert (network.classes, network.channels, network.pool, network.extras.drop_path) == (5, 1, "catavgmax", 0.1)  # fmt: skip


def test_names_that_are_nobodys(here: Path) -> None:
    assert "did you mean" in refused("regnetx_00").err
    assert "error[unknown-config]" in refused("resnet50").err
    assert "error[unknown-config]" in refused("x" * 5_000).err
    assert "no-network" in refused("timm:depth=22,w0=24,wa=24.48,wm=2.54,group_size=16,norm_layer='evonorms0'").err  # fmt: skip
    assert refused("RegNetCfg(22, 24)").err.startswith("error[bad-config]")


def test_a_local_file_of_families_is_not_taken_for_the_library(here: Path) -> None:
    (here / "families.regnet").write_text("space AnyNet {\n}\n")
    assert regnetc("import", "timm:regnetx_002").code == 0


def test_the_importer_leaves_torch_and_the_runtime_alone() -> None:
    program = (
        "import sys\nfrom regnetc.importing import from_what\n"
        "from_what('timm:depth=22,w0=24,wa=24.48,wm=2.54,group_size=16')\n"
        "assert not {'torch', 'numpy', 'yaml', 'regnetc_runtime', 'click'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
