"""Data sets in the form of the hub: a folder with the files of a commit, read through `datasets`."""

import pytest

from legalrr.corpora import fetch
from legalrr.corpora.table import Table

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """\
---
configs:
- config_name: c
  data_files:
  - split: train
    path: c/train.csv
  - split: test
    path: [c/test.csv]
- config_name: d
  data_files: d/*.csv
---
"""


def table(**fields):
    given = {"revision": COMMIT, "text_column": "Input", "label_column": "Label", "id_column": None, **fields}
    return Table(name="predex", source="hub", hub="owner/set", **given)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The patterns of the files that are downloaded, from a data set that is here."""
    for name, text in {
        "README.md": CARD,
        "c/train.csv": "Input,Label\nx,1\ny,0\n",
        "c/test.csv": "Input,Label\ny,0\n",
        "d/other.csv": "Input\nz\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    wanted = []

    def download(repo, commit, *, kind, files, where):
        assert (repo, commit, kind) == ("owner/set", COMMIT, "dataset")
        wanted.append(list(files))
        return tmp_path

    monkeypatch.setattr(fetch, "download", download)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return wanted


def test_the_named_files_are_loaded(hub):
    found = list(table(data_files={"train": "c/train.csv"}).read("train"))
    assert hub == [["README.md", "c/train.csv"]]
    assert [(j.id, j.text, j.outcome, j.split) for j in found] == [
        ("train-1", "x", "allowed", "train"),
        ("train-2", "y", "dismissed", "train"),
    ]
    assert found[1].source == "owner/set train row 2"
    assert table().paths("train") == []


@pytest.mark.parametrize(
    ("config", "files"),
    [("c", ["README.md", "c/train.csv", "c/test.csv"]), ("d", ["README.md", "d/*.csv"]), (None, ["*"])],
)
def test_only_the_files_of_a_config_are_downloaded(hub, config, files):
    assert fetch._data_files("owner/set", COMMIT, config, {}, "corpus predex") == files


def test_all_splits_are_read_by_default(hub):
    assert [j.id for j in table(config="c").read(None)] == ["train-1", "train-2", "test-1"]


def test_the_error_for_a_missing_split_or_column_lists_the_known_ones(hub, user_error):
    with user_error("no split 'dev'", "train, test"):
        list(table(config="c").read("dev"))
    with user_error("no column 'text'", "found Input, Label"):
        list(table(config="c", text_column="text").read("test"))


def test_a_data_set_that_cannot_be_read_is_one_line_with_a_cure(hub, user_error):
    with user_error("cannot load the hub data set owner/set", "check config and data_files"):
        list(table(config="no_such").read("test"))


def test_a_branch_is_refused_where_a_commit_is_demanded(user_error):
    with user_error("corpus predex: revision", "main of owner/set is not a commit", "pinned"):
        list(table(revision="main", pinned=True).read("test"))
