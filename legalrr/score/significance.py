"""Compare two arms on the same judgments: difference, tests, and the number of judgments needed.

difference            macro-F1 of the arm minus that of the reference, with a jackknife interval over judgments
permutation p         the two answers to a judgment are swapped at random; two-sided (`legalrr.score.permutation`)
McNemar p             exact binomial test of b = c: only the arm right, only the reference right
Holm                  step-down correction over a family of tests (Holm 1979)
smallest detectable   the true difference that the permutation test detects with power 0.8
                      (`legalrr.score.detectable`)

The permutation test decides: an interval that excludes 0 although the test does not reject is extended to 0, with a
note.

The judgments needed to detect a difference depend on how often the arms disagree. With p10 the share of judgments that
only the arm gets right and p01 that of the reference, the difference of their accuracies is d = p10 - p01 and their
discordance psi = p10 + p01. The exact McNemar test uses the discordant judgments alone, so its power at n judgments is

    sum over m of P[M = m] P[test rejects | m],   M ~ Binomial(n, psi),   only the arm right ~ Binomial(m, p10 / psi)

(Connor 1987, doi 10.2307/2531968; Miettinen 1968, doi 10.2307/2528021, gives the normal approximation from which the
search for n starts). For a difference of macro-F1 see `judgments_needed`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.detectable import LEVEL, MAX_JUDGMENTS, POWER, Population
from legalrr.score.intervals import Sample, jackknife_of_counts, reconcile_with_test
from legalrr.score.metrics import Codes, Counts, Floats, codes, macro_f1_of_counts
from legalrr.score.permutation import Swap, SwapColumns, swap_p
from legalrr.score.scorer import PredictionScorer, clusters

MAX_LISTED_IDS = 5
"""Greatest number of ids in a message."""
CURVE_SIZES = tuple(round(10 ** (1 + step / 12)) for step in range(49))
"""Numbers of judgments of a power curve: 10 to 100,000, evenly spaced on a logarithmic axis."""
TAIL_PROBABILITY = 1e-12
"""Probability left out on each side when summing over the number of discordant judgments."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of an arm with its reference on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Macro-F1 of the arm minus that of the reference."""
    interval: tuple[float, float] | None
    """Jackknife interval of the difference (`legalrr.score.intervals`)."""
    interval_note: str | None
    """Reason for a missing interval, or its conflict with the test (`intervals.reconcile_with_test`); else None."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 if all answers are the same."""
    p_mcnemar: float
    """Two-sided exact McNemar p of the accuracies; 1 if b + c = 0."""
    b: int
    """Judgments that only the arm gets right."""
    c: int
    """Judgments that only the reference gets right."""
    smallest_detectable: float | None
    """Smallest difference that the test detects at this number of judgments; None if it detects none."""
    clusters: int
    """Units of interval and test: judgments, with a cluster of near-duplicates as one."""


def compare(cases: Sequence[Scored], reference: Sequence[Scored], *, scorer: PredictionScorer) -> Comparison:
    """Compare two arms judgment by judgment, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, an id that only one arm has, or two gold outcomes for one id.
    """
    from scipy import stats

    first, second = join_by_id([cases, reference], where="paired comparison")
    answers = np.stack([codes(first), codes(second)], axis=1)
    groups = clusters(first)
    swap = paired_swap(answers, groups)
    (interval,) = jackknife_of_counts(
        [swap.sides[0].sample], macro_f1_difference, confidence=scorer.confidence, reach=1.0
    )
    p = swap_p(swap, permutations=scorer.permutations, seed=scorer.seed)
    interval = reconcile_with_test(interval, p, scorer.confidence)
    right = np.isin(answers, (0, 4))
    net = right[:, 0].astype(np.int64) - right[:, 1]
    b, c = int(np.count_nonzero(net > 0)), int(np.count_nonzero(net < 0))
    # Judgments of a cluster are not independent trials: it counts once, for the arm with more right answers.
    ahead = net if groups is None else np.bincount(groups, weights=net)
    up, down = int(np.count_nonzero(ahead > 0)), int(np.count_nonzero(ahead < 0))
    population = Population(swap=swap)
    return Comparison(
        n=len(first),
        difference=float(macro_f1_difference(swap.sides[0].sample.counts(swap.sides[0].sample.sizes[None]))[0, 0]),
        interval=interval.bounds,
        interval_note=interval.note,
        p_permutation=p,
        p_mcnemar=float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0,
        b=b,
        c=c,
        smallest_detectable=population.smallest(),
        clusters=population.n,
    )


def judgments_needed(
    cases: Sequence[Scored], reference: Sequence[Scored], difference: float | None = None
) -> int | None:
    """Return the number of judgments at which the permutation test detects a difference of macro-F1 with power 0.8.

    Args:
        cases: those of the arm; its observed disagreement with the reference is taken for the true one.
        reference: those of the reference.
        difference: difference to detect; None: the observed one.

    Returns:
        None without a difference, or if more than ten million judgments would be needed.

    Raises:
        UserError: as `compare`.
    """
    swap = swap_of_cases(cases, reference)
    sample = swap.sides[0].sample
    if difference is None:
        difference = float(swap.statistic(sample.counts(sample.sizes[None]))[0, 0])
    return Population(swap=swap).needed(difference)


def swap_of_cases(cases: Sequence[Scored], reference: Sequence[Scored]) -> Swap:
    """Build the swap of the answers of two arms; raises UserError as `compare`."""
    first, second = join_by_id([cases, reference], where="paired comparison")
    return paired_swap(np.stack([codes(first), codes(second)], axis=1), clusters(first))


