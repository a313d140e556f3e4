from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from regnetc_runtime import safetensors_file
from regnetc_runtime.problems import Problem
from regnetc_runtime.training import checkpoint
from regnetc_runtime.training.average import Average
from regnetc_runtime.training.checkpoint import Checkpoint
from regnetc_runtime.training.optimizer import optimizer
from regnetc_runtime.training.recipe import Call
from regnetc_runtime.training.state import Epoch, State
from torch import Tensor, nn

ADAM: dict[str, Any] = {
    "lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "decay": 0.1, "norm_decay": 0.0, "bias_decay": 0.0,
}  # fmt: skip
SGD: dict[str, Any] = {
    "lr": 0.1, "momentum": 0.9, "nesterov": 1, "decay": 0.1, "norm_decay": 0.0, "bias_decay": 0.0,
}  # fmt: skip


def state_of(step: int, value: float = 1.0, **facts: object) -> Checkpoint:
    tensors = {"net.a": torch.full((3, 2), value), "sums": torch.arange(3, dtype=torch.float64)}
    return Checkpoint(tensors, {"step": step, **facts})


def put(folder: Path, step: int, tensors: dict[str, Tensor], facts: bytes) -> Path:
    """A file with a sound name and any content."""
    held = torch.frombuffer(bytearray(facts), dtype=torch.uint8)
    data = safetensors_file.encode({**tensors, "facts": held}, {})
    path = folder / f"{step:010}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors"
    path.write_bytes(data)
    return path


def names(folder: Path) -> list[int]:
    return sorted(int(p.name[:10]) for p in folder.iterdir())


def test_what_is_saved_is_found(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) == (None, [])
    saved = state_of(7, history=[{"loss": 0.1}], text='"\n\0é')
    checkpoint.save(tmp_path, 7, saved, 2)
    found, damaged = checkpoint.latest(tmp_path)
    assert found is not None
    assert damaged == []
    assert found.facts == saved.facts
    assert found.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(t, saved.tensors[n]) for n, t in found.tensors.items())


def test_the_same_state_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = checkpoint.save(tmp_path, 7, state_of(7), 2)
    other = checkpoint.save(tmp_path / "other", 7, state_of(7), 2)
    assert (one.name, one.read_bytes()) == (other.name, other.read_bytes())


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_last_few_stay(keep: int, tmp_path: Path) -> None:
    put(tmp_path, 110, {}, b'{"step": 1}')
    for step in range(1, 11):
        checkpoint.save(tmp_path, step, state_of(step), keep)
        kept = [n for n in names(tmp_path) if n <= step]
        assert kept == list(range(max(1, step - keep + 1), step + 1))
    assert names(tmp_path)[-1] == 110, "a later one, which was passed over, is not ours to delete"


def test_a_state_that_was_passed_over_does_not_cost_the_new_one(tmp_path: Path) -> None:
    """With `keep` 1, a damaged file of a later step is not taken for the last state."""
    later = checkpoint.save(tmp_path, 9, state_of(9), 1)
    later.write_bytes(later.read_bytes()[:-1])
    checkpoint.save(tmp_path, 5, state_of(5), 1)
    found, damaged = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts["step"] == 5
    assert damaged == [later.name]


def test_damaged_states_make_room(tmp_path: Path) -> None:
    """Once there is a later state; they do not count as one of those that stay."""
    for step in (3, 4, 6):
        checkpoint.save(tmp_path, step, state_of(step), 3)
    damaged = [p.name for p in tmp_path.iterdir() if int(p.name[:10]) > 3]
    checkpoint.save(tmp_path, 5, state_of(5), 2, damaged)
    assert names(tmp_path) == [3, 5, 6]
    checkpoint.save(tmp_path, 7, state_of(7), 2, damaged)
    assert names(tmp_path) == [5, 7]


def test_two_states_of_one_step(tmp_path: Path) -> None:
    """The one just written stays, whatever its digest."""
    for value in range(8):
        path = checkpoint.save(tmp_path, 3, state_of(3, value), 1)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 3, state_of(3), 2)
    before = checkpoint.save(tmp_path, 2, state_of(2), 2)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found, damaged = checkpoint.latest(tmp_path)
        assert found is not None
        assert (found.facts["step"], damaged) == (2, [path.name])
    for length in range(0, len(data), 11):
        path.write_bytes(data[:length])
        assert checkpoint.latest(tmp_path)[1] == [path.name]
    path.write_bytes(data)
    assert checkpoint.latest(tmp_path)[1] == []
    assert before.exists()


def test_thousands_of_epochs(tmp_path: Path) -> None:
    """A history that would not fit a header."""
    epoch = Epoch(1, 1, 2.0, 10.0, 0.1, 2.0, 10.0, None, 1234.5, 1.5, 1000.0).to_json()
    saved = state_of(5, history=[epoch] * 30_000)
    checkpoint.save(tmp_path, 5, saved, 1)
    found, damaged = checkpoint.latest(tmp_path)
    assert (found is not None, damaged) == (True, [])


