"""The bytes of a config to plain data: JSON, YAML, or the literals of a Python file. Nothing is executed."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

JSON_BYTES = 4 * 1024 * 1024  # names of 20,000 classes fit
TEXT_BYTES = 128 * 1024
NESTING = 32
NODES = 20_000  # of YAML or Python
_DIGITS = 18
_PARTS = 200  # of a value that a name stands for in another


class ConfigError(Exception):
    """A config that cannot be read, or that describes no network of the language.

    `name` is stable kebab-case; the message stands alone; `details` are lines below it.
    """

    def __init__(
        self, name: str, message: str, details: tuple[str, ...] = (), help: str | None = None
    ) -> None:
        super().__init__(message)
        self.name, self.details, self.help = name, details, help


class Unread(NamedTuple):
    """What stands in a Python file in the place of a literal: its text."""

    text: str


class Called(NamedTuple):
    """A call with nothing but literals: `partial(GroupNormAct, group_size=16)`."""

    name: str
    positional: tuple[Any, ...]
    named: Mapping[str, Any]


def bad(why: str, help: str | None = None) -> ConfigError:
    return ConfigError("bad-config", why, help=help)


def text_of(data: bytes, limit: int) -> str:
    if len(data) > limit:
        raise bad(f"it is larger than {limit:,} bytes, and no config of a network is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise bad("it is not UTF-8") from None


def from_json(data: bytes) -> Any:
    """JSON in which no key comes twice and every number is one."""
    text = text_of(data, JSON_BYTES)
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_number)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as e:
        raise bad(f"it is no JSON: {_first_line(e)}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise bad("it has a key twice")
    return found


def _no_number(text: str) -> Any:
    raise bad(f"it has the number {text}, which is none")


def from_yaml(data: bytes) -> Any:
    """YAML of plain values: without anchors, tags of programs, or a key twice."""
    text = text_of(data, TEXT_BYTES)
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            "missing-package", "reading YAML needs the package yaml, which does not import",
            help="pip install 'regnetc[import]'",
        ) from None  # fmt: skip
    try:
        _check_events(yaml.parse(text, yaml.SafeLoader))
        return _plain(yaml.compose(text, yaml.SafeLoader), yaml.SafeLoader(""))
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise bad(f"it is no YAML that is read here: {_first_line(e)}") from None


def _check_events(events: Iterator[Any]) -> None:
    """Bound the depth and the number of nodes before anything is built of them."""
    depth = 0
    for count, event in enumerate(events):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") and kind != "StreamStartEvent"
        depth -= kind.endswith("EndEvent") and kind != "StreamEndEvent"
        if depth > NESTING or count > NODES:
            raise bad("it is nested too deep, or has too many parts")
        if kind == "AliasEvent":
            raise bad("it has an alias (`*name`), which no config of a network needs")


def _plain(node: Any, loader: Any) -> Any:
    """A node as plain values; only YAML's own kinds of scalar are known."""
    kind = type(node).__name__
    if node is None:
        return None
    if kind == "MappingNode":
        pairs = [(_plain(k, loader), _plain(v, loader)) for k, v in node.value]
        if not all(isinstance(k, (str, int)) for k, _ in pairs):
            raise bad("it has a key that is no word")
        return _without_repeats([(str(k), v) for k, v in pairs])
    if kind == "SequenceNode":
        return [_plain(v, loader) for v in node.value]
    value = loader.construct_object(node)
    if not isinstance(value, (str, int, float, bool, type(None))):
        return str(node.value)
    return value


class Literals(NamedTuple):
    """What a Python file assigns to names, and the lines that say something else."""

    values: dict[str, Any]
    other: tuple[str, ...]
    touched: dict[str, str]
    """Names that those lines speak of, with the line."""


def from_python(data: bytes) -> Literals:
    """The literals that a Python file assigns at its top. The file is parsed and never run."""
    tree = _parsed(text_of(data, TEXT_BYTES), "exec")
    values: dict[str, Any] = {}
    other: list[str] = []
    touched: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                values[target.id] = _value(statement.value, values)
                continue
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if statement.value is not None:
                values[statement.target.id] = _value(statement.value, values)
            continue
        line = f"line {statement.lineno}: `{_source(statement)}`"
        other.append(line)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name | ast.alias):
                name = node.id if isinstance(node, ast.Name) else node.asname or node.name
                touched.setdefault(name, line)
    return Literals(values, tuple(other), touched)


def from_call(text: str) -> Any:
    """An expression such as `RegNetCfg(depth=22, w0=24)`; nothing is called."""
    if len(text) > TEXT_BYTES:
        raise bad("it is too long")
    return _value(_parsed(text, "eval").body, {})


def _parsed(text: str, mode: str) -> Any:
    """A syntax tree of bounded depth. Python's own parser is not trusted with more."""
    depth = deepest = 0
    for c in text:
        depth = max(0, depth + (c in "([{") - (c in ")]}"))
        deepest = max(deepest, depth)
    if deepest > NESTING:
        raise bad("it is nested too deep")
    try:
        tree = ast.parse(text, mode=mode)
        _check_tree(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise bad(f"it is no Python: {_first_line(e)}") from None
    return tree


def _check_tree(tree: ast.AST) -> None:
    level, count, depth = [tree], 0, 0
    while level:
        count += len(level)
        depth += 1
        if count > NODES or depth > 4 * NESTING:
            raise bad("it is nested too deep, or has too many parts")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """A literal; `dict(...)`, names that were assigned, and sums and products of numbers with it."""
    match node:
        case ast.Constant(value=str() | bool() | int() | float() | None as value):
            return value
        case ast.Name(id=name) if name in known and _is_small(known[name]):
            return known[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, known) for item in items]
        case ast.Dict(keys=keys, values=values):
            pairs = [
                (_value(k, known) if k else None, v) for k, v in zip(keys, values, strict=True)
            ]
            if all(isinstance(k, str) for k, _ in pairs):
                return {k: _value(v, known) for k, v in pairs}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=words):
            if all(w.arg is not None for w in words):
                return {w.arg: _value(w.value, known) for w in words}
        case ast.Call(func=ast.Name(id=name), args=given, keywords=words):
            if all(w.arg is not None for w in words):
                positional = tuple(
                    a.id if isinstance(a, ast.Name) else _value(a, known) for a in given
                )
                return Called(name, positional, {str(w.arg): _value(w.value, known) for w in words})
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand, known)
            if _is_number(number):
                return -number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            a, b = _value(left, known), _value(right, known)
            if _is_number(a) and _is_number(b):
                return _ARITHMETIC[type(op)](a, b)
    return Unread(_source(node))


def _is_small(value: object) -> bool:
    """Whether a value has few parts, so that names of names of lists stay bounded."""
    waiting, count = [value], 0
    while waiting:
        count += 1
        one = waiting.pop()
        parts = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += list(parts)
        if count + len(waiting) > _PARTS:
            return False
    return True


def _is_number(value: object) -> bool:
    """A number of a size that can do no harm."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 10**_DIGITS
    )


def _source(node: ast.AST) -> str:
    text = ast.unparse(node).partition("\n")[0]
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first_line(e: BaseException) -> str:
    return (str(e).partition("\n")[0] or type(e).__name__)[:120]
