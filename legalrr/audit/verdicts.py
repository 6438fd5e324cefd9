"""Verdict on each cell: by matrices where n is known, by the GRIM test for means over runs, else by prevalence.

consistent     a matrix fits the captions
ambiguous      a matrix fits the captions, and another hypothesis fits the whole block as well
mislabelled    no matrix fits the captions; another hypothesis fits
balance        the captions need another class balance than the other cells of the dataset
other n        the captions need fewer cases than the table states
impossible     no hypothesis fits
out of range   a figure that no rate can have
unchecked      nothing to check against
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np

from legalrr.audit.grim import MAX_RUNS, RunCases, Sums, fits_runs
from legalrr.audit.hypotheses import MAX_MATRICES, Cases, Fits, Hypothesis, block_hypotheses, fits_among, rates_of
from legalrr.audit.rates import Integers, intervals, rate
from legalrr.audit.sample_size import (
    FeasiblePrevalence,
    SampleSize,
    count_positives,
    feasible_prevalence,
    intersect_prevalence,
)
from legalrr.audit.table import WHOLE, ReportedCell, join_numbers, join_words

Verdict = Literal[
    "consistent", "ambiguous", "mislabelled", "balance", "other n", "impossible", "out of range", "unchecked"
]
WRONG = frozenset({"mislabelled", "balance", "other n", "impossible", "out of range"})
"""Verdicts of a cell with a wrong caption."""
Kind = Literal["swapped captions", "no matrix", "other class shares"]
"""Kind of a wrong caption."""
FURTHER = ("macro_f1", "accuracy", "fpr", "fnr")
"""Rates that are recomputed beside those of the captions."""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A rate, recomputed from the matrices that fit."""

    low: float
    """Least value among them."""
    high: float
    """Largest value."""
    interval: tuple[float, float] | None
    """Union of the exact 95 % intervals; None where the rate has none."""

    def __str__(self) -> str:
        """The rate in percent, as a range where the matrices differ, and its interval in brackets."""
        low, high = f"{100 * self.low:.2f}", f"{100 * self.high:.2f}"
        value = low if low == high else f"{low} to {high}"
        if self.interval is None:
            return value
        return f"{value} [{100 * self.interval[0]:.1f}, {100 * self.interval[1]:.1f}]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """A cell with its verdict."""

    cell: ReportedCell
    verdict: Verdict
    n: int | None = None
    """Number of cases assumed; None where it is not known."""
    hypothesis: Hypothesis | None = None
    """The rates that its figures are; None where no matrix fits, or none was tried."""
    support: tuple[int, int] = (0, 0)
    """Number of cells of its block that the hypothesis fits, and number of cells tried."""
    others: tuple[Hypothesis, ...] = ()
    """Other hypotheses that fit and are no more far-fetched; for an ambiguous cell, those beside its captions."""
    counts: Integers | None = None
    """The matrices that fit the hypothesis, shape (6, m); None where there is no hypothesis."""
    recomputed: Mapping[str, Recomputed] = field(default_factory=dict)
    """Rate -> its range over these matrices."""
    runs: int | None = None
    """Runs that the figures are means of, as stated or found."""
    sums: Sums | None = None
    """Errors over all runs."""
    detail: str = ""
    """Further explanation in words."""

    @property
    def kind(self) -> Kind | None:
        """Kind of a wrong verdict; None where no caption is wrong.

        Swapped captions: the same other captions fit most cells of the block. Other class shares: the captions hold
        with another class balance. Else no matrix, as other captions may fit a single cell by chance.
        """
        if self.verdict not in WRONG:
            return None
        if self.verdict == "mislabelled" and 2 * self.support[0] > self.support[1]:
            return "swapped captions"
        return "other class shares" if self.verdict == "balance" else "no matrix"


def _recompute(cell: ReportedCell, counts: Integers) -> dict[str, Recomputed]:
    """Recompute the rates of a cell's captions, and those of `FURTHER`, from matrices of shape (6, m)."""
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


def _out_of_range(cell: ReportedCell) -> str:
    """Find a figure that no rate can have, in words; "" where there is none."""
    for caption, figure in cell.figures.items():
        low, high = figure.bounds(figure.scale)
        # BERTScore rescaled by a baseline, like a correlation, may lie below 0.
        least = -1.0 if caption in ("mcc", "bertscore") else 0.0
        if high < least or low > 1:
            return f"{caption} {figure.text}"
    return ""


