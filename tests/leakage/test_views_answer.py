"""The answer follows from the intervals of the views, for planted results."""

from collections.abc import Sequence

import pytest

from legalrr.leakage.probe import PREAMBLE, QUESTION, TAIL, VIEWS, WHOLE, ProbedJudgment, ViewResult
from legalrr.leakage.views import answer, score_views
from legalrr.records import Outcome, Verdict
from legalrr.score.scorer import PredictionScorer

LABELS = {QUESTION: "the question alone", PREAMBLE: "the preamble", TAIL: "the last 300 words", WHOLE: "the whole"}


def probed(n: int, known: Sequence[str], outcomes: str = "AD") -> list[ProbedJudgment]:
    """Return judgments whose outcome is answered from the views `known`, and by a coin from the others."""
    found = []
    for number in range(n):
        gold: Outcome = "allowed" if outcomes[number % len(outcomes)] == "A" else "dismissed"
        coin = 0.6 if number // 2 % 2 else 0.4
        views = {}
        for view in VIEWS:
            p = (0.9 if gold == "allowed" else 0.1) if view in known else coin
            verdict = Verdict(
                id=str(number), label="allowed" if p > 0.5 else "dismissed", reason="matched", p_allowed=p
            )
            views[view] = ViewResult(verdict=verdict, words=9, sentences=1, deciding=None)
        found.append(ProbedJudgment(id=str(number), gold=gold, views=views))
    return found


def said(n: int, known: Sequence[str], *, outcomes: str = "AD", deciding: int | None = None) -> str:
    scorer = PredictionScorer(resamples=99, permutations=99)
    return answer(score_views(probed(n, known, outcomes), scorer), LABELS, n=n, deciding=deciding)


def test_a_part_above_chance_is_named() -> None:
    text = said(80, [PREAMBLE, TAIL, WHOLE])
    assert text.startswith(
        "From 80 judgments, the backbone predicts the outcome better than chance from the preamble and the last 300 "
        "words: look for what tells it there. AUC: the question alone 0.500 ["
    )
    assert "; the preamble 1.000 [0.9" in text
    assert text.endswith("n = 80.")


def test_the_name_of_the_party_is_blamed_where_the_question_alone_is_above_chance() -> None:
    assert "from the question alone: the name of the party tells it, which every view has. " in said(80, [QUESTION])


def test_of_the_whole_alone_the_answer_states_what_is_not_excluded() -> None:
    text = said(200, [WHOLE])
    assert "better than chance from the whole, and is not shown to from a part (an AUC up to 0.57" in text


def test_too_few_judgments_leave_the_question_open() -> None:
    assert "from the whole; whether it does from a part is open, as these are too few (an AUC up to 0.7" in (
        said(20, [WHOLE])
    )


def test_a_backbone_at_chance_says_nothing_about_leaks() -> None:
    text = said(80, [])
    assert "is not shown to predict the outcome from any view, not even from the whole" in text
    assert "so this run says nothing about leaks (an AUC up to 0." in text


@pytest.mark.parametrize("n", [1, 6])
def test_one_outcome_gives_no_answer(n: int) -> None:
    some = "1 judgment" if n == 1 else "6 judgments"
    assert said(n, [WHOLE], outcomes="A") == (
        f"From {some} there is no answer: those with a view have only one outcome, and AUC needs both."
    )


@pytest.mark.parametrize(
    ("deciding", "expected"),
    [(None, "). AUC: "), (0, "No single sentence decides a judgment. AUC: "), (3, "decides 3 of 200 judgments: read ")],
)
def test_deciding_sentences_are_counted_if_searched_for(deciding: int | None, expected: str) -> None:
    assert expected in said(200, [WHOLE], deciding=deciding)
