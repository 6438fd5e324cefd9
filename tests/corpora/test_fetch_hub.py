"""Hub data sets, with a replaced `load_dataset`."""

import datasets
import pytest

from legalrr.corpora.table import Table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def table(**fields):
    given = {"revision": COMMIT, "text_column": "Input", "label_column": "Label", "id_column": None, **fields}
    return Table(name="predex", source="hub", hub="owner/set", **given)


@pytest.fixture
def hub(monkeypatch):
    calls = []

    def load(*where, **how):
        calls.append((where, how))
        rows = datasets.Dataset.from_dict({"Input": ["x", "y"], "Label": [1, 0]})
        return datasets.DatasetDict({"train": rows, "test": rows.select([1])})

    monkeypatch.setattr(datasets, "load_dataset", load)
    return calls


@pytest.mark.parametrize("revision", [None, "main", "0123456", COMMIT.upper()])
def test_a_revision_other_than_a_commit_is_rejected_with_a_cure(user_error, hub, revision):
    with user_error("corpus predex", "40 hexadecimal digits", "huggingface.co/datasets/owner/set/commits/main"):
        list(table(revision=revision).read("test"))
    assert hub == []


def test_the_named_files_are_loaded_at_the_commit(hub):
    found = list(table(data_files={"train": "train.csv"}, config="c").read("train"))
    assert hub == [(("owner/set", "c"), {"revision": COMMIT, "data_files": {"train": "train.csv"}})]
    assert [(j.id, j.text, j.outcome, j.split) for j in found] == [
        ("train-1", "x", "allowed", "train"),
        ("train-2", "y", "dismissed", "train"),
    ]
    assert found[1].source == "owner/set train row 2"
    assert table().paths("train") == []


def test_all_splits_are_read_by_default(hub):
    assert [j.id for j in table().read(None)] == ["train-1", "train-2", "test-1"]


def test_the_error_for_a_missing_split_or_column_lists_the_known_ones(hub, user_error):
    with user_error("no split 'dev'", "train, test"):
        list(table().read("dev"))
    with user_error("no column 'text'", "found Input, Label"):
        list(table(text_column="text").read("test"))


@pytest.mark.parametrize(
    "error",
    [
        datasets.exceptions.DatasetNotFoundError("gated"),
        datasets.exceptions.DatasetGenerationError("gated"),
        ConnectionError("gated"),
        ValueError("gated"),
    ],
)
def test_an_error_of_the_hub_is_one_line_with_a_cure(monkeypatch, user_error, error):
    def load(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    with user_error("cannot load the hub data set owner/set", "gated", "HF_TOKEN"):
        list(table().read("test"))
