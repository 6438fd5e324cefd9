import numpy as np
import pytest
from scipy import stats

from legalrr.audit.exact import intervals, share_intervals
from legalrr.audit.rates import rate


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
def test_intervals_of_averages_cover_the_truth_at_least_as_often_as_they_say(name, truth, sizes):
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
