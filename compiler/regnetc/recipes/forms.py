"""What a value of a recipe may be: a number, numbers, a word, a call; and how that is said."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

REQUIRED = "required"
"""The default of a field or an argument that has to be given."""


class Number(NamedTuple):
    """Numbers from `low` to `high`; `above` and `below` leave out the ends themselves."""

    low: Fraction | int
    high: Fraction | int
    whole: bool = False
    above: bool = False
    below: bool = False

    def holds(self, x: Fraction) -> bool:
        """Whether a number lies in the range; a float that is written as an end is that end."""
        parts = (Fraction(end) for end in (self.low, self.high) if not isinstance(end, int))
        x = next((end for end in parts if float(x) == float(end)), x)
        low = self.low < x if self.above else self.low <= x
        return low and (x < self.high if self.below else x <= self.high)

    @property
    def text(self) -> str:
        """What a number may be, in words."""
        return f"{'a whole number' if self.whole else 'a number'} {self.ends}"

    @property
    def ends(self) -> str:
        """The range in words."""
        if self.above:
            return f"above {_shown(self.low)}, at most {_shown(self.high)}"
        end = f", below {_shown(self.high)}" if self.below else f" to {_shown(self.high)}"
        return f"from {_shown(self.low)}{end}"


class Numbers(NamedTuple):
    """A list of `least` to `most` numbers. `single`: one number alone stands for a list of it."""

    each: Number
    least: int
    most: int
    increasing: bool = False
    single: bool = False

    @property
    def text(self) -> str:
        """What the list may be, in words."""
        many = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
        order = " increasing" if self.increasing else ""
        alone = "one number, or " if self.single else ""
        return f"{alone}a list of {many}{order} numbers {self.each.ends}"


class Words(NamedTuple):
    """One of some words."""

    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """What the word may be."""
        return f"one of {', '.join(self.words)}"


class Entry(NamedTuple):
    """A field of a recipe or an argument of a function.

    `default` is `REQUIRED` where there is none. `none` says what the word `none` means, empty where it
    is no value. `like` names the argument whose value this one takes where nothing is said.
    """

    name: str
    meaning: str
    form: Number | Numbers | Words | Calls
    default: int | float | str | tuple[float, ...] | None = REQUIRED
    none: str = ""
    like: str = ""

    @property
    def required(self) -> bool:
        """Whether a recipe has to say it."""
        return self.default == REQUIRED and not self.like

    @property
    def text(self) -> str:
        """What the value may be, in words."""
        return f"{self.form.text}; or none, {self.none}" if self.none else self.form.text


class Function(NamedTuple):
    """A function that a field may call, such as `sgd`."""

    name: str
    meaning: str
    arguments: tuple[Entry, ...]

    @property
    def example(self) -> str:
        """How it is called with nothing but what it needs."""
        needed = ", ".join(f"{a.name} = ..." for a in self.arguments if a.required)
        return f"{self.name}({needed})" if needed else self.name


class Calls(NamedTuple):
    """A call of one of some functions."""

    functions: tuple[Function, ...]

    @property
    def text(self) -> str:
        """Which functions there are."""
        return f"one of {', '.join(f.name for f in self.functions)}"


def _shown(x: Fraction | int) -> str:
    value = Fraction(x)
    return f"{value.numerator:,}" if value.denominator == 1 else f"{float(value):g}"
