from __future__ import annotations

import argparse
import datetime
import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from regnetc_runtime import pickle_file
from regnetc_runtime.problems import Problem

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def rewritten(
    data: bytes, replace: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """The archive with entries replaced or added, by the last part of their names."""
    out = io.BytesIO()
    new = dict(replace or {})
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as z:
        for entry in old.infolist():
            base = entry.filename.rpartition("/")[2]
            z.writestr(entry.filename, new.pop(base, old.read(entry)))
        for name, content in new.items():
            z.writestr(f"archive/{name}", content)
    return out.getvalue()


class Attack:
    """Makes a file when it is unpickled as Python does."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        OrderedDict(STATE),
        {"model_state": STATE, "epoch": 3, "optimizer_state": {"lr": 0.1}},
        {"state_dict": STATE, "best": 72.5},
        {"model": STATE},
        {f"module.{k}": t for k, t in STATE.items()},
        {"state_dict": {f"module.{k}": t for k, t in STATE.items()}},
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_wrappers(content: object, new: bool) -> None:
    data = saved(content, _use_new_zipfile_serialization=new)
    assert pickle_file.looks_like(data)
    found = pickle_file.parse(data, "x.pth").tensors
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[k], t) for k, t in STATE.items())


class Calls:
    """Pickled, it calls something."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.made = called, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        {"w": Calls(torch.Tensor, 1 << 20)},
        {"w": Calls(torch.FloatTensor, 1000)},
        {"w": torch.ones(1), "x": Calls(bytearray, 1 << 33)},
        {"w": torch.ones(1), "x": Calls(torch.UntypedStorage, 1 << 33)},
    ],
)
def test_nothing_is_made_that_the_file_does_not_hold(content: object, new: bool) -> None:
    """torch takes these calls for safe, and they make memory of any size, or show what lay in it."""
    with pytest.raises(Problem) as e:
        pickle_file.parse(saved(content, _use_new_zipfile_serialization=new), "x.pth")
    assert e.value.name == "unsafe-weights"


def with_key(made: bytes) -> bytes:
    """A pickle of a dictionary, or of a set, with a tuple of tuples sixty deep in it."""
    deep = b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))
    return b"\x80\2" + made.replace(b"DEEP", deep) + b"."


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b"}DEEPK\1s", "tuples for keys"),
        (b"}(DEEPK\1u", "tuples for keys"),
        (b"c__builtin__\nset\n](DEEPe\x85R", "tuples in a set"),
        (b"c__builtin__\nset\n]DEEPa\x85R", "tuples in a set"),
        (b"c__builtin__\nset\nDEEP\x85R", "tuples in a set"),
        (b"ccollections\nCounter\n](DEEPe\x85R", "tuples in a set"),
        (b"ccollections\nOrderedDict\n](](DEEPK\1ee\x85R", "tuples in a set"),
    ],
)
def test_what_would_take_for_ever_is_not_begun(made: bytes, why: str) -> None:
    data = rewritten(saved(STATE), {"data.pkl": with_key(made)})
    with pytest.raises(Problem, match=why):
        pickle_file.parse(data, "x.pth")


def test_what_doubles_is_not_repeated() -> None:
    """Each time that hexadecimal digits are encoded in such there are twice as many."""
    once = b"c_codecs\nencode\n(X\4\0\0\0abcdX\6\0\0\0latin1tR"
    twice = b"c_codecs\nencode\n(" + once + b"X\3\0\0\0hextR"
    data = rewritten(saved(STATE), {"data.pkl": b"\x80\2" + twice + b"."})
    with pytest.raises(Problem, match="encodes what it has encoded"):
        pickle_file.parse(data, "x.pth")


def test_what_was_made_is_not_called() -> None:
    data = rewritten(saved(STATE), {"data.pkl": b"\x80\2c__builtin__\nset\n]\x85R)R."})
    with pytest.raises(Problem, match="more than tensors"):
        pickle_file.parse(data, "x.pth")


