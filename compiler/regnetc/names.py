"""What the class and the file of a model are called: total, and safe for Python and any file system."""

from __future__ import annotations

import builtins
import keyword
import re
import sys

# What the template defines or imports, and so no network may be called.
TEMPLATE_NAMES = frozenset(
    "Tensor nn model initialize Block Bottleneck Head SqueezeExcitation Stage Stem"
    " CHANNELS STRIDES cat checkpoint drop_path recomputed unused once_more still partial Iterator"
    " AbstractContextManager contextmanager nullcontext".split()
)
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)  # fmt: skip
_MODULES = frozenset(
    ("torch", "torchvision", "timm", "numpy", "regnetc", "regnetc_runtime", "site", "conftest")
)


def class_name(title: str) -> str:
    """`RegNetX-1.6GF` is the class `RegNetX1_6GF`; a name that is taken gets `Net` behind it."""
    name = "".join(part[:1].upper() + part[1:] for part in title.split("-")).replace(".", "_")[:60]
    taken = keyword.iskeyword(name) or name in TEMPLATE_NAMES or hasattr(builtins, name)
    return f"{name}Net" if taken else name


def module_name(stem: str) -> str:
    """The stem of the generated file: `x1.6gf` becomes `x1_6gf`, `torch` becomes `torch_net`."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_") or "network"
    if name[0].isdigit():
        name = f"net_{name}"
    taken = (
        keyword.iskeyword(name)
        or keyword.issoftkeyword(name)
        or name.lower() in sys.stdlib_module_names
        or name.lower() in _DEVICES
        or name.lower() in _MODULES
    )
    return f"{name[:100]}_net" if taken else name[:100]


def plain_file_name(name: str) -> str:
    """A file name fit for the first line of a generated file, or nothing: no cookie, no odd letters."""
    return name if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name) and "coding" not in name else ""
