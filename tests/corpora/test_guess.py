"""Layouts guessed from files."""

import os

import pytest

from legalrr.corpora.exchange import export
from legalrr.corpora.guess import LAYOUTS, guess_layout

MARKED = "---\nid: a\n---\n[FAC] The tenant left.\n"


@pytest.mark.parametrize(
    ("name", "content", "layout", "reason"),
    [
        ("t.csv", "", "table", "a .csv file"),
        ("t.CSV", "", "table", "a .csv file"),
        ("t.jsonl.gz", "", "table", "a .jsonl.gz file"),
        ("t.tsv", "", "table", "a .tsv file"),
        ("t.parquet", "", "table", "a .parquet file"),
        ("t.json", "", "label-studio", "a .json file"),
        ("t.spacy", "", "docbin", "a .spacy file"),
        ("j/a.txt", "The tenant left.\n", "text", "1 .txt file without roles"),
        ("j/a.TXT", "The tenant left.\n", "text", "1 .txt file without roles"),
        ("j/a.txt", "", "text", "1 .txt file without roles"),
        ("j/a.txt", "A table:\n1\t2\nThe tenant left.\nHe paid.\n", "text", "1 .txt file without roles"),
        ("j/a.txt", MARKED, "marked", "1 .txt file, the first with a header"),
        (
            "j/a.txt",
            "The tenant left.\tFacts\n\nAllowed.\tRuling\n",
            "sentence-lines",
            "1 .txt file, the first with lines",
        ),
        ("j/a.pdf", "%PDF-", "pdf", "1 .pdf files"),
    ],
)
def test_a_layout_is_guessed_from_names_and_the_first_text(write, name, content, layout, reason):
    path = write(name, content)
    found = guess_layout(path.parent if "/" in name else path)
    assert found.layout == layout
    assert reason in found.reason


def test_every_layout_is_guessed_for_what_export_and_the_specimen_have(tmp_path, few):
    export(few, tmp_path / "d", format="dataset")
    assert guess_layout(tmp_path / "d").layout == "dataset"
    assert set(LAYOUTS) == {"marked", "sentence-lines", "label-studio", "table", "text", "pdf", "dataset", "docbin"}


def test_what_no_layout_fits_is_rejected_with_the_way_out(write, tmp_path, user_error):
    with user_error("nowhere", "no such file or folder"):
        guess_layout(tmp_path / "nowhere")
    with user_error("a.docx", "no layout has such a file", ".csv"):
        guess_layout(write("a.docx", ""))
    with user_error("a.txt", "a single judgment", f"name its folder, {tmp_path}"):
        guess_layout(write("a.txt", "The tenant left."))
    write("both/a.txt", "x")
    write("both/a.pdf", "x")
    with user_error("both: 1 .txt and 1 .pdf files", "--layout text or pdf"):
        guess_layout(tmp_path / "both")
    write("tables/b.csv", "x")
    with user_error("a folder of tables", "b.csv"):
        guess_layout(tmp_path / "tables")
    write("deep/2001/a.txt", "x")
    with user_error("deep: no *.txt file", "2001"):
        guess_layout(tmp_path / "deep")


def test_a_special_file_is_not_opened(tmp_path, user_error):
    os.mkfifo(tmp_path / "a.txt")
    with user_error("a.txt: not a file but a FIFO"):
        guess_layout(tmp_path)
