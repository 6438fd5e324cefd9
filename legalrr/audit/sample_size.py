"""Sample size and prevalence of a dataset: its cases and positive cases, stated by the table or found by search.

The cells that cover all cases of a dataset share one number of cases and one class balance. What the table does not
state is searched: first the smallest n under which every such cell fits its captions, and only where no n does, the
smallest under which every cell fits, each block by one hypothesis. Given n, the balance is the one under which most
cells fit, with the least far-fetched hypotheses among equals; all equals are kept.

Prevalence is the share of positive cases. With FPR and FNR printed, every other figure depends on it alone, so rates of
one set of cases need one prevalence, whatever n is. A table whose rows need different ones was not computed on one set
of cases by its captions.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.audit.grim import MAX_RUNS, RunCases, fits_runs
from legalrr.audit.hypotheses import GOLD_SIDE, MAX_MATRICES, Cases, Fits, block_hypotheses, fits, fits_among, rates_of
from legalrr.audit.rates import SLACK, Integers, rate
from legalrr.audit.table import WHOLE, Figure, ReportedCell, join_words
from legalrr.errors import UserError
from legalrr.progress import progress

CELL_WEIGHT = 1_000
"""Weight of a cell that fits when balances are ranked, in units of cost: larger than any sum of costs."""
DENOMINATORS = {"fpr": "negatives", "tnr": "negatives", "fnr": "positives", "tpr": "positives"}
"""Rate -> the cases that it is a share of; one number for all cells on the same cases."""
PREVALENCE_STEPS = 20_000
"""Shares that are tried; between two neighbours a figure is assumed to be monotone."""
MONOTONE_RATES = frozenset(
    {"macro_f1", "weighted_f1", "f1_positive", "f1_negative", "accuracy", "micro_f1", "ppv", "npv", "fdr"}
)
"""Figures that are monotone in FPR and in FNR, so that the corners of both bound them."""


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """Number and class balance of the cases of one dataset."""

    n: int | None
    """Number of cases; None where it is neither stated nor found."""
    positives: tuple[int, ...]
    """Possible numbers of positive cases; 0 to n where the figures do not determine it."""
    found: bool
    """Whether n was found by search."""
    settled: bool
    """Whether the number of positives is known: stated, or the only one under which most cells fit."""
    bound: int | None
    """Largest n of the search; None where n was not searched."""


def sample_size(cells: Sequence[ReportedCell], *, max_n: int) -> SampleSize:
    """Determine the sample size of a dataset from all its cells.

    Args:
        cells: of one dataset.
        max_n: largest n of the search.

    Raises:
        UserError: two cells state different numbers of positives, or n has too many matrices to search.
    """
    whole = [cell for cell in cells if cell.subset == WHOLE]
    n = max((cell.n for cell in whole if cell.n is not None), default=None)
    whole = [cell for cell in whole if cell.n in (n, None) and rates_of(cell)]
    positives = _stated_positives(whole)
    if n is not None:
        if positives is not None:
            return SampleSize(n=n, positives=(positives,), found=False, settled=True, bound=None)
        best = _best_balances(whole, n)
        return SampleSize(n=n, positives=best or tuple(range(n + 1)), found=False, settled=len(best) == 1, bound=None)
    once = [cell for cell in whole if not cell.repeated]
    found = _search(once, positives, max_n) if any(len(rates_of(cell)) > 1 for cell in once) else None
    if found is None:
        return SampleSize(n=None, positives=(), found=False, settled=False, bound=max_n if once else None)
    return SampleSize(n=found[0], positives=found[1], found=True, settled=len(found[1]) == 1, bound=max_n)


def _stated_positives(cells: Sequence[ReportedCell]) -> int | None:
    stated: dict[int, ReportedCell] = {}
    for cell in cells:
        if cell.positives is not None:
            stated.setdefault(cell.positives, cell)
    if len(stated) > 1:
        (one, first), (other, second) = list(stated.items())[:2]
        raise UserError(
            f"{other} positives, but {one} on line {first.line}",
            where=f"{second.table}:{second.line}",
            cure="all cells of a dataset share its cases: name another dataset or subset",
        )
    return next(iter(stated), None)


def _best_balances(cells: Sequence[ReportedCell], n: int) -> tuple[int, ...]:
    """Find the numbers of positives under which most cells fit; none where no more than half of the cells fit."""
    once = [cell for cell in cells if not cell.repeated]
    if not once:
        return _best_of_runs([cell for cell in cells if cell.repeated], n)
    found: list[Fits] = []
    for cell in once:
        cases = Cases(n=n, positives=tuple(range(n + 1)), unanswered=cell.unanswered)
        one = fits_among(cell, cases)
        if one is not None:
            found.append(one)
    return _best(found, n)


def _best(found: Sequence[Fits], n: int) -> tuple[int, ...]:
    score = np.zeros(n + 1, dtype=np.int64)
    for block in _blocks(found):
        score += _weights(block, n)
    if not found or score.max() <= CELL_WEIGHT * len(found) / 2:
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == score.max()))


def _weights(block: Sequence[Fits], n: int) -> np.ndarray:
    """Weigh the best hypothesis of a block by number of positives; shape (n + 1,)."""
    best = np.zeros(n + 1, dtype=np.int64)
    for hypothesis in block_hypotheses(block):
        fitted = np.zeros(n + 1, dtype=np.int64)
        for one in block:
            fitted[np.unique(count_positives(one.under(hypothesis)))] += 1
        best = np.maximum(best, np.where(fitted > 0, CELL_WEIGHT * fitted - hypothesis.cost, 0))
    return best


def _best_of_runs(cells: Sequence[ReportedCell], n: int) -> tuple[int, ...]:
    """The same for means over runs, with the best number of runs of each block."""
    score = np.zeros(n + 1, dtype=np.int64)
    blocks: dict[tuple[str, ...], list[ReportedCell]] = defaultdict(list)
    for cell in cells:
        blocks[cell.block].append(cell)
    for p in range(n + 1):
        for block in blocks.values():
            tried = range(2, MAX_RUNS + 1) if block[0].runs is None else (block[0].runs,)
            score[p] += max(
                sum(fits_runs(cell, RunCases(n=n, positives=p, runs=runs), means=False) is not None for cell in block)
                for runs in tried
            )
    if not cells or score.max() <= len(cells) / 2:
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == score.max()))


def _search(cells: Sequence[ReportedCell], stated: int | None, max_n: int) -> tuple[int, tuple[int, ...]] | None:
    """Find the smallest n under which every cell fits, by its captions if any n allows that, and its balances."""
    least = max(2, stated or 0)
    for captions_only in (True, False):
        with progress("search n", max_n - least + 1, "sizes") as done:
            for n in range(least, max_n + 1):
                balances = _all_fit(cells, n, stated, captions_only=captions_only)
                if balances:
                    return n, balances
                done(1)
    return None


def _all_fit(cells: Sequence[ReportedCell], n: int, stated: int | None, *, captions_only: bool) -> tuple[int, ...]:
    """Find the numbers of positives under which every cell fits, each block by one hypothesis."""
    balances = tuple(range(n + 1)) if stated is None else (stated,)
    found: list[Fits] = []
    for cell in cells:
        cases = Cases(n=n, positives=balances, unanswered=cell.unanswered)
        if cases.size() > MAX_MATRICES:
            raise UserError(
                f"too many matrices of {n} cases to search n",
                where=f"{cell.table}:{cell.line}",
                cure="give n, or unanswered",
            )
        one = fits(cell, cases.matrices(), captions_only=captions_only)
        if not one.counts.shape[1]:
            return ()
        found.append(one)
    score = sum((_weights(block, n) for block in _blocks(found)), np.zeros(n + 1, dtype=np.int64))
    best = score.max()
    if best <= CELL_WEIGHT * (len(cells) - 1):
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == best))


def _blocks(found: Sequence[Fits]) -> list[list[Fits]]:
    blocks: dict[tuple[str, ...], list[Fits]] = defaultdict(list)
    for one in found:
        blocks[one.cell.block].append(one)
    return list(blocks.values())


def count_positives(counts: Integers) -> np.ndarray:
    """Count the cases of the positive class, shape (m,)."""
    return counts[0] + counts[2] + counts[4]


def is_share_of(size: int, bounds: tuple[float, float]) -> bool:
    """Check whether some whole number of `size` cases is a share within bounds."""
    return math.floor((bounds[1] + SLACK) * size) >= math.ceil((bounds[0] - SLACK) * size)


def common_denominators(bounds: Sequence[tuple[float, float]], max_size: int) -> list[int]:
    """List the denominators up to `max_size` of which all figures can be shares.

    The figure 28.00 needs a multiple of 25 cases, 36.84 one of 19: no denominator up to 44 gives both.
    """
    return [size for size in range(1, max_size + 1) if all(is_share_of(size, one) for one in bounds)]


def least_denominator(bounds: tuple[float, float], max_size: int) -> int | None:
    """Find the smallest denominator of which a figure can be a share; None where it is above `max_size`."""
    return next(iter(common_denominators([bounds], max_size)), None)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeasiblePrevalence:
    """Shares of positives under which a cell's captions hold."""

    cell: ReportedCell
    fit: npt.NDArray[np.bool_]
    """Whether they hold in the i-th of as many equal parts of 0 to 1, bool [PREVALENCE_STEPS]."""

    def ranges(self) -> list[tuple[float, float]]:
        """Intervals of shares that fit, the lowest first."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.fit, [False]]).astype(np.int8)))
        return [(float(low / PREVALENCE_STEPS), float(high / PREVALENCE_STEPS)) for low, high in edges.reshape(-1, 2)]

    def __str__(self) -> str:
        """The intervals in percent."""
        return join_words([f"{100 * low:.1f} to {100 * high:.1f} %" for low, high in self.ranges()], "or")


def feasible_prevalence(cell: ReportedCell) -> FeasiblePrevalence | None:
    """Find the shares that a cell needs; None where it lacks FPR, FNR (or complements), or a third figure."""
    pair = [_gold_rate(cell, names) for names in GOLD_SIDE]
    others = [figure for caption, figure in cell.figures.items() if caption in MONOTONE_RATES]
    if pair[0] is None or pair[1] is None or not others or cell.unanswered != 0 or cell.repeated:
        return None
    share = np.linspace(0, 1, PREVALENCE_STEPS + 1)
    corners = [
        np.stack([share * (1 - fnr), (1 - share) * fpr, share * fnr, (1 - share) * (1 - fpr), 0 * share, 0 * share])
        for fpr in pair[0]
        for fnr in pair[1]
    ]
    fit = np.ones(PREVALENCE_STEPS, dtype=bool)
    for figure in others:
        values = np.stack([np.nan_to_num(rate(figure.caption, corner)) for corner in corners])
        least, most = values.min(axis=0), values.max(axis=0)
        low, high = figure.bounds(figure.scale)
        fit &= np.minimum(least[1:], least[:-1]) <= high + SLACK
        fit &= np.maximum(most[1:], most[:-1]) >= low - SLACK
    return FeasiblePrevalence(cell=cell, fit=fit)


def intersect_prevalence(cells: Sequence[FeasiblePrevalence]) -> FeasiblePrevalence | None:
    """Intersect the shares that several cells need; None for no cells."""
    if not cells:
        return None
    return FeasiblePrevalence(cell=cells[0].cell, fit=np.all([one.fit for one in cells], axis=0))


def _gold_rate(cell: ReportedCell, names: tuple[str, str]) -> tuple[float, float] | None:
    for name in names:
        figure: Figure | None = cell.figures.get(name)
        if figure is not None:
            low, high = figure.bounds(figure.scale)
            return (max(0.0, low), min(1.0, high)) if name == names[0] else (max(0.0, 1 - high), min(1.0, 1 - low))
    return None
