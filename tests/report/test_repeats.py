"""Runs of one experiment as one row."""

import csv
import io
from statistics import mean, stdev

import pytest

from legalrr.report.extras import repeats_csv
from legalrr.report.groups import read_report
from legalrr.report.repeats import repeats
from legalrr.report.sections import shown_groups
from legalrr.report.tables import results_md


def drawn(seed):
    return {"backbone": {"class": "x", "fields": {"seed": seed}}}


def test_runs_that_differ_in_their_seed_alone_are_one_row(thrice):
    report = read_report([thrice.folder])
    (found,) = repeats(report)
    assert [row.first.setup.arm for row in found.rows] == ["plain", "dr", "majority"]
    plain, dr, majority = found.rows
    assert [len(row.rows) for row in found.rows] == [3, 3, 1]
    scores = [row.scores.macro_f1 for row in plain.rows]
    assert plain.scores.mean == pytest.approx(mean(scores))
    assert plain.scores.sd == pytest.approx(stdev(scores))
    assert plain.comparison is None
    assert dr.comparison.difference == pytest.approx(dr.scores.mean - plain.scores.mean)
    assert dr.invalid_rate == pytest.approx(1 / 36)
    # A baseline draws nothing: it is compared as if every run said the same, and is a family of its own.
    assert majority.comparison.difference == pytest.approx(majority.scores.mean - plain.scores.mean)
    assert majority.p_holm == majority.comparison.p_permutation


def test_tables_show_the_runs_once(thrice):
    report = read_report([thrice.folder])
    assert len(report.groups) == 3
    assert shown_groups(report) == []
    text = results_md(report)
    assert text.count("## specimen, roles: gold, tiny") == 1
    assert "## specimen, roles: gold, tiny, 3 runs" in text
    first, second, third = csv.DictReader(io.StringIO(repeats_csv(report)))
    assert (first["arm"], first["runs"], first["difference"]) == ("plain", "3", "")
    assert len(first["each"].split()) == 3
    assert float(second["sd"]) > 0
    assert (third["arm"], third["runs"], third["sd"]) == ("majority", "1", "")


def test_a_single_run_is_no_repetition(sweep):
    sweep.cell(0, "plain", stages=drawn(4))
    report = read_report([sweep.folder])
    assert repeats(report) == []
    assert repeats_csv(report) == ""
    assert shown_groups(report) == list(report.groups)


def test_runs_over_other_judgments_say_so(sweep):
    for number in (0, 1):
        sweep.cell(number, "plain", "AAAADDDDDDAA", stages=drawn(number))
    sweep.cell(10, "dr", stages=drawn(0))
    sweep.cell(11, "dr", "AAA", gold="AAD", stages=drawn(1))
    report = read_report([sweep.folder])
    (found,) = repeats(report)
    dr = next(row for row in found.rows if row.first.setup.arm == "dr")
    assert dr.scores is None
    assert "not all of the 2 arms have" in dr.note
    assert dr.note in results_md(report)


def test_fewer_runs_than_the_reference_say_so(sweep):
    for number in (0, 1, 2):
        sweep.cell(number, "plain", "AAAADDDDDDAA", stages=drawn(number))
    for number in (0, 1):
        sweep.cell(10 + number, "dr", stages=drawn(number))
    (found,) = repeats(read_report([sweep.folder]))
    dr = next(row for row in found.rows if row.first.setup.arm == "dr")
    assert (dr.comparison, dr.note) == (None, "2 runs against 3 of the reference")


def test_without_the_reference_there_is_no_comparison(sweep):
    for number in (0, 1):
        sweep.cell(number, "dr", stages=drawn(number))
    ((row,),) = (found.rows for found in repeats(read_report([sweep.folder])))
    assert row.note == "no finished runs of the reference arm 'plain'"