def test_what_holds_itself() -> None:
    heads: dict[str, Any] = {"clf.weight": torch.ones(2, 3)}
    heads["again"] = heads
    model = {"trunk": {"w": torch.ones(1)}, "heads": heads}
    found = pickle_file.parse(saved({"classy_state_dict": {"base_model": {"model": model}}}), "x")
    assert "w" in found.tensors


@pytest.mark.parametrize("new", [True, False])
def test_what_wraps_a_network_or_lies_around_it(new: bool) -> None:
    averaged = {"n_averaged": torch.tensor(7), **{f"module.{k}": t for k, t in STATE.items()}}
    for content in (
        {"net": STATE, "epoch": 1},
        {f"_orig_mod.{k}": t for k, t in STATE.items()},
        {f"module._orig_mod.{k}": t for k, t in STATE.items()},
        {
            "state_dict": {f"model.{k}": t for k, t in STATE.items()},
            "pytorch-lightning_version": "2",
        },
        averaged,
    ):
        found = pickle_file.parse(saved(content, _use_new_zipfile_serialization=new), "x").tensors
        assert found.keys() == STATE.keys()
    found = pickle_file.parse(saved({"model": STATE, "model_ema": averaged}), "x").ema or {}
    assert found.keys() == STATE.keys()


def test_tensors_laid_out_otherwise() -> None:
    square = torch.arange(12.0).view(3, 4)
    for tensor in (square.t(), square[:, ::2], square[1:].t()):
        assert torch.equal(pickle_file.parse(saved({"w": tensor}), "x").tensors["w"], tensor)


def test_weights_saved_as_channels_last() -> None:
    weight = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
    assert torch.equal(pickle_file.parse(saved({"w": weight}), "x").tensors["w"], weight)


def test_nothing_is_executed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for content in (
        Attack(canary),
        {"state_dict": STATE, "meta": Attack(canary)},
        {"state_dict": STATE, "f": getattr},
        {"state_dict": STATE, "f": Fraction(1, 2)},
    ):
        for new in (True, False):
            with pytest.raises(Problem) as e:
                pickle_file.parse(saved(content, _use_new_zipfile_serialization=new), "x.pth")
            assert e.value.name == "unsafe-weights"
            assert "safetensors" in (e.value.help or "")
            assert e.value.details[0].startswith("it asks for ")
    assert not canary.exists()


class Config(dict[str, object]):
    """As yacs has it: a dictionary with attributes of its own."""

    __module__, __qualname__ = "yacs.config", "CfgNode"


def configuration() -> Config:
    found = Config(lr=0.1, inner=Config(steps=[1, 2]))
    found.__dict__["frozen"] = True
    return found