@dataclass(frozen=True, kw_only=True)
class _Lead:
    """What the cells of a block have in common."""

    first: tuple[Hypothesis, ...]
    """The least far-fetched of the leading hypotheses."""
    leading: tuple[Hypothesis, ...]
    """Hypotheses that fit most cells."""
    support: tuple[int, int]
    """Number of cells that they fit, and number of cells."""
    rebalanced: tuple[int, ...]
    """Other numbers of positives under which the captions of every cell would hold."""


def judge_cells(cells: Sequence[ReportedCell], size: SampleSize) -> list[Audited]:
    """Judge the cells of one dataset, in their order."""
    blocks: dict[tuple[str, ...], list[ReportedCell]] = defaultdict(list)
    for cell in cells:
        blocks[cell.block].append(cell)
    found: dict[int, Audited] = {}
    for block in blocks.values():
        judged = _judge_repeated(block, size) if any(cell.repeated for cell in block) else _judge_single(block, size)
        found.update({one.cell.line: one for one in judged})
    return [found[cell.line] for cell in cells]


def _cases_of(cell: ReportedCell, size: SampleSize) -> Cases | None:
    """Collect what is known of the cases of a cell; None where not even their number is."""
    if cell.subset == WHOLE and cell.n in (None, size.n):
        if size.n is None:
            return None
        return Cases(n=size.n, positives=size.positives, unanswered=cell.unanswered)
    if cell.n is None:
        return None if size.n is None else Cases(n=size.n, positives=size.positives, dropped=True)
    if cell.positives is not None:
        return Cases(n=cell.n, positives=(cell.positives,), unanswered=cell.unanswered)
    if size.n is None or cell.n > size.n:
        return Cases(n=cell.n, positives=tuple(range(cell.n + 1)), unanswered=cell.unanswered)
    allowed = {p for whole in size.positives for p in range(max(0, cell.n - (size.n - whole)), min(cell.n, whole) + 1)}
    return Cases(n=cell.n, positives=tuple(sorted(allowed)), unanswered=cell.unanswered)


def _judge_single(block: Sequence[ReportedCell], size: SampleSize) -> list[Audited]:
    """Judge a block of figures of single runs."""
    judged: list[Audited] = []
    found: list[tuple[Fits, Cases]] = []
    without_size: list[ReportedCell] = []
    for cell in block:
        wrong = _out_of_range(cell)
        known = _cases_of(cell, size)
        one = fits_among(cell, known) if known is not None and rates_of(cell) and not wrong else None
        if wrong:
            judged.append(Audited(cell=cell, verdict="out of range", detail=wrong))
        elif not rates_of(cell):
            judged.append(
                Audited(cell=cell, verdict="unchecked", detail="scores of texts: only their range is checked")
            )
        elif known is not None and one is not None:
            found.append((one, known))
        else:
            without_size.append(cell)
    return judged + _judge_by_matrices(found, size) + _judge_by_prevalence(without_size, size)


def _judge_by_matrices(found: Sequence[tuple[Fits, Cases]], size: SampleSize) -> list[Audited]:
    """Judge a block by the hypothesis that fits most of its cells, the least far-fetched among equals."""
    block = [one for one, _ in found]
    fitted = {one: sum(fits.under(one).shape[1] > 0 for fits in block) for one in block_hypotheses(block)}
    most = max(fitted.values(), default=0)
    leading = [one for one, count in fitted.items() if count == most and most]
    least = min((one.cost for one in leading), default=0)
    contradicting = _contradicting_balances(found)
    if contradicting:
        return contradicting
    lead = _Lead(
        first=tuple(one for one in leading if one.cost == least),
        leading=tuple(leading),
        support=(most, len(block)),
        rebalanced=_rebalanced(found) if least or most < len(block) else (),
    )
    return [_judge(one, known, size, lead) for one, known in found]


