"""Jackknife intervals of paired differences."""

import numpy as np
import pytest
from scipy import stats

from legalrr.score.intervals import UNMOVED, Sample, bca_of_counts, jackknife_of_counts
from legalrr.score.metrics import macro_f1_of_codes
from legalrr.score.significance import macro_f1_difference

PAIRS = np.array([(0, 0), (0, 1), (1, 0), (1, 1), (3, 3), (3, 4), (4, 3), (4, 4)], dtype=np.int8)
SHARES = {
    "as even as the study's sets": [0.27, 0.08, 0.06, 0.09, 0.12, 0.07, 0.06, 0.25],
    "arms that agree on 87 of 100": [0.33, 0.04, 0.03, 0.10, 0.17, 0.03, 0.03, 0.27],
    "an arm that says NO more often": [0.30, 0.15, 0.02, 0.03, 0.20, 0.02, 0.15, 0.13],
}


def interval_of(answers, confidence=0.95, reach=1.0):
    (found,) = jackknife_of_counts([Sample.of(answers)], macro_f1_difference, confidence=confidence, reach=reach)
    return found


def coverage(shares, n, interval, *, draws):
    """Return the share of intervals that contain the true difference; a missing interval does not."""
    truth = float(macro_f1_difference(Sample(patterns=PAIRS, sizes=shares).counts(shares[None]))[0, 0])
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(draws):
        bounds = interval(np.repeat(PAIRS, rng.multinomial(n, shares), axis=0)).bounds
        covered += bounds is not None and bounds[0] <= truth <= bounds[1]
    return covered / draws


def test_jackknife_equals_leaving_out_each_judgment_in_turn():
    answers = np.repeat(PAIRS, [5, 2, 1, 3, 4, 0, 2, 6], axis=0)

    def slow(rows):
        return macro_f1_of_codes(rows[:, 0], -1) - macro_f1_of_codes(rows[:, 1], -1)

    n = len(answers)
    left_out = np.array([slow(np.delete(answers, i, axis=0)) for i in range(n)])
    error = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    half = stats.t.ppf(0.975, n - 1) * error
    found = interval_of(answers)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    assert found.bounds == pytest.approx((slow(answers) - half, slow(answers) + half), abs=1e-9)


def test_the_standard_error_of_an_accuracy_difference_is_that_of_a_mean():
    answers = np.repeat(PAIRS, [9, 4, 2, 5, 8, 1, 3, 7], axis=0)
    right = np.isin(answers, [0, 4])
    (found,) = jackknife_of_counts(
        [Sample.of(answers)],
        lambda counts: ((counts[0] + counts[4]) @ np.array([[1.0], [-1.0]])) / counts.sum(axis=0)[..., :1],
        confidence=0.95,
        reach=1.0,
    )
    assert found.standard_error == pytest.approx(stats.sem(right[:, 0].astype(float) - right[:, 1]))


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("n", [44, 300])
def test_95_of_100_intervals_contain_the_true_difference(n, shares):
    assert coverage(np.array(shares), n, interval_of, draws=2000) == pytest.approx(0.95, abs=0.02)


def test_bootstrap_intervals_of_44_judgments_cover_the_difference_less_often():
    def bootstrap(answers):
        (found,) = bca_of_counts([Sample.of(answers)], macro_f1_difference, confidence=0.95, resamples=600, seed=0)
        return found

    covered = [coverage(np.array(shares), 44, bootstrap, draws=500) for shares in SHARES.values()]
    # The standard error of a share of 500 is 0.012; 1,000 draws with 1,000 resamples gave 0.923, 0.876 and 0.93.
    assert covered == pytest.approx([0.923, 0.876, 0.93], abs=0.04)
    assert max(covered) < 0.95


@pytest.mark.parametrize(
    ("answers", "note"),
    [([(0, 1)], "fewer than two judgments"), ([(0, 0), (4, 4), (1, 1)], UNMOVED)],
)
def test_a_missing_interval_has_a_reason(answers, note):
    found = interval_of(np.array(answers, dtype=np.int8))
    assert (found.bounds, found.note) == (None, note)
    assert not found.standard_error


def test_bounds_stay_between_minus_1_and_1():
    low, high = interval_of(np.array([(0, 1), (4, 3), (4, 4)], dtype=np.int8), confidence=0.99).bounds
    assert -1.0 <= low <= high == 1.0
