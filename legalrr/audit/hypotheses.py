"""Confusion matrices of a set of cases, hypotheses of what printed figures are, and the matrices that fit each.

n cases, P of them positive and all answered, have (P + 1)(N + 1) matrices: 2.3 million at n = 3,044. Where P is unknown
or answers are missing, they are too many to enumerate; then two rates of one side determine them: FPR and FNR give FP
and FN for each P, FDR and FOR give FP and FN for each number of positive answers.

A hypothesis maps every caption of a block to the rate that its figures are, and to their scale. A matrix fits it in a
cell if each rate, rounded as printed, is the figure. Where the captions fit no cell of a block, other rates that fit
every cell are unlikely by chance; other rates that fit a single cell are not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from legalrr.audit.rates import MISTAKEN, NAMES, SLACK, Floats, Integers, rate
from legalrr.audit.table import Figure, ReportedCell, join_words

MAX_MATRICES = 3_000_000
"""Matrices that are enumerated; beyond, two rates have to narrow them down."""
GOLD_SIDE = (("fpr", "tnr"), ("fnr", "tpr"))
ANSWER_SIDE = (("fdr", "ppv"), ("for", "npv"))
"""The rate of each denominator of one side, and its complement: first of FP, then of FN."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """What is known of the cases behind a cell."""

    n: int
    """Number of cases."""
    positives: tuple[int, ...]
    """Possible numbers of cases of the positive class."""
    unanswered: int | None = 0
    """Cases without an answer, counted as misses; None: any number."""
    dropped: bool = False
    """Whether an unknown number of them is left out of all figures."""

    def size(self) -> int:
        """Count the matrices."""
        total = 0
        for p in self.positives:
            q = self.n - p
            if self.dropped or self.unanswered is None:
                total += math.comb(p + 2, 2) * math.comb(q + 2, 2)
            else:
                total += sum(
                    (p - x + 1) * (q - self.unanswered + x + 1)
                    for x in range(max(0, self.unanswered - q), min(p, self.unanswered) + 1)
                )
        return total

    def matrices(self) -> Integers:
        """Enumerate the matrices, shape (6, m), each once."""
        if self.dropped:
            return self._answered_parts()
        parts = [
            _grid(p - xp, self.n - p - xn, xp, xn) for p in self.positives for xp, xn in self._missing(p, self.n - p)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((6, 0), dtype=np.int64)

    def _missing(self, p: int, q: int) -> Iterator[tuple[int, int]]:
        if self.unanswered is None:
            yield from ((xp, xn) for xp in range(p + 1) for xn in range(q + 1))
        else:
            for xp in range(max(0, self.unanswered - q), min(p, self.unanswered) + 1):
                yield xp, self.unanswered - xp

    def _answered_parts(self) -> Integers:
        """Matrices of the answered cases alone; one may come from several numbers of positives."""
        most = max(self.positives, default=0), self.n - min(self.positives, default=self.n)
        parts = [
            _grid(p, q, 0, 0)
            for p in range(most[0] + 1)
            for q in range(most[1] + 1)
            if p + q > 0 and any(p <= one and q <= self.n - one for one in self.positives)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((6, 0), dtype=np.int64)


def within(values: Floats, bounds: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Find the rates that lie within bounds. An undefined rate counts as 0 and as 1, as either may be printed."""
    low, high = bounds[0] - SLACK, bounds[1] + SLACK
    found = (values >= low) & (values <= high)
    return found | np.isnan(values) if low <= 0 <= high or low <= 1 <= high else found


def two_of_one_side(rates: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]] | None:
    """Select the two rates that determine a matrix from rate -> bounds: FPR and FNR, else FDR and FOR.

    A rate may be given as its complement. Returns None where neither pair is complete.
    """
    for side in (GOLD_SIDE, ANSWER_SIDE):
        found: dict[str, tuple[float, float]] = {}
        for name, complement in side:
            if name in rates:
                found[name] = rates[name]
            elif complement in rates:
                low, high = rates[complement]
                found[name] = (1 - high, 1 - low)
        if len(found) == len(side):
            return found
    return None


