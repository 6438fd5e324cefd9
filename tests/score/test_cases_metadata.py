import pytest

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.score.cases import JudgmentMetadata, judgment_metadata


def prediction(**told):
    return Prediction.from_json({"id": "a", "verdict": "invalid", "reason": "error", "turns": [], **told}, where="p:1")


def test_a_row_tells_what_is_known_and_how_much_of_it_was_shown():
    row = {
        "court": "High Court",
        "year": 1987,
        "kind": "tax",
        "confidence": "low",
        "length": 900,
        "shown": [["FAC", 0, 100], ["", 100, 150], ["FAC", 700, 800], ["ISSUE", 800, 810]],
    }
    assert judgment_metadata(prediction(**row)) == JudgmentMetadata(
        court="High Court",
        year=1987,
        kind="tax",
        confidence="low",
        length=900,
        shown=260,
        roles=frozenset({"FAC", "ISSUE"}),
    )


def test_of_a_row_from_before_these_fields_nothing_is_known():
    assert judgment_metadata(prediction(court=None)) == JudgmentMetadata()


@pytest.mark.parametrize("row", [{"year": "1987"}, {"court": 3}, {"shown": 3}, {"shown": [["FAC", 0]]}, {"shown": [1]}])
def test_a_damaged_row_is_named(row):
    with pytest.raises(UserError, match=r"p:1: damaged prediction: '(year|court|shown)' is"):
        prediction(**row)
