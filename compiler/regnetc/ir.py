"""Networks to canonical JSON and back. Checked against `ir.schema.json` both ways.

Canonical: keys sorted, ASCII only, whole numbers as integers, no NaN, one spelling for each network:
what most networks do not have is left out where it is the usual.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from . import __version__
from .diagnostics import printable, shows
from .limits import IR_BYTES
from .network import Extras, Network, Norm, Origin, Row, Stage, Stem, usual_shortcut
from .syntax import read_literal

VERSION = 1


class IRError(Exception):
    """A text that is no IR of a network; the message stands alone."""


def to_data(network: Network) -> dict[str, Any]:
    """The network as plain data, with its counts."""
    return {
        "regnetc_ir": VERSION,
        "compiler": __version__,
        "name": network.name,
        "doc": network.doc,
        "origin": {"file": network.origin.file, "sha256": network.origin.sha256},
        "block": network.block,
        "activation": network.activation,
        "rounding": network.rounding,
        "image": network.image,
        "channels": network.channels,
        "classes": network.classes,
        "stem": {"type": network.stem.type, "w": network.stem.w},
        "stages": [_stage_data(stage) for stage in network.stages],
        "head": {"w": network.head_w, "conv": network.head > 0},
        "parameters": dict(network.parameters),
        "published": [_row_data(row) for row in network.published],
        "counts": network.counts.as_dict(),
        **_unusual(network),
    }


def _unusual(n: Network) -> dict[str, Any]:
    """What is said only where it is not the usual."""
    x = n.extras
    said = {
        "se_activation": n.se_activation,
        "norm": {"type": n.norm.type, "g": n.norm.g} if n.norm.type != "batch" else None,
        "shortcut": n.shortcut,
        "order": n.order if n.order != "post" else None,
        "tail": "activation" if n.tail else None,
        "pool": n.pool if n.pool != "avg" else None,
        "drop_path": x.drop_path or None,
        "checkpointing": x.checkpointing or None,
        "frozen": x.frozen or None,
    }
    return {k: v for k, v in said.items() if v is not None}


def _stage_data(s: Stage) -> dict[str, Any]:
    first = {"inner_first": s.inner_first} if s.inner_first != s.inner else {}
    dilated = {"dilation": list(s.dilation)} if s.dilation != (1, 1) else {}
    return {
        **first,
        **dilated,
        "w": s.w,
        "d": s.d,
        "stride": s.stride,
        "b": s.b,
        "inner": s.inner,
        "g": s.g,
        "se": list(s.se),
    }


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "source": row.source,
        "counting": row.counting,
        "image": row.image,
        "printed": dict(row.printed),
        "erratum": row.erratum,
    }


def to_json(network: Network) -> str:
    """One line of canonical JSON. Raises IRError if the schema refuses it, which is a bug of ours."""
    data = to_data(network)
    _validate(data)
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def from_json(text: str) -> tuple[Network, str]:
    """A network and the version of the compiler that wrote it. Raises IRError for anything else.

    Nothing in the text is trusted: the schema bounds every field, and what follows from other fields
    (squeezes for every block, groups that divide, the counts) is worked out again.
    """
    if len(text) > IR_BYTES:
        raise IRError(f"it holds more than {IR_BYTES:,} characters")
    try:
        data = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as e:
        raise IRError(f"it is not JSON: {printable(str(e), 100)}") from None
    _validate(data)
    network = _network(data)
    _consistent(network, data)
    return network, data["compiler"]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    x = float(text)
    if not math.isfinite(x):
        raise ValueError(f"{text[:20]} is too large")
    return x


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema = json.loads((Path(__file__).parent / "ir.schema.json").read_text("utf-8"))
    return Draft202012Validator(schema, registry=Registry())


def _validate(data: Any) -> None:
    for problem in _validator().iter_errors(data):
        where = "/".join(str(p) for p in problem.absolute_path) or "the whole"
        raise IRError(f"{printable(where)}: {printable(problem.message, 160)}")


def _network(data: dict[str, Any]) -> Network:
    return Network(
        name=data["name"],
        doc=data["doc"],
        origin=Origin(data["origin"]["file"], data["origin"]["sha256"]),
        block=data["block"],
        activation=data["activation"],
        rounding=data["rounding"],
        image=_whole(data["image"]),
        channels=_whole(data["channels"]),
        classes=_whole(data["classes"]),
        stem=Stem(data["stem"]["type"], _whole(data["stem"]["w"])),
        stages=tuple(_stage(s) for s in data["stages"]),
        head=_whole(data["head"]["w"]) if data["head"]["conv"] else 0,
        parameters=tuple(
            (k, _whole(data["parameters"][k])) for k in _ORDER if k in data["parameters"]
        ),
        published=tuple(_row(r) for r in data["published"]),
        se_activation=data.get("se_activation"),
        norm=_norm(data.get("norm")),
        shortcut=data.get("shortcut"),
        order=data.get("order", "post"),
        tail="tail" in data,
        pool=data.get("pool", "avg"),
        extras=Extras(
            float(data.get("drop_path", 0)),
            bool(data.get("checkpointing")),
            _whole(data.get("frozen", 0)),
        ),
    )


def _norm(found: dict[str, Any] | None) -> Norm:
    return Norm() if found is None else Norm(found["type"], _whole(found["g"]))


_ORDER = ("d", "w0", "wa", "wm", "g", "b", "se")
_PRINTED = ("params", "flops", "acts", "top1", "top5")


def _whole(x: Any) -> Any:
    """JSON knows one kind of number: 16.0 is the integer 16."""
    return int(x) if isinstance(x, float) and x.is_integer() else x


def _stage(s: dict[str, Any]) -> Stage:
    numbers = {k: _whole(s[k]) for k in ("w", "d", "stride", "b", "inner", "g")}
    first = _whole(s.get("inner_first", numbers["inner"]))
    dilation = tuple(_whole(x) for x in s.get("dilation", (1, 1)))
    se = tuple(_whole(x) for x in s["se"])
    return Stage(**numbers, se=se, inner_first=first, dilation=(dilation[0], dilation[1]))


def _row(r: dict[str, Any]) -> Row:
    printed = tuple((k, r["printed"][k]) for k in _PRINTED if k in r["printed"])
    return Row(r["source"], r["counting"], _whole(r["image"]), printed, r["erratum"])


def _consistent(network: Network, data: dict[str, Any]) -> None:
    w_in = network.stem.w
    for number, stage in enumerate(network.stages, 1):
        wrong = next((x for x in (stage.inner, stage.inner_first) if x % stage.g), None)
        if wrong is not None:
            raise IRError(
                f"stages/{number - 1}: {wrong} channels do not split into groups of {stage.g}"
            )
        if stage.inner_first not in (stage.inner, round(Fraction(w_in) / _ratio(stage.b))):
            raise IRError(
                f"stages/{number - 1}: {stage.inner_first} channels are not {w_in} / {stage.b}"
            )
        w_in = stage.w
        if len(stage.se) != stage.d or len(set(stage.se[1:])) > 1:
            raise IRError(f"stages/{number - 1}: its squeezes do not belong to {stage.d} blocks")
        if any(bool(se) != (network.block != "X" and any(stage.se)) for se in stage.se):
            raise IRError(
                f"stages/{number - 1}: its squeezes do not belong to {network.block} blocks"
            )
        if round(Fraction(stage.w) / _ratio(stage.b)) != stage.inner:
            raise IRError(
                f"stages/{number - 1}: {stage.inner} channels are not {stage.w} / {stage.b}"
            )
    written = dict(network.parameters)
    if "d" in written and written["d"] != sum(stage.d for stage in network.stages):
        raise IRError("parameters/d: it is not the depth of the stages")
    if "b" in written and any(stage.b != written["b"] for stage in network.stages):
        raise IRError("parameters/b: it is not that of the stages")
    if any(read_literal(text) is None for row in network.published for _, text in row.printed):
        raise IRError("published: a number is longer than any that was printed")
    if data["head"]["w"] != network.head_w:
        raise IRError("head/w: it is not the width of the last stage")
    if not all(c == "\n" or shows(c) for c in network.doc):
        raise IRError("doc: it holds characters that cannot be seen")
    _usual_left_out(network)
    if network.counts.as_dict() != data["counts"]:
        raise IRError("counts: they are not those of the network")


def _usual_left_out(n: Network) -> None:
    """One spelling for each network, and none that the language cannot say."""
    squeezes = any(any(stage.se) for stage in n.stages)
    if n.se_activation is not None and (not squeezes or n.se_activation == n.activation):
        raise IRError("se_activation: it is the usual one")
    if n.shortcut == usual_shortcut(n.block):
        raise IRError("shortcut: it is the usual one")
    if n.order == "pre" and n.block == "Z":
        raise IRError("order: a Z block has none")
    if n.extras.frozen > len(n.stages):
        raise IRError("frozen: there are not so many stages")
    if n.norm.type == "group":
        widths = [*n.stem_widths, *((n.head,) if n.head else ())]
        widths += [w for s in n.stages for w in (s.w, s.inner, s.inner_first)]
        if any(w % n.norm.g for w in widths):
            raise IRError("norm/g: it does not divide every width")


def _ratio(b: int | float) -> Fraction:
    """A bottleneck ratio exactly: 1/3 is kept as the float nearest to it."""
    return Fraction(b).limit_denominator(64) or Fraction(1, 64)
