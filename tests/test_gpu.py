"""The loops over devices on a GPU: `pytest -m gpu` where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_cli import regnetc

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


def digits(root: Path, out: Path, *more: str) -> dict[str, object]:
    """The digits trained for a few epochs; what the command says of the run."""
    ran = regnetc(
        "run", root / "generated/digits.py", "--train", "--eval", "--data", "digits",
        "--device", "cuda", "--set", "epochs=4", "-o", out, "--json", *more,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (run,) = ran.json["runs"]
    return dict(run)


@pytest.mark.parametrize(
    "how",
    [
        [], ["--dtype", "bf16"], ["--dtype", "fp16"], ["--channels-last"], ["--compile"],
        ["--dtype", "bf16", "--channels-last", "--compile"],
    ],
)  # fmt: skip
def test_it_trains_in_every_way(how: list[str], root: Path, tmp_path: Path) -> None:
    run = digits(root, tmp_path / "run", *how)
    test = run["test"]
    assert isinstance(test, dict)
    assert test["top1"] > 60


def test_it_repeats_itself_when_asked_to(root: Path, tmp_path: Path) -> None:
    runs = [digits(root, tmp_path / name, "--deterministic") for name in "ab"]
    assert runs[0]["weights"] == runs[1]["weights"]


def test_losses_are_those_of_a_cpu(root: Path, tmp_path: Path) -> None:
    digits(root, tmp_path / "gpu", "--deterministic", "--set", "epochs=1")
    ran = regnetc(
        "run", root / "generated/digits.py", "--train", "--data", "digits", "--device", "cpu",
        "--set", "epochs=1", "-o", tmp_path / "cpu",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    first = [
        json.loads((tmp_path / name / "log.jsonl").read_text().split("\n")[0])["loss"]
        for name in ("gpu", "cpu")
    ]
    assert first[0] == pytest.approx(first[1], rel=0.02)


def test_it_is_timed_in_every_way(root: Path) -> None:
    for how in ([], ["--dtype", "bf16"], ["--dtype", "fp16", "--channels-last"]):
        ran = regnetc(
            "run", root / "generated/x400mf.py", "--eval", "--device", "cuda", "--batch", "8", "--json", *how
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert ran.json["speed"]["peak_memory_bytes"] > 0
