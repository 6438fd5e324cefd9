"""The power before a run is that of the report for the assumed answers."""

import pytest

from legalrr.plan.power import power
from legalrr.records import OUTCOMES, Scored
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare


def test_it_is_what_the_report_finds_for_such_answers() -> None:
    n = 40
    outcomes = [OUTCOMES[at % 2] for at in range(n)]
    found = power("x", outcomes, [str(at) for at in range(n)])
    # Of 20 judgments of an outcome 2 are right in one arm alone, 2 in the other, 5 in none.
    other = {"allowed": "dismissed", "dismissed": "allowed"}
    arms: list[list[Scored]] = [[], []]
    for at, gold in enumerate(outcomes):
        place = at // 2
        right = (place in (0, 1) or place >= 9, place in (2, 3) or place >= 9)
        for arm, good in zip(arms, right, strict=True):
            arm.append(Scored(id=str(at), gold=gold, label=gold if good else other[gold]))  # type: ignore[arg-type]
    told = compare(arms[0], arms[1], scorer=PredictionScorer(resamples=99, permutations=99))
    assert found.smallest == pytest.approx(told.smallest_detectable, rel=0.03)


def test_near_duplicates_count_once() -> None:
    outcomes = [OUTCOMES[at % 2] for at in range(80)]
    alone = power("x", outcomes, [str(at) for at in range(80)])
    pairs = power("x", outcomes, [f"{at // 4} {at % 2}" for at in range(80)])
    assert (pairs.judgments, pairs.clusters) == (80, 40)
    assert alone.smallest is not None
    assert pairs.smallest is not None
    assert pairs.smallest > alone.smallest
    assert pairs.needed == alone.needed


def test_one_outcome_alone_has_no_power() -> None:
    found = power("x", ["allowed"] * 9, [str(at) for at in range(9)])
    assert (found.smallest, found.needed, found.outcomes) == (None, None, {"allowed": 9, "dismissed": 0})
