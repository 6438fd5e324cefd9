"""Opening, decoding and parsing of files within bounds."""

import gzip
import os
import socket

import pytest

from legalrr.corpora import bounded_files
from legalrr.corpora.bounded_files import LARGEST_FILE, LONGEST_TEXT, open_binary, read_bytes, read_text
from legalrr.corpora.exchange import DocBinFile, SavedDataset
from legalrr.corpora.files import read_table_rows
from legalrr.corpora.label_studio import LabelStudio
from legalrr.corpora.marked import Marked
from legalrr.corpora.pdf_folder import PdfFolder
from legalrr.corpora.table import Table
from legalrr.corpora.text import SentenceLines, TextFolder


def test_line_ends_are_normalized_and_the_byte_order_mark_removed(write):
    assert read_text(write("a.txt", b"\xef\xbb\xbfone\r\ntwo\rthree\n")) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("before", [3, (1 << 20) - 1, 1 << 20])
def test_invalid_utf8_is_reported_with_its_offset(write, user_error, before):
    path = write("a.txt", b"x" * (before - 2) + "é".encode() + b"\xff tail")
    with user_error("a.txt", f"byte 0xff at offset {before}"):
        read_text(path)


def test_a_truncated_character_at_the_end_is_invalid_utf8(write, user_error):
    with user_error("at offset 2"):
        read_text(write("a.txt", b"ab\xe2\x82"))


def test_the_line_of_a_zero_byte_is_reported(write, user_error):
    with user_error("a.txt: binary: a zero byte at character 5, in line 2"):
        read_text(write("a.txt", b"one\nt\0o"))


SPECIAL = [
    ("fifo", os.mkfifo, "a FIFO"),
    ("device", lambda path: path.symlink_to("/dev/zero"), "a device"),
]


@pytest.mark.parametrize(("name", "make", "words"), SPECIAL, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize(
    ("file", "reader"),
    [
        ("a.jsonl", lambda path: Table(name="c", file=str(path))),
        ("a.csv.gz", lambda path: Table(name="c", file=str(path))),
        ("a.parquet", lambda path: Table(name="c", file=str(path))),
        ("a.json", lambda path: LabelStudio(name="c", files={"mine": str(path)})),
        ("a.spacy", lambda path: DocBinFile(name="c", file=str(path))),
        ("a.txt", lambda path: TextFolder(name="c", folder=str(path.parent))),
        ("b.txt", lambda path: Marked(name="c", folder=str(path.parent))),
        ("c.txt", lambda path: SentenceLines(name="c", folder=str(path.parent))),
        ("a.pdf", lambda path: PdfFolder(name="c", folder=str(path.parent))),
        ("state.json", lambda path: SavedDataset(name="c", folder=str(path.parent))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_special_files_are_refused_before_they_are_opened(tmp_path, user_error, name, make, words, file, reader):
    path = tmp_path / file
    make(path)
    with user_error(f"{file}: not a file but {words}"):
        list(reader(path).read(None))


def test_a_socket_and_a_folder_are_refused(tmp_path, user_error):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s.csv"))
        with user_error("s.csv: not a file but a socket"):
            open_binary(tmp_path / "s.csv")
    with user_error("not a file but a folder"):
        open_binary(tmp_path)


@pytest.mark.parametrize("read", [read_text, lambda path: list(read_table_rows(path, []))])
def test_a_gzip_file_that_inflates_beyond_its_bound_is_refused(write, user_error, monkeypatch, read):
    monkeypatch.setattr(bounded_files, "SMALL_INFLATED", 1000)
    path = write("a.jsonl.gz", gzip.compress(b"\n" * 1_000_000))
    with user_error("a.jsonl.gz: inflates to more than", "bounded_files.INFLATION"):
        read(path)


def test_a_gzip_file_within_its_bound_is_read(write):
    assert read_text(write("a.txt.gz", gzip.compress(b"x" * 1_000_000))) == "x" * 1_000_000


def test_a_long_line_is_refused_with_its_number(write, user_error, monkeypatch):
    monkeypatch.setattr(bounded_files, "LONGEST_LINE", 50)
    path = write("a.jsonl", b'{"id": 1}\n{"id": "' + b"x" * 50 + b'"}\n')
    with user_error("a.jsonl:2: a line of more than 50 bytes", "bounded_files.LONGEST_LINE"):
        list(read_table_rows(path, ["id"]))


@pytest.mark.parametrize("content", [b"id,text\n1,a\n2," + b"x" * 99, b'id,text\n1,"a\nb"\n2,' + b"x" * 99])
def test_a_long_row_of_a_csv_is_refused_with_its_line(write, user_error, monkeypatch, content):
    monkeypatch.setattr("legalrr.corpora.files.LONGEST_LINE", 50)
    with user_error(f"a.csv:{content.count(bytes([10])) + 1}: a line of more than"):
        list(read_table_rows(write("a.csv", content), ["id"]))


def test_a_quoted_field_over_many_lines_is_bounded(write, user_error, monkeypatch):
    monkeypatch.setattr("legalrr.corpora.files.LONGEST_TEXT", 50)
    path = write("a.csv", b'id,text\n1,"' + b"line\n" * 50 + b'"\n')
    with user_error("a.csv:12: broken CSV: field larger than field limit (50)", "bounded_files.LONGEST_TEXT"):
        list(read_table_rows(path, ["id"]))


def test_a_large_file_is_refused_before_it_is_read(tmp_path, user_error):
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        # A sparse file: it takes no space.
        file.truncate(LARGEST_FILE + 1)
    with user_error(f"a.txt: more than {LARGEST_FILE} bytes", "bounded_files.LARGEST_FILE"):
        read_bytes(path)


def test_a_long_judgment_is_refused_by_its_length(write, tmp_path, user_error):
    write("t/a.txt", "The appeal is allowed. " * (LONGEST_TEXT // 23 + 1))
    with user_error("a.txt:1, judgment a", f"more than {LONGEST_TEXT}", "bounded_files.LONGEST_TEXT"):
        list(TextFolder(name="c", folder=str(tmp_path / "t")).read(None))


def test_a_folder_in_place_of_a_file_is_rejected(tmp_path, user_error):
    with user_error("not a file but a folder"):
        read_text(tmp_path)


def test_a_gzip_file_that_is_neither_utf8_nor_whole_is_one_line(write, user_error):
    packed = gzip.compress(b"id,text\n1,\xad" + os.urandom(3_000_000))
    with user_error("a.csv.gz"):
        list(read_table_rows(write("a.csv.gz", packed[:-2000]), ["id"]))
