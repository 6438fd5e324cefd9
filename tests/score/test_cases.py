import json
import tracemalloc

import pytest

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.score.cases import JudgmentMetadata, answered_case, read_answers


def row(**changes):
    turn = {"finish_reason": "stop", "prompt_tokens": 10, "cached_tokens": 4, "new_tokens": 2}
    whole = {"id": "a", "gold": "allowed", "verdict": "allowed", "reason": "matched", "p_allowed": None}
    return {**whole, "turns": [turn, {**turn, "finish_reason": "length"}], "dropped_tokens": 5, **changes}


def write(path, *rows, end="\n"):
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows) + end)
    return path


def test_tokens_are_summed_and_one_cut_off_turn_marks_the_case():
    case = answered_case(Prediction.from_json(row(), where="x"), where="x")
    assert (case.prompt_tokens, case.cached_tokens, case.new_tokens, case.dropped_tokens) == (20, 8, 4, 5)
    assert case.cut_off
    assert not case.skipped


def test_turns_that_were_cut_off_are_counted_but_not_an_answer_cut_off_after_its_word(tmp_path):
    def ended(id, reason, **ends):
        turn = {"prompt_tokens": 10, "cached_tokens": 4, "new_tokens": 2}
        turns = [{**turn, "name": one, "finish_reason": end} for one, end in ends.items()]
        return row(id=id, reason=reason, turns=turns)

    rows = [
        ended("a", "matched", analysis="length", answer="length"),
        ended("b", "budget", analysis="length", answer="length"),
        ended("c", "matched", analysis="stop", answer="length"),
        ended("d", "matched", analysis="stop", answer="stop"),
    ]
    answers = read_answers(write(tmp_path / "p.jsonl", *rows))
    assert [case.cut_off for case in answers.cases] == [True, True, True, False]
    assert (answers.cut_off, answers.cut_turns) == (2, {"analysis": 2, "answer": 1})


def test_places_are_those_of_the_rows_with_an_outcome(tmp_path):
    path = write(tmp_path / "p.jsonl", row(id="ä"), row(id="b", gold=None), row(id="c"))
    places = read_answers(path).places
    data = path.read_bytes()
    found = [json.loads(data[at : at + length]) for at, length in zip(places[::2], places[1::2], strict=True)]
    assert [one["id"] for one in found] == ["ä", "c"]


def test_cells_share_the_metadata_of_a_judgment(tmp_path):
    path = write(tmp_path / "p.jsonl", row(kind="tax", shown=[["FAC", 0, 9]]), row(id="b", shown=[["FAC", 2, 9]]))
    known = {}
    first, second = (read_answers(path, known=known) for _ in range(2))
    assert first == second
    assert all(first.metadata[id] is second.metadata[id] for id in "ab")
    assert first.metadata["a"].roles is first.metadata["b"].roles
    assert first.cases[0].id is second.cases[0].id


def test_texts_do_not_stay_in_memory(tmp_path):
    turn = {"finish_reason": "stop", "prompt_tokens": 10, "cached_tokens": 4, "new_tokens": 2, "name": "answer"}
    rows = (row(id=str(number), turns=[{**turn, "text": "word " * 4000}], cluster="x") for number in range(1000))
    path = write(tmp_path / "p.jsonl", *rows)
    tracemalloc.start()
    try:
        answers = read_answers(path)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(answers.cases) == 1000
    assert left < 1000 * 1000
    assert peak < path.stat().st_size / 10


def test_unlabelled_judgments_are_counted_but_not_scored(tmp_path):
    path = write(tmp_path / "p.jsonl", row(), row(id="b", gold=None), row(id="c", gold="dismissed"))
    answers = read_answers(path)
    assert [case.id for case in answers.cases] == ["a", "c"]
    assert answers.unlabelled == 1


def test_metadata_is_keyed_by_id_and_separate_from_the_cases(tmp_path):
    with_metadata = write(tmp_path / "p.jsonl", row(year=1987, kind="tax"), row(id="b", gold=None, year=1990))
    without = write(tmp_path / "q.jsonl", row())
    assert read_answers(with_metadata).metadata == {"a": JudgmentMetadata(year=1987, kind="tax")}
    assert read_answers(with_metadata).cases == read_answers(without).cases


def test_an_empty_file_has_no_cases(tmp_path):
    (tmp_path / "p.jsonl").write_text("")
    assert read_answers(tmp_path / "p.jsonl").cases == ()


@pytest.mark.parametrize("bad", ["{torn", "[1]", "", '"text"'])
def test_a_damaged_line_is_named_by_file_and_line(tmp_path, bad):
    path = write(tmp_path / "p.jsonl", row(), bad, row(id="c"))
    with pytest.raises(UserError, match=r"p\.jsonl:2: damaged prediction"):
        read_answers(path)


def test_a_truncated_last_line_is_an_error(tmp_path):
    path = write(tmp_path / "p.jsonl", row(), '{"id": "b", "go', end="")
    with pytest.raises(UserError, match=r"p\.jsonl:2"):
        read_answers(path)


def test_a_duplicate_id_names_both_lines(tmp_path):
    path = write(tmp_path / "p.jsonl", row(), row(id="b"), row())
    with pytest.raises(UserError, match=r"p\.jsonl:3: duplicate id 'a', first on line 1"):
        read_answers(path)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="cannot read the predictions"):
        read_answers(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gold": "won"}, "'gold' 'won' is none of allowed, dismissed"),
        ({"verdict": "maybe"}, "'verdict' 'maybe' is none of"),
        ({"verdict": None}, "'verdict' is missing"),
        ({"p_allowed": 1.5}, "'p_allowed' is 1.5"),
        ({"p_allowed": float("nan")}, "'p_allowed' is nan"),
        ({"turns": ["text"]}, "'turns.0.' is 'text'"),
        ({"turns": [{"finish_reason": "stop"}]}, "'turns.0..prompt_tokens' is missing"),
        ({"dropped_tokens": "many"}, "'dropped_tokens' is 'many'"),
        ({"id": 7}, "'id' is 7"),
    ],
)
def test_an_invalid_field_is_named(changes, message):
    with pytest.raises(UserError, match=message) as caught:
        Prediction.from_json(row(**changes), where="file:9")
    assert caught.value.where == "file:9"
