"""Label Studio exports."""

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legalrr.corpora.label_studio import LabelStudio
from legalrr.roles import BUILD

HEADER = "index,id,kind,label,confidence,duplicate_of\n"


def reader(path, outcomes=None):
    tables = {"train": str(outcomes)} if outcomes else {}
    return LabelStudio(name="build", files={"train": str(path)}, outcomes=tables, split="train")


@pytest.fixture
def two(export, task):
    return export(
        task(7, "Facts. Order.", (7, 13, "RPC"), (0, 6, "FAC")),
        task(7, "Other text."),
    )


def test_ids_contain_split_index_and_id_as_ids_recur(two):
    first, second = reader(two).read("train")
    assert (first.id, second.id) == ("train-0-7", "train-1-7")
    assert (first.split, first.kind, first.source) == ("train", "Tax", f"{two} item 0")


def test_party_and_court_of_the_corpus_apply_to_every_judgment(two):
    corpus = LabelStudio(name="c", files={"train": str(two)}, party="appellant", court="High Court")
    assert [(j.party, j.court) for j in corpus.read(None)] == [("appellant", "High Court")] * 2
    assert [(j.party, j.court) for j in reader(two).read(None)] == [(None, None)] * 2


def test_spans_are_ordered_and_a_judgment_without_any_has_none(two):
    first, second = reader(two).read(None)
    assert [(s.start, s.end, s.role) for s in first.spans] == [(0, 6, "FAC"), (7, 13, "RPC")]
    assert (first.scheme, second.scheme, second.spans) == ("build", None, None)


def test_outcomes_are_joined_by_index_and_id(two, write):
    outcomes = write("o.csv", HEADER + "0,7,appeal_or_petition,1,medium,\n1,7,trial,,,\n")
    first, second = reader(two, outcomes).read("train")
    assert (first.outcome, first.confidence, first.kind) == ("allowed", "medium", "Tax, appeal_or_petition")
    assert (second.outcome, second.kind) == (None, "Tax, trial")


def test_duplicates_are_skipped_and_logged_on_one_line(two, write, caplog):
    outcomes = write("o.csv", HEADER + "1,7,appeal_or_petition,1,high,train-0-7\n")
    with caplog.at_level(logging.INFO):
        assert [j.id for j in reader(two, outcomes).read("train")] == ["train-0-7"]
    assert [r.getMessage() for r in caplog.records] == ["build: skipped 1 duplicate judgments: train-1-7"]


@given(st.text(min_size=1).filter(str.strip), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_offsets_reproduce_the_text(tmp_path, task, text, data):
    text = text.encode("utf-8", "ignore").decode() or "x"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=8)) | {0, len(text)})
    roles = data.draw(st.lists(st.sampled_from([r.code for r in BUILD.roles]), min_size=len(cuts), max_size=len(cuts)))
    spans = list(zip(cuts, cuts[1:], roles, strict=False))
    if not text.strip():
        return
    path = tmp_path / "train.json"
    path.write_text(json.dumps([task(1, text, *reversed(spans))]), encoding="utf-8")
    [found] = reader(path).read(None)
    assert found.text == text
    assert "".join(text[s.start : s.end] for s in found.spans) == text
    assert [(s.start, s.end, s.role) for s in found.spans] == spans


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([(0, 6, "FACTS")], ("item 0, span 0", "unknown role 'FACTS'")),
        ([(0, 6, "FAC"), (5, 9, "RPC")], ("train-0-1", "RPC span [5, 9) overlaps")),
        ([(0, 99, "FAC")], ("train-0-1", "FAC span [0, 99) is out of range", "13 characters")),
        ([(-3, 2, "FAC")], ("train-0-1", "out of range")),
    ],
)
def test_invalid_spans_are_rejected(export, task, user_error, spans, words):
    path = export(task(1, "Facts. Order.", *spans))
    with user_error("train.json", *words):
        list(reader(path).read(None))


def invalid(task, change):
    made = task(1, "Facts. Order.", (0, 6, "FAC"))
    change(made, made["annotations"][0]["result"][0]["value"])
    return made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, v: v.update(text="Order."), "the text of [0, 6) is not the span's text"),
        (lambda t, v: v.update(start="0"), "offsets '0' and 6"),
        (lambda t, v: v.update(labels=["FAC", "RPC"]), "2 roles on one span"),
        (lambda t, v: v.pop("end"), "missing key 'end'"),
        (lambda t, v: t.pop("id"), "missing key 'id'"),
        (lambda t, v: t.pop("data"), "missing key 'data'"),
        (lambda t, v: t.update(data={"text": 5}), "data.text is not a string"),
        (lambda t, v: t.update(data={"text": " "}, annotations=[]), "empty judgment"),
        (lambda t, v: t["annotations"].append(t["annotations"][0]), "2 annotations for one judgment"),
    ],
)
def test_an_invalid_export_is_rejected(export, task, user_error, change, words):
    with user_error("item 0", words):
        list(reader(export(invalid(task, change))).read(None))


def test_truncated_json_is_reported_with_its_line(two, user_error):
    two.write_text(json.dumps(json.loads(two.read_text()), indent=1)[:-40])
    with user_error("train.json:", "truncated or damaged JSON"):
        list(reader(two).read(None))
    two.write_text("{}")
    with user_error("not a list of judgments"):
        list(reader(two).read(None))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,8,trial,,,", ("item 0", "index 0 has the id '8' in the outcomes and 7 in the export")),
        ("2,7,trial,,,", ("o.csv:2", "index '2'", "0 to 1")),
        ("x,7,trial,,,", ("o.csv:2", "index 'x'")),
        ("9" * 5000 + ",7,trial,,,", ("o.csv:2", "index '999", "0 to 1")),
        ("0,7,appeal,1,,", ("o.csv:2", "unknown kind 'appeal'")),
        ("0,7,trial,2,,", ("o.csv:2", "label '2'")),
        ("0,7,trial,,,\n0,7,trial,,,", ("o.csv:3", "duplicate index 0")),
    ],
)
def test_outcomes_of_another_file_are_rejected(two, write, user_error, row, words):
    outcomes = write("o.csv", f"{HEADER}{row}\n")
    with user_error(*words):
        list(reader(two, outcomes).read(None))


def test_invalid_options_are_rejected_on_construction(two, user_error):
    with user_error("no split 'dev'"):
        LabelStudio(name="b", files={"train": "x"}, outcomes={"dev": "y"})
    with user_error("unknown role scheme"):
        LabelStudio(name="b", files={}, scheme="x")
    with user_error("no split 'test'"):
        list(reader(two).read("test"))
    assert reader(two).paths("train") == [two]
