"""Jackknife intervals: standard error from leaving out one judgment at a time, bounds from Student's t.

With theta the statistic of n judgments and theta_(i) the one without judgment i (Tukey 1958; Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 11):

    SE^2  = (n - 1) / n sum_i (theta_(i) - mean of theta_(.))^2
    bound = theta -+ t_{n-1} SE

For the paired difference of two arms and the effects of the switches. Only the judgments on which arms disagree move
them, a dozen of 44, and the quantiles of so few resampled values cover too little: the bootstrap's 95 % intervals of a
difference held the true one in 88 to 93 of 100 simulated samples of 44, these in 94 to 95 (tests/score/
test_jackknife.py; tests/score/test_effects.py for effects). A difference is about symmetric, so what BCa corrects in a
single macro-F1 is not missed.

Of several samples (corpora), the squares SE_j^2 add up, and t has the degrees of freedom of Welch (1947, doi
10.1093/biomet/34.1-2.28) and Satterthwaite:

    df = (sum_j SE_j^2)^2 / sum_j (SE_j^4 / (n_j - 1))
"""

from collections.abc import Callable, Sequence

import numpy as np

from legalrr.score.confusion import Counts, Floats
from legalrr.score.interval import DECIMALS, Interval, Sample

UNMOVED = "leaving out one judgment never changes the difference"


def jackknife_of_counts(
    samples: Sequence[Sample], statistic: Callable[..., Floats], *, confidence: float, reach: float
) -> list[Interval]:
    """The jackknife intervals of statistics that depend on how often each answer was given and on nothing else.

    Args:
        samples: independent of each other, as judgments of different corpora are.
        statistic: of counts of shape (6, r, k), one array per sample; gives q statistics, shape (r, q).
        confidence: coverage, such as 0.95.
        reach: the statistics lie between -`reach` and `reach`; so do the bounds.

    Returns:
        An interval per statistic.
    """
    from scipy.special import stdtrit

    whole: list[Counts] = [sample.counts(sample.sizes[None]) for sample in samples]
    values = statistic(*whole)[0]
    if min(sample.n for sample in samples) < 2:
        return [Interval(bounds=None, note="fewer than two judgments", standard_error=None)] * len(values)
    squares = np.zeros((len(samples), len(values)))
    for place, sample in enumerate(samples):
        n = sample.n
        others = [np.broadcast_to(one, (6, len(sample.sizes), one.shape[-1])) for one in whole]
        others[place] = whole[place] - sample.indicators
        left_out = np.round(statistic(*others), DECIMALS)
        # A spread that rounding alone has made is none.
        moved = np.ptp(left_out, axis=0) > 0
        spread = left_out - np.average(left_out, axis=0, weights=sample.sizes)
        squares[place] = np.where(moved, (n - 1) / n * (sample.sizes @ spread**2), 0.0)
    total = squares.sum(axis=0)
    freedom = np.array([sample.n - 1 for sample in samples])[:, None]
    found = []
    for value, square, of in zip(values, total, (squares**2 / freedom).sum(axis=0), strict=True):
        if square == 0:
            found.append(Interval(bounds=None, note=UNMOVED, standard_error=0.0))
            continue
        error = float(np.sqrt(square))
        half = float(stdtrit(square**2 / of, (1 + confidence) / 2)) * error
        bounds = max(-reach, float(value) - half), min(reach, float(value) + half)
        found.append(Interval(bounds=bounds, note=None, standard_error=error, method="jackknife"))
    return found