def narrowed(cases: Cases, pair: Mapping[str, tuple[float, float]]) -> Integers:
    """The matrices with two rates of one side within their bounds, every case answered; shape (6, m).

    Args:
        cases: what is known of the cases; all answered.
        pair: what `two_of_one_side` gives.
    """
    if "fpr" in pair:
        return _pinned(cases, pair["fpr"], pair["fnr"], by_gold=True)
    return _pinned(cases, pair["fdr"], pair["for"], by_gold=False)


def _pinned(cases: Cases, first: tuple[float, float], second: tuple[float, float], *, by_gold: bool) -> Integers:
    """Solve for FP and FN from their rates, for every size of the first denominator."""
    allowed = set(cases.positives)
    columns: list[tuple[int, int, int, int, int, int]] = []
    for size in cases.positives if by_gold else range(cases.n + 1):
        other = cases.n - size
        # By gold, `size` are the positives: FN comes from them and FP from the rest. By answer, it is the reverse.
        for fp in _whole(first, other if by_gold else size):
            for fn in _whole(second, size if by_gold else other):
                tp, tn = (size - fn, other - fp) if by_gold else (size - fp, other - fn)
                if by_gold or tp + fn in allowed:
                    columns.append((tp, fp, fn, tn, 0, 0))
    return np.array(columns, dtype=np.int64).reshape(-1, 6).T


def _whole(bounds: tuple[float, float], size: int) -> range:
    """Whole numbers whose share of `size` lies within bounds; 0 of 0 cases."""
    slack = SLACK * max(size, 1)
    return range(max(0, math.ceil(bounds[0] * size - slack)), min(size, math.floor(bounds[1] * size + slack)) + 1)


def _grid(p: int, q: int, xp: int, xn: int) -> Integers:
    """All matrices of p answered positives and q answered negatives, shape (6, (p + 1)(q + 1))."""
    tp, fp = (axis.ravel() for axis in np.meshgrid(np.arange(p + 1), np.arange(q + 1), indexing="ij"))
    return np.stack([tp, fp, p - tp, q - fp, np.full(tp.size, xp), np.full(tp.size, xn)])


@dataclass(frozen=True, kw_only=True)
class Option:
    """A rate and a scale that a figure may have."""

    rate: str
    """The rate."""
    scale: float
    """1 for a fraction, 100 for a percentage."""
    cost: int
    """How far-fetched it is; 0 for what the caption says."""


@dataclass(frozen=True)
class Hypothesis:
    """The rates that the figures of a block are: caption -> option."""

    options: tuple[tuple[str, Option], ...]

    @property
    def cost(self) -> int:
        """How far-fetched it is; 0: the captions are right."""
        return sum(option.cost for _, option in self.options)

    def changes(self) -> dict[str, str]:
        """Describe what each wrong caption is instead; right captions are left out."""
        found = {}
        for caption, option in self.options:
            if option.rate != caption:
                found[caption] = NAMES[option.rate]
            elif option.cost:
                found[caption] = f"{NAMES[option.rate]} as a fraction among percentages"
        return found

    def __str__(self) -> str:
        """The changes in words; "" where the captions are right."""
        return join_words([f"{caption} is {what}" for caption, what in self.changes().items()])

    def of(self, cell: ReportedCell) -> "Hypothesis":
        """Restrict it to the captions of a cell."""
        return Hypothesis(tuple((caption, option) for caption, option in self.options if caption in cell.figures))


def options(figure: Figure) -> Iterator[Option]:
    """List what a figure may be; what its caption says comes first."""
    for name, far in {figure.caption: 0, **MISTAKEN[figure.caption]}.items():
        for scale, mistaken in figure.scales.items():
            yield Option(rate=name, scale=scale, cost=far + mistaken)


