"""Rows of predictions.jsonl: written and read by one dataclass, also from older files."""

import json
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.predictions import FIELDS, Prediction, read_predictions

TURN = {
    "name": "answer",
    "text": "YES",
    "finish_reason": "stop",
    "prompt_tokens": 9,
    "cached_tokens": 0,
    "new_tokens": 1,
}
OLD = {"id": "a", "gold": "allowed", "verdict": "allowed", "reason": "matched", "p_allowed": None, "turns": [TURN]}
NEW = Prediction(
    id="b",
    gold="dismissed",
    court="High Court",
    year=1987,
    length=90,
    cluster="a",
    verdict="allowed",
    reason="matched",
    span=[0, 3],
    p_allowed=0.75,
    turns=[TURN],
    messages=[{"role": "user", "content": "YES or NO?"}],
    prompt="0" * 64,
    shown=[["FAC", 0, 80]],
    hidden=[[80, 90, "RPC", "role"]],
    pages={},
    dropped_tokens=3,
)


def test_a_row_round_trips() -> None:
    row = json.loads(json.dumps(NEW.to_json()))
    assert tuple(row) == FIELDS
    again = Prediction.from_json(row, where="p:1")
    assert json.dumps(again.to_json()) == json.dumps(row)


def test_an_older_row_has_defaults_for_newer_fields() -> None:
    old = Prediction.from_json(OLD, where="p:1")
    assert (old.shown, old.prompt, old.pages, old.length, old.cluster) == (None, None, None, None, "")
    assert (old.hidden, old.messages, old.dropped_tokens, old.skipped) == ((), (), 0, False)


def test_an_unknown_field_is_ignored() -> None:
    assert Prediction.from_json({**OLD, "later": 1}, where="p:1") == Prediction.from_json(OLD, where="p:1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "'id' is missing"),
        ({"reason": 3}, "'reason' is 3"),
        ({"turns": "YES"}, "'turns' is 'YES'"),
        ({"shown": [["FAC", 0]]}, "'shown[0]' is ['FAC', 0]"),
        ({"hidden": [[0, 9, "RPC"]]}, "'hidden[0]' is [0, 9, 'RPC']"),
        ({"skipped": "yes"}, "'skipped' is 'yes'"),
        ({"gold": None, "verdict": "maybe"}, "'verdict' 'maybe' is none of allowed, dismissed, invalid"),
    ],
)
def test_a_damaged_field_is_named_with_file_and_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (NEW.to_json(), {**OLD, **changes})))
    with pytest.raises(UserError) as caught:
        list(read_predictions(path))
    assert caught.value.where == f"{path}:2"
    assert caught.value.what == f"damaged prediction: {said}"


def test_every_line_is_at_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ({**OLD, "court": "दिल्ली"}, OLD | {"id": "c"}))
    )
    content = path.read_bytes()
    for _, (at, length), one in read_predictions(path):
        assert Prediction.from_json(json.loads(content[at : at + length]), where="") == one
