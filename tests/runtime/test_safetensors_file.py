from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import torch
from regnetc_runtime import limits, safetensors_file
from regnetc_runtime.problems import Problem

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file(header: Any, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_there_and_back() -> None:
    tensors = {
        "z.weight": torch.rand(3, 4),
        "a": torch.tensor(7),
        "none": torch.empty(0, 5),
        "half": torch.rand(3).bfloat16(),
    }
    meta = {k: k * 2 for k in "qwertyuiop é\n"}
    data = safetensors_file.encode(tensors, meta)
    assert safetensors_file.looks_like(data)
    found, found_meta = safetensors_file.parse(data, "x")
    assert found_meta == meta
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)
    backwards = dict(reversed(meta.items()))
    assert all(safetensors_file.encode(tensors, backwards) == data for _ in range(5))


def test_a_sound_file_made_by_hand() -> None:
    tensors, meta = safetensors_file.parse(file({"__metadata__": {"k": "v"}, "w": F32}), "x")
    assert torch.equal(tensors["w"], torch.zeros(2))
    assert meta == {"k": "v"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends inside its header"),
        (b"\xff" * 8 + b"{", "ends inside its header"),
        (file({"w": F32})[:-1], "overlap, leave gaps or end outside"),
        (file({"w": F32}) + b"\0", "overlap, leave gaps or end outside"),
        (file({"w": F32, "v": F32}), "overlap, leave gaps or end outside"),
        (file({"w": {**F32, "data_offsets": [8, 16]}}, b"\0" * 16), "overlap, leave gaps"),
        (file(b'{"w": %b, "w": %b}' % ((json.dumps(F32).encode(),) * 2)), "same key twice"),
        (file(b"{"), "no JSON"),
        (file(b"[" * 100_000), "no JSON"),
        (file(b"\xff"), "no JSON"),
        (file([]), "no JSON object"),
        (file({"__metadata__": {"k": 1}, "w": F32}), "metadata other than text"),
        (file({"__metadata__": [], "w": F32}), "metadata other than text"),
        (file({"w": {**F32, "dtype": "C64"}}), "no tensor of floats or integers: w"),
        (file({"\x1b": {**F32, "shape": [3]}}), "integers: \\x1b"),
        (file({"w": {**F32, "shape": [-2]}}), "no tensor"),
        (file({"w": {**F32, "shape": [True, 2]}}), "no tensor"),
        (file({"w": {**F32, "shape": [1] * 8 + [2]}}), "no tensor"),
        (file({"w": {**F32, "data_offsets": [0, 8, 9]}}), "no tensor"),
        (file({"w": {**F32, "data_offsets": [0.0, 8.0]}}), "no tensor"),
        (file({"w" * 201: F32}), "no tensor"),
        (file({"w": 3}), "no tensor"),
        (file({str(i): F32 for i in range(10_001)}), "more than 10,000 tensors"),
        (file(b" " * (limits.CHECKPOINT_HEADER_BYTES + 1)), "more than 4,194,304 bytes"),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Problem) as e:
        safetensors_file.parse(data, "bad\x1b.safetensors")
    assert e.value.name == "bad-weights"
    assert why in e.value.message
    assert "\x1b" not in e.value.message


def test_no_byte_of_a_header_can_break_the_reader() -> None:
    whole = file({"w": F32})
    for i in range(len(whole) - 8):
        for change in (0x01, 0x20, 0x80):
            data = bytearray(whole)
            data[i] ^= change
            with contextlib.suppress(Problem):
                safetensors_file.parse(bytes(data), "x")
