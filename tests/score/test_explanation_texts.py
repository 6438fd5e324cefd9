"""What models wrote before their answers, and the court's text, as run folders hold them."""

import pytest

from legalrr.errors import UserError
from legalrr.score.explanation_texts import read_explanations

from .test_explanation import COURT, GENERATED


@pytest.fixture
def folder(explain, tmp_path):
    return explain(tmp_path / "cell", GENERATED, COURT)


def test_judgments_without_an_explanation_are_listed_by_reason(folder):
    found = read_explanations(folder)
    assert [(one.id, one.turn, one.source, one.cut_off) for one in found.found] == [
        ("a", "analysis", "crf", False),
        ("a", "ratio", "crf", True),
        ("b", "analysis", "gold", False),
        ("c", "analysis", "gold", False),
        ("d", "analysis", "gold", False),
    ]
    assert found.turns == ("analysis", "ratio")
    assert found.no_turn == {"analysis": (), "ratio": ("b", "c")}
    assert found.no_text == {"analysis": (), "ratio": ("d",)}


def test_thoughts_are_not_part_of_an_explanation(folder):
    (thought,) = [one for one in read_explanations(folder).found if one.id == "b"]
    assert thought.generated == "The rent was paid in full."
    assert thought.role == "ANALYSIS"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("references.jsonl", "{", r"references\.jsonl:1: damaged reference: not JSON"),
        ("references.jsonl", '{"id": 3}\n', r"references\.jsonl:1: damaged reference: 'id' is 3"),
        ("predictions.jsonl", "[]\n", r"predictions\.jsonl:1: damaged prediction: not a JSON object"),
    ],
)
def test_a_damaged_line_is_named(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(UserError, match=message):
        read_explanations(folder)


def test_rows_in_another_order_are_joined_by_id(folder):
    path = folder / "predictions.jsonl"
    before = read_explanations(folder)
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert read_explanations(folder) == before


def test_a_cell_without_references_has_no_texts(tmp_path):
    assert read_explanations(tmp_path) is None
