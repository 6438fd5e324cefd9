import pytest

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.score.cases import JudgmentMetadata, judgment_metadata


def prediction(**fields):
    return Prediction.from_json(
        {"id": "a", "verdict": "invalid", "reason": "error", "turns": [], **fields}, where="p:1"
    )


def test_metadata_includes_the_length_and_roles_of_the_shown_text():
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


def test_older_rows_have_no_metadata():
    assert judgment_metadata(prediction(court=None)) == JudgmentMetadata()


@pytest.mark.parametrize("row", [{"year": "1987"}, {"court": 3}, {"shown": 3}, {"shown": [["FAC", 0]]}, {"shown": [1]}])
def test_a_field_of_the_wrong_type_is_an_error(row):
    with pytest.raises(UserError, match=r"p:1: damaged prediction: '(year|court|shown|shown\[0\])' is"):
        prediction(**row)
