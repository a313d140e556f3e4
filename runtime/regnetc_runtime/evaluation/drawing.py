"""What all pictures have in common: their look, their forms, and bytes that do not depend on the day."""

from __future__ import annotations

import io
import warnings
from typing import Any

from ..problems import Problem, printable, require

FORMS = (".png", ".svg", ".pdf")
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.6, "axes.titlesize": 10, "axes.titlelocation": "left", "legend.frameon": False,
    "savefig.dpi": 160, "figure.constrained_layout.use": True, "svg.hashsalt": "regnetc",
    "svg.fonttype": "path", "axes.unicode_minus": False, "text.parse_math": False,
}  # fmt: skip
# Okabe and Ito's colours, which the colour-blind can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def check_form(suffix: str) -> None:
    """Raise `no-picture` for the end of a file's name that no picture has."""
    if suffix not in FORMS:
        raise Problem(
            "no-picture", f"no picture ends in {printable(suffix) or 'nothing'}",
            help=f"let it end in {', '.join(FORMS)}",
        )  # fmt: skip


def pyplot() -> Any:
    """matplotlib, drawing into memory, in our style whatever the user's own says.

    Raises `missing-package`.
    """
    whole = require("matplotlib", "plot")
    whole.use("Agg", force=True)
    plt = require("matplotlib.pyplot", "plot")
    whole.rcdefaults()
    whole.use("Agg", force=True)
    whole.rcParams.update(_STYLE)
    return plt


def saved(plt: Any, figure: Any, form: str) -> bytes:
    """The picture as bytes; it does not say when or by which version it was made."""
    unsigned = {
        ".png": {"Software": None},
        ".svg": {"Date": None, "Creator": None},
        ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    out = io.BytesIO()
    with warnings.catch_warnings():  # a name may have letters that the font has not
        warnings.simplefilter("ignore")
        figure.savefig(out, format=form.removeprefix("."), metadata=unsigned[form])
    plt.close(figure)
    return out.getvalue()
