"""The reader of files with one sentence and role per line."""

import pytest

from legalrr.corpora.text import SentenceLines


@pytest.fixture
def corpus(tmp_path, write):
    write("d10_2020.txt", "He was a tenant.\tFacts\r\nHe lost.\tRuling by Present Court\r\n")
    write("d2_2020.txt", " We hold\tso. \tRATIO\n\n\tindented.\tFAC\n")
    write("out.csv", "doc_id,label,confidence,more\nd2_2020,1,high,x\nelsewhere,0,low,x\n")
    outcomes = str(tmp_path / "out.csv")
    return SentenceLines(name="c", folder=str(tmp_path), outcomes=outcomes, party="appellant", court="Supreme Court")


def test_sentences_are_joined_and_are_the_spans(corpus, tmp_path):
    second, tenth = corpus.read(None)
    assert (second.id, tenth.id) == ("d2_2020", "d10_2020")
    assert tenth.text == "He was a tenant.\nHe lost."
    assert [(tenth.text[s.start : s.end], s.role) for s in tenth.spans] == [
        ("He was a tenant.", "FAC"),
        ("He lost.", "RPC"),
    ]
    assert second.text == " We hold\tso. \n\tindented."
    assert [(second.text[s.start : s.end], s.role) for s in second.spans] == [
        ("We hold\tso.", "RATIO"),
        ("indented.", "FAC"),
    ]
    assert (tenth.source, tenth.scheme, tenth.split) == (f"{tmp_path}/d10_2020.txt:1", "seven", None)
    assert (second.party, second.court) == ("appellant", "Supreme Court")


def test_outcomes_are_joined_by_id_and_optional(corpus):
    second, tenth = corpus.read(None)
    assert (second.outcome, second.confidence) == ("allowed", "high")
    assert (tenth.outcome, tenth.confidence) == (None, None)


def test_sub_folders_are_splits_and_role_spellings_can_be_mapped(tmp_path, write, user_error):
    write("train/a.txt", "x\tReasoning\n")
    write("test/b.txt", "y\tNONE\n")
    corpus = SentenceLines(
        name="c", folder=str(tmp_path), splits=["train", "test"], scheme="build", roles={"Reasoning": "ANALYSIS"}
    )
    assert [(j.id, j.split, j.spans[0].role) for j in corpus.read(None)] == [
        ("a", "train", "ANALYSIS"),
        ("b", "test", "NONE"),
    ]
    assert [j.id for j in corpus.read("test")] == ["b"]
    assert corpus.paths("test") == [tmp_path / "test"]
    with user_error("no split 'dev'"):
        list(corpus.read("dev"))


def test_only_files_matching_the_pattern_are_read(tmp_path, write, user_error):
    write("d1.txt", "x\tFAC\n")
    write("description.txt", "\n")
    assert [j.id for j in SentenceLines(name="c", folder=str(tmp_path), pattern="d?.txt").read(None)] == ["d1"]
    with user_error("description.txt", "empty judgment"):
        list(SentenceLines(name="c", folder=str(tmp_path)).read(None))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no tab here", ("a.txt:2", "not a sentence, tab and role")),
        ("  \tFAC", ("a.txt:2", "not a sentence, tab and role")),
        ("x\tFACTS", ("a.txt:2", "unknown role 'FACTS'")),
        ("x\t", ("a.txt:2", "unknown role ''")),
    ],
)
def test_an_invalid_line_is_reported_with_its_number(tmp_path, write, user_error, line, words):
    write("a.txt", f"x\tFAC\n{line}\n")
    with user_error(*words):
        list(SentenceLines(name="c", folder=str(tmp_path)).read(None))


def test_the_same_judgment_in_two_splits_is_a_duplicate(tmp_path, write, user_error):
    write("train/a.txt", "x\tFAC\n")
    write("test/a.txt", "y\tFAC\n")
    corpus = SentenceLines(name="c", folder=str(tmp_path), splits=["train", "test"])
    with user_error("test/a.txt:1", "duplicate id 'a'"):
        list(corpus.read(None))


def test_invalid_options_are_rejected_on_construction(user_error):
    with user_error("unknown role scheme 'eight'"):
        SentenceLines(name="c", folder="x", scheme="eight")
    with user_error("unknown role 'REASON'"):
        SentenceLines(name="c", folder="x", roles={"Reasoning": "REASON"})
    with user_error("unknown party"):
        SentenceLines(name="c", folder="x", party="respondent")


def test_outcomes_of_another_corpus_are_rejected(tmp_path, write, user_error):
    write("a.txt", "x\tFAC\n")
    outcomes = write("out.csv", "doc_id,label\nz,1\n")
    with user_error("out.csv", "no doc_id of this file"):
        list(SentenceLines(name="c", folder=str(tmp_path), outcomes=str(outcomes)).read(None))
