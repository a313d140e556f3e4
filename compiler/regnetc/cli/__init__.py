"""The command line: the only place that prints, exits, or reaches for the runtime."""

from __future__ import annotations

import gc

gc.set_threshold(
    100_000
)  # a verb makes few objects and ends; looking for garbage would be 5% of it

import errno  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import Any  # noqa: E402

import click  # noqa: E402

from .. import __version__  # noqa: E402
from . import console  # noqa: E402

# Where each verb lives; a verb's module is imported when it is called for.
_VERBS = {
    "check": "check",
    "compile": "compile",
    "show": "show",
    "explain": "explain",
    "fmt": "fmt",
    "diff": "diff",
    "space": "space",
    "sample": "sample",
    "plot": "plot",
    "fit": "fit",
    "scale": "scale",
    "run": "run",
    "predict": "predict",
    "rerun": "rerun",
    "runs": "runs",
    "compare": "compare",
    "data": "data",
    "zoo": "zoo",
    "weights": "weights",
    "import": "importing",
    "export": "export",
}
_HELP = {
    "check": "Say everything that is wrong with specs.",
    "compile": "Write the PyTorch module of each model.",
    "show": "Show a network, or what is known of it on the way there.",
    "explain": "Show how each width and depth came about.",
    "fmt": "Lay out specs in the one layout.",
    "diff": "Compare two networks, spaces or recipes by meaning.",
    "space": "Say what a design space is: its size, and what refuses the rest.",
    "sample": "Draw distinct networks from a space.",
    "plot": "Draw networks against their lines, and populations.",
    "fit": "Find the quantised line that describes a network.",
    "scale": "Take a network to another cost by depth, width and resolution.",
    "run": "Verify, count, time, evaluate or train a generated module.",
    "predict": "Say what is on images.",
    "rerun": "Repeat a training run, and compare the weights bit by bit.",
    "runs": "List training runs, follow them, draw their curves.",
    "compare": "Say which of two trained networks is better, and whether that is chance.",
    "data": "Look for what is wrong with a data set, before it is trained on.",
    "zoo": "List the shipped networks; `zoo verify` recounts every published row.",
    "weights": "Say what a checkpoint is; write it in another code base's names; fetch a published one.",
    "import": "Write the network of another tool's config as a spec.",
    "export": "Write a network with its weights as the folder of another tool.",
}


class App(click.Group):
    """Verbs that load on demand, and one place where a user's mistake becomes a message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = import_module(f".{_VERBS[cmd_name]}", __name__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_HELP.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        console.prepare()
        standalone = kwargs.pop("standalone_mode", True)
        code: Any
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.stdout.flush()
        except click.exceptions.Exit as e:
            code = e.exit_code
        except click.Abort:
            console.say_error("stopped", "stopped by Ctrl-C")
            code = 130
        except click.ClickException as e:
            console.say_usage(e)
            code = e.exit_code
        except KeyboardInterrupt:
            console.say_error("stopped", "stopped by Ctrl-C")
            code = 130
        except BrokenPipeError:
            console.hush()
            code = 0
        except OSError as e:
            if e.errno != errno.ENOSPC or e.filename is not None:
                raise
            console.hush()
            console.say_error("cannot-write", "there is no room for what goes to standard output")
            code = console.PROBLEMS
        except Exception as e:
            code = console.say_problem(e)
            if code is None:
                raise
        if not standalone:
            return code
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="regnetc", message="%(prog)s %(version)s")
def main() -> None:
    """A compiler for network design spaces: .regnet specs in, standalone PyTorch modules out.

    \b
    regnetc compile spec/x400mf.regnet
    regnetc run generated/x400mf.py --eval
    """


__all__ = ["main"]
