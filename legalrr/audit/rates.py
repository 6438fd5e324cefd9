"""Rates as functions of a confusion matrix, what each caption is mistaken for, and exact intervals of rates.

Counts are arrays of shape (6, ...): TP, FP, FN, TN, and the unanswered cases of the positive and the negative class.
As everywhere in legalrr, an unanswered case is a miss in its class and never a false positive (`legalrr.score`).

    F1 of a class     2 right / (cases of the class + answers of the class)
    macro-F1          mean of the two F1; weighted F1: weighted by the cases of each class
    F1 of means       harmonic mean of macro-precision and macro-recall, also published under the name of macro-F1
                      (Opitz and Burst 2019, arXiv 1911.03347)
    FPR, FNR          FP / cases of the negative class; misses / cases of the positive class
    FDR, FOR          FP / positive answers; FN / negative answers: shares of answers, not of cases

Intervals take the class counts as given. A share k of n has the Clopper-Pearson interval (Clopper and Pearson 1934, doi
10.1093/biomet/26.4.404). The F1 of both classes, their means and accuracy fall as FPR or FNR rises, so over the two
intervals of FPR and FNR at the level sqrt(0.95) they lie between their values at two corners: at least 95 % coverage,
as the two classes are independent.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer] | npt.NDArray[np.float64]
"""Matrices, shape (6, ...); of floats where they stand for shares."""
Floats = npt.NDArray[np.float64]
"""Rates, shape (...); nan where the denominator is 0."""
Integers = npt.NDArray[np.int64]
"""Matrices, shape (6, m)."""
SLACK = 1e-9
"""Rounding error of a rate, in shares."""

NAMES: Mapping[str, str] = {
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro-F1",
    "f1_positive": "F1 of the positive class",
    "f1_negative": "F1 of the negative class",
    "f1_of_means": "F1 of macro-precision and macro-recall",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "fpr": "FPR",
    "fnr": "FNR",
    "fdr": "false discovery rate",
    "for": "false omission rate",
    "tpr": "recall of the positive class",
    "tnr": "recall of the negative class",
    "ppv": "precision of the positive class",
    "npv": "precision of the negative class",
    "mcc": "Matthews correlation",
    "invalid_rate": "rate of unanswered cases",
}
"""Rate -> its name in a sentence."""
ALIASES: Mapping[str, str] = {
    "f1_macro": "macro_f1",
    "f1_weighted": "weighted_f1",
    "f1_micro": "micro_f1",
    "f1_allowed": "f1_positive",
    "f1_dismissed": "f1_negative",
    "acc": "accuracy",
    "false_positive_rate": "fpr",
    "false_negative_rate": "fnr",
    "recall_positive": "tpr",
    "sensitivity": "tpr",
    "specificity": "tnr",
    "precision_positive": "ppv",
    "invalid": "invalid_rate",
}
"""Other unambiguous captions; plain `f1`, `precision` and `recall` are ambiguous, so the user has to name the rate."""
OVERLAP = frozenset({"rouge1", "rouge2", "rougel", "meteor", "bertscore", "bleu"})
"""Scores of texts: they have no confusion matrix, so only their range is checked."""
SHARES_RIGHT = (
    "macro_f1",
    "accuracy",
    "weighted_f1",
    "f1_positive",
    "f1_negative",
    "micro_f1",
    "balanced_accuracy",
    "f1_of_means",
)
"""Rates that are mistaken for one another, the most plausible first."""
MISTAKEN: Mapping[str, Mapping[str, int]] = {
    **{one: {other: 1 for other in SHARES_RIGHT if other != one} for one in SHARES_RIGHT},
    "fpr": {"fdr": 1, "fnr": 2, "for": 2, "tnr": 2},
    "fnr": {"for": 1, "fpr": 2, "fdr": 2, "tpr": 2},
    "fdr": {"fpr": 1, "for": 2, "ppv": 2},
    "for": {"fnr": 1, "fdr": 2, "npv": 2},
    "tpr": {"ppv": 1, "tnr": 2, "fnr": 2},
    "tnr": {"npv": 1, "tpr": 2, "fpr": 2},
    "ppv": {"tpr": 1, "npv": 2, "fdr": 2},
    "npv": {"tnr": 1, "ppv": 2, "for": 2},
    "mcc": {},
    "invalid_rate": {},
}
"""Caption -> what else the figure may be -> how far-fetched: 1: another denominator or average; 2: the other class
or the complement. Of several hypotheses that fit, the least far-fetched is reported first."""
LEVEL = 0.95
"""Coverage of the intervals."""
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
"""Rate that is a share -> rows summed in its numerator, and in its denominator."""


def rate(name: str, counts: Counts) -> Floats:
    """Compute a rate of matrices of shape (6, ...); shape (...)."""
    if name in SHARES:
        part, whole = (counts[list(rows)].sum(axis=0) for rows in SHARES[name])
        return _divide(part, whole)
    return _RATES[name](counts)


def _divide(above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    top, bottom = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _f1(counts: Counts) -> tuple[Floats, Floats, npt.NDArray, npt.NDArray]:
    """F1 of both classes (0 where a class has neither cases nor answers), and the cases of both."""
    tp, fp, fn, tn, xp, xn = counts
    positives, negatives = tp + fn + xp, fp + tn + xn
    first, second = _divide(2 * tp, positives + tp + fp), _divide(2 * tn, negatives + tn + fn)
    return np.nan_to_num(first), np.nan_to_num(second), positives, negatives


def _macro_f1(counts: Counts) -> Floats:
    first, second, _, _ = _f1(counts)
    return (first + second) / 2


def _weighted_f1(counts: Counts) -> Floats:
    first, second, positives, negatives = _f1(counts)
    return _divide(positives * first + negatives * second, positives + negatives)


def _micro_f1(counts: Counts) -> Floats:
    tp, fp, fn, tn, xp, xn = counts
    return _divide(2 * (tp + tn), 2 * (tp + fp + fn + tn) + xp + xn)


def _means(counts: Counts) -> tuple[Floats, Floats]:
    """Macro-precision and macro-recall; a class without answers or cases counts 0, as scikit-learn has it."""
    tp, fp, fn, tn, xp, xn = counts
    precision = np.nan_to_num(_divide(tp, tp + fp)) + np.nan_to_num(_divide(tn, tn + fn))
    recall = np.nan_to_num(_divide(tp, tp + fn + xp)) + np.nan_to_num(_divide(tn, fp + tn + xn))
    return precision / 2, recall / 2


def _f1_of_means(counts: Counts) -> Floats:
    precision, recall = _means(counts)
    return np.nan_to_num(_divide(2 * precision * recall, precision + recall))


def _mcc(counts: Counts) -> Floats:
    """Gorodkin's R_K with unanswered as a third answer, as `legalrr.score.scorer` has it; 0 where undefined."""
    tp, fp, fn, tn, xp, xn = counts
    positives, negatives, cases = tp + fn + xp, fp + tn + xn, np.sum(counts, axis=0)
    yes, no, none = tp + fp, fn + tn, xp + xn
    above = (tp + tn) * cases - positives * yes - negatives * no
    spread = (cases**2 - yes**2 - no**2 - none**2) * (cases**2 - positives**2 - negatives**2)
    return np.nan_to_num(_divide(above, np.sqrt(np.asarray(spread, dtype=np.float64))))


