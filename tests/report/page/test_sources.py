import json

import pytest

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.report.cells import read_again, read_cells
from legalrr.report.page.sources import read_judgments, read_rows

from .conftest import enrich


def test_cells_with_the_same_judgments_share_them(sweep) -> None:
    enrich(sweep.cell(0))
    enrich(sweep.cell(1, "dr"))
    sweep.cell(2, "d")
    found = read_judgments(read_cells([sweep.folder]))
    assert set(found) == {0, 1}
    assert found[0] is found[1]
    assert found[0]["case-3"]["petitioner"] == "Ram Lal"


def test_a_damaged_judgments_file_is_named(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (folder / "judgments.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"judgments.jsonl.gz: cannot read the judgments"):
        read_judgments(read_cells([sweep.folder]))


def test_rows_are_found_by_id_whatever_stands_between_them(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (cell,) = read_cells([sweep.folder])
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    rows = {row["id"]: Prediction.from_json(row, where="test") for row in map(json.loads, lines)}
    assert read_rows(cell, ["case-7", "case-2", "unknown"]) == {id: rows[id] for id in ("case-7", "case-2")}


def test_a_file_that_changed_meanwhile_is_an_error(sweep) -> None:
    folder = sweep.cell(0)
    (cell,) = read_cells([sweep.folder])
    text = (folder / "predictions.jsonl").read_text()
    (folder / "predictions.jsonl").write_text("x" + text)
    with pytest.raises(UserError, match=r"predictions.jsonl: changed while it was read"):
        read_rows(cell, ["case-1"])


def test_rows_of_another_reading_have_its_verdicts(sweep) -> None:
    folder = sweep.cell(0, answers="AAAAAADDDDD-")
    enrich(folder)
    (cell,) = read_cells([sweep.folder])
    again = read_again(cell, "study")
    assert read_rows(cell, ["case-11"])["case-11"].verdict == "invalid"
    row = read_rows(again, ["case-11", "case-0"])
    assert (row["case-11"].verdict, row["case-11"].span) == ("dismissed", None)
    assert (row["case-0"].verdict, row["case-0"].span) == ("allowed", (2, 5))
