import numpy as np
import pytest

from legalrr.score.intervals import Sample, bca_of_counts
from legalrr.score.metrics import macro_f1_of_counts
from legalrr.score.scorer import arm_intervals, exact_bounds

OPTIONS = {"confidence": 0.95, "resamples": 500, "seed": 0}


def sample(*counts):
    return Sample.of(np.repeat(np.arange(6, dtype=np.int8), counts))


def test_an_arm_that_is_always_right_has_an_exact_interval():
    (found,) = arm_intervals(sample(20, 0, 0, 0, 24, 0), macro_f1_of_counts, **OPTIONS)
    # At most 1 - tail^(1/n) misses in each outcome, each the other answer (Clopper and Pearson without a miss).
    tail = (1 - 0.95**0.5) / 2
    a, d = 20 * (1 - tail ** (1 / 20)), 24 * (1 - tail ** (1 / 24))
    low = ((2 * (20 - a)) / (20 + 20 - a + d) + (2 * (24 - d)) / (24 + 24 - d + a)) / 2
    assert found.bounds == (pytest.approx(low), 1)
    assert (found.method, found.note) == ("exact", None)


def test_an_arm_with_only_invalid_answers_has_an_interval_from_0():
    (found,) = arm_intervals(sample(0, 0, 20, 0, 0, 24), macro_f1_of_counts, **OPTIONS)
    assert found.bounds[0] == 0
    assert 0.1 < found.bounds[1] < 0.4


def test_a_defined_bootstrap_interval_is_kept():
    one = sample(9, 4, 1, 5, 6, 1)
    assert arm_intervals(one, macro_f1_of_counts, **OPTIONS) == bca_of_counts([one], macro_f1_of_counts, **OPTIONS)


def test_one_judgment_has_no_interval():
    (found,) = arm_intervals(sample(1, 0, 0, 0, 0, 0), macro_f1_of_counts, **OPTIONS)
    assert (found.bounds, found.note) == (None, "fewer than two judgments")


@pytest.mark.parametrize("right", [0.9, 0.97, 1.0])
def test_exact_bounds_contain_the_true_score_in_at_least_95_of_100_samples(right):
    shares = np.array([0.45 * right, 0.45 * (1 - right), 0, 0.55 * (1 - right), 0.55 * right, 0])
    truth, rng = float(macro_f1_of_counts(shares)), np.random.default_rng(0)
    covered = 0
    for sizes in rng.multinomial(30, shares, size=400):
        low, high = exact_bounds(sample(*sizes), macro_f1_of_counts, confidence=0.95)
        covered += low[0] - 1e-12 <= truth <= high[0] + 1e-12
    assert covered >= 0.95 * 400
