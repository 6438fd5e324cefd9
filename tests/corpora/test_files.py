"""Locating, decoding and parsing files."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.corpora.files import (
    list_text_files,
    natural_sort_key,
    read_csv_rows,
    read_table_rows,
    require_columns,
    require_path,
)


def test_numbers_in_names_sort_as_numbers():
    assert sorted(["d10_2020", "d2_2020", "d2_2019", "a"], key=natural_sort_key) == [
        "a",
        "d2_2019",
        "d2_2020",
        "d10_2020",
    ]


@given(st.text(max_size=8), st.text(max_size=8))
def test_the_natural_order_is_total(one, other):
    assert (natural_sort_key(one) < natural_sort_key(other)) + (natural_sort_key(other) < natural_sort_key(one)) + (
        natural_sort_key(one) == natural_sort_key(other)
    ) == 1


def test_the_error_for_a_missing_corpus_folder_names_the_variable(tmp_path, monkeypatch, user_error):
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path / "nowhere"))
    with user_error(str(tmp_path / "nowhere" / "lawai50"), "LEGALRR_DATA", "legalrr data list"):
        require_path("$LEGALRR_DATA/lawai50")


def test_the_error_for_a_missing_file_names_it(tmp_path, user_error):
    with user_error("mine.csv", "no such file or folder"):
        require_path(str(tmp_path / "mine.csv"))


def test_the_order_of_files_is_deterministic(write, tmp_path):
    for name in ("d1.txt", "d01.txt", "d001.txt"):
        write(name, "x")
    assert [path.name for path in list_text_files(tmp_path)] == ["d001.txt", "d01.txt", "d1.txt"]


def test_a_folder_without_judgments_is_rejected(tmp_path, write, user_error):
    with user_error("no *.txt file"):
        list_text_files(tmp_path)
    with user_error("not a folder"):
        list_text_files(write("a.txt", "x"))


def test_csv_rows_have_their_line_even_after_a_quoted_newline(write):
    path = write("a.csv", 'id,text\n1,"two\nlines"\n\n2,plain\n')
    assert list(read_csv_rows(path, ("id",))) == [
        (f"{path}:2", {"id": "1", "text": "two\nlines"}),
        (f"{path}:5", {"id": "2", "text": "plain"}),
    ]


def test_a_csv_field_may_exceed_the_default_limit(write):
    path = write("a.csv", f'id,text\n1,"{"x" * 200_000}\u2028y"\n')
    [(_, row)] = read_csv_rows(path, ("text",))
    assert len(row["text"]) == 200_002


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,label\n1\n", ("a.csv:2", "1 fields under 2 columns")),
        ("id,label\n1,0,0\n", ("a.csv:2", "3 fields under 2 columns")),
        ('id,label\n1,"0\n', ("a.csv:2", "broken CSV")),
        ("", ("no column 'id'", "found none")),
        ("name,label\nx,1\n", ("no column 'id'", "found name, label", "check that this is the right file")),
    ],
)
def test_an_invalid_csv_is_rejected(write, user_error, content, words):
    with user_error(*words):
        list(read_csv_rows(write("a.csv", content), ("id", "label")))


def test_a_csv_that_is_not_utf8_is_rejected(write, user_error):
    with user_error("a.csv", "offset 8"):
        list(read_csv_rows(write("a.csv", b"id\none\nt\xe9\n"), ("id",)))


def test_a_truncated_gzip_file_is_rejected(write, user_error):
    packed = gzip.compress(b'{"id": 1}\n' * 2000)
    with user_error("a.jsonl.gz", "truncated or damaged gzip"):
        list(read_table_rows(write("a.jsonl.gz", packed[: len(packed) // 2]), ["id"]))
    with user_error("b.csv.gz", "truncated or damaged gzip"):
        list(read_table_rows(write("b.csv.gz", b"id\n1\n"), ["id"]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": 2, "te', ("a.jsonl:3", "truncated or damaged JSON")),
        ("[2]", ("a.jsonl:3", "not a JSON object")),
        ('{"text": "x"}', ("a.jsonl:3", "no column 'id'")),
    ],
)
def test_an_invalid_json_line_is_reported_with_its_number(write, user_error, line, words):
    path = write("a.jsonl", f'{{"id": 1}}\n\n{line}\n')
    with user_error(*words):
        list(read_table_rows(path, ["id"]))


def test_json_lines_may_begin_with_a_byte_order_mark(write):
    path = write("a.jsonl", b'\xef\xbb\xbf{"id": 1}\r\n{"id": 2}\r\n')
    assert [row["id"] for _, _, row in read_table_rows(path, ["id"])] == [1, 2]
    packed = write("a.jsonl.gz", gzip.compress(path.read_bytes()))
    assert [row["id"] for _, _, row in read_table_rows(packed, ["id"])] == [1, 2]
    assert list(read_table_rows(write("b.jsonl", b"\xef\xbb\xbf\n"), ["id"])) == []


def test_a_damaged_parquet_file_is_rejected(write, user_error):
    with user_error("a.parquet", "truncated or damaged Parquet"):
        list(read_table_rows(write("a.parquet", b"PAR1 no more"), ["id"]))


def test_an_unsupported_table_format_is_rejected(write, user_error):
    with user_error("a.xlsx", ".parquet"):
        list(read_table_rows(write("a.xlsx", b""), ["id"]))


def test_tab_separated_values_are_read(write):
    path = write("a.tsv", "id\ttext\n1\tone, two\n")
    assert [row for _, _, row in read_table_rows(path, ["id", "text"])] == [{"id": "1", "text": "one, two"}]


@pytest.mark.parametrize(
    ("found", "wanted", "cure"),
    [
        (["id", "Text "], "text", "set 'corpus.text_column=Text '"),
        (["id", "body"], "text", "set corpus.text_column=body"),
        (["id", "judgement"], "text", "set corpus.text_column=judgement"),
        (["Case Name", "text"], "id", "set 'corpus.id_column=Case Name'"),
        (["docid", "text"], "id", "set corpus.id_column=docid"),
        (["id", "outcome"], "label", "set corpus.label_column=outcome"),
        (["id", "x"], "text", "set corpus.text_column to one of these"),
        (["id;text"], "text", "separate the columns by commas, not by ';'"),
    ],
)
def test_the_cure_of_a_missing_column_names_the_nearest_one_and_its_option(user_error, found, wanted, cure):
    with user_error(f"no column {wanted!r}", f"found {', '.join(found)}".strip(), cure):
        require_columns(found, [wanted], where="t.csv:1", options={wanted: f"corpus.{wanted}_column"})


def test_the_cure_of_a_missing_column_with_a_fixed_name_renames_the_nearest_one(user_error):
    with user_error("no column 'label'", "rename 'Label' to 'label'"):
        require_columns(["id", "Label"], ["id", "label"], where="l.csv:1")
