"""The parser of `regnet.lark`, from tables made ahead of time.

Building the tables takes longer than checking all shipped specs, so they are kept beside the
grammar. They are used only if they were made from this grammar by this release of lark; otherwise
the parser is built afresh. `PYTHONHASHSEED=0 python -m
regnetc.grammar` writes them anew, the same bytes each time.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from lark import Lark, __version__

_HERE = Path(__file__).parent
_TABLES = _HERE / "regnet.tables.json"
_OPTIONS: dict[str, Any] = {
    "parser": "lalr",
    "propagate_positions": True,
    "maybe_placeholders": True,
}


@cache
def parser() -> Lark:
    """The LALR parser of the language, one for the process."""
    grammar = (_HERE / "regnet.lark").read_text("utf-8")
    try:
        tables = json.loads(_TABLES.read_bytes())
    except (OSError, ValueError):
        tables = {}
    if tables.get("made_from") == _fingerprint(grammar):
        return _restore(tables)
    return Lark(grammar, **_OPTIONS)


def tables_text() -> str:
    """What belongs in `regnet.tables.json`."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    grammar = (_HERE / "regnet.lark").read_text("utf-8")
    data, memo = Lark(grammar, **_OPTIONS).memo_serialize([TerminalDef, Rule])
    tables = {"made_from": _fingerprint(grammar), "data": data, "memo": memo}
    return json.dumps(tables, sort_keys=True, separators=(",", ":")) + "\n"


def _fingerprint(grammar: str) -> str:
    return f"lark {__version__}, sha256 {hashlib.sha256(grammar.encode()).hexdigest()}"


def _restore(tables: dict[str, Any]) -> Lark:
    # what lark's own stand-alone parsers call; `Lark.load` takes only a pickle
    restored: Lark = Lark._load_from_dict(  # type: ignore[no-untyped-call]
        _numbered(tables["data"]), _numbered(tables["memo"])
    )
    return restored


def _numbered(x: Any) -> Any:
    """JSON has no integer keys; lark's parse table and memo do."""
    if isinstance(x, dict):
        return {int(k) if k.isdecimal() else k: _numbered(v) for k, v in x.items()}
    return [_numbered(v) for v in x] if isinstance(x, list) else x


if __name__ == "__main__":
    _TABLES.write_text(tables_text(), "utf-8")
