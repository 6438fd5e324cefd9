"""Tests of the choice of judgments whose texts a page holds."""

from dataclasses import dataclass

import pytest

from legalrr.errors import UserError
from legalrr.report.html.sample import KINDS, TextSample, choose_texts, kind_numbers


@dataclass(frozen=True, kw_only=True)
class Letters:
    """Outcomes and answers of arms."""

    gold: str
    arms: tuple[str, ...]
    prefix: str = "case"

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}-{number}" for number in range(len(self.gold)))


MANY = Letters(gold="AD" * 500, arms=("AD" * 498 + "AA-D", "AD" * 497 + "DAAAAD"))
"""A thousand judgments, nearly all of which both arms answer correctly."""


def names(one: Letters) -> list[str]:
    return [KINDS[number] for number in kind_numbers(one)]


def test_a_judgment_is_of_the_first_kind_that_fits() -> None:
    answers = Letters(gold="AAAAA", arms=("AAD-D", "ADDD "))
    assert names(answers) == ["all right", "answers differ", "all wrong", "an invalid answer", "all wrong"]


def test_rare_kinds_are_in_the_sample() -> None:
    kinds = names(MANY)
    held = [kinds[at] for _, at in choose_texts([MANY], TextSample(judgments=20))]
    assert set(held) == set(kinds) == set(KINDS)
    assert all(held.count(kind) == kinds.count(kind) for kind in KINDS if kind != "all right")
    assert len(held) == 20


def test_the_order_depends_on_the_ids_and_answers_alone() -> None:
    reversed_arms = Letters(gold=MANY.gold, arms=MANY.arms[::-1])
    chosen = choose_texts([MANY], TextSample(judgments=50))
    assert choose_texts([reversed_arms], TextSample(judgments=50)) == chosen
    assert choose_texts([MANY], TextSample(judgments=10)) == chosen[:10]
    other = Letters(gold=MANY.gold, arms=MANY.arms, prefix="other")
    assert choose_texts([other], TextSample(judgments=50)) != chosen


def test_named_judgments_come_first_and_in_addition() -> None:
    chosen = choose_texts([MANY], TextSample(judgments=10))
    named = choose_texts([MANY], TextSample(judgments=10, ids=("case-500", "case-3")))
    assert named[:2] == [(0, 500), (0, 3)]
    assert named[2:] == [place for place in chosen if place not in named[:2]]
    assert choose_texts([MANY], TextSample(judgments=0, ids=("case-3",))) == [(0, 3)]


def test_few_judgments_are_all_chosen_and_corpora_take_turns() -> None:
    few = Letters(gold="AD", arms=("AA",))
    assert sorted(choose_texts([few, few], TextSample())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [number for number, _ in choose_texts([MANY, few], TextSample(judgments=5))] == [0, 1, 0, 1, 0]
    assert len(choose_texts([MANY], TextSample(judgments=None))) == 1000
    assert choose_texts([MANY], TextSample(megabytes=0)) == []


def test_an_unknown_judgment_is_an_error() -> None:
    with pytest.raises(UserError, match="no judgment 'nobody'"):
        choose_texts([MANY], TextSample(ids=("nobody",)))
