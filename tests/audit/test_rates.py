import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from legalrr.audit.rates import ALIASES, MISTAKEN, NAMES, intervals, rate, share_intervals

COUNT = st.integers(0, 6)


def cases(matrix):
    """Gold and answers of a matrix; an unanswered case is a third answer."""
    tp, fp, fn, tn, xp, xn = matrix
    gold = [1] * tp + [0] * fp + [1] * fn + [0] * tn + [1] * xp + [0] * xn
    said = [1] * tp + [1] * fp + [0] * fn + [0] * tn + [2] * xp + [2] * xn
    return gold, said


def of(name, matrix):
    return float(rate(name, np.array(matrix)[:, None])[0])


@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:A single label was found")
@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT).filter(sum))
def test_averages_are_those_of_scikit_learn_with_an_unanswered_case_as_a_miss(matrix):
    gold, said = cases(matrix)
    kept = {"labels": [1, 0], "zero_division": 0}
    assert of("macro_f1", matrix) == pytest.approx(metrics.f1_score(gold, said, average="macro", **kept))
    assert of("micro_f1", matrix) == pytest.approx(metrics.f1_score(gold, said, average="micro", **kept))
    assert of("weighted_f1", matrix) == pytest.approx(metrics.f1_score(gold, said, average="weighted", **kept))
    assert of("accuracy", matrix) == pytest.approx(metrics.accuracy_score(gold, said))
    first, second = metrics.f1_score(gold, said, average=None, **kept)
    assert (of("f1_positive", matrix), of("f1_negative", matrix)) == pytest.approx((first, second))
    precision, recall, _, _ = metrics.precision_recall_fscore_support(gold, said, **kept)
    p, r = precision.mean(), recall.mean()
    assert of("balanced_accuracy", matrix) == pytest.approx(r)
    assert of("f1_of_means", matrix) == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)
    assert of("mcc", matrix) == pytest.approx(metrics.matthews_corrcoef(gold, said), abs=1e-12)


@given(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT).filter(sum))
def test_a_rate_and_its_complement_add_up_to_one_or_are_both_undefined(matrix):
    for one, other in (("fpr", "tnr"), ("fdr", "ppv"), ("for", "npv"), ("fnr", "tpr")):
        values = of(one, matrix), of(other, matrix)
        unanswered = matrix[5] if one == "fpr" else 0
        if math.isnan(values[0]):
            assert math.isnan(values[1])
        elif not unanswered:
            assert sum(values) == pytest.approx(1)


def test_rates_of_the_study_are_shares_of_answers_and_not_of_cases():
    matrix = (18, 7, 4, 15, 0, 0)
    assert of("fpr", matrix) == 7 / 22
    assert of("fdr", matrix) == 7 / 25
    assert of("fnr", matrix) == 4 / 22
    assert of("for", matrix) == 4 / 19
    assert of("invalid_rate", (1, 0, 0, 0, 2, 1)) == 3 / 4


def test_every_rate_is_named_and_computed():
    assert set(MISTAKEN) == set(NAMES)
    assert set(ALIASES.values()) <= set(NAMES)
    for name, others in MISTAKEN.items():
        assert set(others) <= set(NAMES) - {name}
        assert np.isfinite(of(name, (3, 1, 2, 4, 0, 0)))


def test_share_intervals_are_those_of_scipy():
    parts, wholes = np.array([0, 3, 10, 22, 0]), np.array([10, 10, 10, 44, 0])
    low, high = share_intervals(parts, wholes)
    for index in range(4):
        expected = stats.binomtest(int(parts[index]), int(wholes[index])).proportion_ci(0.95, method="exact")
        assert (low[index], high[index]) == pytest.approx((expected.low, expected.high))
    assert (low[4], high[4]) == (0, 1)


@pytest.mark.parametrize("name", ["fpr", "fnr", "tpr", "tnr", "fdr", "for", "ppv", "npv"])
def test_a_share_has_the_interval_of_its_own_cases(name):
    matrix = np.array([[18, 7, 4, 15, 2, 1]]).T
    low, high = intervals(name, matrix)
    value = rate(name, matrix)
    assert low[0] < value[0] < high[0]
    whole = {"fpr": 23, "tnr": 23, "fnr": 24, "tpr": 24, "fdr": 25, "ppv": 25, "for": 19, "npv": 19}[name]
    expected = share_intervals(np.round(value * whole).astype(int), np.array([whole]))
    assert (low[0], high[0]) == pytest.approx((expected[0, 0], expected[1, 0]))


@pytest.mark.parametrize("name", ["macro_f1", "accuracy", "f1_positive"])
@pytest.mark.parametrize("truth", [(0.1, 0.2), (0.5, 0.5), (0.9, 0.3)])
@pytest.mark.parametrize("sizes", [(4, 16), (22, 22)])
def test_intervals_of_averages_have_at_least_nominal_coverage(name, truth, sizes):
    """Exact coverage: over all matrices, by their probability at true FPR and FNR."""
    negatives, positives = sizes
    fp, fn = (axis.ravel() for axis in np.meshgrid(np.arange(negatives + 1), np.arange(positives + 1)))
    none = np.zeros_like(fp)
    low, high = intervals(name, np.stack([positives - fn, fp, fn, negatives - fp, none, none]))
    alarms, misses = truth[0] * negatives, truth[1] * positives
    true = rate(name, np.array([[positives - misses, alarms, misses, negatives - alarms, 0, 0]]).T)[0]
    chance = stats.binom.pmf(fp, negatives, truth[0]) * stats.binom.pmf(fn, positives, truth[1])
    assert chance[(low <= true) & (true <= high)].sum() >= 0.95


def test_there_is_no_interval_of_other_rates_or_with_unanswered_cases():
    assert intervals("mcc", np.array([[1, 1, 1, 1, 0, 0]]).T) is None
    assert intervals("macro_f1", np.array([[1, 1, 1, 1, 1, 0]]).T) is None
