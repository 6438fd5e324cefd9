import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from legalrr.score.metrics import count_codes
from legalrr.score.permutation import mcc_of_counts, skill_p

COINS = {"even": (0.5, 0.5, 0.0), "mostly NO": (0.3, 0.7, 0.0), "mostly YES": (0.8, 0.2, 0.0), "mute": (0.5, 0.4, 0.1)}


def answers(*counts):
    return np.repeat(np.arange(6, dtype=np.int8), counts)


def p_of(codes, clusters=None, permutations=20_000):
    return skill_p(codes, clusters, permutations=permutations, seed=0)


@pytest.mark.parametrize("shares", COINS.values(), ids=COINS)
@pytest.mark.parametrize("n", [44, 200, 277])
def test_about_5_of_100_coins_appear_skilled(n, shares):
    rng, known, found = np.random.default_rng(0), {}, []
    allowed = rng.binomial(n, 0.45, size=6000)
    for a, d in zip(rng.multinomial(allowed, shares), rng.multinomial(n - allowed, shares), strict=True):
        counts = (*a.tolist(), *d.tolist())
        if counts not in known:
            known[counts] = p_of(answers(*counts)) or 1.0
        found.append(known[counts] <= 0.05)
    # The standard error of the share is 0.003.
    assert 0.04 <= np.mean(found) <= 0.06


def test_p_of_two_answers_is_that_of_fishers_exact_test_with_mid_p():
    right, n = np.arange(0, 15), 30
    law = stats.hypergeom(n, 13, 14)
    away = abs(right - law.mean())
    observed = abs(9 - law.mean())
    expected = law.pmf(right)[away > observed + 1e-9].sum()
    expected += law.pmf(right)[abs(away - observed) < 1e-9].sum() / 2
    assert p_of(answers(9, 5, 0, 4, 12, 0)) == pytest.approx(expected)


def test_p_equals_that_over_random_orders_of_the_answers():
    codes = answers(9, 5, 3, 4, 12, 2)
    gold, said = np.divmod(codes, 3)
    orders = np.random.default_rng(1).permuted(np.tile(said, (40_000, 1)), axis=1)
    right = (orders == gold).sum(axis=1)
    mean = (np.bincount(gold, minlength=3) * np.bincount(said, minlength=3)).sum() / len(codes)
    away, observed = abs(right - mean), abs((said == gold).sum() - mean)
    near = abs(away - observed) < 1e-6
    assert p_of(codes) == pytest.approx(np.mean((away > observed) & ~near) + near.mean() / 2, abs=0.005)
    assert p_of(codes, np.arange(len(codes))) == p_of(codes, np.arange(len(codes)))


def test_a_cluster_is_permuted_as_one_unit():
    once = answers(8, 3, 1, 3, 9, 1)
    twice, clusters = np.repeat(once, 2), np.repeat(np.arange(len(once)), 2)
    assert p_of(twice, clusters) == pytest.approx(p_of(once), abs=0.01)
    assert p_of(twice) < p_of(once) / 2


def test_right_pairs_with_opposite_outcomes_are_evidence_of_skill():
    # Ten pairs with both judgments answered right: without skill, a pair has this order with probability 1/2.
    codes, clusters = np.tile(np.array([0, 4], dtype=np.int8), 10), np.repeat(np.arange(10), 2)
    assert p_of(codes, clusters) < 0.01
    same = np.tile(np.array([0, 3], dtype=np.int8), 10)
    same[1] = 4
    assert p_of(same, clusters) > 0.3


@pytest.mark.parametrize("counts", [(5, 0, 0, 5, 0, 0), (5, 5, 0, 0, 0, 0), (0, 0, 4, 0, 0, 4)])
def test_equal_outcomes_or_equal_answers_are_not_tested(counts):
    assert p_of(answers(*counts)) is None
    assert mcc_of_counts(np.array(counts)) == 0


def test_mcc_equals_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    for _ in range(20):
        codes = rng.integers(0, 6, 40).astype(np.int8)
        gold, said = np.divmod(codes, 3)
        assert mcc_of_counts(count_codes(codes)) == pytest.approx(matthews_corrcoef(gold, said))


def test_p_is_never_0():
    assert 0 < p_of(answers(2000, 0, 0, 0, 2000, 0)) <= 1e-16
