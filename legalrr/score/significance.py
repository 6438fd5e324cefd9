"""Compare two arms on the same judgments: difference, tests, and the judgments that a difference needs.

Paired comparison of two arms on the same judgments: how large a difference is, and what could have been seen.

difference            macro-F1 of the arm less that of the reference, with a jackknife interval over judgments
permutation p         the two answers to a judgment are swapped at random; two-sided (`legalrr.score.permutation`)
McNemar p             exact binomial test of b = c: only the arm right, only the reference right
Holm                  step-down correction over a family of tests (Holm 1979)
smallest detectable   the true difference that the permutation test would have found with power 0.8
                      (`legalrr.score.detectable`)

The permutation test rules: an interval that would leave out 0 beside a p that does not reject is extended to 0, and its
note says so.

How many judgments a difference between two arms would need, from how often they disagreed.

With p10 the share of judgments that only the arm gets right and p01 that of the reference, the difference of their
accuracies is d = p10 - p01 and their discordance psi = p10 + p01. The exact McNemar test looks at the discordant
judgments alone, so its power at n judgments is

    sum over m of P[M = m] P[test rejects | m],   M ~ Binomial(n, psi),   only the arm right ~ Binomial(m, p10 / psi)

(Connor 1987, doi 10.2307/2531968; Miettinen 1968, doi 10.2307/2528021, gives the normal approximation from which the
search for n starts). For a difference of macro-F1 see `legalrr.score.significance.judgments_needed`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.detectable import LEVEL, POWER, Population
from legalrr.score.intervals import Sample, jackknife_of_counts, ruled
from legalrr.score.metrics import Codes, Counts, Floats, codes, macro_f1_of_counts
from legalrr.score.permutation import Swap, SwapColumns, swap_p
from legalrr.score.scorer import PredictionScorer, clusters

NAMED = 5
"""How many ids a message names at most."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An arm against its reference on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Macro-F1 of the arm less that of the reference."""
    interval: tuple[float, float] | None
    """Jackknife interval of the difference (`legalrr.score.intervals`)."""
    interval_note: str | None
    """Why there is no interval, or that the test overrules it (`legalrr.score.intervals.ruled`); else None."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    p_mcnemar: float
    """Two-sided exact McNemar p of being right; 1 where b + c = 0."""
    b: int
    """Judgments that only the arm gets right."""
    c: int
    """Judgments that only the reference gets right."""
    smallest_detectable: float | None
    """Smallest difference that the test would have found on so many judgments; None where it finds none at all."""
    clusters: int
    """Units of interval and test: judgments, those of a cluster of near-duplicates as one."""


def compare(cases: Sequence[Scored], reference: Sequence[Scored], *, scorer: PredictionScorer) -> Comparison:
    """Compares two arms judgment by judgment, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, an id that only one has, or two gold outcomes for one id.
    """
    from scipy import stats

    first, second = joined([cases, reference], where="paired comparison")
    answers = np.stack([codes(first), codes(second)], axis=1)
    groups = clusters(first)
    swap = paired(answers, groups)
    (spread,) = jackknife_of_counts([swap.sides[0].sample], difference, confidence=scorer.confidence, reach=1.0)
    p = swap_p(swap, permutations=scorer.permutations, seed=scorer.seed)
    spread = ruled(spread, p, scorer.confidence)
    right = np.isin(answers, (0, 4))
    net = right[:, 0].astype(np.int64) - right[:, 1]
    b, c = int(np.count_nonzero(net > 0)), int(np.count_nonzero(net < 0))
    # Judgments of a cluster are no independent trials: it counts once, for the arm that has more of it right.
    ahead = net if groups is None else np.bincount(groups, weights=net)
    up, down = int(np.count_nonzero(ahead > 0)), int(np.count_nonzero(ahead < 0))
    population = Population(swap=swap)
    return Comparison(
        n=len(first),
        difference=float(difference(swap.sides[0].sample.counts(swap.sides[0].sample.sizes[None]))[0, 0]),
        interval=spread.bounds,
        interval_note=spread.note,
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
    """Judgments with which the permutation test would find a difference of macro-F1 with power 0.8.

    Args:
        cases: those of the arm; how often it disagrees with the reference is taken for the true disagreement.
        reference: those of the reference.
        difference: the difference to be found; None: the one observed.

    Returns:
        None without a difference, or where over ten million judgments would be needed.

    Raises:
        UserError: as `compare`.
    """
    swap = paired_cases(cases, reference)
    sample = swap.sides[0].sample
    if difference is None:
        difference = float(swap.statistic(sample.counts(sample.sizes[None]))[0, 0])
    return Population(swap=swap).needed(difference)


def paired_cases(cases: Sequence[Scored], reference: Sequence[Scored]) -> Swap:
    """Two arms whose answers may be swapped; raises UserError as `compare`."""
    first, second = joined([cases, reference], where="paired comparison")
    return paired(np.stack([codes(first), codes(second)], axis=1), clusters(first))


def paired(answers: Codes, groups: npt.NDArray[np.int64] | None = None) -> Swap:
    """Answers of shape (n, 2 k), whose halves may be swapped: k runs of an arm, k runs of its reference.

    Args:
        answers: the answers.
        groups: number of the cluster of each judgment, shape (n,); None: each stands alone.
    """
    first, second = np.split(np.arange(answers.shape[1]), 2)
    side = SwapColumns(sample=Sample.of(answers, groups), first=first, second=second)
    return Swap(sides=(side,), statistic=difference)


def holm(values: Sequence[float]) -> list[float]:
    """Holm-adjusted p of one family, in the order given (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    adjusted = [0.0] * len(values)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = floor
    return adjusted


def joined(arms: Sequence[Sequence[Scored]], *, where: str) -> list[list[Scored]]:
    """The cases of arms on the same judgments, each arm's in the order of the ids.

    Raises:
        UserError: naming `where`: no judgments, a duplicate id, an id that only some have, or two gold outcomes for one
            id.
    """
    found = [by_id(cases) for cases in arms]
    every = set().union(*found)
    lone = sorted(key for key in every if not all(key in one for one in found))
    if lone:
        more = f" and {len(lone) - NAMED} more" if len(lone) > NAMED else ""
        raise UserError(
            f"judgments that not all of the {len(arms)} arms have: {', '.join(lone[:NAMED])}{more}",
            where=where,
            cure="compare runs over the same judgments: same corpus, split, limit; overflow other than skip",
        )
    if not every:
        raise UserError("no labelled judgments", where=where, cure="use a corpus with outcomes")
    for key in every:
        if len({one[key].gold for one in found}) > 1:
            raise UserError(f"two gold outcomes for {key!r}", where=where, cure="run all on one corpus")
    return [[one[key] for key in sorted(every)] for one in found]


def difference(counts: Counts) -> Floats:
    """Mean macro-F1 of the first half of the columns (runs of an arm) less that of the second half: counts of shape
    (6, r, 2 k) give shape (r, 1)."""
    first, second = np.split(macro_f1_of_counts(counts), 2, axis=-1)
    less: Floats = first.mean(axis=-1, keepdims=True) - second.mean(axis=-1, keepdims=True)
    return less


SIZES = tuple(round(10 ** (1 + step / 12)) for step in range(49))
"""Numbers of judgments at which a curve is drawn: 10 to 100,000, evenly on a logarithmic axis."""
MOST = 10_000_000
"""Where the search for a number of judgments gives up."""
TAIL = 1e-12
"""Probability left out on each side when summing over the number of discordant judgments."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """What numbers of judgments could show, were the arms to differ by this much in accuracy."""

    difference: float
    """Accuracy of the arm less that of the reference."""
    discordance: float
    """Share of judgments that just one of the two gets right; at least the size of the difference."""
    sizes: tuple[int, ...]
    """Numbers of judgments."""
    power: tuple[float, ...]
    """Probability that the exact McNemar test finds the difference at `LEVEL`, for each of these numbers."""
    needed: int | None
    """Judgments for power `POWER`; None without a difference, or where over `MOST` would be needed."""


def power_curve(found: Comparison, difference: float | None = None, sizes: Sequence[int] = SIZES) -> PowerCurve:
    """The power curve of a comparison.

    Args:
        found: the comparison whose discordance is taken for the true one.
        difference: difference of accuracies to be found, between -1 and 1; None: the one observed.
        sizes: numbers of judgments.
    """
    difference = (found.b - found.c) / found.n if difference is None else difference
    # A difference cannot be larger than the discordance that it is made of.
    discordance = max((found.b + found.c) / found.n, abs(difference))
    return PowerCurve(
        difference=difference,
        discordance=discordance,
        sizes=tuple(sizes),
        power=tuple(mcnemar_power(difference, discordance, n) for n in sizes),
        needed=mcnemar_judgments(difference, discordance),
    )


def mcnemar_power(difference: float, discordance: float, n: int) -> float:
    """Probability that the two-sided exact McNemar test at `LEVEL` rejects.

    Args:
        difference: true difference of accuracies, between -discordance and discordance.
        discordance: true share of judgments that just one of the two arms gets right.
        n: judgments.
    """
    from scipy import stats

    if discordance == 0:
        return 0.0
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], n, discordance)
    m = np.arange(max(low, 1), high + 1)
    # The largest count on the smaller side that is still significant, for each m; -1 where none is.
    last = stats.binom.ppf(LEVEL / 2, m, 0.5)
    last = np.where(stats.binom.cdf(last, m, 0.5) <= LEVEL / 2, last, last - 1)
    share = (1 + difference / discordance) / 2
    rejects = stats.binom.cdf(last, m, share) + stats.binom.sf(m - last - 1, m, share)
    return float(stats.binom.pmf(m, n, discordance) @ rejects)


def mcnemar_judgments(difference: float, discordance: float) -> int | None:
    """Judgments with which the power of the exact McNemar test passes `POWER`; see `PowerCurve.needed`."""
    from scipy import stats

    if difference == 0:
        return None
    gap = discordance - difference**2
    upper, lower = stats.norm.ppf(1 - LEVEL / 2) * math.sqrt(discordance), stats.norm.ppf(POWER) * math.sqrt(gap)
    guess = ((upper + lower) / difference) ** 2
    if guess > MOST:
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