@pytest.mark.parametrize("new", [True, False])
def test_what_trainers_lay_beside_the_weights(new: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's numbers in pycls's optimiser, timm's arguments, mmengine's and VISSL's configuration."""
    module = types.ModuleType("yacs.config")
    module.CfgNode = Config  # type: ignore[attr-defined]
    beside = {
        "lr": np.float64(0.1), "loss": np.arange(3.0), "args": argparse.Namespace(lr=1, names=["a"]),
        "path": Path("here"), "groups": defaultdict(list, a=[1]), "cfg": configuration(),
        "at": datetime.datetime(2020, 3, 30, tzinfo=datetime.UTC),
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs.config", module)
        data = saved({"model_state": STATE, **beside}, _use_new_zipfile_serialization=new)
    found = pickle_file.parse(data, "x.pyth")
    assert all(torch.equal(found.tensors[k], t) for k, t in STATE.items())
    assert found.extra == tuple(beside)
    assert {
        "argparse.Namespace", "collections.defaultdict", "numpy.dtype", "yacs.config.CfgNode",
        "datetime.datetime", "builtins.list",
    } <= set(found.unread)  # fmt: skip
    assert "yacs.config" not in sys.modules
    inert = {pickle_file.Inert, pickle_file.InertMapping}
    safe = torch.serialization.get_safe_globals()
    assert not any(isinstance(entry, tuple) and entry[0] in inert for entry in safe)


def test_every_flipped_bit_in_the_numbers_is_found() -> None:
    data = saved({"w": torch.full((64,), 1.5)})
    start = data.index(torch.full((64,), 1.5).numpy().tobytes())
    for offset in range(start, start + 256, 17):
        damaged = bytearray(data)
        damaged[offset] ^= 0x10
        with pytest.raises(Problem, match="data/0 is damaged"):
            pickle_file.parse(bytes(damaged), "x.pth")


def test_a_file_cut_short_anywhere_is_refused() -> None:
    data = saved(STATE)
    for end in range(4, len(data), 41):
        with pytest.raises(Problem) as e:
            pickle_file.parse(data[:end], "x.pth")
        assert e.value.name == "bad-weights"


def overlapping() -> bytes:
    """Two entries in the directory for one run of bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("archive/data.pkl", b"x" * 4000)
        for i in range(5):
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            twin.header_offset, twin.CRC = 0, z.infolist()[0].CRC
            twin.file_size = twin.compress_size = 4000
            z.filelist.append(twin)
    return out.getvalue()


def doubled() -> bytes:
    out = io.BytesIO(saved(STATE))
    with zipfile.ZipFile(out, "a") as z, pytest.warns(UserWarning, match="Duplicate name"):
        z.writestr(z.namelist()[0], b"x")
    return out.getvalue()


def claiming_more_numbers_than_there_are() -> bytes:
    data = saved({"w": torch.arange(4.0)})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if obj == "numbers" else None

    class Huge:
        def __reduce__(self) -> tuple[Any, ...]:
            args: tuple[Any, ...] = ("numbers", 0, (1 << 33,), (1,), False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, args

    out = io.BytesIO()
    Pickler(out, 2).dump({"w": Huge()})
    return rewritten(data, {"data.pkl": out.getvalue()})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (rewritten(saved(STATE), compression=zipfile.ZIP_DEFLATED), "compressed entries"),
        (rewritten(saved(STATE), {f"{i}": b"" for i in range(10_001)}), "10,000 entries"),
        (rewritten(saved(STATE), {"data.pkl": b"\0" * (4 << 20) + b"."}), "4,194,304 bytes"),
        (rewritten(saved(STATE), {"data.pkl": b"nonsense"}), "pickle is damaged"),
        (rewritten(saved(STATE), {"data.pkl": b""}), "pickle is damaged"),
        (rewritten(saved(STATE), {"constants.pkl": b""}), "TorchScript"),
        (overlapping(), "overlap"),
        (doubled(), "two entries of one name"),
        (claiming_more_numbers_than_there_are(), "torch cannot read it"),
        (saved(torch.rand(3)), "holds no state_dict but a Tensor"),
        (saved([STATE]), "holds no state_dict but a list"),
        (saved({"w": 3}), "entry w is no plain tensor"),
        (saved({3: torch.rand(3)}), "entry 3 is no plain tensor"),
        (saved({"w" * 201: torch.rand(3)}), "is no plain tensor"),
        (saved({"\x1b": torch.rand(3).to_sparse()}), "entry \\x1b is no plain tensor"),
        (saved({"w": torch.rand(3).to(torch.complex64)}), "no plain tensor"),
        (saved({"w": torch.ones(3) > 0}), "no plain tensor"),
        (saved({"w": torch.zeros(1).expand(1 << 40)}), "no plain tensor"),
        (saved({"w": torch.zeros(3, device="meta")}), "no plain tensor"),
        (saved({"w": torch.zeros([1] * 70)}), "no plain tensor"),
        (saved(STATE, pickle_protocol=4), "by protocol 4"),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Problem) as e:
        pickle_file.parse(data, "x\x1b.pth")
    assert e.value.name == "bad-weights"
    assert why in e.value.message
    assert "\x1b" not in e.value.message
