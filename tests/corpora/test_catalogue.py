"""The corpora of conf/corpus."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from legalrr import paths
from legalrr.corpora.catalogue import card, cards, local_files
from legalrr.protocols import Corpus
from legalrr.stage import build

NAMES = [
    "build",
    "ildc",
    "iltur_cjpe",
    "inabs",
    "lawai50",
    "legalseg",
    "marro",
    "nyayaanumana",
    "own_dataset",
    "own_docbin",
    "own_label_studio",
    "own_marked",
    "own_pdf",
    "own_table",
    "own_text",
    "predex",
    "specimen",
]


def test_every_corpus_has_complete_metadata():
    assert [one.name for one in cards()] == NAMES
    for one in cards():
        assert all((one.what, one.licence, one.citation, one.get))
        assert "#" not in one.what + one.licence + one.citation + one.get


@pytest.mark.parametrize("name", NAMES)
def test_every_corpus_has_a_reader_unless_its_path_is_not_set(name):
    reader = card(name).reader()
    if name.startswith("own_"):
        assert reader is None
    else:
        assert isinstance(reader, Corpus)
        assert reader.name == name


@pytest.mark.parametrize("name", ["predex", "iltur_cjpe"])
def test_hub_data_sets_are_pinned_to_a_commit_on_request(name, user_error):
    with user_error(name, "main of", "40 hexadecimal digits"):
        list(replace(card(name).reader(), pinned=True).read("test"))


def test_local_files_lists_the_specimen_and_no_unfetched_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    assert local_files(card("specimen").reader())
    assert local_files(card("lawai50").reader()) == []
    assert local_files(card("predex").reader()) == []


def test_the_error_for_an_unknown_corpus_lists_the_known_ones(user_error):
    with user_error("no corpus 'nosuch'", "lawai50"):
        card("nosuch")


def test_a_config_without_metadata_is_rejected(tmp_path, monkeypatch, write, user_error):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    write("conf/corpus/mine.yaml", "meta:\n  what: >-\n    mine\n    and mine\nname: mine\n")
    with user_error("mine.yaml", "meta lacks licence, citation, get"):
        card("mine")
    write("conf/corpus/mine.yaml", "# What: m\n#   n\n# Licence: l\n# Citation: c\n# Get: g\n- a\n")
    assert card("mine").what == "m n"
    with user_error("mine.yaml", "not a mapping"):
        card("mine").node()


def test_own_table_reads_several_files(write):
    node = card("own_table").node()
    train = write("train.csv", "id,text,label\na,x,accepted\n")
    changes = {"files": {"train": str(train)}, "labels": {"accepted": "allowed"}}
    reader = build(OmegaConf.merge(node, changes), Corpus, option="corpus")
    assert [(j.id, j.outcome, j.split) for j in reader.read(None)] == [("a", "allowed", "train")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_marked", "folder"),
        ("own_pdf", "folder"),
        ("own_text", "folder"),
        ("own_table", "set file, or files"),
        ("own_dataset", "folder"),
        ("own_docbin", "file"),
        ("own_label_studio", "files"),
    ],
)
def test_an_own_corpus_requires_a_path(name, words, user_error):
    with user_error(words):
        build(card(name).node(), Corpus, option="corpus")
