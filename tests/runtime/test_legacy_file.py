"""Files as torch wrote them before 1.6: what is sound is read, and no lie about a size is believed."""

from __future__ import annotations

import io
import pickle
import resource
import tarfile
from collections import OrderedDict
from typing import Any

import pytest
import torch
from regnetc_runtime import legacy_file, pickle_file
from regnetc_runtime.problems import Problem

FLOATS = torch.arange(6.0)
STATE = {
    "whole": FLOATS, "part": FLOATS[2:], "again": FLOATS.view(2, 3), "half": torch.ones(3).half(),
    "brain": torch.ones(2).bfloat16(), "double": torch.ones(2).double(), "count": torch.tensor(7),
    "int": torch.ones(3, dtype=torch.int32), "short": torch.ones(3, dtype=torch.int16),
    "char": torch.ones(3, dtype=torch.int8), "byte": torch.ones(3, dtype=torch.uint8), "none": torch.ones(0),
}  # fmt: skip


def saved(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def test_every_type_and_shared_storages() -> None:
    data = saved(STATE)
    assert legacy_file.looks_like(data)
    found = pickle_file.parse(data, "x.pth").tensors
    assert list(found) == list(STATE)
    for name, tensor in STATE.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def begun() -> io.BytesIO:
    """The three pickles before the object."""
    out = io.BytesIO()
    version = torch.serialization.PROTOCOL_VERSION
    heads: tuple[object, ...] = (torch.serialization.MAGIC_NUMBER, version, {})
    for head in heads:
        pickle.dump(head, out, 2)
    return out


def forged(
    *, kind: object = torch.FloatStorage, items: object = 4, view: object = None, key: str = "1",
    listed: tuple[str, ...] = ("1",), stored: int = 4, numbers: int = 4, device: object = "cpu",
) -> bytes:  # fmt: skip
    """A file of one tensor of four numbers, which lies where it is told to."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return ("storage", kind, key, device, items, view) if obj == "numbers" else None

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            args: tuple[Any, ...] = ("numbers", 0, (4,), (1,), False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, args

    out = begun()
    Pickler(out, 2).dump({"w": Tensor()})
    pickle.dump(list(listed), out, 2)
    out.write(stored.to_bytes(8, "little") + bytes(4 * numbers))
    return out.getvalue()


def test_the_forger_can_write_a_sound_file() -> None:
    for how in ({}, {"device": "cuda:0"}, {"device": "cuda:0", "kind": torch.cuda.FloatStorage}):
        found = pickle_file.parse(forged(**how), "x.pth").tensors["w"]
        assert found.device.type == "cpu"
        assert torch.equal(found, torch.zeros(4))


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (forged(items=1 << 50, stored=1 << 50), "cut off"),
        (forged(items=1 << 50), "has not the size"),
        (forged(items=-1), "not written as torch.save"),
        (forged(items=2, stored=2, numbers=2), "torch cannot read it"),
        (forged(items="4"), "not written as torch.save"),
        (forged(kind=torch.Tensor), "not written as torch.save"),
        (forged(device=None), "not written as torch.save"),
        (forged(view=("2", 0, 4)), "not written as torch.save"),
        (forged(listed=()), "list of its storages"),
        (forged(listed=("1", "1")), "list of its storages"),
        (forged(listed=("1", "2")), "list of its storages"),
        (forged(listed=("2",)), "list of its storages"),
        (forged(stored=3), "has not the size"),
        (forged(numbers=3), "cut off"),
        (forged(numbers=5), "something follows"),
        (legacy_file.MAGIC, "pickle is damaged"),
        (legacy_file.MAGIC + b"\x80\x02M\xe9\x03." + b"X\xff\xff\xff\x7f", "pickle is damaged"),
        (legacy_file.MAGIC + b"(" * (5 << 20), "more than 1,000,000 operations"),
        (legacy_file.MAGIC + b"U\xff" + b"x" * (5 << 20), "pickle is damaged"),
        (legacy_file.MAGIC + b"X\xff\xff\x4f\0" + b"x" * (6 << 20), "more than 4,194,304 bytes"),
    ],
)
def test_lies_are_refused_before_torch_sees_them(data: bytes, why: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Problem) as e:
        pickle_file.parse(data, "x.pth")
    assert e.value.name == "bad-weights"
    assert why in e.value.message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10


def test_a_tuple_out_of_memory_is_the_one_that_torch_takes() -> None:
    """A checker that reads what was pushed last would see another storage than torch."""
    asked = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0%sX\3\0\0\0cpuM%s"
    large = asked % (b"1", b"\xa0\x0f") + b"Ntq\5"  # 4,000 numbers, which the file does not hold
    small = asked % (b"0", b"\1\0") + b"h\5Qq\6t"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(h\6K\0M\xa0\x0f\x85K\1\x85\x89ccollections\nOrderedDict\n)RtR"
    out = begun()
    out.write(b"\x80\2}")
    for key, value in ((b"a", large), (b"b", small), (b"w", rebuilt)):
        out.write(b"X\1\0\0\0" + key + value + b"s")
    out.write(b".")
    pickle.dump(["0"], out, 2)
    out.write((1).to_bytes(8, "little") + bytes(4))
    with pytest.raises(Problem) as e:
        pickle_file.parse(out.getvalue(), "x.pth")
    assert "list of its storages" in e.value.message


def test_a_file_cut_short_anywhere_is_refused() -> None:
    data = saved(STATE)
    for end in range(len(legacy_file.MAGIC), len(data), 7):
        with pytest.raises(Problem) as e:
            pickle_file.parse(data[:end], "x.pth")
        assert e.value.name == "bad-weights"


def test_tar_files_of_before_0_2_are_none() -> None:
    assert not pickle_file.looks_like(tarred())
