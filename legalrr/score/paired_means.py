"""Compare means over judgments: of per-judgment scores, and over repeated runs.

Means over judgments of a score that every judgment has, and the paired difference of two such means.

mean                  over judgments, with a BCa bootstrap interval over judgments
difference            mean of the arm less that of the reference, over the judgments that both have
permutation p         the sign of each judgment's difference is flipped at random; two-sided
smallest detectable   the true difference that this test would have found with power 0.8, were it the same for every
                      judgment and what is left spread as observed (`legalrr.score.detectable`)

As in `legalrr.score.significance`, the test rules: an interval that would leave out 0 where it does not reject is
extended to 0.

Several runs of one arm whose answers are drawn: what varies between runs, and what varies with the judgments.

mean          of macro-F1 over the runs
sd            standard deviation of macro-F1 between runs (n - 1): how much one run can mislead
interval      BCa bootstrap over judgments of that mean: all runs of a judgment are resampled together
difference    of two such means, with a jackknife interval; its permutation p swaps all answers of two arms to a
              judgment at once

A run says nothing about other judgments, so runs are no sample size: more of them narrow the first spread alone.
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
    Interval,
    Sample,
    bca_of_counts,
    interval,
    jackknife_of_counts,
    ruled,
)
from legalrr.score.metrics import Codes, Floats, codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.permutation import swap_p
from legalrr.score.scorer import PredictionScorer, clusters
from legalrr.score.significance import difference, joined, paired


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over judgments."""

    n: int
    """Judgments that have the score."""
    mean: float
    """Their mean."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the mean, resampling judgments."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Two means on the same judgments."""

    n: int
    """Judgments that both have."""
    lone: int
    """Judgments that only one of the two has; they are left out."""
    difference: float
    """Mean of the arm less that of the reference."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the difference."""
    interval_note: str | None
    """Why there is no interval, or that the test overrules it (`legalrr.score.significance`); else None."""
    p_permutation: float
    """Two-sided p of the difference when signs are flipped; 1 where no judgment differs."""
    smallest_detectable: float | None
    """Smallest difference that the test would have found on so many judgments; None where it finds none at all."""


def mean_of(values: Mapping[str, float], *, scorer: PredictionScorer) -> Mean | None:
    """Mean of a score by judgment id; None without judgments."""
    if not values:
        return None
    sample = _sample(values)
    spread = bca_of_mean(sample, scorer=scorer)
    return Mean(n=len(values), mean=float(sample.mean()), interval=spread.bounds, interval_note=spread.note)


def compare_means(
    values: Mapping[str, float], reference: Mapping[str, float], *, scorer: PredictionScorer
) -> MeanDifference | None:
    """Compares two scores judgment by judgment, joined by id; None where no judgment has both."""
    both = values.keys() & reference.keys()
    if not both:
        return None
    difference = _sample({key: values[key] - reference[key] for key in both})
    p = sign_flip_p(difference, scorer=scorer)
    spread = ruled(bca_of_mean(difference, scorer=scorer), p, scorer.confidence)
    return MeanDifference(
        n=len(both),
        lone=len(values.keys() ^ reference.keys()),
        difference=float(difference.mean()),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=p,
        smallest_detectable=smallest_shift(difference),
    )


def bca_of_mean(values: Floats, *, scorer: PredictionScorer) -> Interval:
    """BCa interval of the mean of values of shape (n,), whose jackknife has a closed form: the same law as `bca`."""
    n = len(values)
    if n < 2:
        return Interval(bounds=None, note="fewer than two judgments", standard_error=None)
    rng = np.random.default_rng(scorer.seed)
    rows = max(1, BATCH_CELLS // n)
    batches = [min(rows, scorer.resamples - start) for start in range(0, scorer.resamples, rows)]
    spread = np.concatenate([values[rng.integers(n, size=(batch, n))].mean(axis=1) for batch in batches])
    left_out = (values.sum() - values) / (n - 1)
    return interval(
        round(float(values.mean()), DECIMALS),
        np.round(spread, DECIMALS),
        [np.round(left_out, DECIMALS)],
        [np.ones(n, dtype=np.int64)],
        confidence=scorer.confidence,
    )


def sign_flip_p(differences: Floats, *, scorer: PredictionScorer) -> float:
    """Two-sided p of the mean of paired differences, shape (n,), whose signs are flipped at random.

    Exact where there are at most `permutations` ways to flip, else (1 + as extreme) / (1 + permutations).
    """
    # A judgment without a difference has no sign to flip.
    differ = differences[differences != 0]
    n = len(differ)
    # Flipping the only one that differs turns the sign of the mean, which is as extreme.
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


def _sample(values: Mapping[str, float]) -> Floats:
    """By id, so that resamples do not depend on the order of the judgments."""
    return np.array([values[key] for key in sorted(values)], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Macro-F1 of several runs."""

    n: int
    """Judgments, the same in all runs."""
    runs: tuple[float, ...]
    """Macro-F1 of each run, in the order given."""
    mean: float
    """Its mean."""
    sd: float | None
    """Its standard deviation between runs; None for a single run."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the mean, resampling judgments."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class RepeatedComparison:
    """Runs of an arm against as many of its reference, on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Mean macro-F1 of the arm less that of the reference."""
    interval: tuple[float, float] | None
    """Jackknife interval of the difference over judgments (`legalrr.score.intervals`)."""
    interval_note: str | None
    """Why there is no interval, or that the test overrules it; else None."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    smallest_detectable: float | None
    """Smallest difference that the test would have found on so many judgments; None where it finds none at all."""


def repeated(runs: Sequence[Sequence[Scored]], *, scorer: PredictionScorer) -> Repeated:
    """Scores runs over the same judgments, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, or an id that not all runs have.
    """
    answers, groups = _answers(runs)
    (spread,) = bca_of_counts(
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
        interval=spread.bounds,
        interval_note=spread.note,
    )


def compare_repeated(
    runs: Sequence[Sequence[Scored]], reference: Sequence[Sequence[Scored]], *, scorer: PredictionScorer
) -> RepeatedComparison:
    """Compares runs of an arm with as many of its reference.

    Raises:
        UserError: as `repeated`, or not as many runs.
    """
    if len(runs) != len(reference):
        raise UserError(
            f"{len(runs)} runs against {len(reference)} of the reference",
            where="paired comparison",
            cure="run both as often",
        )
    swap = paired(*_answers([*runs, *reference]))
    sample = swap.sides[0].sample
    (spread,) = jackknife_of_counts([sample], difference, confidence=scorer.confidence, reach=1.0)
    p = swap_p(swap, permutations=scorer.permutations, seed=scorer.seed)
    spread = ruled(spread, p, scorer.confidence)
    return RepeatedComparison(
        n=len(runs[0]),
        difference=float(difference(sample.counts(sample.sizes[None]))[0, 0]),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=p,
        smallest_detectable=Population(swap=swap).smallest(),
    )


def _answers(runs: Sequence[Sequence[Scored]]) -> tuple[Codes, npt.NDArray[np.int64] | None]:
    """Codes of shape (n, runs), in the order of the ids, and the cluster of each judgment."""
    cases = joined(runs, where="repeated runs")
    return np.stack([codes(run) for run in cases], axis=1), clusters(cases[0])