def paired_swap(answers: Codes, groups: npt.NDArray[np.int64] | None = None) -> Swap:
    """Build the swap of k runs of an arm with k runs of its reference.

    Args:
        answers: codes of shape (n, 2 k), the runs of the arm first.
        groups: number of the cluster of each judgment, shape (n,); None: each judgment is a unit.
    """
    first, second = np.split(np.arange(answers.shape[1]), 2)
    side = SwapColumns(sample=Sample.of(answers, groups), first=first, second=second)
    return Swap(sides=(side,), statistic=macro_f1_difference)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust the p values of one family, keeping their order (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    adjusted = [0.0] * len(values)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = floor
    return adjusted


def join_by_id(arms: Sequence[Sequence[Scored]], *, where: str) -> list[list[Scored]]:
    """Sort the cases of each arm by id and check that all arms have the same judgments.

    Raises:
        UserError: at `where`: no judgments, a duplicate id, an id that only some arms have, or two gold outcomes for
            one id.
    """
    found = [by_id(cases) for cases in arms]
    every = set().union(*found)
    lone = sorted(key for key in every if not all(key in one for one in found))
    if lone:
        more = f" and {len(lone) - MAX_LISTED_IDS} more" if len(lone) > MAX_LISTED_IDS else ""
        raise UserError(
            f"judgments that not all of the {len(arms)} arms have: {', '.join(lone[:MAX_LISTED_IDS])}{more}",
            where=where,
            cure="compare runs over the same judgments: same corpus, split, limit; overflow other than skip",
        )
    if not every:
        raise UserError("no labelled judgments", where=where, cure="use a corpus with outcomes")
    for key in every:
        if len({one[key].gold for one in found}) > 1:
            raise UserError(f"two gold outcomes for {key!r}", where=where, cure="run all on one corpus")
    ordered = sorted(every)
    return [[one[key] for key in ordered] for one in found]


def macro_f1_difference(counts: Counts) -> Floats:
    """Compute mean macro-F1 of the first half of the columns (runs of an arm) minus that of the second half.

    Counts of shape (6, r, 2 k) give shape (r, 1).
    """
    first, second = np.split(macro_f1_of_counts(counts), 2, axis=-1)
    less: Floats = first.mean(axis=-1, keepdims=True) - second.mean(axis=-1, keepdims=True)
    return less


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """Power of the exact McNemar test over numbers of judgments, for one true difference of accuracies."""

    difference: float
    """Accuracy of the arm minus that of the reference."""
    discordance: float
    """Share of judgments that exactly one of the two gets right; at least the absolute difference."""
    sizes: tuple[int, ...]
    """Numbers of judgments."""
    power: tuple[float, ...]
    """Probability that the test rejects at `LEVEL`, for each of these numbers."""
    needed: int | None
    """Judgments for power `POWER`; None without a difference, or if more than `MAX_JUDGMENTS` would be needed."""


def power_curve(found: Comparison, difference: float | None = None, sizes: Sequence[int] = CURVE_SIZES) -> PowerCurve:
    """Compute the power curve of a comparison.

    Args:
        found: the comparison whose discordance is taken for the true one.
        difference: difference of accuracies to detect, between -1 and 1; None: the observed one.
        sizes: numbers of judgments.
    """
    difference = (found.b - found.c) / found.n if difference is None else difference
    # A difference of accuracies cannot exceed the discordance.
    discordance = max((found.b + found.c) / found.n, abs(difference))
    return PowerCurve(
        difference=difference,
        discordance=discordance,
        sizes=tuple(sizes),
        power=tuple(mcnemar_power(difference, discordance, n) for n in sizes),
        needed=mcnemar_judgments(difference, discordance),
    )


def mcnemar_power(difference: float, discordance: float, n: int) -> float:
    """Compute the probability that the two-sided exact McNemar test rejects at `LEVEL`.

    Args:
        difference: true difference of accuracies, between -discordance and discordance.
        discordance: true share of judgments that exactly one of the two arms gets right.
        n: judgments.
    """
    from scipy import stats

    if discordance == 0:
        return 0.0
    low, high = stats.binom.ppf([TAIL_PROBABILITY, 1 - TAIL_PROBABILITY], n, discordance)
    m = np.arange(max(low, 1), high + 1)
    # Largest significant count on the smaller side, for each m; -1 if none is.
    last = stats.binom.ppf(LEVEL / 2, m, 0.5)
    last = np.where(stats.binom.cdf(last, m, 0.5) <= LEVEL / 2, last, last - 1)
    share = (1 + difference / discordance) / 2
    rejects = stats.binom.cdf(last, m, share) + stats.binom.sf(m - last - 1, m, share)
    return float(stats.binom.pmf(m, n, discordance) @ rejects)


def mcnemar_judgments(difference: float, discordance: float) -> int | None:
    """Return the number of judgments at which the exact McNemar test reaches `POWER`; see `PowerCurve.needed`."""
    from scipy import stats

    if difference == 0:
        return None
    gap = discordance - difference**2
    upper, lower = stats.norm.ppf(1 - LEVEL / 2) * math.sqrt(discordance), stats.norm.ppf(POWER) * math.sqrt(gap)
    guess = ((upper + lower) / difference) ** 2
    if guess > MAX_JUDGMENTS:
        return None
    below, above = 0, math.ceil(guess)
    while mcnemar_power(difference, discordance, above) < POWER:
        below, above = above, math.ceil(above * 1.25)
    while above - below > 1:
        middle = (below + above) // 2
        if mcnemar_power(difference, discordance, middle) < POWER:
            below = middle
        else:
            above = middle
    return above
