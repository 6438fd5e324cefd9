"""The reader of a folder of plain text."""

from legalrr.corpora.text import TextFolder


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