def test_files_of_a_stranger(tmp_path: Path) -> None:
    """None of them is taken, none is touched."""
    for name in ("notes.txt", "1-2.safetensors", f"{1:010}-{'g' * 32}.safetensors"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / f"{8:010}-{'0' * 32}.safetensors").mkdir()
    assert checkpoint.latest(tmp_path) == (None, [])
    huge = (2**63).to_bytes(8, "little") + b"{}"
    bad = [tmp_path / f"{5:010}-{hashlib.sha256(huge).hexdigest()[:32]}.safetensors"]
    bad[0].write_bytes(huge)
    wide = {f"t{k}": torch.zeros(1) for k in range(10_001)}
    bad.append(put(tmp_path, 6, wide, b"{}"))
    for k, facts in enumerate(
        (b"{", b"[]", b"7", b"null", b"\xff", b"{}", b'{"step": 8}', b"[" * 99_999)
    ):
        bad.append(put(tmp_path, 10 + k, {}, facts))
    other = {"facts": torch.zeros(2)}
    data = safetensors_file.encode(other, {})
    bad.append(tmp_path / f"{30:010}-{hashlib.sha256(data).hexdigest()[:32]}.safetensors")
    bad[-1].write_bytes(data)
    (tmp_path / f"{40:010}-{'1' * 32}.safetensors").symlink_to("/dev/zero")
    before = sorted(tmp_path.iterdir())
    found, damaged = checkpoint.latest(tmp_path)
    assert found is None
    assert set(damaged) == {p.name for p in bad} | {f"{40:010}-{'1' * 32}.safetensors"}
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot be read"):
        checkpoint.latest(tmp_path / "none")
    with pytest.raises(Problem) as e:
        checkpoint.save(tmp_path / "none", 1, state_of(1), 1)
    assert e.value.name == "cannot-write"


# The state of a training, to a checkpoint and back


def made(said: Call, *, average: bool) -> State:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    return State(
        net=net,
        optimizer=optimizer(net, said, 0.1),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        average=Average(net, 0.9, 1) if average else None,
        sums=torch.zeros(3, dtype=torch.float64),
    )


def learn(state: State, steps: int) -> None:
    for _ in range(steps):
        x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(state.step))
        loss = state.net(x).square().mean()
        state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        state.optimizer.step()
        state.sums += loss.detach()
        state.step += 1
        if state.average is not None:
            state.average.update(state.step, warm=True)


CALLS = [
    Call("sgd", SGD),
    Call("sgd", {**SGD, "momentum": 0}),
    Call("adamw", ADAM),
    Call("lamb", ADAM),
]


@pytest.mark.parametrize("said", CALLS)
@pytest.mark.parametrize("average", [False, True])
def test_a_state_goes_on_to_the_bit(said: Call, average: bool, tmp_path: Path) -> None:
    """Five steps are two, a file, and three."""
    whole, first, second = (made(said, average=average) for _ in range(3))
    learn(whole, 5)
    learn(first, 2)
    first.history.append(Epoch(1, 1, 2.0, 10.0, 0.1, None, 10.0, None, 1, 1.5, 1000.0))
    first.unreadable.append("a\udcff.jpg")
    first.split = 2
    checkpoint.save(tmp_path, 2, first.save(), 1)
    found, _ = checkpoint.latest(tmp_path)
    assert found is not None
    second.restore(found)
    assert (second.step, second.split, second.unreadable) == (2, 2, ["a\udcff.jpg"])
    assert second.history == first.history
    learn(second, 3)
    one, other = whole.save().tensors, second.save().tensors
    assert one.keys() == other.keys()
    assert all(torch.equal(t, other[n]) for n, t in one.items())


def changed(found: Checkpoint, what: str, value: object) -> Checkpoint:
    tensors, facts = dict(found.tensors), dict(found.facts)
    if isinstance(value, Tensor):
        tensors[what] = value
    elif what in tensors:
        del tensors[what]
    elif value is None and what in facts:
        del facts[what]
    else:
        facts[what] = value
    return Checkpoint(tensors, facts)


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("net.0.weight", torch.zeros(4, 1, 5, 5)),
        ("net.0.weight", torch.zeros(4, 1, 3, 3, dtype=torch.float64)),
        ("net.0.weight", None),
        ("net.9.weight", torch.zeros(1)),
        ("average.0.weight", None),
        ("optimizer.0.weight/momentum_buffer", torch.zeros(2)),
        ("optimizer.0.weight/exp_avg", torch.zeros(9, 9)),
        ("optimizer.nobody/momentum_buffer", torch.zeros(2)),
        ("sums", torch.zeros(4, dtype=torch.float64)),
        ("step", None), ("step", -1), ("step", 2.5), ("step", True), ("step", "2"), ("step", [2]),
        ("split", None), ("split", -1), ("split", {}),
        ("history", None), ("history", 5), ("history", [5]), ("history", [{}]), ("history", ["x"]),
        ("history", [{**Epoch(1, 1, 2.0, 1.0, 0.1, None, None, None, 1, 1, 1).to_json(), "loss": "x"}]),
        ("history", [{**Epoch(1, 1, 2.0, 1.0, 0.1, None, None, None, 1, 1, 1).to_json(), "loss": None}]),
        ("history", [{**Epoch(1, 1, 2.0, 1.0, 0.1, None, None, None, 1, 1, 1).to_json(), "more": 1}]),
        ("unreadable", None), ("unreadable", 5),
        ("scaler", None),
    ],
)  # fmt: skip
def test_a_state_of_another_training_is_refused(what: str, value: object) -> None:
    state = made(CALLS[0], average=True)
    learn(state, 2)
    found = changed(state.save(), what, value)
    with pytest.raises(Problem, match="that of another training") as e:
        made(CALLS[0], average=True).restore(found)
    assert e.value.name == "changed-run"


def test_facts_are_plain_json(tmp_path: Path) -> None:
    """Nothing in a file is code."""
    state = made(CALLS[2], average=True)
    learn(state, 1)
    path = checkpoint.save(tmp_path, 1, state.save(), 1)
    tensors, meta = safetensors_file.parse(path.read_bytes(), path.name)
    assert meta == {}
    facts = json.loads(tensors["facts"].numpy().tobytes())
    assert facts["step"] == 1
