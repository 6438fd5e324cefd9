"""Compute macro-F1 from confusion codes and the area under the ROC curve; define the protocol of explanation metrics.

A confusion code is one of the six combinations of gold outcome and answer:

    code        0        1          2       |  3          4          5
    gold        allowed  allowed    allowed |  dismissed  dismissed  dismissed
    predicted   allowed  dismissed  invalid |  allowed    dismissed  invalid

Counts of codes give macro-F1 of many resamples at once. Macro-F1 is the mean of F1 over the two classes; an invalid
answer is a miss in the class of its gold outcome:

    F1(class) = 2 right / (gold + predicted)        0 if neither gold nor predicted has the class

The AUC is the probability that an allowed judgment gets a higher value than a dismissed one:

    AUC = P(value of allowed > value of dismissed) + P(equal) / 2        (the Mann-Whitney statistic over m n)

Chance level is 0.5 for any rate of YES, unlike that of accuracy and macro-F1. The interval is Newcombe's method 5
(2006, doi 10.1002/sim.2324): all t that a normal test with the symmetric variance based on Hanley and McNeil (1982, doi
10.1148/radiology.143.1.7063747) does not reject:

    |AUC - t| <= z sqrt(V(t))
    V(t) = t (1 - t) / (m n) [1 + N (1 - t) / (2 - t) + N t / (1 + t)],   N = (m + n) / 2 - 1

It has bounds for every sample with both outcomes, also at AUC 1, and needs no seed.
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
"""Confusion codes, shape (..., n)."""
Counts = npt.NDArray[np.int64 | np.float64]
"""Number of occurrences of each code, shape (6, ...); integers, in floating point where they are products."""
Floats = npt.NDArray[np.float64]
"""Scores, shape (...)."""

CODES: Mapping[tuple[str, str], int] = {
    (gold, label): 3 * row + column for row, gold in enumerate(OUTCOMES) for column, label in enumerate(LABELS)
}
"""Gold outcome and label -> code."""


def codes(cases: Sequence[Scored]) -> Codes:
    """Encode cases as confusion codes, shape (n,), in the same order."""
    return np.array([CODES[c.gold, c.label] for c in cases], dtype=np.int8)


def count_codes(answers: Codes, axis: int = -1) -> Counts:
    """Count each code along `axis`; the counts are the new first axis, shape (6, ...)."""
    return np.stack([np.asarray(np.count_nonzero(answers == code, axis=axis)) for code in range(6)])


def macro_f1_of_counts(counts: Counts) -> Floats:
    """Compute macro-F1 from counts of shape (6, ...); shape (...)."""
    aa, ad, ai, da, dd, di = counts
    return (_f1(aa, aa + ad + ai, aa + da) + _f1(dd, da + dd + di, ad + dd)) / 2


def accuracy_of_counts(counts: Counts) -> Floats:
    """Compute the share of correct answers from counts of shape (6, ...); shape (...); 0 for empty counts."""
    return _share(counts[0] + counts[4], counts)


def yes_rate_of_counts(counts: Counts) -> Floats:
    """Compute the share answered allowed from counts of shape (6, ...); shape (...); 0 for empty counts."""
    return _share(counts[0] + counts[3], counts)


def macro_f1_of_codes(answers: Codes, axis: int = -1) -> Floats:
    """Compute macro-F1 along `axis` of codes of shape (..., n); shape (...). For resampling; see `macro_f1`."""
    return macro_f1_of_counts(count_codes(answers, axis))


def macro_f1(gold: Sequence[str], labels: Sequence[str]) -> float:
    """Compute macro-F1 of one sample with scikit-learn: the reference for `macro_f1_of_codes`."""
    from sklearn.metrics import f1_score

    return float(f1_score(gold, labels, labels=OUTCOMES, average="macro", zero_division=0))


def _share(some: Counts, counts: Counts) -> Floats:
    total = counts.sum(axis=0)
    return np.divide(some, total, out=np.zeros(total.shape), where=total > 0)


def _f1(right: Counts, gold: Counts, predicted: Counts) -> Floats:
    total = gold + predicted
    return np.divide(2.0 * right, total, out=np.zeros(total.shape), where=total > 0)


ONE_MARGIN = 1e-12
"""Distance from 1 at which the search for a bound ends, as 1 always solves the equation."""


@dataclass(frozen=True, kw_only=True)
class Auc:
    """AUC with its interval."""

    value: float
    """AUC, between 0 and 1."""
    interval: tuple[float, float]
    """Newcombe's interval."""


def auc(values: Sequence[float], allowed: Sequence[bool], *, confidence: float) -> Auc | None:
    """Compute the AUC of values as a predictor of the outcome `allowed`; None without judgments of both outcomes.

    Args:
        values: one number per judgment, such as log-odds; may be infinite.
        allowed: whether the outcome of the judgment is `allowed`.
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
    return Auc(value=value, interval=(_lower_bound(value, m, n, z), 1 - _lower_bound(1 - value, m, n, z)))


def _lower_bound(value: float, m: int, n: int, z: float) -> float:
    """Return the lower bound; the upper one is 1 minus that of 1 - AUC, as V is symmetric."""
    from scipy.optimize import brentq

    def beyond(t: float) -> float:
        middle = (m + n) / 2 - 1
        variance = t * (1 - t) / (m * n) * (1 + middle * ((1 - t) / (2 - t) + t / (1 + t)))
        return value - t - z * math.sqrt(variance)

    return float(brentq(beyond, 0.0, min(value, 1 - ONE_MARGIN))) if value > 0 else 0.0


Pair = tuple[str, str]
"""A generated text and the court's text."""


class Metric(Protocol):
    """Metric of generated texts against reference texts. A stage (`legalrr.stage`): its fields are its identity."""

    @property
    def name(self) -> str:
        """Name of the metric; a variant with different scores has a name of its own."""

    @property
    def headings(self) -> Mapping[str, str]:
        """Name of each score in the tables -> its column heading."""

    @property
    def detail(self) -> str:
        """Description of the computation, for the line above a table."""

    def provenance(self) -> Mapping[str, Any]:
        """Return JSON values besides the fields that scores depend on: package versions, digest of an encoder."""

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """Yield the scores of each pair by name, in order; a text without a word scores 0."""


def metric_identity(metric: Metric) -> dict[str, Any]:
    """Return the identity of a metric as JSON: metrics with different scores differ in it."""
    return {"metric": description(metric), "provenance": dict(metric.provenance())}


def store_name(metric: Metric) -> str:
    """Return the name of the folder with the scores of a metric; two encoders never share one."""
    return f"{metric.name}-{digest(metric_identity(metric))[:12]}"
