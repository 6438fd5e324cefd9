"""Means over judgments of a score that every judgment has, and the paired difference of two such means.

mean                  over judgments, with a BCa bootstrap interval over judgments
difference            mean of the arm less that of the reference, over the judgments that both have
permutation p         the sign of each judgment's difference is flipped at random; two-sided
smallest detectable   as in `legalrr.score.significance`
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from legalrr.score.confusion import Floats
from legalrr.score.interval import BATCH_CELLS, bca
from legalrr.score.prediction import PredictionScorer
from legalrr.score.significance import reach


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
    """Why there is no interval; None where there is one."""
    p_permutation: float
    """Two-sided p of the difference when signs are flipped; 1 where no judgment differs."""
    smallest_detectable: float | None
    """Smallest difference that these judgments could have shown; None where the standard error is 0 or undefined."""


def mean_of(values: Mapping[str, float], *, scorer: PredictionScorer) -> Mean | None:
    """Mean of a score by judgment id; None without judgments."""
    if not values:
        return None
    sample = _sample(values)
    spread = bca((sample,), np.mean, confidence=scorer.confidence, resamples=scorer.resamples, seed=scorer.seed)
    return Mean(n=len(values), mean=float(sample.mean()), interval=spread.bounds, interval_note=spread.note)


def compare_means(
    values: Mapping[str, float], reference: Mapping[str, float], *, scorer: PredictionScorer
) -> MeanDifference | None:
    """Compares two scores judgment by judgment, joined by id; None where no judgment has both."""
    both = values.keys() & reference.keys()
    if not both:
        return None
    difference = _sample({key: values[key] - reference[key] for key in both})
    spread = bca((difference,), np.mean, confidence=scorer.confidence, resamples=scorer.resamples, seed=scorer.seed)
    return MeanDifference(
        n=len(both),
        lone=len(values.keys() ^ reference.keys()),
        difference=float(difference.mean()),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=sign_flip_p(difference, scorer=scorer),
        smallest_detectable=reach() * spread.standard_error if spread.standard_error else None,
    )


def sign_flip_p(differences: Floats, *, scorer: PredictionScorer) -> float:
    """Two-sided p of the mean of paired differences, shape (n,), whose signs are flipped at random.

    Exact where there are at most `permutations` ways to flip, else (1 + as extreme) / (1 + permutations).
    """
    from scipy import stats

    # A judgment without a difference has no sign to flip.
    differ = differences[differences != 0]
    # Flipping the only one that differs turns the sign of the mean, which is as extreme.
    if len(differ) < 2:
        return 1.0
    result = stats.permutation_test(
        (differ,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=scorer.permutations,
        batch=max(1, BATCH_CELLS // len(differ)),
        rng=np.random.default_rng(scorer.seed),
    )
    return float(result.pvalue)


def _sample(values: Mapping[str, float]) -> Floats:
    """By id, so that resamples do not depend on the order of the judgments."""
    return np.array([values[key] for key in sorted(values)], dtype=np.float64)
