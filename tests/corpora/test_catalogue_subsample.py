from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.corpora.catalogue import subsample
from legalrr.records import Judgment

outcomes = st.lists(st.sampled_from(["allowed", "dismissed"]), max_size=40)


def corpus(outcomes: list[str]) -> list[Judgment]:
    return [Judgment(id=f"j{i}", text="x", outcome=outcome) for i, outcome in enumerate(outcomes)]  # type: ignore[arg-type]


@given(outcomes, st.integers(0, 50), st.integers(0, 5))
def test_sample_has_the_size_and_keeps_outcome_shares_within_one(all_: list[str], limit: int, seed: int) -> None:
    judgments = corpus(all_)
    taken = subsample(judgments, limit, seed)
    assert len(taken) == min(limit, len(judgments))
    everything, drawn = Counter(all_), Counter(j.outcome for j in taken)
    for outcome, count in everything.items():
        assert abs(drawn[outcome] - len(taken) * count / len(judgments)) < 1  # type: ignore[index]


@given(outcomes, st.integers(0, 40), st.integers(0, 5), st.randoms())
def test_sample_does_not_depend_on_the_order_of_reading(all_: list[str], limit: int, seed: int, random: object) -> None:
    judgments = corpus(all_)
    shuffled = list(judgments)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {j.id for j in subsample(judgments, limit, seed)} == {j.id for j in subsample(shuffled, limit, seed)}


@given(outcomes, st.integers(0, 40), st.integers(0, 5))
def test_larger_limit_adds_judgments_to_a_smaller_sample(all_: list[str], limit: int, seed: int) -> None:
    judgments = corpus(all_)
    assert {j.id for j in subsample(judgments, limit, seed)} <= {j.id for j in subsample(judgments, limit + 1, seed)}


@given(outcomes, st.integers(0, 40), st.integers(0, 5))
def test_order_of_the_corpus_is_kept(all_: list[str], limit: int, seed: int) -> None:
    judgments = corpus(all_)
    places = [judgments.index(j) for j in subsample(judgments, limit, seed)]
    assert places == sorted(places)


def test_no_limit_takes_all() -> None:
    judgments = corpus(["allowed"] * 3)
    assert subsample(judgments, None, 0) == judgments
    assert subsample(judgments, 3, 0) == judgments


def test_judgments_without_outcome_are_a_stratum() -> None:
    judgments = [Judgment(id=f"u{i}", text="x") for i in range(6)]
    assert len(subsample(judgments, 2, 0)) == 2


def test_seed_changes_the_sample() -> None:
    judgments = corpus(["allowed", "dismissed"] * 50)
    drawn = {tuple(j.id for j in subsample(judgments, 10, seed)) for seed in range(5)}
    assert len(drawn) == 5


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_ties_between_outcomes_are_broken_by_name(limit: int) -> None:
    judgments = corpus(["dismissed", "allowed"] * 5)
    assert Counter(j.outcome for j in subsample(judgments, limit, 0))["allowed"] == limit // 2 + 1
