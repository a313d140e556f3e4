"""Network to the text of a standalone PyTorch module, by one template.

Text of a spec reaches the module in two places, the docstring and the class name; `prove` shows of
every module that the rest of it is what a harmless network of the same shape would get.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

from . import __version__, ir
from .names import class_name, plain_file_name
from .network import STEM_STRIDES, Network

_COLUMNS = 100
_ACTIVATIONS = {"relu": "nn.ReLU(inplace=True)", "silu": "nn.SiLU()", "gelu": "nn.GELU()"}
_STEMS = {
    "simple": ("3x3 convolution with stride 2.", "{}, w_out, 3, stride=2, padding=1"),
    "resnet": (
        "7x7 convolution with stride 2, then 3x3 max-pooling with stride 2.",
        "{}, w_out, 7, stride=2, padding=3",
    ),
    "cifar": ("3x3 convolution with stride 1, for small images.", "{}, w_out, 3, padding=1"),
    "tiered": ("Three 3x3 convolutions with strides 2, 1 and 2, ever wider.", ""),
}
IR_PREFIX = "# network: "


def emit(network: Network) -> str:
    """The module of a network: the same text on every machine, and proved to be the template's code."""
    text = _render(network)
    prove(text, network)
    return text


class UnprovedError(AssertionError):
    """A module whose code is not the template's: a bug of ours, and nothing is written."""


def prove(text: str, network: Network) -> None:
    """Raise UnprovedError unless the code of the module is that of its harmless twin.

    The twin is the same network under the name `Net` and without a comment. Checked too: no line
    declares an encoding, bytes and text read alike, and the docstring holds the comment letter by letter.
    """
    data = text.encode()
    tree = ast.parse(text)
    if any(re.match(rb"^[ \t\f]*#.*?coding[:=]", line) for line in data.split(b"\n")[:2]):
        raise UnprovedError("its first lines declare an encoding")
    if ast.dump(ast.parse(data)) != ast.dump(tree):
        raise UnprovedError("its bytes and its text read differently")
    if network.doc and network.doc not in (ast.get_docstring(tree, clean=False) or ""):
        raise UnprovedError("its docstring is not the comment of the spec")
    twin = ast.parse(_render(network._replace(name="Net", doc="")))
    if _code(tree, class_name(network.name)) != _code(twin, "Net"):
        raise UnprovedError("its code is not that of its twin")


