"""Prevalence: the share of positive cases that the rates of a cell need, whatever the number of cases.

With FPR and FNR printed, every other figure depends only on the share of positives. Rates of one set of cases need one
share, whatever n is; a table whose rows need different shares was not computed on one set of cases by its captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.audit.hypotheses import GOLD_SIDE
from legalrr.audit.rates import SLACK, rate
from legalrr.audit.reported_cells import Figure, ReportedCell, join_words

STEPS = 20_000
"""Shares that are tried; between two neighbours a figure is assumed to be monotone."""
BOUNDED = frozenset(
    {"macro_f1", "weighted_f1", "f1_positive", "f1_negative", "accuracy", "micro_f1", "ppv", "npv", "fdr"}
)
"""Figures that are monotone in FPR and in FNR, so that the corners of both bound them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Needed:
    """Shares of positives under which a cell's captions hold."""

    cell: ReportedCell
    fit: npt.NDArray[np.bool_]
    """Whether they hold with a share in the i-th of `STEPS` equal parts of 0 to 1, shape (STEPS,)."""

    def ranges(self) -> list[tuple[float, float]]:
        """Intervals of shares that fit, the lowest first."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.fit, [False]]).astype(np.int8)))
        return [(float(low / STEPS), float(high / STEPS)) for low, high in edges.reshape(-1, 2)]

    def __str__(self) -> str:
        """The intervals in percent."""
        return join_words([f"{100 * low:.1f} to {100 * high:.1f} %" for low, high in self.ranges()], "or")


def needed(cell: ReportedCell) -> Needed | None:
    """Find the shares that a cell needs; None where it lacks FPR, FNR (or complements), or a third figure."""
    pair = [_gold_rate(cell, names) for names in GOLD_SIDE]
    others = [figure for caption, figure in cell.figures.items() if caption in BOUNDED]
    if pair[0] is None or pair[1] is None or not others or cell.unanswered != 0 or cell.repeated:
        return None
    share = np.linspace(0, 1, STEPS + 1)
    corners = [
        np.stack([share * (1 - fnr), (1 - share) * fpr, share * fnr, (1 - share) * (1 - fpr), 0 * share, 0 * share])
        for fpr in pair[0]
        for fnr in pair[1]
    ]
    fit = np.ones(STEPS, dtype=bool)
    for figure in others:
        values = np.stack([np.nan_to_num(rate(figure.caption, corner)) for corner in corners])
        least, most = values.min(axis=0), values.max(axis=0)
        low, high = figure.bounds(figure.scale)
        fit &= np.minimum(least[1:], least[:-1]) <= high + SLACK
        fit &= np.maximum(most[1:], most[:-1]) >= low - SLACK
    return Needed(cell=cell, fit=fit)


def intersect(cells: Sequence[Needed]) -> Needed | None:
    """Intersect the shares that several cells need; None for no cells."""
    if not cells:
        return None
    return Needed(cell=cells[0].cell, fit=np.all([one.fit for one in cells], axis=0))


def _gold_rate(cell: ReportedCell, names: tuple[str, str]) -> tuple[float, float] | None:
    for name in names:
        figure: Figure | None = cell.figures.get(name)
        if figure is not None:
            low, high = figure.bounds(figure.scale)
            return (max(0.0, low), min(1.0, high)) if name == names[0] else (max(0.0, 1 - high), min(1.0, 1 - low))
    return None
