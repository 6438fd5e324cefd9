"""Compute macro-F1 from confusion codes, and the area under the ROC curve.

The six ways in which a judgment can be answered, as codes, and macro-F1 of many resamples of them at once.

    code        0        1          2       |  3          4          5
    gold        allowed  allowed    allowed |  dismissed  dismissed  dismissed
    predicted   allowed  dismissed  invalid |  allowed    dismissed  invalid

Macro-F1 is the mean of F1 over the two classes; an invalid answer is a miss in the class of its gold outcome:

    F1(class) = 2 right / (gold + predicted)        0 where neither gold nor predicted has the class

Area under the ROC curve (AUC): how often a judgment that was allowed gets a higher value than a dismissed one.

    AUC = P(value of allowed > value of dismissed) + P(equal) / 2        (the Mann-Whitney statistic over m n)

0.5 is chance whatever the model's inclination to say YES, which moves accuracy and macro-F1. The interval is Newcombe's
method 5 (2006, doi 10.1002/sim.2324): all t that a normal test with the variance of Hanley and McNeil (1982, doi
10.1148/radiology.143.1.7063747), made symmetric, does not reject:

    |AUC - t| <= z sqrt(V(t))
    V(t) = t (1 - t) / (m n) [1 + N (1 - t) / (2 - t) + N t / (1 + t)],   N = (m + n) / 2 - 1

It has bounds for every sample with both outcomes, where AUC is 1 too, and no seed.

What a metric of explanations offers: scores of a generated text against the court's, pair by pair.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from legalrr.predictions import LABELS
from legalrr.records import OUTCOMES, Scored
from legalrr.stage import description, digest

Codes = npt.NDArray[np.int8]
"""Answers as codes, shape (..., n)."""
Counts = npt.NDArray[np.int64 | np.float64]
"""How often each code occurs, shape (6, ...); whole numbers, in floating point where they come of products."""
Floats = npt.NDArray[np.float64]
"""Scores, shape (...)."""

CODES: Mapping[tuple[str, str], int] = {
    (gold, label): 3 * row + column for row, gold in enumerate(OUTCOMES) for column, label in enumerate(LABELS)
}
"""Gold outcome and label -> code."""


def codes(cases: Sequence[Scored]) -> Codes:
    """The cases as codes, shape (n,), in their order."""
    return np.array([CODES[c.gold, c.label] for c in cases], dtype=np.int8)


def count_codes(answers: Codes, axis: int = -1) -> Counts:
    """How often each code occurs along `axis`; the counts are the new first axis, shape (6, ...)."""
    return np.stack([np.asarray(np.count_nonzero(answers == code, axis=axis)) for code in range(6)])


def macro_f1_of_counts(counts: Counts) -> Floats:
    """Macro-F1 from counts of shape (6, ...); shape (...)."""
    aa, ad, ai, da, dd, di = counts
    return (_f1(aa, aa + ad + ai, aa + da) + _f1(dd, da + dd + di, ad + dd)) / 2


def accuracy_of_counts(counts: Counts) -> Floats:
    """Share answered right, from counts of shape (6, ...); shape (...); 0 where nothing was answered."""
    return _share(counts[0] + counts[4], counts)


def yes_rate_of_counts(counts: Counts) -> Floats:
    """Share answered allowed, from counts of shape (6, ...); shape (...); 0 where nothing was answered."""
    return _share(counts[0] + counts[3], counts)


def macro_f1_of_codes(answers: Codes, axis: int = -1) -> Floats:
    """Macro-F1 along `axis` of codes of shape (..., n); shape (...). What resampling needs; see `macro_f1`."""
    return macro_f1_of_counts(count_codes(answers, axis))


def macro_f1(gold: Sequence[str], labels: Sequence[str]) -> float:
    """Macro-F1 as scikit-learn has it, one sample at a time: what `macro_f1_of_codes` is checked against."""
    from sklearn.metrics import f1_score

    return float(f1_score(gold, labels, labels=OUTCOMES, average="macro", zero_division=0))


def _share(some: Counts, counts: Counts) -> Floats:
    total = counts.sum(axis=0)
    return np.divide(some, total, out=np.zeros(total.shape), where=total > 0)


def _f1(right: Counts, gold: Counts, predicted: Counts) -> Floats:
    total = gold + predicted
    return np.divide(2.0 * right, total, out=np.zeros(total.shape), where=total > 0)


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


Pair = tuple[str, str]
"""A generated text and the court's."""


class Metric(Protocol):
    """Scores generated texts against reference texts. A stage (`legalrr.stage`): its fields are its identity."""

    @property
    def name(self) -> str:
        """Name of the metric; a variant that gives other scores has a name of its own."""

    @property
    def shown(self) -> Mapping[str, str]:
        """Score that tables show -> its heading."""

    @property
    def detail(self) -> str:
        """How it was computed, in words, for the line above a table."""

    def provenance(self) -> Mapping[str, Any]:
        """JSON facts beyond the fields that scores depend on: version of a package, digest of an encoder."""

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """Scores of each pair, in order, by name; a text without a word scores 0."""


def told(metric: Metric) -> dict[str, Any]:
    """All that tells the scores of a metric from those of another one, as JSON."""
    return {"metric": description(metric), "provenance": dict(metric.provenance())}


def place(metric: Metric) -> str:
    """Name of the folder that the metric's scores are kept in: scores of two encoders never share one."""
    return f"{metric.name}-{digest(told(metric))[:12]}"
