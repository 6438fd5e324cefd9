import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.predictions import LABELS
from legalrr.records import OUTCOMES, Scored
from legalrr.score.metrics import (
    accuracy_of_counts,
    codes,
    count_codes,
    macro_f1,
    macro_f1_of_codes,
    yes_rate_of_counts,
)

answers = st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(LABELS)), min_size=1, max_size=40)


def scored(pairs):
    return [Scored(id=str(i), gold=gold, label=label) for i, (gold, label) in enumerate(pairs)]


@settings(deadline=None)
@given(answers)
def test_fast_macro_f1_equals_that_of_scikit_learn(pairs):
    slow = macro_f1([gold for gold, _ in pairs], [label for _, label in pairs])
    assert float(macro_f1_of_codes(codes(scored(pairs)))) == pytest.approx(slow, abs=1e-12)


@settings(deadline=None)
@given(answers, st.integers(0, 2**32 - 1))
def test_many_resamples_at_once_equal_one_at_a_time(pairs, seed):
    whole = codes(scored(pairs))
    resampled = whole[np.random.default_rng(seed).integers(0, len(whole), (5, len(whole)))]
    batch = macro_f1_of_codes(resampled, axis=-1)
    assert batch.shape == (5,)
    assert batch.tolist() == [float(macro_f1_of_codes(one)) for one in resampled]


def test_macro_f1_by_hand_with_an_invalid_answer():
    # gold allowed: 2 right, 1 invalid; gold dismissed: 1 right, 1 answered allowed.
    pairs = [("allowed", "allowed")] * 2 + [
        ("allowed", "invalid"),
        ("dismissed", "dismissed"),
        ("dismissed", "allowed"),
    ]
    # F1 allowed = 2*2 / (3 + 3); F1 dismissed = 2*1 / (2 + 1)
    assert float(macro_f1_of_codes(codes(scored(pairs)))) == pytest.approx((4 / 6 + 2 / 3) / 2)


def test_each_combination_of_outcome_and_label_has_its_code():
    every = [(gold, label) for gold in OUTCOMES for label in LABELS]
    assert count_codes(codes(scored(every))).tolist() == [1] * 6


def test_accuracy_and_yes_rate_are_shares_of_all_and_0_without_cases():
    counts = np.array([[3, 1, 1, 2, 2, 1], [0, 0, 0, 0, 0, 0]]).T
    assert accuracy_of_counts(counts).tolist() == [0.5, 0]
    assert yes_rate_of_counts(counts).tolist() == [0.5, 0]
