"""No option without a test that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from regnetc.cli import main

TESTS = Path(__file__).parent
TEXT = "\n".join(
    p.read_text("utf-8") for p in sorted(TESTS.rglob("*.py")) if p.name != Path(__file__).name
) + (TESTS.parent / "README.md").read_text("utf-8")


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every verb, by the verb's name."""
    context = click.Context(main)
    waiting = [(name, main.get_command(context, name)) for name in main.list_commands(context)]
    while waiting:
        name, command = waiting.pop()
        assert command is not None
        if isinstance(command, click.Group):
            waiting += [(f"{name} {k}", c) for k, c in command.commands.items()]
        yield from ((name, p) for p in command.params if isinstance(p, click.Option))


@pytest.mark.parametrize(
    ("verb", "option"), [pytest.param(v, o, id=f"{v} {o.opts[-1]}") for v, o in options()]
)
def test_an_option_is_used_by_a_test(verb: str, option: click.Option) -> None:
    assert option.help or isinstance(option.type, click.Choice), "no help"
    used = any(f'"{o}"' in TEXT or f"{o}=" in TEXT or f" {o} " in TEXT for o in option.opts)
    assert used, f"no test says {option.opts}"
