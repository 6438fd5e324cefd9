"""Tables of sentences: lists of sentences and roles, and a sentence per row."""

import json

import pandas
import pytest

from legalrr.corpora.cli import main
from legalrr.corpora.table import Table
from legalrr.stage import identity

SENTENCES = ["The appellant is a tenant.", " The appeal is dismissed. "]
ROLES = {"Fact": "FAC", "RulingByPresentCourt": "RPC"}
LEGALSEG = """,Text,Label,Index
0,IN THE HIGH COURT,None,7
1,The appellant is a tenant.,Facts,7
2,The appeal is dismissed.,Decision,7
3,Another matter.,Facts,8
"""


def table(path, **fields):
    return Table(
        **{"name": "t", "file": str(path), "label_column": None, "spans_column": "labels", "scheme": "build", **fields}
    )


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_lists_of_sentences_and_roles_are_read(tmp_path, name):
    row = {"id": "c1", "text": SENTENCES, "labels": list(ROLES)}
    path = tmp_path / name
    match path.suffix:
        case ".jsonl":
            path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        case ".csv":
            row |= {"text": json.dumps(SENTENCES), "labels": json.dumps(list(ROLES))}
            pandas.DataFrame([row]).to_csv(path, index=False)
        case _:
            pandas.DataFrame([row]).to_parquet(path)
    [found] = table(path, roles=ROLES).read(None)
    assert found.text == "The appellant is a tenant.\n The appeal is dismissed. "
    assert [(found.text[s.start : s.end], s.role) for s in found.spans] == [
        ("The appellant is a tenant.", "FAC"),
        ("The appeal is dismissed.", "RPC"),
    ]


def test_numbers_of_roles_can_be_mapped_and_roles_may_be_absent(write):
    path = write("t.jsonl", json.dumps({"id": 1, "text": SENTENCES, "labels": [0, 12]}) + "\n")
    [found] = table(path, roles={"0": "FAC", "12": "RPC"}).read(None)
    assert [s.role for s in found.spans] == ["FAC", "RPC"]
    [found] = Table(name="t", file=str(path), label_column=None).read(None)
    assert found.text == "\n".join(SENTENCES)
    assert found.spans is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"labels": ["Fact"]}, ("t.jsonl:1", "2 sentences but 1 roles")),
        (
            {"labels": ["Fact", "Ruling"]},
            ("t.jsonl:1, sentence 2", "unknown role 'Ruling'", "corpus.roles={Ruling: FAC, ...}"),
        ),
        ({"labels": 5}, ("t.jsonl:1", "labels is not a list: 5")),
        ({"text": ["a", 1]}, ("t.jsonl:1", "text is list, not a string", "a list of sentences")),
        ({"text": "One text."}, ("t.jsonl:1", "not a span: 'Fact'", "a list of sentences in text")),
    ],
)
def test_an_invalid_list_is_reported_with_its_line(write, user_error, row, words):
    path = write("t.jsonl", json.dumps({"id": "a", "text": SENTENCES, "labels": list(ROLES), **row}) + "\n")
    with user_error(*words):
        list(table(path, roles=ROLES).read(None))


def legalseg(path, **fields):
    roles = {"Facts": "FAC", "None": "NONE", "Decision": "RPC"}
    columns = {"id_column": "Index", "text_column": "Text", "spans_column": "Label"}
    return table(path, **columns, rows="sentences", roles=roles, **fields)


def test_rows_of_sentences_are_merged_by_id(write):
    first, second = legalseg(write("t.csv", LEGALSEG)).read(None)
    assert (first.id, second.id) == ("7", "8")
    assert first.text == "IN THE HIGH COURT\nThe appellant is a tenant.\nThe appeal is dismissed."
    assert [s.role for s in first.spans] == ["NONE", "FAC", "RPC"]
    assert first.source.endswith("t.csv:2")
    assert second.source.endswith("t.csv:5")


def test_rows_of_sentences_keep_the_label_of_their_judgment(write, user_error):
    path = write("t.csv", "Index,Text,Label,y\n7,One.,Facts,1\n7,Two.,Decision,1\n8,Three.,Facts,0\n")
    assert [j.outcome for j in legalseg(path, label_column="y").read(None)] == ["allowed", "dismissed"]
    path = write("t.csv", "Index,Text,Label,y\n7,One.,Facts,1\n7,Two.,Decision,0\n")
    with user_error("t.csv:3", "y is '0', but '1' at the first sentence"):
        list(legalseg(path, label_column="y").read(None))


def test_scattered_sentences_of_a_judgment_are_rejected(write, user_error):
    path = write("t.csv", LEGALSEG + "4,Late.,Facts,7\n")
    with user_error("t.csv:6", "duplicate id '7'"):
        list(legalseg(path).read(None))


def test_invalid_options_for_sentences_are_rejected(user_error):
    with user_error("unknown rows 'words'"):
        Table(name="t", file="x", rows="words")
    with user_error("rows: sentences without id_column"):
        Table(name="t", file="x", rows="sentences", id_column=None)
    with user_error("unknown role 'FACT'"):
        table("x", roles={"Fact": "FACT"})


def test_new_fields_enter_the_identity_only_if_set():
    plain = identity(Table(name="t", file="x"))
    assert plain == identity(Table(name="t", file="x", roles=None, rows="judgments"))
    assert plain != identity(Table(name="t", file="x", rows="sentences"))


def test_check_reads_both_layouts(write, capsys):
    path = write("t.jsonl", json.dumps({"id": "c1", "text": SENTENCES, "labels": list(ROLES)}) + "\n")
    columns = ["--layout", "table", "--scheme", "build", "--spans-column"]
    main(["check", str(path), *columns, "labels", "--roles-map", "{Fact: FAC, RulingByPresentCourt: RPC}"])
    assert "roles       FAC 1, RPC 1" in capsys.readouterr().out
    path = write("t.csv", LEGALSEG)
    names = ["--id-column", "Index", "--text-column", "Text", "--sentence-rows"]
    main(["check", str(path), *columns, "Label", *names, "--roles-map", "{Facts: FAC, None: NONE, Decision: RPC}"])
    assert "roles       FAC 2, NONE 1, RPC 1" in capsys.readouterr().out
