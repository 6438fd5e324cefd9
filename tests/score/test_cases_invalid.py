"""Policies on invalid answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.score.cases import check_invalid_policy, scored_ids

IDS = st.frozensets(st.sampled_from("abcdefgh"))
ANSWERED = {"plain": "abcd", "c": "bcde", "d": "abc", "majority": "abcdef", "lines": "af"}
PARTNERS = {"plain": "c", "c": "plain"}


def subsets(policy, answered=ANSWERED, arms=("plain", "c", "d"), partners=PARTNERS):
    found = scored_ids(answered, policy=policy, arms=arms, partners=partners)
    return {row: "".join(sorted(ids)) for row, ids in found.items()}


def test_independent_keeps_the_judgments_that_each_arm_answered():
    assert subsets("independent") == ANSWERED


def test_common_keeps_the_judgments_that_all_arms_answered():
    assert subsets("common") == {"plain": "bc", "c": "bc", "d": "bc", "majority": "bc", "lines": ""}


def test_without_arms_baselines_are_scored_on_their_own_judgments():
    assert subsets("common", arms=(), answered={"majority": "ab", "lines": "a"}) == {"majority": "ab", "lines": "a"}


def test_chainwise_keeps_the_judgments_answered_with_and_without_c():
    assert subsets("chainwise") == {"plain": "bcd", "c": "bcd"}


@given(st.dictionaries(st.sampled_from(["plain", "c", "d", "dc"]), IDS, min_size=4, max_size=4))
def test_no_policy_adds_judgments_and_common_keeps_the_fewest(answered):
    partners = {"plain": "c", "c": "plain", "d": "dc", "dc": "d"}
    found = {
        policy: scored_ids(answered, policy=policy, arms=answered, partners=partners)
        for policy in ("independent", "common", "chainwise")
    }
    for row in answered:
        assert found["common"][row] <= found["chainwise"][row] <= found["independent"][row] == answered[row]
    assert len(set(found["common"].values())) == 1


def test_an_unknown_policy_is_an_error():
    check_invalid_policy("miss")
    with pytest.raises(UserError, match=r"--invalid: unknown policy 'dropped' \(use miss, independent"):
        check_invalid_policy("dropped")
