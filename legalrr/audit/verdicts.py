"""What the audit says of a cell: a verdict, the matrices behind its figures, and what they make of each rate.

consistent     a matrix fits the captions
ambiguous      a matrix fits the captions, and one fits another hypothesis that suits the whole block as well
mislabelled    no matrix fits the captions; another hypothesis fits
balance        the captions need another class balance than the other cells of the dataset
other n        the captions need fewer cases than the table says
impossible     nothing tried fits
out of range   a figure that no rate can have
unchecked      nothing to check against
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from legalrr.audit.exact import intervals
from legalrr.audit.figures import Cell
from legalrr.audit.hypotheses import Hypothesis, rates_of
from legalrr.audit.matrices import Integers
from legalrr.audit.rates import rate
from legalrr.audit.runs import Sums

Verdict = Literal[
    "consistent", "ambiguous", "mislabelled", "balance", "other n", "impossible", "out of range", "unchecked"
]
WRONG = frozenset({"mislabelled", "balance", "other n", "impossible", "out of range"})
"""Verdicts that say a caption does not hold."""
Kind = Literal["swapped captions", "no matrix", "other class shares"]
"""What kind of a caption does not hold."""
FURTHER = ("macro_f1", "accuracy", "fpr", "fnr")
"""Rates that are told beside those of the captions."""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A rate of the matrices that fit."""

    low: float
    """Its least value among them."""
    high: float
    """Its largest."""
    interval: tuple[float, float] | None
    """Exact 95 % interval, over all of them; None where there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """What the audit says of one cell."""

    cell: Cell
    verdict: Verdict
    n: int | None = None
    """Cases that were reckoned with; None where that is not known."""
    hypothesis: Hypothesis | None = None
    """What its figures are; None where no matrix fits, or matrices were not looked at."""
    support: tuple[int, int] = (0, 0)
    """How many cells of its block the hypothesis fits, and how many were looked at."""
    others: tuple[Hypothesis, ...] = ()
    """Hypotheses that fit as well and are as little far-fetched; of an ambiguous cell, those beside its captions."""
    counts: Integers | None = None
    """The matrices that fit the hypothesis, shape (6, m); None where there is no hypothesis."""
    recomputed: Mapping[str, Recomputed] = field(default_factory=dict)
    """Rate -> its values over these matrices."""
    runs: int | None = None
    """Runs that the figures are means of, as said or found."""
    sums: Sums | None = None
    """Errors over all runs."""
    detail: str = ""
    """What else there is to say, in words."""

    @property
    def kind(self) -> Kind | None:
        """Of a wrong verdict: swapped captions, where the same other captions suit most cells of the block; other class
        shares, where the captions hold with them; else no matrix, as one cell that other captions suit may be chance.
        None where no caption is wrong."""
        if self.verdict not in WRONG:
            return None
        if self.verdict == "mislabelled" and 2 * self.support[0] > self.support[1]:
            return "swapped captions"
        return "other class shares" if self.verdict == "balance" else "no matrix"


def recompute(cell: Cell, counts: Integers) -> dict[str, Recomputed]:
    """The rates of a cell's captions, and some further ones, over matrices that fit, shape (6, m)."""
    found = {}
    for name in dict.fromkeys([*rates_of(cell), *FURTHER]):
        values = rate(name, counts)
        values = values[~np.isnan(values)]
        if values.size:
            exact = intervals(name, counts)
            found[name] = Recomputed(
                low=float(values.min()),
                high=float(values.max()),
                interval=None if exact is None else (float(exact[0].min()), float(exact[1].max())),
            )
    return found


def out_of_range(cell: Cell) -> str:
    """Which figure no rate can have, in words; "" where there is none."""
    for caption, figure in cell.figures.items():
        low, high = figure.bounds(figure.scale)
        # BERTScore rescaled by a baseline, like a correlation, may lie below 0.
        least = -1.0 if caption in ("mcc", "bertscore") else 0.0
        if high < least or low > 1:
            return f"{caption} {figure.text}"
    return ""
