"""Compute means over judgments and over repeated runs, and their paired differences.

Means of a score that every judgment has:

mean                  over judgments, with a BCa bootstrap interval over judgments
difference            mean of the arm minus that of the reference, over the judgments that both have
permutation p         the sign of each judgment's difference is flipped at random; two-sided
smallest detectable   the true difference that this test detects with power 0.8, if it is the same for every judgment
                      and the residuals are spread as observed (`legalrr.score.detectable`)

The test decides: an interval that excludes 0 although the test does not reject is extended to 0.

Repeated runs of one arm with sampled answers; variation between runs and over judgments is reported separately:

mean          of macro-F1 over the runs
sd            standard deviation of macro-F1 between runs (n - 1): how much one run can mislead
interval      BCa bootstrap over judgments of that mean: all runs of a judgment are resampled together
difference    of two such means, with a jackknife interval; its permutation p swaps all answers of two arms to a
              judgment at once

More runs are not a larger sample: they say nothing about other judgments and only reduce the first kind of variation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.detectable import Population, smallest_shift
from legalrr.score.intervals import (
    BATCH_CELLS,
    DECIMALS,
    TOO_FEW,
    Interval,
    Sample,
    bca_interval,
    bca_of_counts,
    jackknife_of_counts,
    reconcile_with_test,
)
from legalrr.score.metrics import Codes, Floats, codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.permutation import swap_p
from legalrr.score.scorer import PredictionScorer, clusters
from legalrr.score.significance import join_by_id, macro_f1_difference, paired_swap


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Mean of a score over judgments."""

    n: int
    """Judgments that have the score."""
    mean: float
    """Mean of the score."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the mean, resampling judgments."""
    interval_note: str | None
    """Reason for a missing interval; else None."""


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Paired difference of two means on the same judgments."""

    n: int
    """Judgments that both have."""
    lone: int
    """Judgments that only one of the two has; they are left out."""
    difference: float
    """Mean of the arm minus that of the reference."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the difference."""
    interval_note: str | None
    """Reason for a missing interval, or its conflict with the test (`intervals.reconcile_with_test`); else None."""
    p_permutation: float
    """Two-sided sign-flip p of the difference; 1 if no judgment differs."""
    smallest_detectable: float | None
    """Smallest difference that the test detects at this number of judgments; None if it detects none."""


def mean_of(values: Mapping[str, float], *, scorer: PredictionScorer) -> Mean | None:
    """Compute the mean of scores given by judgment id; None without judgments."""
    if not values:
        return None
    sample = _sorted_values(values)
    interval = bca_of_mean(sample, scorer=scorer)
    return Mean(n=len(values), mean=float(sample.mean()), interval=interval.bounds, interval_note=interval.note)


def compare_means(
    values: Mapping[str, float], reference: Mapping[str, float], *, scorer: PredictionScorer
) -> MeanDifference | None:
    """Compare two scores judgment by judgment, joined by id; None if no judgment has both."""
    both = values.keys() & reference.keys()
    if not both:
        return None
    difference = _sorted_values({key: values[key] - reference[key] for key in both})
    p = sign_flip_p(difference, scorer=scorer)
    interval = reconcile_with_test(bca_of_mean(difference, scorer=scorer), p, scorer.confidence)
    return MeanDifference(
        n=len(both),
        lone=len(values.keys() ^ reference.keys()),
        difference=float(difference.mean()),
        interval=interval.bounds,
        interval_note=interval.note,
        p_permutation=p,
        smallest_detectable=smallest_shift(difference),
    )


