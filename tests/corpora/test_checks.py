"""Labels, parties, splits, and validation of judgments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.corpora.checks import (
    check_labels,
    load_labels,
    parse_outcome,
    parse_party,
    read_labels,
    select_splits,
    strip_span,
    validate_judgments,
)
from legalrr.records import Judgment, Span


def judgment(**fields):
    return Judgment(**{"id": "a", "text": "The appeal.", "source": "f.txt:1", **fields})


def spans(*triples):
    return tuple(Span(start=s, end=e, role=r) for s, e, r in triples)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (1, "allowed"),
        ("0", "dismissed"),
        (1.0, "allowed"),
        (" 1 ", "allowed"),
        ("1.0", "allowed"),
        ("0.0", "dismissed"),
        ("1.", "allowed"),
        ("0.000", "dismissed"),
    ],
)
def test_one_is_allowed_and_zero_dismissed(value, outcome):
    assert parse_outcome(value, where="f:1") == outcome


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_a_blank_label_gives_no_outcome(value):
    assert parse_outcome(value, where="f:1") is None


@pytest.mark.parametrize("value", [2, "yes", 0.5, -1, True, "1.5", "1.0.0", "1e0"])
def test_a_label_other_than_zero_and_one_is_rejected(user_error, value):
    with user_error("f:1", "none of 0, 1"):
        parse_outcome(value, where="f:1")


def test_published_labels_can_be_mapped(user_error):
    labels = {"2": "allowed", "0": "dismissed"}
    assert parse_outcome(2, where="f:1", labels=labels) == "allowed"
    with user_error("label '1' is none of 2, 0"):
        parse_outcome(1, where="f:1", labels=labels)
    with user_error("cannot mean 'partly'"):
        check_labels({"2": "partly"}, where="corpus x")


def test_labels_are_read_by_id(write):
    labels = read_labels(write("l.csv", "id,label,confidence\na,1,low\nb,,\n"), "id")
    assert (labels["a"].outcome, labels["a"].confidence) == ("allowed", "low")
    assert (labels["b"].outcome, labels["b"].confidence) == (None, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,label\na,1\na,0\n", ("l.csv:3", "duplicate id 'a'")),
        ("id,label\na,2\n", ("l.csv:2", "label '2'")),
        ("id,label,confidence\na,1,sure\n", ("l.csv:2", "confidence 'sure'")),
        ("id,outcome\na,1\n", ("no column 'label'", "found id, outcome")),
    ],
)
def test_bad_labels_are_rejected(write, user_error, content, words):
    with user_error(*words):
        read_labels(write("l.csv", content), "id")


def test_labels_of_another_corpus_are_rejected(write, user_error):
    path = str(write("l.csv", "id,label\nx,1\n"))
    with user_error("no id of this file is the id of a judgment"):
        load_labels(path, "id", ["a"])
    assert load_labels(path, "id", ["a", "x"]).keys() == {"x"}
    assert load_labels(None, "id", ["a"]) == {}


def test_an_unknown_party_is_rejected(user_error):
    assert parse_party("petitioner", where="f") == "petitioner"
    assert parse_party("", where="f") is None
    with user_error("unknown party 'defendant'"):
        parse_party("defendant", where="f")


def test_an_unknown_split_is_rejected(user_error):
    assert select_splits(None, ["train", "test"], corpus="x") == ["train", "test"]
    assert select_splits("test", ["train", "test"], corpus="x") == ["test"]
    with user_error("no split 'dev'", "train, test"):
        select_splits("dev", ["train", "test"], corpus="x")
    with user_error("it has none"):
        select_splits("dev", [], corpus="x")


@given(st.text(" \n\tab"), st.data())
def test_strip_span_removes_only_outer_white_space(text, data):
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    start, stop = strip_span(text, begin, end)
    if start < stop:
        assert text[start:stop] == text[begin:end].strip()
    else:
        assert not text[begin:end].strip()


def test_valid_judgments_pass_unchanged():
    valid = [judgment(scheme="seven", spans=spans((0, 3, "FAC"), (3, 11, "RPC"))), judgment(id="b")]
    assert list(validate_judgments(valid)) == valid


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": " "}, ("f.txt:1", "empty id")),
        ({"text": " \n"}, ("f.txt:1, judgment a", "empty judgment")),
        ({"text": "x\ud800"}, ("judgment a", "surrogate", "at character 1")),
        ({"spans": spans((0, 3, "FAC"))}, ("gold roles without a scheme",)),
        ({"scheme": "seven", "spans": spans((0, 12, "FAC"))}, ("judgment a", "out of range", "11 characters")),
        ({"scheme": "seven", "spans": spans((-1, 2, "FAC"))}, ("out of range",)),
        ({"scheme": "seven", "spans": spans((2, 2, "FAC"))}, ("out of range",)),
        ({"scheme": "seven", "spans": spans((0, 5, "FAC"), (4, 8, "RPC"))}, ("RPC span [4, 8) overlaps",)),
        ({"scheme": "seven", "spans": spans((0, 5, "PREAMBLE"))}, ("unknown role 'PREAMBLE'",)),
    ],
)
def test_an_invalid_judgment_is_rejected(user_error, fields, words):
    with user_error(*words):
        list(validate_judgments([judgment(**fields)]))


def test_a_duplicate_id_is_rejected(user_error):
    with user_error("g.txt:1", "duplicate id 'a'"):
        list(validate_judgments([judgment(), judgment(source="g.txt:1")]))
