"""The reader of tables in files."""

import gzip
import json

import pandas
import pytest

from legalrr.corpora.table import Table

ROWS = [
    {"id": "a", "text": "First, one.", "label": 1},
    {"id": "b", "text": "Second.\nTwo lines.", "label": 0},
    {"id": "c", "text": "Third.", "label": None},
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(params=["t.jsonl", "t.jsonl.gz", "t.csv", "t.csv.gz", "t.parquet"])
def path(request, tmp_path, write):
    name, frame = request.param, pandas.DataFrame(ROWS)
    match name:
        case "t.jsonl":
            return write(name, lines(ROWS))
        case "t.jsonl.gz":
            return write(name, gzip.compress(lines(ROWS).encode()))
        case "t.parquet":
            frame.to_parquet(tmp_path / name)
        case _:
            frame.assign(label=["1", "0", ""]).to_csv(tmp_path / name, index=False)
    return tmp_path / name


def test_every_table_format_gives_the_same_judgments(path):
    found = list(Table(name="t", file=str(path)).read(None))
    assert [(j.id, j.text, j.outcome) for j in found] == [
        ("a", "First, one.", "allowed"),
        ("b", "Second.\nTwo lines.", "dismissed"),
        ("c", "Third.", None),
    ]
    assert all(str(path) in j.source and j.spans is None and j.split is None for j in found)
    assert len({j.source for j in found}) == 3


def test_every_table_format_reports_a_missing_column(path, user_error):
    with user_error(str(path), "no column 'Input', 'Label'", "found id, text, label"):
        list(Table(name="predex", file=str(path), id_column=None, text_column="Input", label_column="Label").read(None))


def test_all_columns_reach_the_judgment(write):
    row = {
        "id": 5,
        "text": "Facts. Order.",
        "outcome": "accepted",
        "sure": "low",
        "who": "petitioner",
        "whose": "Ram",
        "court": "High Court",
        "year": 1999,
        "kind": "tax",
        "spans": [[7, 13, "RPC"], {"start": 0, "end": 6, "role": "Facts"}],
    }
    table = Table(
        name="t",
        file=str(write("t.jsonl", lines([row]))),
        label_column="outcome",
        labels={"accepted": "allowed"},
        confidence_column="sure",
        party_column="who",
        petitioner_column="whose",
        court_column="court",
        year_column="year",
        kind_column="kind",
        spans_column="spans",
        scheme="seven",
    )
    [found] = table.read(None)
    assert (found.id, found.outcome, found.confidence, found.party) == ("5", "allowed", "low", "petitioner")
    assert (found.petitioner, found.court, found.year, found.kind) == ("Ram", "High Court", 1999, "tax")
    assert [(s.start, s.end, s.role) for s in found.spans] == [(0, 6, "FAC"), (7, 13, "RPC")]
    assert found.scheme == "seven"


def test_party_and_court_of_the_corpus_are_defaults_for_columns(write):
    path = write("t.csv", "id,text,who,where\na,Facts.,petitioner,High Court\nb,More.,,\n")
    fields = {"name": "t", "file": str(path), "label_column": None, "party": "appellant", "court": "Supreme Court"}
    found = Table(**fields, party_column="who", court_column="where").read(None)
    assert [(j.party, j.court) for j in found] == [("petitioner", "High Court"), ("appellant", "Supreme Court")]
    assert [(j.party, j.court) for j in Table(**fields).read(None)] == [("appellant", "Supreme Court")] * 2


def test_spans_in_csv_are_json_and_blank_means_none(write):
    path = write("t.csv", 'id,text,spans\na,Facts.,"[[0, 6, ""FAC""]]"\nb,More.,\n')
    table = Table(name="t", file=str(path), label_column=None, spans_column="spans", scheme="build")
    first, second = table.read(None)
    assert (first.spans[0].role, first.scheme) == ("FAC", "build")
    assert (second.spans, second.scheme) == (None, None)


def test_spans_in_parquet_are_structs(tmp_path):
    frame = pandas.DataFrame({"id": ["a"], "text": ["Facts."], "s": [[{"start": 0, "end": 6, "role": "FAC"}]]})
    frame.to_parquet(tmp_path / "t.parquet")
    table = Table(name="t", file=str(tmp_path / "t.parquet"), label_column=None, spans_column="s", scheme="build")
    assert [s.role for j in table.read(None) for s in j.spans] == ["FAC"]


def test_row_numbers_are_ids_only_with_a_null_id_column(write, user_error):
    train, test = write("train.csv", "Input,Label\nx,1\ny,0\n"), write("test.csv", "Input,Label\nz,1\n")
    files = {"train": str(train), "test": str(test)}
    table = Table(name="t", files=files, id_column=None, text_column="Input", label_column="Label")
    assert [(j.id, j.split) for j in table.read(None)] == [
        ("train-1", "train"),
        ("train-2", "train"),
        ("test-1", "test"),
    ]
    assert [j.id for j in table.read("test")] == ["test-1"]
    assert table.paths("test") == [test]
    with user_error("no split 'dev'", "train, test"):
        list(table.read("dev"))
    with user_error("no column 'id'"):
        list(Table(name="t", files=files, text_column="Input", label_column="Label").read("test"))


def test_a_column_can_give_the_split(write, user_error):
    path = write("t.csv", "name,text,label,split\na,x,1,train\nb,y,0,test\nc,z,1,train\n")
    table = Table(name="ildc", file=str(path), id_column="name", split_column="split", split="test")
    assert [(j.id, j.split) for j in table.read("train")] == [("a", "train"), ("c", "train")]
    assert [j.id for j in table.read(None)] == ["a", "b", "c"]
    with user_error("no split 'dev'", "test, train"):
        list(table.read("dev"))


def test_a_file_without_splits_rejects_a_split(write, user_error):
    table = Table(name="t", file=str(write("t.jsonl", lines(ROWS))))
    assert [j.id for j in Table(name="t", file=str(table.paths(None)[0]), id_column=None).read(None)] == ["1", "2", "3"]
    with user_error("no split 'test'", "it has none"):
        list(table.read("test"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "a"}, "duplicate id 'a'"),
        ({"id": None}, "empty id"),
        ({"text": ""}, "empty judgment"),
        ({"text": None}, "text is NoneType, not a string"),
        ({"label": 2}, "label '2' is none of 0, 1"),
        ({"label": "allowed"}, "label 'allowed' is none of 0, 1"),
        ({"text": "\ud800"}, "surrogate"),
    ],
)
def test_an_invalid_row_is_reported_with_its_line(write, user_error, row, words):
    path = write("t.jsonl", lines([ROWS[0], {**ROWS[1], **row}]))
    with user_error("t.jsonl:2", words):
        list(Table(name="t", file=str(path)).read(None))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"year": "now"}, "year 'now'"),
        ({"sure": "very"}, "confidence 'very'"),
        ({"who": "respondent"}, "unknown party 'respondent'"),
        ({"spans": [[0, 99, "FAC"]]}, "out of range"),
        ({"spans": [[0, 3, "FAC"], [2, 4, "FAC"]]}, "overlaps"),
        ({"spans": [[0, 3, "FACT"]]}, "unknown role 'FACT'"),
        ({"spans": [[0, 3]]}, "not a span: [0, 3]"),
        ({"spans": "[[0, 3"}, "spans is not valid JSON"),
    ],
)
def test_an_invalid_value_is_reported_with_its_line(write, user_error, row, words):
    good = {"id": "a", "text": "Facts.", "year": None, "sure": "", "who": "", "spans": []}
    table = Table(
        name="t",
        file=str(write("t.jsonl", lines([{**good, **row}]))),
        label_column=None,
        year_column="year",
        confidence_column="sure",
        party_column="who",
        spans_column="spans",
        scheme="build",
    )
    with user_error("t.jsonl:1", words):
        list(table.read(None))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": "web"}, "unknown source 'web'"),
        ({}, "neither or both of file and files"),
        ({"file": "x", "files": {"a": "y"}}, "neither or both of file and files"),
        ({"source": "hub"}, "source: hub without hub"),
        ({"files": {"a": "y"}, "split_column": "s"}, "split_column without file"),
        ({"file": "x", "spans_column": "s"}, "spans_column without scheme"),
        ({"file": "x", "scheme": "s"}, "unknown role scheme"),
        ({"file": "x", "party": "s"}, "unknown party"),
        ({"file": "x", "labels": {"2": "s"}}, "cannot mean 's'"),
    ],
)
def test_invalid_options_are_rejected_on_construction(user_error, fields, words):
    with user_error("t", words):
        Table(name="t", **fields)


def test_rows_are_read_one_at_a_time(write):
    path = write("t.jsonl", lines([ROWS[0]]) + "damaged\n")
    assert next(Table(name="t", file=str(path)).read(None)).id == "a"