def bca_of_mean(values: Floats, *, scorer: PredictionScorer) -> Interval:
    """Compute the BCa interval of the mean of values of shape (n,), as `bca` but with a closed-form jackknife."""
    n = len(values)
    if n < 2:
        return Interval(bounds=None, note=TOO_FEW, standard_error=None)
    rng = np.random.default_rng(scorer.seed)
    rows = max(1, BATCH_CELLS // n)
    batches = [min(rows, scorer.resamples - start) for start in range(0, scorer.resamples, rows)]
    resampled = np.concatenate([values[rng.integers(n, size=(batch, n))].mean(axis=1) for batch in batches])
    left_out = (values.sum() - values) / (n - 1)
    return bca_interval(
        round(float(values.mean()), DECIMALS),
        np.round(resampled, DECIMALS),
        [np.round(left_out, DECIMALS)],
        [np.ones(n, dtype=np.int64)],
        confidence=scorer.confidence,
    )


def sign_flip_p(differences: Floats, *, scorer: PredictionScorer) -> float:
    """Compute the two-sided p of the mean of paired differences, shape (n,), under random sign flips.

    Exact if there are at most `permutations` ways to flip, otherwise (1 + as extreme) / (1 + permutations).
    """
    # A difference of 0 has no sign to flip.
    differ = differences[differences != 0]
    n = len(differ)
    # Flipping the only nonzero difference reverses the sign of the mean, which is as extreme.
    if n < 2:
        return 1.0
    exact = 2**n <= scorer.permutations
    observed = np.round(differ.sum(), DECIMALS)
    if exact:
        flipped = np.arange(2**n)[:, None] >> np.arange(n) & 1
        null = np.round((1 - 2 * flipped) @ differ, DECIMALS)
    else:
        rng = np.random.default_rng(scorer.seed)
        rows = max(1, BATCH_CELLS // n)
        batches = [min(rows, scorer.permutations - start) for start in range(0, scorer.permutations, rows)]
        null = np.round(
            np.concatenate([(1 - 2 * rng.integers(2, size=(batch, n), dtype=np.int8)) @ differ for batch in batches]),
            DECIMALS,
        )
    tail = min(np.count_nonzero(null >= observed), np.count_nonzero(null <= observed))
    return min(1.0, 2 * (tail + (not exact)) / (len(null) + (not exact)))


def _sorted_values(values: Mapping[str, float]) -> Floats:
    """Return the values sorted by id, so that resamples do not depend on the order of the judgments."""
    return np.array([values[key] for key in sorted(values)], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Macro-F1 of several runs."""

    n: int
    """Judgments, the same in all runs."""
    runs: tuple[float, ...]
    """Macro-F1 of each run, in the order given."""
    mean: float
    """Mean over the runs."""
    sd: float | None
    """Standard deviation between runs; None for a single run."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the mean, resampling judgments."""
    interval_note: str | None
    """Reason for a missing interval; else None."""


@dataclass(frozen=True, kw_only=True)
class RepeatedComparison:
    """Comparison of runs of an arm with as many runs of its reference, on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Mean macro-F1 of the arm minus that of the reference."""
    interval: tuple[float, float] | None
    """Jackknife interval of the difference over judgments (`legalrr.score.intervals`)."""
    interval_note: str | None
    """Reason for a missing interval, or its conflict with the test (`intervals.reconcile_with_test`); else None."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 if all answers are the same."""
    smallest_detectable: float | None
    """Smallest difference that the test detects at this number of judgments; None if it detects none."""


def score_repeated(runs: Sequence[Sequence[Scored]], *, scorer: PredictionScorer) -> Repeated:
    """Score several runs over the same judgments, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, or an id that not all runs have.
    """
    answers, groups = _answer_codes(runs)
    (interval,) = bca_of_counts(
        [Sample.of(answers, groups)],
        lambda counts: macro_f1_of_counts(counts).mean(axis=-1, keepdims=True),
        confidence=scorer.confidence,
        resamples=scorer.resamples,
        seed=scorer.seed,
    )
    scores = tuple(float(score) for score in macro_f1_of_codes(answers, axis=0))
    return Repeated(
        n=len(answers),
        runs=scores,
        mean=fmean(scores),
        sd=stdev(scores) if len(scores) > 1 else None,
        interval=interval.bounds,
        interval_note=interval.note,
    )


def compare_repeated(
    runs: Sequence[Sequence[Scored]], reference: Sequence[Sequence[Scored]], *, scorer: PredictionScorer
) -> RepeatedComparison:
    """Compare runs of an arm with as many runs of its reference.

    Raises:
        UserError: as `score_repeated`, or for unequal numbers of runs.
    """
    if len(runs) != len(reference):
        raise UserError(
            f"{len(runs)} runs against {len(reference)} of the reference",
            where="paired comparison",
            cure="run both equally often",
        )
    swap = paired_swap(*_answer_codes([*runs, *reference]))
    sample = swap.sides[0].sample
    (interval,) = jackknife_of_counts([sample], macro_f1_difference, confidence=scorer.confidence, reach=1.0)
    p = swap_p(swap, permutations=scorer.permutations, seed=scorer.seed)
    interval = reconcile_with_test(interval, p, scorer.confidence)
    return RepeatedComparison(
        n=len(runs[0]),
        difference=float(macro_f1_difference(sample.counts(sample.sizes[None]))[0, 0]),
        interval=interval.bounds,
        interval_note=interval.note,
        p_permutation=p,
        smallest_detectable=Population(swap=swap).smallest(),
    )


def _answer_codes(runs: Sequence[Sequence[Scored]]) -> tuple[Codes, npt.NDArray[np.int64] | None]:
    """Encode runs as codes of shape (n, runs), sorted by id; also returns the cluster of each judgment."""
    cases = join_by_id(runs, where="repeated runs")
    return np.stack([codes(run) for run in cases], axis=1), clusters(cases[0])
