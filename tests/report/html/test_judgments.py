import json

import pytest

from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.report.compare import read_report
from legalrr.report.html.judgments import judgment_sets, read_judgments, read_rows
from legalrr.report.load import read_again, read_results

from .conftest import enrich


def test_cells_with_equal_judgments_share_them(sweep) -> None:
    enrich(sweep.cell(0))
    enrich(sweep.cell(1, "dr"))
    sweep.cell(2, "d")
    found = read_judgments(read_results([sweep.folder]), {"case-3"})
    assert set(found) == {0, 1}
    assert found[0] is found[1]
    assert found[0].records["case-3"]["petitioner"] == "Ram Lal"


def test_only_wanted_texts_are_kept_and_all_petitioners(sweep) -> None:
    enrich(sweep.cell(0))
    (found,) = read_judgments(read_results([sweep.folder]), {"case-3"}).values()
    assert set(found.records) == {"case-3"}
    assert found.petitioners == {f"case-{number}": "Ram Lal" for number in range(12)}


def test_a_damaged_judgments_file_is_named(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (folder / "judgments.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"judgments.jsonl.gz: cannot read the judgments"):
        read_judgments(read_results([sweep.folder]), ())


def test_rows_are_found_by_id(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (cell,) = read_results([sweep.folder])
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    rows = {row["id"]: Prediction.from_json(row, where="test") for row in map(json.loads, lines)}
    assert read_rows(cell, ["case-7", "case-2", "unknown"]) == {id: rows[id] for id in ("case-7", "case-2")}


def test_a_changed_file_is_an_error(sweep) -> None:
    folder = sweep.cell(0)
    (cell,) = read_results([sweep.folder])
    text = (folder / "predictions.jsonl").read_text()
    (folder / "predictions.jsonl").write_text("x" + text)
    with pytest.raises(UserError, match=r"predictions.jsonl: changed while it was read"):
        read_rows(cell, ["case-1"])


def test_rows_of_a_second_reading_have_its_verdicts(sweep) -> None:
    folder = sweep.cell(0, answers="AAAAAADDDDD-")
    enrich(folder)
    (cell,) = read_results([sweep.folder])
    again = read_again(cell, "study")
    assert read_rows(cell, ["case-11"])["case-11"].verdict == "invalid"
    row = read_rows(again, ["case-11", "case-0"])
    assert (row["case-11"].verdict, row["case-11"].span) == ("dismissed", None)
    assert (row["case-0"].verdict, row["case-0"].span) == ("allowed", (2, 5))


def gathered(*folders):
    return judgment_sets(read_report(list(folders)))


def test_judgments_on_which_arms_disagree_come_first(sweep) -> None:
    sweep.cell(0, answers="AAA", gold="AAD")
    sweep.cell(1, "d", "ADA", gold="AAD")
    sweep.cell(2, "r", "ADD", gold="AAD")
    (one,) = gathered(sweep.folder)
    assert one.ids == ("case-1", "case-2", "case-0")
    assert one.disagreement == pytest.approx((2 / 3, 2 / 3, 0.0))
    assert one.gold == "ADA"
    assert one.answers == {0: "AAA", 1: "DAA", 2: "DDA"}


def test_baselines_do_not_count_as_disagreement(sweep) -> None:
    sweep.cell(0, answers="AD", gold="AD")
    sweep.cell(1, "d", "AD", gold="AD")
    sweep.cell(2, "majority", "DA", gold="AD", backbone="-")
    (one,) = gathered(sweep.folder)
    assert one.disagreement == (0.0, 0.0)
    assert one.answers[2] == "DA"


def test_a_judgment_that_a_cell_lacks_is_a_space(sweep, another) -> None:
    sweep.cell(0, answers="AD", gold="AD")
    another.cell(0, answers="A-D", gold="ADD")
    (one,) = gathered(sweep.folder, another.folder)
    assert dict(zip(one.ids, one.answers[0], strict=True))["case-2"] == " "
    assert sorted(zip(one.ids, one.answers[1], strict=True)) == [("case-0", "A"), ("case-1", "-"), ("case-2", "D")]


def test_two_corpora_are_two_collections(sweep, another) -> None:
    sweep.cell(0)
    another.cell(0, corpus="other", split="test")
    assert [one.name for one in gathered(sweep.folder, another.folder)] == ["specimen", "other (test)"]


def test_facts_that_no_judgment_has_are_left_out(sweep) -> None:
    sweep.cell(0, row={"court": "High Court", "year": 1999})
    (one,) = gathered(sweep.folder)
    assert set(one.as_json()["facts"]) == {"court", "year"}
