"""Rows that come in any order are written in the order of the judgments, and nothing stays of a cell that failed."""

import gzip
import json
from pathlib import Path

import pytest

from legalrr.predictions import Prediction
from legalrr.records import Judgment
from legalrr.run.folder import RunWriter

IDS = ["a", "b", "c", "d"]
JUDGMENTS = [Judgment(id=id, text=f"text of {id} " * 5000) for id in IDS]


def prediction(id: str) -> Prediction:
    return Prediction(id=id, verdict="allowed", reason="matched", turns=[])


@pytest.mark.parametrize("order", ["abcd", "dcba", "bdac"])
def test_rows_are_in_the_order_of_the_judgments(order: str, tmp_path: Path) -> None:
    with RunWriter(tmp_path, IDS) as writer:
        for id in order:
            writer.add(prediction(id))
            writer.add_reference({"id": id, "turns": [id]})
        writer.finish(judgments=JUDGMENTS, record={}, scores={})
    for name in ("predictions.jsonl", "references.jsonl"):
        rows = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert [json.loads(row)["id"] for row in rows] == IDS
    packed = (tmp_path / "judgments.jsonl.gz").read_bytes()
    # As written before, when all lines were compressed at once.
    assert packed == gzip.compress(gzip.decompress(packed), compresslevel=6, mtime=0)
    assert [json.loads(line)["id"] for line in gzip.decompress(packed).splitlines()] == IDS


def test_references_without_a_role_are_not_written(tmp_path: Path) -> None:
    with RunWriter(tmp_path, IDS[:1]) as writer:
        writer.add(prediction("a"))
        writer.add_reference({"id": "a", "turns": []})
        writer.finish(judgments=JUDGMENTS[:1], record={}, scores={})
    assert {path.name for path in tmp_path.iterdir()} == {
        "judgments.jsonl.gz",
        "predictions.jsonl",
        "run.json",
        "scores.json",
    }


def test_a_cell_that_does_not_finish_leaves_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("earlier", encoding="utf-8")
    with RunWriter(tmp_path, IDS) as writer:
        writer.add(prediction("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]
    assert (tmp_path / "predictions.jsonl").read_text(encoding="utf-8") == "earlier"
