"""torch.hub: a function for every network of the zoo, under each of its names.

torch.hub.load("path/to/regnetc", "regnetx_400mf", source="local", weights="pycls")
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _folder in ("runtime", "compiler"):  # the repository itself, which nobody has to install
    sys.path.insert(0, str(Path(__file__).resolve().parent / _folder))

import regnetc as _regnetc  # noqa: E402
from regnetc import zoo as _zoo  # noqa: E402

dependencies = ["torch", "click", "jinja2", "jsonschema", "lark", "numpy", "safetensors"]


def _entry_point(word: str, name: str) -> Callable[..., Any]:
    entry = _zoo.find(name)

    def network(
        weights: str | None = None,
        *,
        pretrained: bool = False,
        classes: int | None = None,
        device: str = "cpu",
    ) -> Any:
        return _regnetc.load(name, weights or pretrained, classes=classes, device=device)

    network.__name__ = network.__qualname__ = word
    network.__doc__ = (
        f"{entry.network.name}, also called {', '.join(entry.names)}.\n\n"
        "`weights` is a file, or whose published weights to fetch; `pretrained` takes the only ones.\n"
        "With `classes` the classifier is made anew where the weights have another."
    )
    return network


def _words() -> dict[str, str]:
    """Names of the zoo as words of Python: `regnetx_400mf` for RegNetX-400MF."""
    found: dict[str, str] = {}
    for entry in _zoo.entries():
        for name in entry.names:
            plain = name if name in (entry.stem, entry.network.name) else name.partition(".")[0]
            word = plain.lower().replace("-", "_").replace(".", "_")
            if word.isidentifier():
                found.setdefault(word, plain)
    return found


for _word, _name in _words().items():
    globals()[_word] = _entry_point(_word, _name)
