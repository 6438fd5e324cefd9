"""Paired comparison of two arms on the same judgments: how large a difference is, and what could have been seen.

difference            macro-F1 of the arm less that of the reference, with a jackknife interval over judgments
permutation p         the two answers to a judgment are swapped at random; two-sided
McNemar p             exact binomial test of b = c: only the arm right, only the reference right
Holm                  step-down correction over a family of tests (Holm 1979)
smallest detectable   (z_.975 + z_.8) * SE: the true difference that a two-sided 5 % test would have found with
                      power 0.8, with SE the jackknife standard error of the observed difference
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.confusion import Codes, Counts, Floats, codes, count_codes, macro_f1_of_counts
from legalrr.score.interval import DECIMALS, Sample
from legalrr.score.jackknife import jackknife_of_counts
from legalrr.score.prediction import PredictionScorer

LEVEL = 0.05
"""Significance level, two-sided."""
POWER = 0.8
"""Power for which the smallest detectable difference is stated."""
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
    """Jackknife interval of the difference (`legalrr.score.jackknife`)."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    p_mcnemar: float
    """Two-sided exact McNemar p of being right; 1 where b + c = 0."""
    b: int
    """Judgments that only the arm gets right."""
    c: int
    """Judgments that only the reference gets right."""
    smallest_detectable: float | None
    """Smallest difference that these judgments could have shown; None where the standard error is 0 or undefined."""


def compare(cases: Sequence[Scored], reference: Sequence[Scored], *, scorer: PredictionScorer) -> Comparison:
    """Compares two arms judgment by judgment, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, an id that only one has, or two gold outcomes for one id.
    """
    from scipy import stats

    first, second = joined([cases, reference], where="paired comparison")
    answers = np.stack([codes(first), codes(second)], axis=1)
    spread = jackknife_of_counts(Sample.of(answers), difference, confidence=scorer.confidence, reach=1.0)
    right = [case.label == case.gold for case in first], [case.label == case.gold for case in second]
    b = sum(x and not y for x, y in zip(*right, strict=True))
    c = sum(y and not x for x, y in zip(*right, strict=True))
    return Comparison(
        n=len(first),
        difference=float(difference(count_codes(answers, axis=0)[:, None])[0, 0]),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=swap_p(answers, scorer),
        p_mcnemar=float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0,
        b=b,
        c=c,
        smallest_detectable=reach() * spread.standard_error if spread.standard_error else None,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Holm-adjusted p of one family, in the order given (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    adjusted = [0.0] * len(values)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = floor
    return adjusted


def reach() -> float:
    """Standard errors that a true difference must measure to be found with `POWER` at `LEVEL`, two-sided."""
    from scipy import stats

    return float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER))


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


def swap_p(answers: Codes, scorer: PredictionScorer) -> float:
    """Two-sided p of `difference` when all answers of two arms to a judgment, shape (n, 2 k), are swapped at random.

    Over all ways to swap where they leave at most `permutations` different counts, else over that many random ones,
    as (1 + as extreme) / (1 + permutations).
    """
    from scipy import stats

    runs = answers.shape[1] // 2
    differ = (answers[:, :runs] != answers[:, runs:]).any(axis=1)
    # Swapping the only pair that differs turns the sign of the difference, which is as extreme.
    if np.count_nonzero(differ) < 2:
        return 1.0
    # Of the judgments answered alike, it only matters how many are swapped, which is binomial.
    sample = Sample.of(answers[differ])
    ways = np.prod(sample.sizes + 1.0)
    if ways <= scorer.permutations:
        swapped = np.indices([int(size) + 1 for size in sample.sizes]).reshape(len(sample.sizes), -1).T
        weights = stats.binom.pmf(swapped, sample.sizes, 0.5).prod(axis=1)
    else:
        rng = np.random.default_rng(scorer.seed)
        swapped = rng.binomial(sample.sizes, 0.5, size=(scorer.permutations, len(sample.sizes)))
        weights = np.full(scorer.permutations, 1.0)
    swap = np.kron([[-1, 1], [1, -1]], np.eye(runs))
    counts = count_codes(answers, axis=0)[:, None] + sample.counts(swapped) @ swap
    null = np.round(difference(counts)[:, 0], DECIMALS)
    observed = np.round(difference(count_codes(answers, axis=0)[:, None])[0, 0], DECIMALS)
    tails = weights @ (null >= observed), weights @ (null <= observed)
    if ways <= scorer.permutations:
        return min(1.0, 2 * float(min(tails)))
    return min(1.0, 2 * (1 + float(min(tails))) / (1 + scorer.permutations))
