"""The reader of a folder of plain text."""

import logging

from legalrr.corpora.text import SentenceLines, TextFolder


def test_texts_and_labels_are_joined_by_id(tmp_path, write):
    write("j/a2.txt", "Second.\n")
    write("j/a10.txt", "Tenth.")
    labels = write("labels.csv", "id,label\na10,0\n")
    corpus = TextFolder(name="c", folder=str(tmp_path / "j"), labels=str(labels), party="plaintiff", court="High Court")
    second, tenth = corpus.read(None)
    assert (second.id, second.text, second.outcome, second.spans, second.scheme) == (
        "a2",
        "Second.\n",
        None,
        None,
        None,
    )
    assert (tenth.id, tenth.outcome, tenth.party, tenth.source) == (
        "a10",
        "dismissed",
        "plaintiff",
        f"{tmp_path}/j/a10.txt:1",
    )
    assert (second.court, tenth.court) == ("High Court", "High Court")
    assert corpus.paths(None) == [tmp_path / "j"]


def test_an_empty_judgment_is_rejected(tmp_path, write, user_error):
    write("a.txt", " \n")
    with user_error("a.txt:1", "empty judgment"):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))


def test_a_text_that_is_not_utf8_is_rejected(tmp_path, write, user_error):
    write("a.txt", b"caf\xe9")
    with user_error("a.txt", "offset 3"):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))


def test_splits_and_unknown_parties_are_rejected(tmp_path, user_error):
    with user_error("no split 'test'"):
        list(TextFolder(name="c", folder=str(tmp_path)).read("test"))
    with user_error("unknown party"):
        TextFolder(name="c", folder="x", party="state")


def test_the_case_of_the_suffix_does_not_matter(tmp_path, write):
    write("a.txt", "First.")
    write("B.TXT", "Second.")
    assert sorted(j.id for j in TextFolder(name="c", folder=str(tmp_path)).read(None)) == ["B", "a"]
    write("s/C.Txt", "Third.\tFacts")
    assert [j.id for j in SentenceLines(name="c", folder=str(tmp_path / "s")).read(None)] == ["C"]


def test_files_that_are_left_out_are_counted_in_the_log(tmp_path, write, caplog):
    write("a.txt", "First.")
    write("2001/c.txt", "Third.")
    write("2001/court/d.TXT", "Fourth.")
    write("e.docx", "x")
    write("f.html", "x")
    write("labels.csv", "id,label")
    with caplog.at_level(logging.WARNING):
        assert [j.id for j in TextFolder(name="c", folder=str(tmp_path)).read(None)] == ["a"]
    below, others = [record.getMessage() for record in caplog.records]
    assert "2 files in sub-folders are not read, the first is 2001/c.txt" in below
    assert "2 files are not read, the first is e.docx" in others


def test_a_folder_of_sub_folders_is_rejected_by_name(tmp_path, write, user_error):
    write("2001/c.txt", "Third.")
    with user_error("no *.txt file in this folder", f"name a sub-folder, as {tmp_path / '2001'}"):
        list(TextFolder(name="c", folder=str(tmp_path)).read(None))
