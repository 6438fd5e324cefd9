"""Bounds of scores and differences with invalid answers."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.records import Scored
from legalrr.score.invalid_bounds import (
    invalid_as_right,
    invalid_as_wrong,
    macro_f1_bounds,
    p_unfavourable,
    significant_under_bound,
    unfavourable,
    unfavourable_bound,
)
from legalrr.score.metrics import codes, macro_f1_of_codes
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare

WORDS = {"A": "allowed", "D": "dismissed", "-": "invalid"}


def cases(gold: str, answers: str) -> list[Scored]:
    return [
        Scored(id=f"{number:03}", gold=WORDS[true], label=WORDS[letter])
        for number, (true, letter) in enumerate(zip(gold, answers, strict=True))
    ]


def macro_f1(some: list[Scored]) -> float:
    return float(macro_f1_of_codes(codes(some)))


def test_invalid_answers_can_raise_macro_f1_but_not_its_lower_bound() -> None:
    gold = "A" * 20 + "D" * 20
    valid, invalid = cases(gold, "D" * 40), cases(gold, "-" * 5 + "D" * 35)
    assert macro_f1(invalid) > macro_f1(valid)
    assert macro_f1_bounds(invalid) == (pytest.approx(macro_f1(valid)), macro_f1(cases(gold, "A" * 5 + "D" * 35)))


def test_without_an_invalid_answer_there_are_no_bounds() -> None:
    assert macro_f1_bounds(cases("AD", "AA")) is None


@given(st.lists(st.tuples(st.sampled_from("AD"), st.sampled_from("AD-")), min_size=1, max_size=7))
def test_every_resolution_of_invalid_answers_is_within_the_bounds(pairs: list[tuple[str, str]]) -> None:
    gold, answers = ("".join(side) for side in zip(*pairs, strict=True))
    found = macro_f1_bounds(cases(gold, answers))
    ways = product("AD", repeat=answers.count("-"))
    scores = [macro_f1(cases(gold, answers.replace("-", "{}").format(*way))) for way in ways]
    if found is None:
        assert scores == [macro_f1(cases(gold, answers))]
    else:
        assert found == (pytest.approx(min(scores)), pytest.approx(max(scores)))


def test_the_unfavourable_bound_disadvantages_the_better_arm() -> None:
    arm, reference = cases("AADD", "A-DD"), cases("AADD", "D-AD")
    assert unfavourable(arm, reference, difference=0.5) == (invalid_as_wrong(arm), invalid_as_right(reference))
    assert unfavourable(arm, reference, difference=-0.5) == (invalid_as_right(arm), invalid_as_wrong(reference))


def test_p_is_1_if_the_bound_reverses_the_difference() -> None:
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
def test_the_bound_is_tested_as_a_difference_is_with_clusters_as_units(near: bool) -> None:
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
def test_a_difference_is_shown_if_both_p_are_below_the_level(
    p: float | None, p_bound: float | None, shown: bool
) -> None:
    assert significant_under_bound(p, p_bound) is shown
