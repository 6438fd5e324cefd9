"""Area under the ROC curve (AUC): how often a judgment that was allowed gets a higher value than a dismissed one.

    AUC = P(value of allowed > value of dismissed) + P(equal) / 2        (the Mann-Whitney statistic over m n)

0.5 is chance whatever the model's inclination to say YES, which moves accuracy and macro-F1. The interval is Newcombe's
method 5 (2006, doi 10.1002/sim.2324): all t that a normal test with the variance of Hanley and McNeil (1982, doi
10.1148/radiology.143.1.7063747), made symmetric, does not reject:

    |AUC - t| <= z sqrt(V(t))
    V(t) = t (1 - t) / (m n) [1 + N (1 - t) / (2 - t) + N t / (1 + t)],   N = (m + n) / 2 - 1

It has bounds for every sample with both outcomes, where AUC is 1 too, and no seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NEAR = 1e-12
"""Distance from 1 from which on a bound is searched, as the equation holds trivially at 1."""


@dataclass(frozen=True, kw_only=True)
class Auc:
    """AUC of some judgments."""

    value: float
    """AUC, between 0 and 1."""
    interval: tuple[float, float]
    """Newcombe's interval."""


def auc(values: Sequence[float], allowed: Sequence[bool], *, confidence: float) -> Auc | None:
    """AUC of values that are to be higher where the outcome is `allowed`; None without judgments of both outcomes.

    Args:
        values: a number per judgment, infinite ones too, such as log-odds.
        allowed: whether its outcome is `allowed`.
        confidence: coverage of the interval.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    m = sum(allowed)
    n = len(allowed) - m
    if not m or not n:
        return None
    ranks = rankdata(values)
    above = sum(float(rank) for rank, yes in zip(ranks, allowed, strict=True) if yes) - m * (m + 1) / 2
    value = above / (m * n)
    z = float(ndtri((1 + confidence) / 2))
    return Auc(value=value, interval=(_low(value, m, n, z), 1 - _low(1 - value, m, n, z)))


def _low(value: float, m: int, n: int, z: float) -> float:
    """The lower bound; the upper one is that of 1 - AUC, taken from 1, as V is symmetric."""
    from scipy.optimize import brentq

    def beyond(t: float) -> float:
        middle = (m + n) / 2 - 1
        variance = t * (1 - t) / (m * n) * (1 + middle * ((1 - t) / (2 - t) + t / (1 + t)))
        return value - t - z * math.sqrt(variance)

    return float(brentq(beyond, 0.0, min(value, 1 - NEAR))) if value > 0 else 0.0