def _code(tree: ast.Module, name: str) -> str:
    """A module's code without docstrings, its network called `Net`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            del node.body[0]
        if isinstance(node, ast.ClassDef) and node.name == name:
            node.name = "Net"
        if isinstance(node, ast.Name) and node.id == name:
            node.id = "Net"
        if isinstance(node, ast.Constant) and node.value == name:
            node.value = "Net"  # an annotation
    return ast.dump(tree)


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - Python comes out, not HTML
        loader=FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("network.py.j2")


def _render(network: Network) -> str:
    text: str = _template().render(_view(network))
    return text


def _view(n: Network) -> dict[str, Any]:
    """What the template needs, as words and numbers that are ready to be written."""
    counts = n.counts
    sizes = _sizes(n)
    words, args = _STEMS[n.stem.type]
    origin = plain_file_name(n.origin.file)
    se = "w_se" in sizes
    return {
        "version": __version__,
        "origin": origin or "a spec",
        "digest": n.origin.sha256[:16],
        "title": n.name,
        "class_name": class_name(n.name),
        "family": _family(n),
        "like_torchvision": n.rounding == "torchvision" and "w0" in dict(n.parameters),
        "doc": _escaped(n.doc),
        "params": f"{counts.params:,}",
        "flops": f"{counts.pycls:,}",
        "as_in_pycls": _as_in_pycls(n),
        "imports": _imports(n),
        "image": n.image,
        "channels": n.channels,
        "classes": n.classes,
        "block_words": _block_words(n),
        "norm": partial(_norm, n),
        "batch_norm": n.norm.type == "batch",
        "af": _ACTIVATIONS[n.activation],
        "se_af": _ACTIVATIONS[n.se_act],
        "linear": n.block == "Z",
        "shortcut": n.carried_by,
        "pre": n.order == "pre",
        "branch": "drop_path(self.f(x), self.drop_path, self.training)"
        if n.extras.drop_path
        else "self.f(x)",
        "sum": _sum(n),
        "tail": n.tail,
        "pool": n.pool,
        "drop_path": n.extras.drop_path,
        "checkpointing": n.extras.checkpointing,
        "frozen": ", ".join(["self.stem", *(f"self.s{i}" for i in range(1, n.extras.frozen + 1))])
        if n.extras.frozen
        else "",
        "sizes": sizes,
        "inner": "w_b" if "w_b" in sizes else "w_out",
        "se": se,
        "plain": not sizes and not _split(n),
        "dilated": "dilation" in sizes,
        "stage_words": _stage_words(n, sizes),
        "stage_sizes": _stage_sizes(n, sizes),
        "first": _block_args(n, sizes, 0),
        "rest": _block_args(n, sizes, 1),
        "channels_out": _tuple(s.w for s in n.stages),
        "strides": _tuple(n.reductions),
        "stem": {
            "words": words,
            "args": args.format(n.channels),
            "tiers": n.stem.type == "tiered",
            "pool": n.stem.type == "resnet",
            "w": n.stem.w,
        },
        "stages": list(_stages(n, sizes)),
        "stage_names": ", ".join(f"s{i}" for i in range(1, len(n.stages) + 1)),
        "reductions": _and([f"1/{r}" for r in n.reductions]),
        "head": _head(n),
        "table": list(_table(n, bottleneck="w_b" in sizes)),
        "network": ir.to_json(n),
    }


def _split(n: Network) -> bool:
    """Whether the first block of a stage is of another width inside than the rest."""
    return any(s.inner_first != s.inner for s in n.stages)


def _sizes(n: Network) -> list[str]:
    """What a block is told beside its widths, stride and groups."""
    inside = any(s.inner != s.w or s.inner_first != s.w for s in n.stages)
    return [
        *(["w_b"] if inside else []),
        *(["w_se"] if any(any(s.se) for s in n.stages) else []),
        *(["dilation"] if any(s.dilation != (1, 1) for s in n.stages) else []),
    ]


def _stage_sizes(n: Network, sizes: list[str]) -> list[tuple[str, str]]:
    """The same of a stage: pairs are for the first block and for the rest."""
    pairs = {"groups", "w_b"} if _split(n) else set()
    pairs |= {"w_se", "dilation"}
    return [(k, "tuple[int, int]" if k in pairs else "int") for k in ("groups", *sizes)]


def _block_args(n: Network, sizes: list[str], at: int) -> str:
    return ", ".join(f"{k}[{at}]" if kind != "int" else k for k, kind in _stage_sizes(n, sizes))


def _stage_words(n: Network, sizes: list[str]) -> str:
    if _split(n) or "dilation" in sizes:
        return "`depth` blocks of equal width; the first has the stride and the first of each pair."
    if "w_se" in sizes:
        return (
            "`depth` blocks of equal width; the first one has the stride and squeezes to `w_se[0]`."
        )
    return "`depth` blocks of equal width; the first one has the stride."


def _block_words(n: Network) -> str:
    if n.order == "pre":
        return "shortcut(y) + f(y) of the normalised, activated y; nothing follows the sum."
    if n.block == "Z" and n.carried_by == "none":
        return "x + f(x), or f(x) alone where the shape changes; no activation at the end."
    if n.block == "Z":
        return "shortcut(x) + f(x), projecting the shortcut when the shape changes; no activation."
    if n.carried_by == "none":
        return f"{n.activation}(x + f(x)), or {n.activation}(f(x)) where the shape changes."
    how = "averaging and projecting" if n.carried_by == "avg" else "projecting"
    return f"{n.activation}(shortcut(x) + f(x)), {how} the shortcut when the shape changes."


def _sum(n: Network) -> str:
    """The shortcut and the branch of a block, added and activated."""
    branch = "branch" if n.extras.drop_path else "self.f(x)"
    if n.order == "pre":
        return f"self.proj(x) + {branch}"
    carried = f"self.bn(self.proj(x)) + {branch}"
    return carried if n.block == "Z" else f"self.af({carried})"


def _norm(n: Network, w: str) -> str:
    if n.norm.type == "batch":
        return f"nn.BatchNorm2d({w})"
    return f"nn.GroupNorm({w} // {n.norm.g}, {w})"


def _imports(n: Network) -> list[str]:
    names = ", ".join(["Tensor", *(["cat"] if n.pool == "catavgmax" else []), "nn"])
    found = [f"from torch import {names}"]
    if n.extras.checkpointing:
        found += ["from torch.jit import unused", "from torch.utils.checkpoint import checkpoint"]
    if n.extras.checkpointing and n.norm.type == "batch":
        found = [*_FOR_STATISTICS, "", *found]
    return found


_FOR_STATISTICS = (
    "from collections.abc import Iterator",
    "from contextlib import AbstractContextManager, contextmanager, nullcontext",
    "from functools import partial",
)


def _as_in_pycls(n: Network) -> bool:
    """Whether pycls can say the network, and so has a checkpoint for it."""
    return (
        n.norm.type == "batch" and n.shortcut is None and n.order == "post" and n.pool == "avg"
        and n.stem.type != "tiered" and n.se_activation is None and not n.tail and not _split(n)
        and n.classes > 0
    )  # fmt: skip


def _escaped(doc: str) -> str:
    """For the middle of a docstring: the scan has left nothing else that could end or change it."""
    return re.sub(r'"{3,}', lambda run: '\\"' * len(run.group()), doc.replace("\\", "\\\\"))


def _tuple(numbers: Any) -> str:
    items = [str(x) for x in numbers]
    return ", ".join(items) if len(items) > 1 else f"{items[0]},"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _family(n: Network) -> str:
    written = dict(n.parameters)
    if "w0" not in written:
        return f"AnyNet of {n.block} blocks, written out stage by stage."
    shown = {**{k: repr(v) for k, v in n.parameters}, "b": _number(written.get("b", 1))}
    values = [f"{k} = {shown[k]}" for k in ("d", "w0", "wa", "wm", "g", "b") if k in written]
    return f"RegNet of {n.block} blocks with {_and(values)}."


def _number(x: int | float) -> str:
    """A parameter as the paper prints it: 1/4 rather than 0.25."""
    near = Fraction(x).limit_denominator(64)
    return str(near) if near.numerator == 1 and float(near) == x else repr(x)


def _stages(n: Network, sizes: list[str]) -> Iterator[dict[str, Any]]:
    w_in = n.stem.w
    split = _split(n)
    for i, s in enumerate(n.stages, 1):
        pair = f"({s.groups_first}, {s.groups})" if split else str(s.groups)
        args = f"{w_in}, {s.w}, depth={s.d}, stride={s.stride}, groups={pair}"
        if "w_b" in sizes:
            args += f", w_b=({s.inner_first}, {s.inner})" if split else f", w_b={s.inner}"
        if "w_se" in sizes:
            args += f", w_se=({s.se[0]}, {s.se[-1]})"
        if "dilation" in sizes:
            args += f", dilation={s.dilation}"
        yield {
            "name": f"s{i}",
            "args": args,
            "input": "self.stem(x)" if i == 1 else f"s{i - 1}",
            "long": len(f"        self.s{i} = Stage({args})") > _COLUMNS,
        }
        w_in = s.w


_POOLS = {
    "avg": "global average pooling",
    "max": "global max-pooling",
    "avgmax": "the mean of global average and max-pooling",
    "catavgmax": "global average and max-pooling side by side",
}


def _head(n: Network) -> dict[str, Any]:
    last = n.stages[-1].w
    parts = [
        *(["an activation"] if n.tail else []),
        *(["1x1 convolution"] if n.head else []),
        _POOLS[n.pool],
    ]
    words = f"{', '.join(parts)} and a linear classifier."
    w = "w" if n.head else "w_in"
    return {
        "conv": n.head > 0,
        "words": words[0].upper() + words[1:],
        "init": "w_in: int, w: int" if n.head else "w_in: int",
        "w": f"2 * {w}" if n.pool == "catavgmax" else w,
        "args": f"{last}, {n.head}" if n.head else str(last),
    }


def _table(n: Network, *, bottleneck: bool) -> Iterator[str]:
    """The resolved table: output, width, blocks, stride and groups of every part."""
    columns = [
        "part",
        "output",
        "width",
        *(["inside"] if bottleneck else []),
        "blocks",
        "stride",
        "groups",
    ]
    blank = ["-"] if bottleneck else []
    parts = n.parts()
    stem_stride = str(STEM_STRIDES[n.stem.type] // (2 if n.stem.type == "resnet" else 1))
    rows = [["stem", _side(parts[0].side), str(n.stem.w), *blank, "-", stem_stride, "-"]]
    for s, part in zip(n.stages, parts[1:], strict=False):
        inner = [str(s.inner)] if bottleneck else []
        rows.append(
            [part.name, _side(part.side), str(s.w), *inner, str(s.d), str(s.stride), str(s.groups)]
        )
    rows.append(["head", _side(1), str(n.classes or n.seen), *blank, "-", "-", "-"])
    wide = [
        max(9 if k == 1 else 6, *(len(r[k]) for r in [columns, *rows])) for k in range(len(columns))
    ]
    for row in [columns, *rows]:
        cells = [
            row[0].ljust(4),
            *(cell.rjust(w) for cell, w in zip(row[1:], wide[1:], strict=True)),
        ]
        yield "   ".join(cells)


def _side(n: int) -> str:
    return f"{n} x {n}"


def own_ir(text: str) -> str | None:
    """The IR that a module carries in its last line, or None."""
    line = text.rstrip("\n").rpartition("\n")[2]
    return line[len(IR_PREFIX) :] if line.startswith(IR_PREFIX) else None
