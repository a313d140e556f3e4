"""One process, two with DDP, two with FSDP2: the same numbers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import regnetc

RELATIVE = 1e-5
HARD = [
    "ema=average(decay = 0.9, every = 2)", "precise_bn=256", "drop_path=0.1", "clip=1", "mixup=0.2", "cutmix=1",
    "erase=0.2", "optimizer=adamw(lr = 0.003, decay = 0.05, norm_decay = 0, bias_decay = 0)",
]  # fmt: skip
LAMB = ["optimizer=lamb(lr = 0.01, decay = 0.05, norm_decay = 0, bias_decay = 0)"]


def arguments(root: Path, out: Path, recipe: list[str], chunk: int = 32) -> list[str]:
    lines = ("epochs=2", f"norm_batch={chunk}", *recipe)
    sets = [part for line in lines for part in ("--set", line)]
    return [
        "run", str(root / "generated/digits.py"), "--train", "--data", "digits", "--workers", "0", *sets,
        "-o", str(out),
    ]  # fmt: skip


def together(processes: int, said: list[str]) -> subprocess.CompletedProcess[str]:
    """The command in several processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes),
        "--master-addr", "127.0.0.1", "--master-port", str(port), "-m", "regnetc", *said,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def losses(run: Path) -> list[tuple[float, float]]:
    """Training and validation loss of every epoch."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(e["loss"], e["validation_loss"]) for e in log if e["event"] == "epoch"]


@pytest.mark.parametrize(
    ("how", "recipe", "chunk"),
    [
        pytest.param("ddp", [], 32, id="ddp"),
        pytest.param("fsdp", [], 32, id="fsdp"),
        pytest.param("ddp", [], 8, id="ddp-8-chunks", marks=pytest.mark.slow),
        pytest.param("fsdp", [], 16, id="fsdp-4-chunks", marks=pytest.mark.slow),
        pytest.param("ddp", HARD, 32, id="ddp-hard", marks=pytest.mark.slow),
        pytest.param("fsdp", HARD, 32, id="fsdp-hard", marks=pytest.mark.slow),
        pytest.param("fsdp", LAMB, 32, id="fsdp-lamb", marks=pytest.mark.slow),
    ],
)
def test_two_processes_learn_what_one_learns(
    how: str, recipe: list[str], chunk: int, root: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = regnetc(*arguments(root, one, recipe, chunk))
    assert alone.code == 0, alone.err
    done = together(2, [*arguments(root, two, recipe, chunk), "--parallel", how])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    for mine, theirs in zip(losses(one), losses(two), strict=True):
        assert theirs == pytest.approx(mine, rel=RELATIVE)
    # More than was promised: the very bits.
    assert (one / "weights.safetensors").read_bytes() == (two / "weights.safetensors").read_bytes()
    manifest = json.loads((two / "manifest.json").read_text())
    assert manifest["how"]["processes"] == 2
    assert manifest["how"]["parallel"] == how


def test_chunks_that_cannot_be_shared_are_said_once(root: Path, tmp_path: Path) -> None:
    said = arguments(root, tmp_path / "run", [], 64)
    done = together(2, said)
    assert done.returncode != 0
    assert done.stderr.count("error[wrong-split]") == 1
    assert "--set norm_batch=32" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_that_is_there_is_said_once(root: Path, tmp_path: Path) -> None:
    said = arguments(root, tmp_path / "run", [])
    assert regnetc(*said).code == 0
    done = together(2, said)
    assert done.returncode != 0
    assert done.stderr.count("error[run-exists]") == 1
