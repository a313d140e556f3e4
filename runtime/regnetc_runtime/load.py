"""The bytes of a generated file to a module, and the module to a network.

The bytes run as Python: whoever calls this has verified them, or was told to trust them.
"""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from .problems import Problem, printable


def load(code: bytes, path: str) -> ModuleType:
    """Execute exactly these bytes as a module whose `__file__` is `path`.

    The file itself is not looked at, and no cached bytecode is read or written. The module is not in
    `sys.modules`; its functions keep their source, which TorchScript reads. Raises `module-fails`.
    """
    module = ModuleType(Path(path).stem)
    module.__file__ = path
    try:
        program = compile(code, path, "exec", dont_inherit=True)
        lines = code.decode("utf-8", "replace").splitlines(keepends=True)
        linecache.cache[path] = (len(code), None, lines, path)  # no time: never checked on disk
        exec(program, module.__dict__)  # noqa: S102
    except (Exception, SystemExit) as e:
        raise Problem(
            "module-fails",
            f"{printable(path)} does not run: {type(e).__name__}: {printable(e)}",
            details=_where(e, path),
        ) from e
    return module


def build(module: ModuleType, classes: int | None = None, seed: int = 0) -> nn.Module:
    """The module's network with fresh weights, on the CPU; its own number of classes if None.

    The weights depend on `seed` alone, and torch's global generators stay as they are. Raises
    `no-network` where the module has no `model()` that makes one, `module-fails` where that fails.
    """
    model = getattr(module, "model", None)
    where = printable(module.__file__)
    if not callable(model):
        raise Problem(
            "no-network",
            f"{where} defines no function model()",
            help="give a file that regnetc compile wrote",
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = model() if classes is None else model(classes=classes)
    except Exception as e:
        raise Problem(
            "module-fails",
            f"model() of {where} fails: {type(e).__name__}: {printable(e)}",
            details=_where(e, str(module.__file__)),
        ) from e
    if not isinstance(net, nn.Module):
        raise Problem("no-network", f"model() of {where} makes no torch module")
    return net


def _where(e: BaseException, path: str) -> tuple[str, ...]:
    """The last line of the file that led to the error, if any did."""
    frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename == path]
    if isinstance(e, SyntaxError) and e.lineno is not None:
        return (f"line {e.lineno}: {printable((e.text or '').strip())}",)
    return tuple(f"line {f.lineno}: {printable((f.line or '').strip())}" for f in frames[-1:])