def _contradicting_balances(found: Sequence[tuple[Fits, Cases]]) -> list[Audited]:
    """Judge cells on the same cases whose captions all hold, but not under one class balance; none if they do."""
    if (
        len({known for _, known in found}) != 1
        or found[0][1].dropped
        or any(one.cell.subset != WHOLE for one, _ in found)
    ):
        return []
    under = []
    for one, _ in found:
        captions = [hypothesis for hypothesis in one.hypotheses() if not hypothesis.cost]
        under.append({int(p) for hypothesis in captions for p in count_positives(one.under(hypothesis))})
    if not all(under) or set.intersection(*under):
        return []
    n = found[0][1].n
    return [
        Audited(cell=one.cell, verdict="balance", n=n, detail=_holds_with(balances, n))
        for (one, _), balances in zip(found, under, strict=True)
    ]


def _holds_with(balances: set[int], n: int) -> str:
    return f"its captions hold with {join_numbers(sorted(balances))} positives of {n}"


def _rebalanced(found: Sequence[tuple[Fits, Cases]]) -> tuple[int, ...]:
    """Find the numbers of positives under which the captions of all cells hold, if all have the same n."""
    if len({known.n for _, known in found}) != 1 or any(known.dropped for _, known in found):
        return ()
    balances = [_balances(one.cell, known) for one, known in found]
    return tuple(sorted(set.intersection(*balances)))


def _balances(cell: ReportedCell, known: Cases) -> set[int]:
    """Find the numbers of positives under which the captions of a cell hold."""
    anywhere = Cases(n=known.n, positives=tuple(range(known.n + 1)), unanswered=known.unanswered)
    one = fits_among(cell, anywhere, captions_only=True)
    return set() if one is None else {int(p) for p in count_positives(one.counts)}


def _judge(one: Fits, known: Cases, size: SampleSize, lead: _Lead) -> Audited:
    own = one.hypotheses()
    fitting_first = [hypothesis for hypothesis in lead.first if one.under(hypothesis).shape[1]]
    by_block = bool(lead.first) and lead.first[0].cost > 0
    captions = [hypothesis for hypothesis in own if not hypothesis.cost]
    if captions:
        rivals = fitting_first if by_block else []
        if not by_block and lead.support[0] == lead.support[1]:
            rivals = [rival for rival in lead.leading if rival.of(one.cell).cost]
        return _fitting(one, known, captions, rivals, lead.support if not by_block else (1, lead.support[1]))
    if lead.rebalanced and lead.support[0] < lead.support[1]:
        return Audited(cell=one.cell, verdict="balance", n=known.n, detail=_all_hold_with(lead, known))
    if fitting_first or own:
        chosen = fitting_first or [hypothesis for hypothesis in own if hypothesis.cost == own[0].cost]
        judged = _fitting(one, known, chosen, [], lead.support if fitting_first else (1, lead.support[1]))
        if not lead.rebalanced:
            return judged
        return replace(judged, detail=f"or {_all_hold_with(lead, known)}")
    return _unfit(one.cell, known, size)


def _all_hold_with(lead: _Lead, known: Cases) -> str:
    return f"the captions of all its column hold with {join_numbers(lead.rebalanced)} positives of {known.n}"


def _fitting(
    one: Fits, known: Cases, chosen: Sequence[Hypothesis], rivals: Sequence[Hypothesis], support: tuple[int, int]
) -> Audited:
    """Judge a cell that the chosen hypotheses fit, which are equally far-fetched."""
    counts = np.unique(np.concatenate([one.under(hypothesis) for hypothesis in chosen], axis=1), axis=1)
    wrong = chosen[0].cost > 0
    detail = ""
    if wrong and support[0] == 1 < support[1]:
        detail = "this fits no other cell of its column, and may be chance"
    return Audited(
        cell=one.cell,
        verdict="mislabelled" if wrong else "ambiguous" if rivals else "consistent",
        n=known.n,
        hypothesis=chosen[0].of(one.cell),
        support=support,
        others=tuple(dict.fromkeys(other.of(one.cell) for other in (chosen[1:] if wrong else rivals))),
        counts=counts,
        recomputed=_recompute(one.cell, counts),
        detail=detail,
    )


