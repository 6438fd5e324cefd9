import numpy as np
import pytest
from scipy import stats

from legalrr.score.detectable import LEVEL, POWER
from legalrr.score.significance import (
    CURVE_SIZES,
    MAX_JUDGMENTS,
    Comparison,
    mcnemar_judgments,
    mcnemar_power,
    power_curve,
)

FOUND = Comparison(
    n=44,
    difference=0.07,
    interval=(-0.1, 0.2),
    interval_note=None,
    p_permutation=0.4,
    p_mcnemar=0.5,
    b=8,
    c=5,
    smallest_detectable=0.21,
    clusters=44,
)


@pytest.mark.parametrize(("difference", "discordance", "n"), [(0.07, 0.3, 44), (0.1, 0.25, 200), (-0.15, 0.2, 60)])
def test_power_equals_that_of_simulated_tests(difference, discordance, n):
    only_arm, only_reference = (discordance + difference) / 2, (discordance - difference) / 2
    draws = np.random.default_rng(0).multinomial(n, [only_arm, only_reference, 1 - discordance], size=20_000)
    sizes, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    p = np.array([stats.binomtest(int(b), int(b + c)).pvalue if b + c else 1.0 for b, c in sizes])
    simulated = float(times @ (p <= LEVEL)) / 20_000
    # Four standard errors of a share of 20,000.
    assert mcnemar_power(difference, discordance, n) == pytest.approx(simulated, abs=4 * 0.5 / 20_000**0.5)


def test_power_is_the_sum_over_all_tables_of_few_judgments():
    n, only_arm, only_reference = 9, 0.5, 0.1
    power = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            if b + c and stats.binomtest(b, b + c).pvalue <= LEVEL:
                power += stats.multinomial.pmf([b, c, n - b - c], n, [only_arm, only_reference, 0.4])
    assert mcnemar_power(0.4, 0.6, n) == pytest.approx(power, abs=1e-9)


def test_without_discordance_or_difference_there_is_no_power():
    assert mcnemar_power(0, 0, 100) == 0
    assert mcnemar_power(0, 0.3, 500) < LEVEL
    assert mcnemar_judgments(0, 0.3) is None


@pytest.mark.parametrize(("difference", "discordance"), [(0.05, 0.2), (0.2, 0.2), (-0.1, 0.4), (1, 1)])
def test_judgments_needed_reach_the_power_and_are_near_connors_formula(difference, discordance):
    needed = mcnemar_judgments(difference, discordance)
    assert mcnemar_power(difference, discordance, needed) >= POWER > mcnemar_power(difference, discordance, needed - 1)
    z = stats.norm.ppf(1 - LEVEL / 2) * discordance**0.5 + stats.norm.ppf(POWER) * (discordance - difference**2) ** 0.5
    # The exact test needs about 1 / |d| + 2 more judgments than the approximation (Fleiss's correction).
    assert 0 <= needed - (z / difference) ** 2 <= 2 / abs(difference) + 4


def test_for_tiny_differences_no_number_is_given():
    assert mcnemar_judgments(1e-5, 0.3) is None
    assert mcnemar_judgments(1e-3, 0.1) < MAX_JUDGMENTS


def test_a_power_curve_uses_the_observed_difference_by_default():
    curve = power_curve(FOUND)
    assert (curve.difference, curve.discordance) == (pytest.approx(3 / 44), pytest.approx(13 / 44))
    assert curve.sizes == CURVE_SIZES
    assert (CURVE_SIZES[0], CURVE_SIZES[-1]) == (10, 100_000)
    assert curve.power[-1] == pytest.approx(1)
    assert curve.needed == mcnemar_judgments(3 / 44, 13 / 44)
    assert power_curve(FOUND, 0.02, [44]).needed > curve.needed
    assert power_curve(FOUND, 0.02, [44]).power == (mcnemar_power(0.02, 13 / 44, 44),)


def test_discordance_is_at_least_the_difference():
    assert power_curve(FOUND, 0.5, ()).discordance == 0.5
