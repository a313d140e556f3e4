"""Images that cannot be read: what is done about them, and when there are too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..limits import BAD_IMAGES, NAMES_SHOWN
from ..problems import Problem, printable
from .parts import Part

GONE = frozenset({"no-such-file", "cannot-read", "not-a-file"})
UNREADABLE = GONE | {"bad-image", "too-large"}
PROBED = 32


class Failure(NamedTuple):
    """An image that could not be read, and the problem that it raised."""

    name: str
    problem: str
    message: str
    help: str | None

    @classmethod
    def of(cls, name: str, problem: Problem) -> Failure:
        """A problem as data, which goes from one process to another."""
        return cls(name, problem.name, problem.message, problem.help)

    def raised(self) -> Problem:
        """The problem again."""
        return Problem(self.problem, self.message, help=self.help)


@dataclass(slots=True, eq=False)
class BadImages:
    """What a run does with images that cannot be read; `found` says why, by name, for all so far.

    `replace` takes the next image of the part that can be read, with its label, as training does;
    else the image is left out. Up to the share `limit` of a part's images may be bad, and
    `BAD_IMAGES` in any case; with a limit of 0 none may. `tell` is called once per image with its
    name and why it is bad. For a run that goes on, give the `found` of its first part.
    """

    limit: float = 0.001
    replace: bool = True
    tell: Callable[[str, str], None] | None = None
    found: dict[str, str] = field(default_factory=dict)

    def allowed(self, images: int) -> int:
        """How many of so many images may be bad."""
        return max(BAD_IMAGES, int(self.limit * images)) if self.limit > 0 else 0

    def add(self, failures: Sequence[Failure], part: Part) -> tuple[str, ...]:
        """Note images that could not be read; the names of those that are new.

        Raises `too-many-bad-images`, `vanished-data`, and with a limit of 0 what the image raised.
        """
        new = {f.name: f for f in failures if f.name not in self.found}
        if any(f.problem in GONE for f in new.values()):
            self.check_there(part)
        self.found.update({name: failure.message for name, failure in new.items()})
        if new and len(self.found) > self.allowed(len(part.labels)):
            if self.limit == 0:
                raise next(iter(new.values())).raised()
            raise self.too_many(part)  # which names them
        for name, failure in new.items():
            if self.tell is not None:
                self.tell(name, failure.message)
        return tuple(new)

    def too_many(self, part: Part) -> Problem:
        """The problem of more bad images than are bearable; it names some."""
        reasons = list(self.found.values())
        more = len(reasons) - NAMES_SHOWN
        return Problem(
            "too-many-bad-images",
            f"{len(reasons):,} of {len(part.labels):,} images cannot be read, "
            f"bearable are {self.allowed(len(part.labels)):,}",
            details=[*reasons[:NAMES_SHOWN], *([f"and {more:,} more"] if more > 0 else [])],
            help="`regnetc data check` finds all of them",
        )

    def check_there(self, part: Part) -> None:
        """Raise `vanished-data` if none of some images, taken from all over the part, is there."""
        for index in np.linspace(0, len(part.labels) - 1, PROBED).astype(int).tolist():
            try:
                part.image(index)
            except Problem as e:
                if e.name not in GONE:
                    return
            else:
                return
        raise Problem(
            "vanished-data",
            f"the images are gone: {printable(part.name(0))} and {PROBED - 1} others are not there",
            help="see whether the disk is still mounted; a training goes on from where it was saved",
        )
