"""Treatments of invalid answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.score.cases import check_invalid_policy, kept

IDS = st.frozensets(st.sampled_from("abcdefgh"))
ANSWERED = {"plain": "abcd", "c": "bcde", "d": "abc", "majority": "abcdef", "lines": "af"}
PARTNERS = {"plain": "c", "c": "plain"}


def subsets(treatment, answered=ANSWERED, arms=("plain", "c", "d"), partners=PARTNERS):
    found = kept(answered, treatment=treatment, arms=arms, partners=partners)
    return {row: "".join(sorted(ids)) for row, ids in found.items()}


def test_independent_keeps_what_each_arm_answered():
    assert subsets("independent") == ANSWERED


def test_common_keeps_what_all_arms_answered_and_of_it_what_a_baseline_answers():
    assert subsets("common") == {"plain": "bc", "c": "bc", "d": "bc", "majority": "bc", "lines": ""}


def test_without_arms_baselines_are_scored_on_what_they_answer():
    assert subsets("common", arms=(), answered={"majority": "ab", "lines": "a"}) == {"majority": "ab", "lines": "a"}


def test_chainwise_keeps_what_was_answered_with_and_without_c():
    assert subsets("chainwise") == {"plain": "bcd", "c": "bcd"}


@given(st.dictionaries(st.sampled_from(["plain", "c", "d", "dc"]), IDS, min_size=4, max_size=4))
def test_no_treatment_adds_judgments_and_common_is_the_least(answered):
    partners = {"plain": "c", "c": "plain", "d": "dc", "dc": "d"}
    found = {
        treatment: kept(answered, treatment=treatment, arms=answered, partners=partners)
        for treatment in ("independent", "common", "chainwise")
    }
    for row in answered:
        assert found["common"][row] <= found["chainwise"][row] <= found["independent"][row] == answered[row]
    assert len(set(found["common"].values())) == 1


def test_an_unknown_treatment_is_refused():
    check_invalid_policy("miss")
    with pytest.raises(UserError, match=r"--invalid: unknown treatment 'dropped' \(use miss, independent"):
        check_invalid_policy("dropped")
