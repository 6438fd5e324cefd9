"""Intervals of one arm's own scores: BCa bootstrap (`legalrr.score.interval`), and exact ones where it defines none.

Where every resample of the judgments gives the same score, as with an arm that is always right, the bootstrap knows
no uncertainty. There the bounds follow from how many misses in each outcome are possible: with the Clopper-Pearson
interval of the share of misses in each outcome at the level sqrt(0.95), as the outcomes are independent,

    low     the score with as many misses as possible, each the other answer
    high    the score with as few as possible, each invalid, which costs the other outcome nothing

The class counts are taken as given. They cover at least 95 %.
"""

import math
from collections.abc import Callable

import numpy as np

from legalrr.score.confusion import Counts, Floats
from legalrr.score.interval import Interval, Sample, bca_of_counts


def arm_intervals(
    sample: Sample, statistic: Callable[[Counts], Floats], *, confidence: float, resamples: int, seed: int
) -> list[Interval]:
    """Intervals of scores of one arm that fall as either outcome has more misses.

    Args:
        sample: its answers, one column.
        statistic: of counts of shape (6, r, 1); gives q scores, shape (r, q).
        confidence: coverage, such as 0.95.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    found = bca_of_counts([sample], statistic, confidence=confidence, resamples=resamples, seed=seed)
    if sample.n < 2 or all(one.bounds is not None for one in found):
        return found
    low, high = exact_bounds(sample, statistic, confidence=confidence)
    return [
        one
        if one.bounds is not None
        else Interval(bounds=(float(a), float(b)), note=None, standard_error=one.standard_error, method="exact")
        for one, a, b in zip(found, low, high, strict=True)
    ]


def exact_bounds(sample: Sample, statistic: Callable[[Counts], Floats], *, confidence: float) -> tuple[Floats, Floats]:
    """Exact bounds of scores, each of shape (q,); the arguments are those of `arm_intervals`."""
    counts = sample.counts(sample.sizes[None])[:, 0, 0]
    # Judgments of a cluster are one observation.
    counts = counts * (sample.n / counts.sum())
    golds = np.array([counts[:3].sum(), counts[3:].sum()])
    misses = np.maximum(golds - counts[[0, 4]], 0.0)
    least, most = golds * share_intervals(misses, golds, math.sqrt(confidence))
    worst = np.array([golds[0] - most[0], most[0], 0.0, most[1], golds[1] - most[1], 0.0])
    best = np.array([golds[0] - least[0], 0.0, least[0], 0.0, golds[1] - least[1], least[1]])
    low, high = (statistic(one[:, None, None])[0] for one in (worst, best))
    return low, high


def share_intervals(parts: Floats, wholes: Floats, level: float) -> Floats:
    """Compute Clopper-Pearson intervals of shares, shapes (m,) to (2, m); 0 to 1 of nothing.

    Source: Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404, as quantiles of the beta distribution.
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    # The beta distribution ends where a parameter is 0; there the bound is 0 or 1.
    low = np.where(parts > 0, betaincinv(np.where(parts > 0, parts, 1), wholes - parts + 1, tail), 0.0)
    high = np.where(parts < wholes, betaincinv(parts + 1, np.where(parts < wholes, wholes - parts, 1), 1 - tail), 1.0)
    return np.stack([low, high])
