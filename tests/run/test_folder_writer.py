"""Rows that come in any order are written in the order of the judgments, and nothing stays of a cell that failed."""

import gzip
import json
from pathlib import Path

import pytest

from legalrr.judgment_files import JUDGMENTS as JUDGMENTS_OF_A_CELL
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


def test_cells_of_a_sweep_share_the_file_of_their_judgments(tmp_path: Path) -> None:
    def write(cell: str, count: int) -> dict[str, str]:
        with RunWriter(tmp_path / cell, IDS[:count], sweep=tmp_path) as writer:
            for id in IDS[:count]:
                writer.add(prediction(id))
            writer.finish(judgments=JUDGMENTS[:count], record={}, scores={})
        found: dict[str, str] = json.loads((tmp_path / cell / "run.json").read_text())["judgments"]
        return found

    first = write("0", 4)
    (shared,) = tmp_path.glob("judgments-*.jsonl.gz")
    assert first == {"file": f"../{shared.name}", "sha256": first["sha256"]}
    assert shared.name == f"judgments-{first['sha256'][:12]}.jsonl.gz"
    before = shared.stat()
    assert write("1", 4) == first
    assert write("below/2", 4) == {**first, "file": f"../../{shared.name}"}
    assert (shared.stat().st_ino, shared.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write("3", 2)["sha256"] != first["sha256"]
    assert len(list(tmp_path.glob("judgments-*.jsonl.gz"))) == 2
    content = shared.read_bytes()
    shared.write_bytes(content[:-9])
    write("1", 4)
    assert shared.read_bytes() == content
    assert not list(tmp_path.rglob(JUDGMENTS_OF_A_CELL))


def test_a_cell_outside_its_sweep_has_its_own_judgments(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "cell", [], sweep=tmp_path / "sweep") as writer:
        writer.finish(judgments=JUDGMENTS, record={}, scores={})
    assert (tmp_path / "cell" / JUDGMENTS_OF_A_CELL).is_file()


def test_a_cell_that_does_not_finish_leaves_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("earlier", encoding="utf-8")
    with RunWriter(tmp_path, IDS) as writer:
        writer.add(prediction("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]
    assert (tmp_path / "predictions.jsonl").read_text(encoding="utf-8") == "earlier"
