"""Confusion matrices that some cases allow: all of them, or those alone that two printed rates leave.

n cases, P of them positive and all answered, have (P + 1)(N + 1) matrices: 2.3 million at n = 3,044. Where P is not
known either, or answers are missing, they are too many; then two rates of one side pin them down: FPR and FNR give FP
and FN for each P, FDR and FOR give FP and FN for each number of positive answers.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.audit.rates import Floats

Integers = npt.NDArray[np.int64]
"""Matrices, shape (6, m): see `legalrr.audit.rates`."""
MOST = 3_000_000
"""Matrices looked at one by one; beyond, two rates have to narrow them down."""
SLACK = 1e-9
"""Rounding error of a rate, in shares."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """What is known of the cases behind a cell."""

    n: int
    """How many there are."""
    positives: tuple[int, ...]
    """How many of them may be of the positive class."""
    unanswered: int | None = 0
    """How many have no answer and count as misses; None: any number."""
    dropped: bool = False
    """Whether some of them, one may not know how many, are in no figure at all."""

    def size(self) -> int:
        """How many matrices there are."""
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
        """All of them, shape (6, m), each once."""
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
        """As if the unanswered ones were not there; one part may come from several numbers of positives."""
        most = max(self.positives, default=0), self.n - min(self.positives, default=self.n)
        parts = [
            _grid(p, q, 0, 0)
            for p in range(most[0] + 1)
            for q in range(most[1] + 1)
            if p + q > 0 and any(p <= one and q <= self.n - one for one in self.positives)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((6, 0), dtype=np.int64)


def within(values: Floats, bounds: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Which rates lie within bounds. An undefined one is as good as 0 and as 1, for either may be printed."""
    low, high = bounds[0] - SLACK, bounds[1] + SLACK
    found = (values >= low) & (values <= high)
    return found | np.isnan(values) if low <= 0 <= high or low <= 1 <= high else found


GOLD_SIDE = (("fpr", "tnr"), ("fnr", "tpr"))
ANSWER_SIDE = (("fdr", "ppv"), ("for", "npv"))
"""The rate that two denominators of one side give, and its complement: first FP, then FN."""


def two_of_one_side(rates: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]] | None:
    """Of rate -> bounds, the two that pin a matrix down: FPR and FNR, else FDR and FOR; None where there are no two.

    A rate may stand there as its complement.
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
    """FP and FN from their rates, for every size of the first denominator."""
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
    """Whole numbers whose share of `size` lies within bounds; of 0 cases, 0."""
    slack = SLACK * max(size, 1)
    return range(max(0, math.ceil(bounds[0] * size - slack)), min(size, math.floor(bounds[1] * size + slack)) + 1)


def _grid(p: int, q: int, xp: int, xn: int) -> Integers:
    """All matrices of p answered positives and q answered negatives, shape (6, (p + 1)(q + 1))."""
    tp, fp = (axis.ravel() for axis in np.meshgrid(np.arange(p + 1), np.arange(q + 1), indexing="ij"))
    return np.stack([tp, fp, p - tp, q - fp, np.full(tp.size, xp), np.full(tp.size, xn)])
