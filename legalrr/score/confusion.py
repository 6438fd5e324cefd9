"""The six ways in which a judgment can be answered, as codes, and macro-F1 of many resamples of them at once.

    code        0        1          2       |  3          4          5
    gold        allowed  allowed    allowed |  dismissed  dismissed  dismissed
    predicted   allowed  dismissed  invalid |  allowed    dismissed  invalid

Macro-F1 is the mean of F1 over the two classes; an invalid answer is a miss in the class of its gold outcome:

    F1(class) = 2 right / (gold + predicted)        0 where neither gold nor predicted has the class
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from legalrr.predictions import LABELS
from legalrr.records import OUTCOMES, Scored

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
