"""Role probabilities: decoding, temperature, calibration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.segment.tagger import RoleProbabilities, calibration_error, fit_temperature, softmax

ROLES = ("FAC", "RPC", "STA")
PRIORS = {"FAC": 0.7, "RPC": 0.2, "STA": 0.1}
rows = st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), max_size=6)


def probabilities(values) -> RoleProbabilities:
    array = np.array(values, float).reshape(-1, 3)
    return RoleProbabilities(roles=ROLES, values=array / array.sum(axis=1, keepdims=True))


@given(rows)
def test_without_correction_the_most_probable_role_is_chosen(values):
    found = probabilities(values)
    assert [score for _, score in found.decode(PRIORS, 0.0)] == pytest.approx(list(found.values.max(axis=1)))


def test_correction_prefers_the_rare_role_and_reports_its_own_probability():
    found = probabilities([[0.5, 0.1, 0.4]])
    assert found.decode(PRIORS, 0.0) == [("FAC", pytest.approx(0.5))]
    assert found.decode(PRIORS, 0.5) == [("STA", pytest.approx(0.4))]


@given(rows, st.floats(0.3, 4))
def test_temperature_scaling_keeps_order_and_sum(values, temperature):
    found = probabilities(values)
    warm = found.with_temperature(temperature)
    assert warm.values.sum(axis=1) == pytest.approx(np.ones(len(values)))
    for before, after in zip(found.values, warm.values, strict=True):
        assert before[after.argmax()] == pytest.approx(before.max())
    assert found.with_temperature(1.0).values == pytest.approx(found.values)


def test_fit_temperature_recovers_the_temperature():
    generator = np.random.default_rng(0)
    true = softmax(generator.normal(size=(4000, 3)) * 2)
    gold = [[ROLES[generator.choice(3, p=row)] for row in true]]
    overconfident = RoleProbabilities(roles=ROLES, values=softmax(np.log(true) * 2.5))
    # The standard error of the fit over 4,000 sentences is about 3 %.
    assert fit_temperature([overconfident], gold) == pytest.approx(2.5, rel=0.1)


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    assert calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0)
    assert calibration_error([1.0] * 4, [True, False, False, False]) == pytest.approx(0.75)
    # Two bins of equal weight, off by 0.1 and 0.3.
    assert calibration_error([0.9, 0.5] * 10, [True, True] * 5 + [True, False] * 5) == pytest.approx(0.05)


def test_a_judgment_without_sentences_has_no_roles():
    assert probabilities([]).decode(PRIORS, 0.3) == []
    assert probabilities([]).with_temperature(2.0).values.shape == (0, 3)
