"""Mutants of the shipped specs, and the runner's own eye for what it is there to see."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "attacks" / "fuzz.py"


def fuzz(*options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    # in a process of its own: what the tests have imported would count as the mutants' memory
    env = {**os.environ, "PYTHONPATH": str(path)} if path else None
    command = [sys.executable, str(FUZZ), *options]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=env, timeout=300
    )


def test_no_mutant_breaks_a_rule() -> None:
    done = fuzz("-n", "300", "--seed", "0", "-j", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 mutants of seed 0: 0 broke a rule" in done.stdout


def test_a_mutant_is_known_by_its_seed_and_index() -> None:
    shown = (fuzz("--seed", seed, "--only", "7").stdout for seed in ("1", "1", "2"))
    one, again, other = (text.split("\nslowest:")[0] for text in shown)
    assert one == again != other


# What a command might do, and the rule that it breaks.
WRONGS = {
    "raise ValueError('no')": "traceback: 'ValueError: no'",
    "sys.exit(3)": "exit code 3",
    "sys.exit(1)": "refused without a message",
    "while True: pass": "slow: more than 2 s of processor time",
    "os.kill(os.getpid(), 9)": "killed by SIGKILL",
    "b = bytearray(300 << 20); b[::4096] = b'x' * len(b[::4096])": "memory: ",
    "b = bytearray(2 << 30)": "traceback: 'MemoryError'",
    "refuse('x' * 70000)": "message of 70001 bytes",
    "refuse('\\x1b[31m')": "control character U+001B in the message",
    "refuse('\\u202e')": "control character U+202E in the message",
    "os.write(2, b'\\xff'); sys.exit(1)": "message is not UTF-8",
    "refuse(f'{spec.name}:99999:1')": "position outside the file: 99999:1",
    "refuse(f'{spec.name}:1:99999')": "position outside the file: 1:99999",
    "(out / 'x.py').write_text(''); refuse('no')": "output left behind: 'x.py'",
    "Path('x').touch(); refuse('no')": "wrote to the working directory: 'x'",
    "(spec.parent / 'x').touch(); refuse('no')": "effect: writes ",
    "(out / 'x.py').write_text(open('/etc/passwd').read() * 0)": "effect: reads '/etc/passwd'",
    "os.listdir('/'); refuse('no')": "effect: reads '/'",
    "os.replace(spec, str(spec) + '2'); os.replace(str(spec) + '2', spec)": "effect: writes ",
    "os.system('true'); refuse('no')": "effect: os.system",
    "sys.exit(0)": "accepted without output",
    "(out / 'x.txt').touch()": "output 'x.txt': not a module",
    "(out / 'x.py').write_text('a b')": "output x.py: does not parse",
    "(out / 'x.py').write_text('# coding: utf-7')": "a PEP 263 cookie",
    "(out / 'x.py').write_text('x = eval(1)')": "output x.py: calls eval",
    "(out / 'x.py').write_text('import os')": "output x.py: imports os",
}
STAND_IN = """\
import os, sys
from pathlib import Path

def refuse(words):
    print(words, file=sys.stderr)
    sys.exit(1)

def main():
    spec, out = Path(sys.argv[2]), Path(sys.argv[4])
    if spec.name.startswith("m"):
        {body}
"""


@pytest.mark.parametrize("body", WRONGS)
def test_the_runner_sees(body: str, tmp_path: Path) -> None:
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(STAND_IN).format(body=body))
    done = fuzz("-n", "1", "--entry", "stand_in:main", path=tmp_path)
    assert done.returncode == 1
    assert WRONGS[body] in done.stdout
    assert "1 mutants of seed 0: 1 broke a rule" in done.stdout
