import pytest

from legalrr.report.groups import read_report
from legalrr.report.page.judgments import collections
from legalrr.report.page.sources import read_judgments


def gathered(*folders):
    report = read_report(list(folders))
    return collections(report, read_judgments(report.cells))


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


def test_a_judgment_that_a_cell_was_not_asked_about_is_a_space(sweep, another) -> None:
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
