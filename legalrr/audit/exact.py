"""Exact intervals of rates whose matrix is known, class counts taken as given; no judgment is resampled.

A share k of n has the Clopper-Pearson interval (Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404). The F1 of both
classes, their means and accuracy fall as FPR or FNR rises, so over the two intervals of FPR and FNR at the level
sqrt(0.95) they lie between their values at two corners: at least 95 % coverage, as the two classes are independent.
"""

import math

import numpy as np

from legalrr.audit.matrices import Integers
from legalrr.audit.rates import Floats, rate
from legalrr.clopper_pearson import share_intervals

LEVEL = 0.95
FALLING = frozenset({"macro_f1", "accuracy", "weighted_f1", "f1_positive", "f1_negative", "balanced_accuracy"})
"""Rates that fall as FPR or FNR rises."""
SHARES = {
    "fpr": ((1,), (1, 3, 5)),
    "tnr": ((3,), (1, 3, 5)),
    "fnr": ((2, 4), (0, 2, 4)),
    "tpr": ((0,), (0, 2, 4)),
    "fdr": ((1,), (0, 1)),
    "ppv": ((0,), (0, 1)),
    "for": ((2,), (2, 3)),
    "npv": ((3,), (2, 3)),
}
"""Rate -> rows whose sum it is a share of, and of the sum of which rows."""


def intervals(name: str, counts: Integers, level: float = LEVEL) -> Floats | None:
    """Exact intervals of a rate of matrices (6, m), shape (2, m); None for rates not in `FALLING` or `SHARES`."""
    if name in SHARES:
        parts, wholes = (counts[list(rows)].sum(axis=0) for rows in SHARES[name])
        return share_intervals(parts, wholes, level)
    if name not in FALLING or counts[4:].any():
        return None
    positives, negatives = counts[0] + counts[2], counts[1] + counts[3]
    each = math.sqrt(level)
    misses = positives * share_intervals(counts[2], positives, each)
    alarms = negatives * share_intervals(counts[1], negatives, each)
    none = np.zeros(counts.shape[1])
    corners = [
        rate(name, np.stack([positives - fn, fp, fn, negatives - fp, none, none]))
        for fp, fn in zip(alarms[::-1], misses[::-1], strict=True)
    ]
    return np.stack(corners)
