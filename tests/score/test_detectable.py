"""Simulated power of the permutation test at the smallest detectable difference."""

import numpy as np
import pytest

from legalrr.score.detectable import LEVEL, POWER, Population, sign_flip_rejects
from legalrr.score.permutation import swap_p
from legalrr.score.significance import paired_swap

SETS = {"the study's balance": 0.45, "one outcome in five": 0.2}
ONE_SIDED = np.array([(0, 1), (4, 3)], dtype=np.int8)
"""Judgments on which the arm is right and the reference wrong."""


def population(discordance, allowed):
    """Return patterns of (arm, reference) and their shares, without a difference; recalls 0.7 and 0.6."""
    patterns, shares = [], []
    for right, wrong, recall, share in ((0, 1, 0.7, allowed), (4, 3, 0.6, 1 - allowed)):
        half = discordance / 2
        patterns += [(right, right), (right, wrong), (wrong, right), (wrong, wrong)]
        shares += [share * (recall - half), share * half, share * half, share * (1 - recall - half)]
    return np.array(patterns, dtype=np.int8), np.array(shares)


def draw(rng, patterns, shares, n):
    return paired_swap(np.repeat(patterns, rng.multinomial(n, shares), axis=0))


def share_of(true, difference):
    """Return the share of one-sided judgments that makes a true difference."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if true.difference(middle) < difference else (low, middle)
    return high


@pytest.mark.parametrize("allowed", SETS.values(), ids=SETS)
@pytest.mark.parametrize("discordance", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("n", [20, 44, 277])
def test_the_test_has_power_of_about_0_8_at_the_smallest_detectable_difference(n, discordance, allowed):
    rng = np.random.default_rng(0)
    patterns, shares = population(discordance, allowed)
    true = Population(swap=paired_swap(np.repeat(patterns, np.round(20_000 * shares).astype(int), axis=0)))
    found = []
    for _ in range(8):
        printed = Population(swap=draw(rng, patterns, shares, n)).smallest()
        share = share_of(true, printed)
        mixed = np.concatenate([(1 - share) * shares, share * np.array([allowed, 1 - allowed])])
        every = np.concatenate([patterns, ONE_SIDED])
        found += [swap_p(draw(rng, every, mixed, n), permutations=600, seed=i) <= LEVEL for i in range(50)]
    assert 0.75 <= np.mean(found) <= 0.9


def test_the_smallest_difference_needs_about_the_given_number_of_judgments():
    for n, discordance in ((44, 0.1), (277, 0.1), (1000, 0.3)):
        patterns, shares = population(discordance, 0.45)
        here = Population(swap=paired_swap(np.repeat(patterns, np.round(n * shares).astype(int), axis=0)))
        assert here.needed(here.smallest()) == pytest.approx(here.n, rel=0.06)
        assert here.needed(-here.smallest() / 2) > 2.5 * here.n
        assert here.needed(0.0) is None


def test_simulated_and_normal_power_agree_at_their_boundary():
    patterns, shares = population(0.2, 0.45)
    here = Population(swap=paired_swap(np.repeat(patterns, np.round(150 * shares).astype(int), axis=0)))
    values = here.values(0.1)
    sizes, weights = np.append(values.churn, values.added), np.append(values.churn_shares, values.added_shares)
    n = int(60 / weights.sum())
    simulated = values._simulated(n, sizes, weights)
    assert values.power(int(61 / weights.sum())) == pytest.approx(simulated, abs=0.05)


def test_few_values_are_tested_with_all_sign_changes():
    # 2 x 0.5^6 < 0.05 < 2 x 0.5^5
    ones = np.tril(np.ones((10, 10)))[:, ::-1]
    ones = np.sort(ones, axis=0)[::-1]
    counts = ones.sum(axis=0)
    assert sign_flip_rejects(ones).tolist() == [float(count >= 6) for count in counts]


def test_without_churn_power_is_that_of_six_judgments_on_one_side():
    from scipy import stats

    here = Population(swap=paired_swap(np.array([(0, 0)] * 20 + [(4, 4)] * 24, dtype=np.int8)))
    share = share_of(here, here.smallest())
    # The judgment that is added to the churn lowers the power slightly.
    assert POWER < stats.binom.sf(5, 44, share) < 0.92
    assert here.smallest() == Population(swap=here.swap).smallest()
