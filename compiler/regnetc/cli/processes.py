"""The processes of one training: what each does for itself, agreed upon, and their end together."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from regnetc_runtime.problems import Problem

from ..diagnostics import printable
from . import console

if TYPE_CHECKING:
    from regnetc_runtime.training.parallel import Group
    from regnetc_runtime.training.run_folder import RunFolder

    from . import modules
    from .plans import Plan

Found = TypeVar("Found")

LAST_STREAM = 2  # the number of standard error
LOST = ("closed by peer", "reset by peer", "pair closure", "Broken pipe", "Timed out waiting")
"""What gloo says where another process is gone."""


class _FollowerError(Exception):
    """The first process has said why all of them end."""


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Processes of a group end together. Raises `lost-process` where another ended without a word."""
    from regnetc_runtime.training import parallel

    try:
        yield
    except _FollowerError:
        sys.exit(console.PROBLEMS)
    except RuntimeError as e:
        if not parallel.launched() or not any(sign in str(e) for sign in LOST):
            raise
        raise Problem(
            "lost-process",
            "another process of the run has ended, so this one cannot go on",
            details=(printable(str(e).partition("\n")[0]),),
            help="see what the other said or what killed it; --resume goes on from the last saved state",
        ) from e


def agreed(work: Callable[[], Found], group: Group) -> Found:
    """What each process does for itself. Where one cannot, the first says why, and all of them end."""
    from regnetc_runtime.training import parallel

    found, problem = None, None
    try:
        found = work()
    except Problem as e:
        problem = e
    said = parallel.said_by_all(
        None if problem is None else (problem.name, problem.message, problem.details, problem.help)
    )
    wrong = next((k for k, s in enumerate(said) if s is not None), None)
    if wrong is None:
        return cast("Found", found)
    if not group.leads:
        raise _FollowerError
    if problem is not None:
        raise problem
    name, message, details, help_ = said[wrong]
    raise Problem(name, f"process {wrong}: {message}", details=details, help=help_)


def open_run(
    stack: contextlib.ExitStack,
    plan: Plan,
    made_by: dict[str, Any],
    generated: modules.Generated,
    group: Group,
) -> tuple[RunFolder | None, bool]:
    """The run's folder for the first process, and whether the run has come to its end.

    All end here if it cannot be opened.
    """
    from regnetc_runtime.training import parallel, run_folder

    run, problem = None, None
    if group.leads:
        try:
            opened = run_folder.opened(plan.folder, made_by, generated.code, resume=plan.resume)
            run = stack.enter_context(opened)
        except Problem as e:
            problem = e
    finished = parallel.said_by_first(run.finished if run is not None else None)
    if problem is not None:
        raise problem
    if finished is None:
        raise _FollowerError
    return run, finished


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute with n threads inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fill_streams() -> None:
    """Let closed standard streams lead nowhere, and take their numbers.

    Else a file of the run could have one of these, and a library's warning would go into it.
    """
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= LAST_STREAM:
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    for fd, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", closefd=False))
