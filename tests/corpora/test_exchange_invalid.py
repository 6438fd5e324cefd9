"""Invalid judgments, paths and files on export and reading back."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from legalrr.corpora.exchange import FORMATS, DocBinFile, SavedDataset, export
from legalrr.records import Span

READ_BACK = tuple(format for format in FORMATS if format != "jsonl")


@pytest.mark.parametrize("format", FORMATS)
def test_invalid_judgments_are_not_written(format, few, tmp_path, user_error):
    broken = [
        (replace(few[1], spans=None), "b", "no roles to write"),
        (replace(few[1], id="a"), "duplicate id 'a'"),
        (replace(few[1], text="\ud800 " + few[1].text), "unpaired surrogate"),
        (replace(few[1], spans=(Span(start=0, end=99, role="FAC"),)), "out of range"),
    ]
    for one, *words in broken:
        with user_error(*words):
            export([few[0], one], tmp_path / "x", format=format)
        assert list(tmp_path.iterdir()) == []


def test_an_unwritable_path_or_unknown_format_is_rejected(few, tmp_path, user_error):
    with user_error("no such folder"):
        export(few, tmp_path / "no" / "x", format="docbin")
    with user_error("unknown format 'xml'", "docbin"):
        export(few, tmp_path / "x", format="xml")
    with user_error("is a folder"):
        export(few, tmp_path, format="docbin")
    export(few, tmp_path / "x", format="dataset")
    with user_error("already exists"):
        export(few, tmp_path / "x", format="dataset")


@pytest.mark.parametrize("format", READ_BACK)
def test_another_scheme_is_rejected_by_row(format, few, tmp_path, user_error, read_back):
    export(few, tmp_path / "x", format=format)
    with user_error(str(tmp_path / "x"), "roles of the scheme 'build'", "set scheme: build"):
        read_back(format, tmp_path / "x", scheme="seven")


@pytest.mark.parametrize("format", ["dataset", "docbin"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_damaged_file_is_rejected_by_name(format, content, tmp_path, write, user_error, read_back):
    path = write("x", content)
    with user_error(str(path), "not a"):
        read_back(format, path)
    with user_error("no such file or folder"):
        read_back(format, tmp_path / "none")


def test_a_truncated_docbin_is_rejected(few, tmp_path, user_error, read_back):
    export(few, tmp_path / "x", format="docbin")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-20])
    with user_error("not a DocBin"):
        read_back("docbin", tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": "won"}, "outcome 'won'"),
        ({"confidence": "sure"}, "confidence 'sure'"),
        ({"party": "accused"}, "unknown party 'accused'"),
        ({"year": "1999"}, "year is '1999'"),
        ({"id": 7}, "id is 7"),
        ({"id": None}, "empty id"),
        ({"scheme": "nine"}, "roles of the scheme 'nine'"),
    ],
)
def test_an_invalid_fact_is_rejected_with_its_place(few, tmp_path, user_error, change, words, read_back):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["data"]["judgment"].update(change)
    path.write_text(json.dumps(tasks), "utf-8")
    with user_error("t.json item 0", words):
        read_back("label-studio", path)


@pytest.mark.parametrize("value", [2, "high", True])
def test_an_invalid_score_is_rejected_with_its_place(few, tmp_path, user_error, value, read_back):
    path = tmp_path / "t.json"
    export(few[:1], path, format="label-studio", tagger="crf")
    tasks = json.loads(path.read_text("utf-8"))
    tasks[0]["predictions"][0]["result"][1]["score"] = value
    path.write_text(json.dumps(tasks), "utf-8")
    with user_error("t.json item 0, span 1", "a number from 0 to 1"):
        read_back("label-studio", path, tagged=True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"id": ["a"], "text": ["x"]}, "no column 'spans'"),
        ({"id": ["a"], "text": [1], "spans": [[]]}, "the text is int"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 1}]]}, "not a span"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 1, "role": "X"}]]}, "unknown role 'X'"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0.5, "end": 1, "role": "FAC"}]]}, "offsets 0.5"),
        ({"id": ["a"], "text": ["x"], "spans": [[{"start": 0, "end": 9, "role": "FAC"}]]}, "out of range"),
    ],
)
def test_an_invalid_row_is_rejected_with_its_place(rows, words, user_error, read_back):
    from datasets import Dataset

    with tempfile.TemporaryDirectory() as folder:
        Dataset.from_dict(rows).save_to_disk(f"{folder}/d")
        with user_error(f"{folder}/d", words):
            read_back("dataset", Path(folder) / "d")


def test_documents_without_span_group_or_scheme_are_rejected(few, tmp_path, user_error, read_back):
    doc = spacy.blank("en")("Facts.")
    (tmp_path / "x").write_bytes(DocBin(docs=[doc]).to_bytes())
    with user_error("x document 1", "no span group 'rhetorical_roles'", "available: none"):
        read_back("docbin", tmp_path / "x")
    doc.spans["mine"] = [doc.char_span(0, 6, label="FAC")]
    (tmp_path / "x").write_bytes(DocBin(docs=[doc]).to_bytes())
    with user_error("available: mine"):
        read_back("docbin", tmp_path / "x")
    with user_error("x document 1", "roles without a scheme"):
        list(DocBinFile(name="c", file=str(tmp_path / "x"), spans_key="mine").read(None))
    (found,) = read_back("docbin", tmp_path / "x", spans_key="mine")
    assert found.spans == (Span(start=0, end=6, role="FAC"),)


def test_invalid_options_are_rejected_on_construction(user_error):
    with user_error("unknown role scheme"):
        SavedDataset(name="c", folder="x", scheme="nine")
    with user_error("unknown party"):
        DocBinFile(name="c", file="x", party="accused")
