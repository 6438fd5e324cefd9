"""What invalid answers could have been worth: bounds of a score, and of a difference."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.records import Scored
from legalrr.score.invalid_bounds import (
    if_right,
    if_wrong,
    macro_f1_bounds,
    p_unfavourable,
    stands,
    unfavourable,
    unfavourable_bound,
)
from legalrr.score.metrics import codes, macro_f1_of_codes
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare

WORDS = {"A": "allowed", "D": "dismissed", "-": "invalid"}


def cases(gold: str, said: str) -> list[Scored]:
    return [
        Scored(id=f"{number:03}", gold=WORDS[true], label=WORDS[letter])
        for number, (true, letter) in enumerate(zip(gold, said, strict=True))
    ]


def macro_f1(some: list[Scored]) -> float:
    return float(macro_f1_of_codes(codes(some)))


def test_invalid_answers_can_raise_the_headline_and_the_lower_bound_says_so() -> None:
    gold = "A" * 20 + "D" * 20
    read, unread = cases(gold, "D" * 40), cases(gold, "-" * 5 + "D" * 35)
    assert macro_f1(unread) > macro_f1(read)
    assert macro_f1_bounds(unread) == (pytest.approx(macro_f1(read)), macro_f1(cases(gold, "A" * 5 + "D" * 35)))


def test_without_an_invalid_answer_there_are_no_bounds() -> None:
    assert macro_f1_bounds(cases("AD", "AA")) is None


@given(st.lists(st.tuples(st.sampled_from("AD"), st.sampled_from("AD-")), min_size=1, max_size=7))
def test_no_reading_of_the_invalid_answers_lies_outside_the_bounds(pairs: list[tuple[str, str]]) -> None:
    gold, said = ("".join(side) for side in zip(*pairs, strict=True))
    found = macro_f1_bounds(cases(gold, said))
    ways = product("AD", repeat=said.count("-"))
    scores = [macro_f1(cases(gold, said.replace("-", "{}").format(*way))) for way in ways]
    if found is None:
        assert scores == [macro_f1(cases(gold, said))]
    else:
        assert found == (pytest.approx(min(scores)), pytest.approx(max(scores)))


def test_the_unfavourable_bound_is_against_the_better_arm() -> None:
    arm, reference = cases("AADD", "A-DD"), cases("AADD", "D-AD")
    assert unfavourable(arm, reference, difference=0.5) == (if_wrong(arm), if_right(reference))
    assert unfavourable(arm, reference, difference=-0.5) == (if_right(arm), if_wrong(reference))


def test_a_difference_that_the_bound_turns_round_is_not_shown() -> None:
    scorer = PredictionScorer(resamples=10, permutations=1000)
    gold = "A" * 30 + "D" * 30
    arm = cases(gold, "A" * 12 + "-" * 18 + "D" * 30)
    reference = cases(gold, "A" * 20 + "D" * 10 + "A" * 8 + "D" * 22)
    found = compare(arm, reference, scorer=scorer)
    bound = unfavourable_bound([arm], [reference], difference=found.difference, scorer=scorer)
    assert bound is not None
    assert found.difference > 0 > bound.difference
    assert p_unfavourable(found, bound) == 1
    assert p_unfavourable(found, None) == found.p_permutation


@pytest.mark.parametrize("near", [False, True])
def test_the_bound_has_the_test_of_the_table_with_near_duplicates_as_one(near: bool) -> None:
    scorer = PredictionScorer(resamples=10, permutations=1000)
    gold = "AAAAAADDDDDD" * 2
    arm, reference = cases(gold, "AAAAA-DDDDD-AAAAADDDDDDD"), cases(gold, "AAADDDDDDAAAAA-DDDDDDDAA")
    if near:
        arm, reference = ([replace(c, cluster=str(int(c.id) // 4)) for c in side] for side in (arm, reference))
    found = compare(arm, reference, scorer=scorer)
    bound = unfavourable_bound([arm], [reference], difference=found.difference, scorer=scorer)
    whole = compare(*unfavourable(arm, reference, difference=found.difference), scorer=scorer)
    assert bound is not None
    assert whole.clusters == (6 if near else 24)
    assert (bound.difference, bound.p_permutation) == (pytest.approx(whole.difference), whole.p_permutation)


def test_without_an_invalid_answer_a_difference_has_no_bound() -> None:
    scorer = PredictionScorer(resamples=10, permutations=100)
    assert unfavourable_bound([cases("AD", "AA")], [cases("AD", "DD")], difference=0.1, scorer=scorer) is None


@pytest.mark.parametrize(
    ("p", "p_bound", "shown"),
    [(0.01, None, True), (0.01, 0.04, True), (0.01, 0.06, False), (0.06, 0.01, False), (None, None, False)],
)
def test_a_difference_is_shown_if_both_p_are_small(p: float | None, p_bound: float | None, shown: bool) -> None:
    assert stands(p, p_bound) is shown
