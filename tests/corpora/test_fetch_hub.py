"""Hub sets, with the hub's answer put in its place."""

import datasets
import pytest

from legalrr.corpora.table import Table

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def table(**fields):
    given = {"revision": COMMIT, "text_column": "Input", "label_column": "Label", "id_column": None, **fields}
    return Table(name="predex", source="hub", hub="owner/set", **given)


@pytest.fixture
def hub(monkeypatch):
    asked = []

    def load(*where, **how):
        asked.append((where, how))
        rows = datasets.Dataset.from_dict({"Input": ["x", "y"], "Label": [1, 0]})
        return datasets.DatasetDict({"train": rows, "test": rows.select([1])})

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


@pytest.mark.parametrize("revision", [None, "main", "0123456", COMMIT.upper()])
def test_anything_but_a_commit_is_refused_with_the_way_to_get_one(refuses, hub, revision):
    with refuses("corpus predex", "40 hexadecimal digits", "huggingface.co/datasets/owner/set/commits/main"):
        list(table(revision=revision).read("test"))
    assert hub == []


def test_the_named_files_are_asked_for_at_the_commit(hub):
    found = list(table(data_files={"train": "train.csv"}, config="c").read("train"))
    assert hub == [(("owner/set", "c"), {"revision": COMMIT, "data_files": {"train": "train.csv"}})]
    assert [(j.id, j.text, j.outcome, j.split) for j in found] == [
        ("train-1", "x", "allowed", "train"),
        ("train-2", "y", "dismissed", "train"),
    ]
    assert found[1].source == "owner/set train row 2"
    assert table().paths("train") == []


def test_all_splits_are_read_where_none_is_named(hub):
    assert [j.id for j in table().read(None)] == ["train-1", "train-2", "test-1"]


def test_a_missing_split_or_column_lists_those_there_are(hub, refuses):
    with refuses("no split 'dev'", "train, test"):
        list(table().read("dev"))
    with refuses("no column 'text'", "found Input, Label"):
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
def test_what_the_hub_refuses_is_one_line_with_a_cure(monkeypatch, refuses, error):
    def load(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    with refuses("owner/set cannot be had", "gated", "HF_TOKEN"):
        list(table().read("test"))