def _unfit(cell: ReportedCell, known: Cases, size: SampleSize) -> Audited:
    """Judge a cell that no hypothesis fits by the balance, or the number of cases, with which its captions hold."""
    balances = set() if known.dropped else _balances(cell, known)
    if balances:
        return Audited(cell=cell, verdict="balance", n=known.n, detail=_holds_with(balances, known.n))
    whole = size.positives if known.n == size.n else tuple(range(known.n + 1))
    fewer = Cases(n=known.n, positives=whole, dropped=True)
    part = fits_among(cell, fewer, captions_only=True) if fewer.size() <= MAX_MATRICES else None
    if part is not None and part.counts.shape[1]:
        sizes = sorted({int(count) for count in part.counts.sum(axis=0)})
        detail = f"its captions hold with {join_numbers(sizes)} of {known.n} cases"
        return Audited(cell=cell, verdict="other n", n=known.n, detail=detail)
    untried = "; fewer cases were not tried: too many matrices" if part is None else ""
    return Audited(cell=cell, verdict="impossible", n=known.n, detail=f"{_parts_that_fit(cell, known)}{untried}")


def _parts_that_fit(cell: ReportedCell, known: Cases) -> str:
    """Describe the largest sets of captions that hold together."""
    captions = list(rates_of(cell))
    for size in range(len(captions) - 1, 0, -1):
        held = [part for part in combinations(captions, size) if _holds(cell, part, known)]
        if held:
            return f"of its captions, {join_words([join_words(part) for part in held], 'or')} alone can hold"
    return "none of its captions can hold"


def _holds(cell: ReportedCell, captions: Sequence[str], known: Cases) -> bool:
    part = replace(cell, figures={caption: cell.figures[caption] for caption in captions})
    one = fits_among(part, known, captions_only=True)
    return one is not None and one.counts.shape[1] > 0


def _judge_repeated(block: Sequence[ReportedCell], size: SampleSize) -> list[Audited]:
    """Judge a block of means over runs by the least number of runs that fits most of its cells."""
    n, stated = size.n, block[0].runs
    if n is None or not size.settled:
        unknown = "means over runs; n and class balance are not known"
        return [Audited(cell=cell, verdict="unchecked", n=n, detail=unknown) for cell in block]
    tried = range(2, MAX_RUNS + 1) if stated is None else (stated,)
    p = size.positives[0]

    def fitting(runs: int) -> int:
        return sum(fits_runs(cell, RunCases(n=n, positives=p, runs=runs), means=False) is not None for cell in block)

    # Rates and deviations determine the number of runs; the bounds of macro-F1 are slow and do not help.
    runs = max(tried, key=fitting)
    sums = [fits_runs(cell, RunCases(n=n, positives=p, runs=runs)) for cell in block]
    support = (sum(one is not None for one in sums), len(block))
    judged = []
    for cell, one in zip(block, sums, strict=True):
        wrong = _out_of_range(cell)
        none = f"no whole errors of {'up to ' if stated is None else ''}{tried[-1]} runs give these means"
        judged.append(
            Audited(
                cell=cell,
                verdict="out of range" if wrong else "impossible" if one is None else "consistent",
                n=n,
                support=support,
                runs=None if one is None else runs,
                sums=one,
                detail=wrong or (none if one is None else ""),
            )
        )
    return judged


def _judge_by_prevalence(cells: Sequence[ReportedCell], size: SampleSize) -> list[Audited]:
    """Judge cells whose n is unknown or too large: do the captions of the block hold under one share of positives?"""
    shares: list[FeasiblePrevalence] = []
    judged: list[Audited] = []
    for cell in cells:
        one = feasible_prevalence(cell)
        if one is not None:
            shares.append(one)
            continue
        reason = (
            "too many cases to try" if size.n else f"n not found up to {size.bound}" if size.bound else "n not known"
        )
        detail = f"{reason}, and a check without n needs FPR, FNR and a third figure"
        judged.append(Audited(cell=cell, verdict="unchecked", n=size.n, detail=detail))
    common = intersect_prevalence(shares)
    for one in shares:
        if not one.fit.any():
            judged.append(Audited(cell=one.cell, verdict="impossible", detail="no share of positives, whatever n"))
        elif common is not None and common.fit.any():
            detail = f"with {common} of the cases positive; n is not known"
            support = (len(shares), len(shares))
            judged.append(Audited(cell=one.cell, verdict="consistent", support=support, detail=detail))
        else:
            detail = f"its captions hold with {one} of the cases positive, whatever n"
            judged.append(Audited(cell=one.cell, verdict="balance", detail=detail))
    return judged
