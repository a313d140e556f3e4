"""What a verb that runs networks is given: a module, or what one is compiled from in memory; and whose weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from regnetc_runtime.problems import Problem, require

from .. import zoo
from ..diagnostics import printable
from ..emit import emit
from ..names import module_name
from ..published import Publication
from ..verify import digest
from ..zoo import Entry
from . import fetch, modules, targets
from .modules import Generated

FOLDER_WEIGHTS = "model.safetensors"  # as transformers and timm call it in the folder of a network
_SUFFIXES = (".safetensors", ".pth", ".pt", ".pyth", ".torch", ".bin")


class Opened(NamedTuple):
    """A module that may be executed, and the entry of the zoo and the name that it was called by."""

    generated: Generated
    entry: Entry | None = None
    name: str = ""

    @property
    def known(self) -> Entry | None:
        """The entry of the zoo that is this network, however it was called."""
        network = self.generated.network
        if self.entry is not None or network is None:
            return self.entry
        return next((e for e in zoo.entries() if e.network.means(network)), None)


def open_network(text: str, trust: str | None = None) -> Opened:
    """The module of a generated file, a spec, an IR, a member of a population, or a network of the zoo.

    All but the first are compiled in memory. Raises Problem and SpecError with what to do.
    """
    if Path(text).suffix == ".py":
        return Opened(modules.read(Path(text), trust))
    require("torch", "run")
    target = targets.find(text, recipes=False)
    if target.network is None:
        what = "a recipe" if target.recipe is not None else "a space, not one network"
        raise Problem(
            "no-network", f"`{printable(text)}` is {what}",
            help="name a model, a member of a population, or a network of the zoo",
        )  # fmt: skip
    code = emit(target.network).encode()
    file = f"{module_name(target.stem or target.network.name.lower())}.py"
    generated = Generated(Path(text), code, target.network, digest(code), trusted=False, file=file)
    return Opened(generated, target.entry, text if target.entry is not None else "")


def located(
    weights: str | os.PathLike[str] | bool, opened: Opened
) -> tuple[Path, Publication | None]:
    """The file or folder of the weights; or the file of whoever publishes weights of the network.

    That is meant by True, where there is one file, and by a publisher's name, where no file has that name
    and the network is one of the zoo. It comes from the cache or from afar.
    """
    if isinstance(weights, bool):
        entry = opened.known
        if entry is None:
            raise Problem(
                "no-weights", f"`{printable(str(opened.generated.path))}` is no network of the zoo, whose weights are known",
                help="give a file of weights",
            )  # fmt: skip
        return _fetched(opened, entry, None)
    path = Path(weights)
    if not isinstance(weights, str) or path.is_file() or _holds_weights(path):
        return path, None
    if path.suffix in _SUFFIXES or os.sep in weights or opened.known is None:
        return path, None  # which says that it is not there
    return _fetched(opened, opened.known, weights)


def _holds_weights(folder: Path) -> bool:
    """Whether it is the folder of a run, or of a network with its weights."""
    from regnetc_runtime.training.run_folder import MANIFEST

    return (folder / MANIFEST).is_file() or (folder / FOLDER_WEIGHTS).is_file()


def _fetched(opened: Opened, entry: Entry, source: str | None) -> tuple[Path, Publication]:
    row = fetch.choose(entry, opened.name, source, "--weights")
    return fetch.get(row).path, row


def weights_file(path: Path) -> tuple[Path, Path | None]:
    """The file of the weights, and the run whose folder it was named by."""
    from regnetc_runtime.training.run_folder import MANIFEST, WEIGHTS

    if not (path / MANIFEST).is_file():
        inside = path / FOLDER_WEIGHTS
        return (inside if inside.is_file() else path), None
    if not (path / WEIGHTS).is_file():
        raise Problem(
            "unfinished-run", f"the run in {printable(str(path))} has not come to its end",
            help="`regnetc run ... --train --resume -o RUN` goes on with it; best.safetensors may be there",
        )  # fmt: skip
    return path / WEIGHTS, path
