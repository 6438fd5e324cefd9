import json
import re

import pytest

from legalrr.report.compare import read_report
from legalrr.report.html.page import report_page
from legalrr.report.summary import facts, summary_line
from legalrr.report.sweep import results_md

GOLD = "AAAAAADDDD??"
COUNTS = {"read": 24, "without outcome": 5, "without gold roles": 3, "taken": 12, "scored": 10, "party unknown": 2}


@pytest.fixture
def excluding(sweep):
    """Arms and a baseline on twelve judgments, two of them without outcome; one arm failed, one answers nothing."""
    stages = {"annotate": {"fields": {"question": "party", "define": False, "chain": False, "direct": False}}}
    sweep.cell(0, "plain", "AAADDDDDDA--", gold=GOLD, counts=COUNTS, stages=stages)
    sweep.cell(1, "dr", "-" * 12, gold=GOLD, counts=COUNTS, stages=stages)
    sweep.cell(2, "majority", "A" * 12, gold=GOLD, backbone="-", counts=COUNTS)
    sweep.failed(3)
    return sweep


def counts(report):
    return {re.sub("s$", "", one.what): one.count for one in facts(report)}


def heads(report, folder):
    """Return the head of results.md and the facts of the page, both as one line."""
    page = report_page(report, [folder])
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    shown = ", ".join(f"{one['count']} {one['what']} ({one['about']})" for one in json.loads(data)["facts"])
    tables = re.search(r"^\d+ judgments .*$", results_md(report), re.MULTILINE)
    return tables[0], f"{shown}."


def test_the_heads_of_the_tables_and_of_the_page_agree(excluding):
    report = read_report([excluding.folder])
    line = (
        "10 judgments (specimen: 6 allowed, 4 dismissed), 2 arms (and 1 baseline or probe), 1 backbone (tiny), "
        "4 cells (1 without scores), 3090 tokens (read and written)"
    )
    assert summary_line(report) == line
    assert heads(report, excluding.folder) == (f"{line}.", f"{line}.")


def test_judgments_are_those_of_the_scores(excluding):
    report = read_report([excluding.folder])
    assert counts(report)["judgment"] == max(row.scores.n for group in report.groups for row in group.rows) == 10
    assert "- n = 10 judgments (6 allowed, 4 dismissed), of 12 asked about; 24 read, left out 5 without outcome, " in (
        results_md(report)
    )
    assert "- question: party; party not known for 2 of 12 judgments asked about\n" in results_md(report)


@pytest.mark.parametrize("policy", ["independent", "common"])
def test_invalid_answers_that_are_left_out_are_in_no_head(excluding, policy):
    excluding.cell(1, "dr", "AA--DDDD----", gold=GOLD)
    excluding.cell(0, "plain", "AA----DD----", gold=GOLD)
    report = read_report([excluding.folder], invalid=policy)
    (group,) = report.groups
    scored = {case.id for row in group.rows for case in row.cases}
    assert counts(report)["judgment"] == len(scored)
    first, second = heads(report, excluding.folder)
    assert first == second


def test_a_cell_without_judgments_left_is_without_scores_in_both_heads(excluding):
    report = read_report([excluding.folder], invalid="independent")
    assert counts(report) | {"token": 0} == {"judgment": 10, "arm": 1, "backbone": 1, "cell": 4, "token": 0}
    assert "4 cells (2 without scores)" in summary_line(report)
    assert results_md(report).count("\n| job ") == 2


def test_a_second_reading_adds_no_cells_and_no_tokens(sweep):
    turn = {"name": "answer", "text": "YES", "finish_reason": "stop", "prompt_tokens": 9, "cached_tokens": 0}
    sweep.cell(0, "plain", row={"turns": [{**turn, "new_tokens": 1, "seconds": 0.1}]})
    once, twice = (read_report([sweep.folder], reading=reading) for reading in (None, "study"))
    assert len(twice.cells) == 2
    assert summary_line(once) == summary_line(twice)


def test_corpora_are_counted_apart(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "plain", corpus="build", backbone="other")
    (one, *_) = facts(read_report([sweep.folder]))
    assert (one.count, one.about) == (24, "specimen: 6 allowed, 6 dismissed; build: 6 allowed, 6 dismissed")