_RATES: Mapping[str, Callable[[Counts], Floats]] = {
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "micro_f1": _micro_f1,
    "f1_positive": lambda counts: _f1(counts)[0],
    "f1_negative": lambda counts: _f1(counts)[1],
    "f1_of_means": _f1_of_means,
    "accuracy": lambda counts: _divide(counts[0] + counts[3], np.sum(counts, axis=0)),
    "balanced_accuracy": lambda counts: _means(counts)[1],
    "mcc": _mcc,
    "invalid_rate": lambda counts: _divide(counts[4] + counts[5], np.sum(counts, axis=0)),
}


def share_intervals(parts: npt.NDArray, wholes: npt.NDArray, level: float = LEVEL) -> Floats:
    """Compute Clopper-Pearson intervals of shares, shapes (m,) to (2, m); 0 to 1 of nothing."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    # The quantile is nan where a parameter of the beta distribution is 0; there the bound is 0 or 1.
    low = np.nan_to_num(betaincinv(parts, wholes - parts + 1, tail), nan=0.0)
    high = np.nan_to_num(betaincinv(parts + 1, wholes - parts, 1 - tail), nan=1.0)
    return np.stack([low, high])


def intervals(name: str, counts: Integers, level: float = LEVEL) -> Floats | None:
    """Compute exact intervals of a rate of matrices (6, m), shape (2, m); None unless in `FALLING` or `SHARES`."""
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
