"""Generated files for verbs that run them: verified first, then handed on as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regnetc_runtime.problems import Problem, require

from ..diagnostics import printable
from ..limits import GENERATED_BYTES
from ..network import Network
from ..program import UnreadableError, read_bytes
from ..verify import UnverifiedError, digest, verify
from . import console

if TYPE_CHECKING:
    from regnetc_runtime.weights import Weights
    from torch import nn

_SHOWN_DIGITS = 16


@dataclass(frozen=True)
class Generated:
    """A module's bytes, the network that it says it is, and whether that was proved.

    `path` is what the user called it by: a generated file, or a spec or a name that was compiled in memory.
    """

    path: Path
    code: bytes
    network: Network | None
    digest: str
    trusted: bool
    file: str
    """The name of the file, or of that which `compile` would write."""


def read(path: Path, trust: str | None) -> Generated:
    """A file that may be executed: verified, or trusted by its digest. Raises Problem otherwise."""
    require("torch", "run")
    shown = printable(str(path))
    try:
        data = read_bytes(str(path), GENERATED_BYTES)
    except UnreadableError as e:
        raise Problem("unreadable", str(e), help="`regnetc compile` writes modules") from None
    if len(data) > GENERATED_BYTES:
        raise Problem("too-large", f"`{shown}` is larger than any generated file")
    try:
        return Generated(path, data, verify(data), digest(data), trusted=False, file=path.name)
    except UnverifiedError as e:
        if trust is not None and len(trust) >= _SHOWN_DIGITS and e.digest.startswith(trust.lower()):
            return Generated(path, data, e.network, e.digest, trusted=True, file=path.name)
        raise _refused(shown, e, trust) from None


def _refused(shown: str, e: UnverifiedError, trust: str | None) -> Problem:
    remedies = {
        "changed": "`regnetc compile` writes it again from its spec",
        "other-version": "`regnetc compile` writes it again; `regnetc diff` shows what that changes",
        "not-generated": "`regnetc compile` writes modules from specs",
    }
    details = [f"its SHA-256 is {e.digest}"]
    if trust is not None:
        details.append("that is not the digest that was trusted")
    insist = f"if you have read it and want it to run: --trust {e.digest[:_SHOWN_DIGITS]}"
    return Problem(
        e.name, f"`{shown}` is refused: {e}", details=details, help=f"{remedies[e.name]};\n{insist}"
    )


def build(generated: Generated, seed: int = 0) -> nn.Module:
    """The network of a verified or trusted file, on the CPU, with fresh weights."""
    from regnetc_runtime import load

    return load.build(load.load(generated.code, str(generated.path)), seed=seed)


def resolved(generated: Generated) -> Network:
    """The network that the file says it is; a trusted file may not say."""
    if generated.network is None:
        shown = printable(str(generated.path))
        message = f"`{shown}` does not say what network it is"
        raise Problem(
            "not-generated", message, help="only a file that regnetc wrote can be evaluated"
        )
    return generated.network


def load_weights(net: nn.Module, network: Network | None, path: Path) -> Weights:
    """Read weights in anybody's names into a network, and warn of what is odd about them.

    Raises what `weights.read` and `weights.load_into` raise; where the weights are those of another
    network, the problem says in what that one differs.
    """
    from regnetc_runtime import weights

    loaded = weights.read(path)
    for note in loaded.notes:
        console.say_warning(f"{printable(str(path))}: {note}")
    put(net, network, loaded)
    return loaded


def put(net: nn.Module, network: Network | None, loaded: Weights) -> None:
    """Load weights into a network. Raises what `weights.load_into` raises, with what differs."""
    from regnetc_runtime import weights

    try:
        weights.load_into(net, loaded)
    except Problem as e:
        if e.name != "wrong-weights" or network is None:
            raise
        details = _other_network(network, loaded)
        raise Problem(e.name, e.message, details=details or e.details, help=e.help) from e


SHOWN_DIFFERENCES = 12


def _other_network(wanted: Network, loaded: Weights) -> list[str]:
    """Which network the weights are of, and in what it differs; nothing where that is not to be seen."""
    from ..lift import LiftError, lift
    from .diff import differences

    try:
        found = lift({k: tuple(t.shape) for k, t in loaded.tensors.items()})
    except LiftError:
        return []
    name = found.entries[0].network.name if found.entries else "another network"
    rows = [
        f"{what}: {there} there, {here} here"
        for what, here, there in differences(wanted, found.network)
        if not what.startswith(("s", "total", "head")) or "[" in what
    ]
    more = len(rows) - SHOWN_DIFFERENCES
    rows = [*rows[:SHOWN_DIFFERENCES], *([f"and {more} more"] if more > 0 else [])]
    return [f"they are those of {name}", *rows]
