"""Bounds of paired tests of two printed cells, over all ways in which their answers can coincide.

Two matrices on the same cases fix b - c, the cases that only one gets right less those that only the other does, for
each class; b and c themselves are not printed. Least discordant is c = 0 within each class, and each further pair of
discordant cases adds one to b and one to c. The exact McNemar p, a binomial test of b against c, grows with c at fixed
b - c, so its bounds are at the least and the most discordant answers. With c = 0 it is 2 * 0.5^b.

The permutation p of a difference in macro-F1 (as in `legalrr.score.significance`, here exact) has no such order; its
least value is searched over all ways, where these are few enough.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.audit.rates import Integers, rate
from legalrr.audit.table import WHOLE
from legalrr.audit.verdicts import Audited

MAX_WAYS = 20_000
"""Ways to pair two matrices up to which permutation tests are computed."""
MAX_PAIRS = 2_000
"""Pairs of matrices up to which bounds are computed."""
EQUAL = 1e-9
"""Tolerance within which differences of macro-F1 are equal."""
SAME_CASES = frozenset({WHOLE, "common"})
"""Subsets whose cells are scored on the same cases: all of them, or those that every arm answered."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of paired tests of two cells, over all matrices that fit them and all ways to pair these."""

    cases: tuple[int, int]
    """Least and most cases by which the first is ahead in right answers."""
    b: int
    """Cases that only the first gets right, at the least McNemar p."""
    c: int
    """Cases that only the second gets right, at the least McNemar p."""
    p_least: float
    """Least exact two-sided McNemar p."""
    p_most: float
    """Largest exact two-sided McNemar p."""
    p_permutation: float | None
    """Least exact two-sided permutation p of the difference in macro-F1; None where the ways are too many."""


