"""The class balance that rates need, where the number of cases is not known or too large to try.

With FPR and FNR printed, every further figure depends on one thing more: the share of positives. Rates of one set of
cases need one share, whatever n is; a table whose rows need shares of their own was not computed on one set of cases by
its captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.audit.figures import Cell, Figure
from legalrr.audit.phrases import listed
from legalrr.audit.rates import rate
from legalrr.audit.universe import Universe
from legalrr.audit.verdicts import Audited

STEPS = 20_000
"""Shares that are tried; between two neighbours a figure is taken to be monotone."""
ROUNDING = 1e-9
GOLD = (("fpr", "tnr"), ("fnr", "tpr"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Needed:
    """Shares of positives under which a cell's captions hold."""

    cell: Cell
    fit: npt.NDArray[np.bool_]
    """Whether a share in the i-th of `STEPS` equal parts of 0 to 1 does, shape (STEPS,)."""

    def ranges(self) -> list[tuple[float, float]]:
        """Runs of shares that fit, lowest first."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.fit, [False]]).astype(np.int8)))
        return [(float(low / STEPS), float(high / STEPS)) for low, high in edges.reshape(-1, 2)]


def needed(cell: Cell) -> Needed | None:
    """The shares that a cell needs; None where it lacks FPR, FNR (or complements), or a third figure to tell."""
    pair = [_gold_rate(cell, names) for names in GOLD]
    others = [
        figure
        for caption, figure in cell.figures.items()
        if caption in THIRD and not any(caption in names for names in GOLD)
    ]
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
        fit &= np.minimum(least[1:], least[:-1]) <= high + ROUNDING
        fit &= np.maximum(most[1:], most[:-1]) >= low - ROUNDING
    return Needed(cell=cell, fit=fit)


THIRD = frozenset(
    {"macro_f1", "weighted_f1", "f1_positive", "f1_negative", "accuracy", "micro_f1", "ppv", "npv", "fdr"}
)
"""Figures that fall or rise with FPR and with FNR alone, so that the corners of both bound them."""


def together(cells: Sequence[Needed]) -> Needed | None:
    """The shares under which all of them hold; None of none."""
    if not cells:
        return None
    return Needed(cell=cells[0].cell, fit=np.all([one.fit for one in cells], axis=0))


def _gold_rate(cell: Cell, names: tuple[str, str]) -> tuple[float, float] | None:
    for name in names:
        figure: Figure | None = cell.figures.get(name)
        if figure is not None:
            low, high = figure.bounds(figure.scale)
            return (max(0.0, low), min(1.0, high)) if name == names[0] else (max(0.0, 1 - high), min(1.0, 1 - low))
    return None


def judge_by_share(cells: Sequence[Cell], cases: Universe) -> list[Audited]:
    """Cells whose n is unknown, or too large: do the captions of the block hold under one share of positives?"""
    shares: list[Needed] = []
    judged: list[Audited] = []
    for cell in cells:
        one = needed(cell)
        if one is not None:
            shares.append(one)
            continue
        size = (
            "too many cases to try" if cases.n else f"n not found up to {cases.bound}" if cases.bound else "n not known"
        )
        judged.append(
            Audited(
                cell=cell,
                verdict="unchecked",
                n=cases.n,
                detail=f"{size}, and FPR, FNR and a third figure would tell without",
            )
        )
    common = together(shares)
    for one in shares:
        told = f"its captions hold with {_ranges(one)} of the cases positive, whatever n"
        if not one.fit.any():
            judged.append(Audited(cell=one.cell, verdict="impossible", detail="no share of positives, whatever n"))
        elif common is not None and common.fit.any():
            told = f"with {_ranges(common)} of the cases positive; n is not known"
            judged.append(Audited(cell=one.cell, verdict="consistent", support=(len(shares), len(shares)), detail=told))
        else:
            judged.append(Audited(cell=one.cell, verdict="balance", detail=told))
    return judged


def _ranges(one: Needed) -> str:
    return listed([f"{100 * low:.1f} to {100 * high:.1f} %" for low, high in one.ranges()], "or")
