"""Bootstrap intervals that are either numbers or a reason why there are none, never a silent nan."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from legalrr.score.confusion import Codes, Floats

BATCH_CELLS = 4_000_000
"""Judgments held at once while resampling; bounds memory (a resample of n judgments takes 8 n bytes of indices)."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A bootstrap interval."""

    bounds: tuple[float, float] | None
    """Low and high; None where the method defines none."""
    note: str | None
    """Why there are no bounds; None where there are."""
    standard_error: float | None
    """Standard deviation of the resampled statistic; None for fewer than two judgments."""


def bca(
    samples: tuple[Codes, ...], statistic: Callable[..., Floats], *, confidence: float, resamples: int, seed: int
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987, doi 10.2307/2289144), by scipy.stats.bootstrap.

    Args:
        samples: arrays of shape (n,) that are resampled together: position i of each is the same judgment.
        statistic: of arrays of shape (..., n) and `axis`; gives shape (...).
        confidence: coverage, such as 0.95.
        resamples: number of resamples.
        seed: seed of the resampling.
    """
    from scipy import stats

    n = len(samples[0])
    if n < 2:
        return Interval(bounds=None, note="fewer than two judgments", standard_error=None)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=True,
            method="BCa",
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, BATCH_CELLS // n),
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) for bound in result.confidence_interval)
    spread, error = result.bootstrap_distribution, float(result.standard_error)
    if np.isfinite(low) and np.isfinite(high):
        return Interval(bounds=(low, high), note=None, standard_error=error)
    if np.ptp(spread) == 0:
        note = "no resample changes the score"
    else:
        note = "leaving out one judgment never changes the score, or all resamples lie on one side of it"
    return Interval(bounds=None, note=note, standard_error=error)
