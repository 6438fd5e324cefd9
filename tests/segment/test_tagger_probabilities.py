"""Probabilities of roles: decoding, temperature, calibration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.segment.tagger import RoleProbabilities, calibration_error, fit_temperature, softmax

ROLES = ("FAC", "RPC", "STA")
SHARES = {"FAC": 0.7, "RPC": 0.2, "STA": 0.1}
rows = st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), max_size=6)


def probabilities(values) -> RoleProbabilities:
    array = np.array(values, float).reshape(-1, 3)
    return RoleProbabilities(roles=ROLES, values=array / array.sum(axis=1, keepdims=True))


@given(rows)
def test_without_correction_the_most_probable_role_is_chosen(values):
    told = probabilities(values)
    assert [score for _, score in told.decode(SHARES, 0.0)] == pytest.approx(list(told.values.max(axis=1)))


def test_correction_prefers_the_rare_role_and_reports_its_own_probability():
    told = probabilities([[0.5, 0.1, 0.4]])
    assert told.decode(SHARES, 0.0) == [("FAC", pytest.approx(0.5))]
    assert told.decode(SHARES, 0.5) == [("STA", pytest.approx(0.4))]


@given(rows, st.floats(0.3, 4))
def test_tempering_keeps_the_order_and_the_sum(values, temperature):
    told = probabilities(values)
    warm = told.with_temperature(temperature)
    assert warm.values.sum(axis=1) == pytest.approx(np.ones(len(values)))
    for before, after in zip(told.values, warm.values, strict=True):
        assert before[after.argmax()] == pytest.approx(before.max())
    assert told.with_temperature(1.0).values == pytest.approx(told.values)


def test_the_temperature_that_was_put_in_is_found():
    generator = np.random.default_rng(0)
    true = softmax(generator.normal(size=(4000, 3)) * 2)
    gold = [[ROLES[generator.choice(3, p=row)] for row in true]]
    too_sure = RoleProbabilities(roles=ROLES, values=softmax(np.log(true) * 2.5))
    # The standard error of the fit over 4,000 sentences is about 3 %.
    assert fit_temperature([too_sure], gold) == pytest.approx(2.5, rel=0.1)


def test_the_calibration_error_is_the_gap_between_saying_and_being():
    assert calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0)
    assert calibration_error([1.0] * 4, [True, False, False, False]) == pytest.approx(0.75)
    # Two bins of equal weight, off by 0.1 and 0.3.
    assert calibration_error([0.9, 0.5] * 10, [True, True] * 5 + [True, False] * 5) == pytest.approx(0.05)


def test_a_judgment_without_sentences_has_no_roles():
    assert probabilities([]).decode(SHARES, 0.3) == []
    assert probabilities([]).with_temperature(2.0).values.shape == (0, 3)
