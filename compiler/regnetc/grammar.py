"""The parser of `regnet.lark`, from tables made ahead of time.

Building the tables takes longer than checking all shipped specs, so they are kept in `tables.py`.
They are used only if they were made from this grammar by this release of lark; otherwise the parser
is built afresh. `python -m regnetc.grammar` writes them.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from lark import Lark, __version__

_HERE = os.path.dirname(__file__)
_OPTIONS: dict[str, Any] = {
    "parser": "lalr",
    "propagate_positions": True,
    "maybe_placeholders": True,
}


@cache
def parser() -> Lark:
    """The LALR parser of the language, one for the process."""
    from . import tables

    grammar = grammar_text()
    if (__version__, grammar) != (tables.LARK, tables.GRAMMAR):
        return Lark(grammar, **_OPTIONS)
    # what lark's own stand-alone parsers call; `Lark.load` takes only a pickle
    restored: Lark = Lark._load_from_dict(tables.DATA, tables.MEMO)  # type: ignore[no-untyped-call]
    return restored


def grammar_text() -> str:
    with open(os.path.join(_HERE, "regnet.lark"), encoding="utf-8") as file:
        return file.read()


def tables_text() -> str:
    """What belongs in `tables.py`."""
    import pprint

    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    grammar = grammar_text()
    data, memo = Lark(grammar, **_OPTIONS).memo_serialize([TerminalDef, Rule])
    values = {"LARK": __version__, "GRAMMAR": grammar, "DATA": data, "MEMO": memo}
    lines = [
        f"{name}: Any = {pprint.pformat(value, width=96, compact=True)}\n"
        for name, value in values.items()
    ]
    head = '"""Parse tables of regnet.lark, written by `python -m regnetc.grammar`."""\n\nfrom typing import Any\n\n'
    return head + "".join(lines)


if __name__ == "__main__":
    from pathlib import Path

    Path(_HERE, "tables.py").write_text(tables_text(), "utf-8")