def mcnemar(b: int, c: int) -> float:
    """Compute the exact two-sided McNemar p: the binomial test of b of b + c against a half."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(b, c), b + c, 0.5))) if b + c else 1.0


def bounds(first: Integers, second: Integers) -> Bounds | None:
    """Compute bounds over pairs of matrices with the same class counts; None where there are none.

    Args:
        first: matrices that fit the one cell, shape (6, m), every case answered.
        second: those of the other, on the same cases.
    """
    pairs = [
        (one, other)
        for one in first.T
        for other in second.T
        if _positives(one) == _positives(other) and one.sum() == other.sum()
    ]
    if not pairs:
        return None
    ahead, least, most, permuted = [], [], [], []
    ways = sum(_ways(one, other) for one, other in pairs)
    for one, other in pairs:
        ahead.append(int(one[0] + one[3] - other[0] - other[3]))
        b, c = _least_discordant(one, other)
        more = sum(_further(one, other))
        least.append((mcnemar(b, c), b, c))
        most.append(mcnemar(b + more, c + more))
        if ways <= MAX_WAYS:
            permuted.append(least_permutation_p(one, other))
    p_least, b, c = min(least)
    return Bounds(
        cases=(min(ahead), max(ahead)),
        b=b,
        c=c,
        p_least=p_least,
        p_most=max(most),
        p_permutation=min(permuted) if permuted else None,
    )


def least_permutation_p(one: Integers, other: Integers) -> float:
    """Compute the least exact permutation p of the difference in macro-F1 over all ways to pair matrices of shape (6,).

    In the d cases of a class in which answers differ, a permutation assigns the right answer to either side, so the
    number of right answers of the first is binomial.
    """
    return min(_permutation_p(one, other, further) for further in _each_further(one, other))


def _permutation_p(one: Integers, other: Integers, further: tuple[int, int]) -> float:
    from scipy.special import binom

    sides = []
    for row, more in zip((0, 3), further, strict=True):
        gain = int(one[row] - other[row])
        discordant = abs(gain) + 2 * more
        both = int(min(one[row], other[row])) - more
        got = np.arange(discordant + 1)
        sides.append((both, discordant, got, binom(discordant, got) * 0.5**discordant))
    (both_p, of_p, got_p, probability_p), (both_n, of_n, got_n, probability_n) = sides
    right_p, right_n = np.meshgrid(got_p, got_n, indexing="ij")
    first = _macro_f1(both_p + right_p, both_n + right_n, one)
    second = _macro_f1(both_p + of_p - right_p, both_n + of_n - right_n, one)
    observed = abs(float(rate("macro_f1", one[:, None])[0] - rate("macro_f1", other[:, None])[0]))
    probabilities = np.outer(probability_p, probability_n)
    return min(1.0, float(probabilities[np.abs(first - second) >= observed - EQUAL].sum()))


def _macro_f1(tp: np.ndarray, tn: np.ndarray, like: Integers) -> np.ndarray:
    positives = _positives(like)
    negatives = int(like.sum()) - positives
    none = np.zeros_like(tp)
    return rate("macro_f1", np.stack([tp, negatives - tn, positives - tp, tn, none, none]))


def _positives(matrix: Integers) -> int:
    return int(matrix[0] + matrix[2])


def _least_discordant(one: Integers, other: Integers) -> tuple[int, int]:
    gains = [int(one[row] - other[row]) for row in (0, 3)]
    return sum(max(gain, 0) for gain in gains), sum(max(-gain, 0) for gain in gains)


def _further(one: Integers, other: Integers) -> tuple[int, int]:
    """Count the pairs of discordant cases that each class can hold beyond the least."""
    found = []
    for right, wrong in ((0, 2), (3, 1)):
        both_right, both_wrong = min(one[right], other[right]), min(one[wrong], other[wrong])
        found.append(int(min(both_right, both_wrong)))
    return found[0], found[1]


def _each_further(one: Integers, other: Integers) -> Iterator[tuple[int, int]]:
    most = _further(one, other)
    yield from ((i, j) for i in range(most[0] + 1) for j in range(most[1] + 1))


def _ways(one: Integers, other: Integers) -> int:
    return math.prod(most + 1 for most in _further(one, other))


@dataclass(frozen=True, kw_only=True)
class ArmDifference:
    """A cell compared with another one of its block."""

    arm: Audited
    reference: Audited
    bounds: Bounds | None
    """Bounds of the paired tests; None where the printed figures do not determine them."""
    reason: str = ""
    """Why there are no bounds, in words."""


def differences(audited: Sequence[Audited], reference: str) -> list[ArmDifference]:
    """Compare every cell that has a rate of a matrix with the reference arm of its block, where there is one."""
    blocks: dict[tuple[str, ...], list[Audited]] = defaultdict(list)
    for one in audited:
        blocks[one.cell.block].append(one)
    found = []
    for block in blocks.values():
        bases = [one for one in block if one.cell.components == reference]
        found += [difference(one, base) for base in bases for one in block if one is not base and _comparable(one)]
    return found


def _comparable(one: Audited) -> bool:
    """Check whether a cell has figures for a paired test."""
    return one.runs is not None or one.counts is not None or one.verdict != "unchecked"


def difference(arm: Audited, base: Audited) -> ArmDifference:
    """Compare a cell with another one of its block."""
    reason = _why_not(arm, base)
    found = None
    if not reason and arm.counts is not None and base.counts is not None:
        found = bounds(arm.counts, base.counts)
        reason = "" if found else "no two matrices share their class counts"
    return ArmDifference(arm=arm, reference=base, bounds=found, reason=reason)


def _why_not(arm: Audited, base: Audited) -> str:
    cell = arm.cell
    if cell.subset not in SAME_CASES or arm.n != base.n:
        return "not the same cases"
    if cell.repeated or base.cell.repeated:
        return "means over runs: answers to one case are not paired"
    if arm.counts is None or base.counts is None:
        return "no matrix known" if "unchecked" in (arm.verdict, base.verdict) else "no matrix fits"
    if arm.counts[4:].any() or base.counts[4:].any():
        return "some cases are unanswered"
    if arm.counts.shape[1] * base.counts.shape[1] > MAX_PAIRS:
        return "too many matrices fit"
    return ""
