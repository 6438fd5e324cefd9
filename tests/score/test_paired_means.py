"""Means of scores over judgments, and their paired differences."""

from itertools import product

import numpy as np
import pytest

from legalrr.score.detectable import smallest_shift
from legalrr.score.intervals import bca
from legalrr.score.paired_means import bca_of_mean, compare_means, mean_of, sign_flip_p
from legalrr.score.scorer import PredictionScorer

SCORER = PredictionScorer(resamples=400, permutations=2000)


def by_number(values):
    return {f"{number:03}": value for number, value in enumerate(values)}


def test_the_interval_of_a_mean_does_not_depend_on_the_order():
    values = by_number(np.random.default_rng(1).beta(2, 5, 60))
    found = mean_of(values, scorer=SCORER)
    assert found.n == 60
    assert found.mean == pytest.approx(np.mean(list(values.values())))
    assert found.interval[0] < found.mean < found.interval[1]
    assert found == mean_of(dict(reversed(values.items())), scorer=SCORER)


def test_the_interval_equals_that_of_scipy_up_to_the_draws():
    values = np.random.default_rng(5).beta(1, 6, 40)
    many = PredictionScorer(resamples=20_000)
    found = bca_of_mean(values, scorer=many)
    expected = bca((values,), np.mean, confidence=0.95, resamples=20_000, seed=1)
    # The quantiles of two bootstraps of 20,000 differ by some hundredths of a standard error.
    assert found.bounds == pytest.approx(expected.bounds, abs=0.1 * expected.standard_error)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.05)


def test_the_interval_of_a_mean_covers_it_at_its_level():
    draws = np.random.default_rng(2)
    few = PredictionScorer(resamples=300)
    covered = 0
    for _ in range(200):
        low, high = mean_of(by_number(draws.beta(2, 2, 44)), scorer=few).interval
        covered += low <= 0.5 <= high
    # 200 draws at 95 % give 190 with a standard deviation of 3.1.
    assert covered == pytest.approx(190, abs=13)


@pytest.mark.parametrize(
    ("values", "note"), [([0.5], "fewer than two judgments"), ([0.5, 0.5, 0.5], "no resample changes the score")]
)
def test_a_missing_interval_has_a_reason(values, note):
    found = mean_of(by_number(values), scorer=SCORER)
    assert (found.interval, found.interval_note) == (None, note)


def test_without_judgments_there_is_no_mean():
    assert mean_of({}, scorer=SCORER) is None
    assert compare_means({"a": 1.0}, {"b": 1.0}, scorer=SCORER) is None


def test_p_equals_that_over_all_sign_flips():
    differences = np.array([0.1, -0.2, 0.3, 0.05, 0.4, 0.2, 0.0])
    means = [np.mean(differences * signs) for signs in product((1, -1), repeat=len(differences))]
    extreme = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert sign_flip_p(differences, scorer=SCORER) == pytest.approx(extreme)


def test_sampled_p_is_near_that_over_all_sign_flips():
    differences = np.linspace(-0.1, 0.3, 14)
    exact = sign_flip_p(differences, scorer=PredictionScorer(permutations=2**14))
    assert sign_flip_p(differences, scorer=PredictionScorer(permutations=1500, seed=4)) == pytest.approx(
        exact, abs=0.03
    )


@pytest.mark.parametrize("differences", [[], [0.0, 0.0], [0.3, 0.0]])
def test_fewer_than_two_nonzero_differences_give_p_1(differences):
    assert sign_flip_p(np.array(differences, dtype=float), scorer=SCORER) == 1.0


def test_a_difference_is_computed_on_common_judgments():
    found = compare_means({"a": 0.5, "b": 0.7, "c": 0.9}, {"b": 0.1, "a": 0.4, "d": 1.0}, scorer=SCORER)
    assert (found.n, found.lone) == (2, 2)
    assert found.difference == pytest.approx(0.35)
    assert found.smallest_detectable is None, "two judgments cannot show any difference"


@pytest.mark.parametrize("n", [20, 44, 277])
def test_power_is_about_0_8_at_the_smallest_detectable_difference(n):
    draws, power = np.random.default_rng(n), PredictionScorer(permutations=1000)
    shift = np.mean([smallest_shift(draws.normal(0, 0.1, n)) for _ in range(10)])
    found = [sign_flip_p(draws.normal(shift, 0.1, n), scorer=power) <= 0.05 for _ in range(400)]
    assert 0.75 <= np.mean(found) <= 0.9


def test_equal_scores_have_difference_0_and_p_1():
    values = by_number([0.2, 0.4, 0.6])
    found = compare_means(values, values, scorer=SCORER)
    assert (found.difference, found.p_permutation, found.interval, found.smallest_detectable) == (0, 1, None, None)
