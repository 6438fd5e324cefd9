"""AUC and its interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from legalrr.score.metrics import auc

VALUES = st.lists(
    st.tuples(st.sampled_from([-math.inf, -1.5, 0.0, 0.25, 2.0, math.inf]), st.booleans()), min_size=1, max_size=25
)


@given(VALUES)
def test_auc_is_the_share_of_pairs_in_the_right_order(cases):
    values, allowed = zip(*cases, strict=True)
    yes = [value for value, one in cases if one]
    no = [value for value, one in cases if not one]
    found = auc(values, allowed, confidence=0.95)
    if not yes or not no:
        assert found is None
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in yes for b in no]
    assert found.value == pytest.approx(sum(pairs) / len(pairs))
    low, high = found.interval
    assert 0 <= low <= found.value + 1e-9
    assert found.value - 1e-9 <= high <= 1
    if 0 < found.value < 1:
        assert low < found.value < high


@given(VALUES)
def test_negated_values_give_1_minus_auc(cases):
    values, allowed = zip(*cases, strict=True)
    one, other = (auc([sign * value for value in values], allowed, confidence=0.9) for sign in (1, -1))
    if one is not None:
        assert other.value == pytest.approx(1 - one.value)
        assert other.interval == pytest.approx((1 - one.interval[1], 1 - one.interval[0]), abs=1e-9)


def test_the_bounds_solve_their_equation():
    m, n = 4, 6
    found = auc([3, 1, 4, 5, 2, 0, 1.5, 3.5, -1, 0.5], [True] * m + [False] * n, confidence=0.95)
    for t in found.interval:
        middle = (m + n) / 2 - 1
        variance = t * (1 - t) / (m * n) * (1 + middle * (1 - t) / (2 - t) + middle * t / (1 + t))
        assert abs(found.value - t) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)


def test_a_perfect_order_of_few_judgments_has_an_interval():
    low, high = auc([0, 1, 2, 3], [False, False, True, True], confidence=0.95).interval
    assert 0.3 < low < 0.5
    assert high == 1


@pytest.mark.parametrize(("m", "n"), [(8, 8), (22, 22), (20, 60)])
@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_the_interval_contains_the_true_auc_at_its_level(m, n, shift):
    draw, truth, covered = np.random.default_rng(7), norm.cdf(shift / math.sqrt(2)), 0
    for _ in range(400):
        values = [*draw.normal(shift, 1, m), *draw.normal(0, 1, n)]
        low, high = auc(values, [True] * m + [False] * n, confidence=0.95).interval
        covered += low <= truth <= high
    # Two standard errors of 400 draws are 0.022; intervals of high AUCs cover a little more.
    assert 0.925 <= covered / 400 <= 0.985