def rates_of(cell: ReportedCell) -> dict[str, Figure]:
    """Select the figures of a cell that are rates of a matrix."""
    return {caption: figure for caption, figure in cell.figures.items() if caption in NAMES}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """The matrices that fit the figures of a cell, each figure as at least one option."""

    cell: ReportedCell
    counts: Integers
    """Shape (6, m)."""
    fitting: Mapping[str, Mapping[Option, npt.NDArray[np.bool_]]]
    """Caption -> option -> mask of the matrices that it fits, shape (m,)."""

    def under(self, hypothesis: Hypothesis) -> Integers:
        """Select the matrices that fit a hypothesis, shape (6, k)."""
        mask = np.ones(self.counts.shape[1], dtype=bool)
        for caption, option in hypothesis.of(self.cell).options:
            fit = self.fitting[caption].get(option)
            if fit is None:
                return self.counts[:, :0]
            mask &= fit
        return self.counts[:, mask]

    def hypotheses(self) -> list[Hypothesis]:
        """List the hypotheses that at least one matrix fits, the least far-fetched first."""
        found = [
            Hypothesis(tuple(zip(self.fitting, chosen, strict=True)))
            for chosen in product(*(options for options in self.fitting.values()))
        ]
        kept = [one for one in found if self.under(one).shape[1]]
        return sorted(kept, key=lambda one: one.cost)


def fits(cell: ReportedCell, counts: Integers, *, captions_only: bool = False) -> Fits:
    """Select the matrices, shape (6, m), under which each figure of a cell is one of its options."""
    figures = rates_of(cell)
    masks: dict[str, dict[Option, npt.NDArray[np.bool_]]] = {}
    # The caption with the fewest options removes most matrices at the least cost.
    for caption in sorted(figures, key=lambda name: len(MISTAKEN[name])):
        found = {}
        for option in options(figures[caption]):
            if not (captions_only and option.cost):
                found[option] = within(rate(option.rate, counts), figures[caption].bounds(option.scale))
        some = np.any(list(found.values()), axis=0)
        counts = counts[:, some]
        masks = {name: {one: fit[some] for one, fit in own.items()} for name, own in masks.items()}
        masks[caption] = {one: fit[some] for one, fit in found.items() if fit.any()}
    return Fits(cell=cell, counts=counts, fitting={caption: masks[caption] for caption in figures})


def fits_among(cell: ReportedCell, cases: Cases, *, captions_only: bool = False) -> Fits | None:
    """The same from what is known of the cases; None where the matrices are too many and no two rates narrow them."""
    if cases.size() <= MAX_MATRICES:
        return fits(cell, cases.matrices(), captions_only=captions_only)
    if cases.dropped or cases.unanswered != 0:
        return None
    return _narrowed_fits(cell, cases, captions_only=captions_only)


def _narrowed_fits(cell: ReportedCell, cases: Cases, *, captions_only: bool) -> Fits | None:
    """Hypotheses without two rates of one side are not looked at; None where the captions are among these."""
    figures = rates_of(cell).values()
    choices = [[option for option in options(one) if not (captions_only and option.cost)] for one in figures]
    pairs: dict[tuple[tuple[str, tuple[float, float]], ...], None] = {}
    for chosen in product(*choices):
        bounds = {option.rate: one.bounds(option.scale) for option, one in zip(chosen, figures, strict=True)}
        pair = two_of_one_side(bounds)
        if pair is None and not any(option.cost for option in chosen):
            return None
        if pair is not None:
            pairs[tuple(pair.items())] = None
    found = [narrowed(cases, dict(pair)) for pair in pairs]
    counts = np.unique(np.concatenate(found, axis=1), axis=1)
    return fits(cell, counts, captions_only=captions_only)


def block_hypotheses(block: Sequence[Fits]) -> list[Hypothesis]:
    """List the hypotheses of a block that fit some of its cells, the least far-fetched first.

    The options of a caption are those that fit any cell, as some cells may lack the caption.
    """
    found: dict[str, dict[Option, None]] = {}
    for one in block:
        for caption, own in one.fitting.items():
            found.setdefault(caption, {}).update(dict.fromkeys(own))
    chosen = [Hypothesis(tuple(zip(found, picked, strict=True))) for picked in product(*found.values())]
    return sorted(chosen, key=lambda one: one.cost)


def describe_all(hypotheses: Sequence[Hypothesis]) -> str:
    """Describe several hypotheses in words: by caption where they are all combinations, else one by one."""
    options: dict[str, dict[str, None]] = {}
    for one in hypotheses:
        for caption, what in one.changes().items():
            options.setdefault(caption, {})[what] = None
    if math.prod(len(names) for names in options.values()) != len(hypotheses):
        return join_words([str(one) for one in hypotheses], "or")
    return join_words([f"{caption} is {join_words(list(names), 'or')}" for caption, names in options.items()])
