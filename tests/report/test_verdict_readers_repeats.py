"""Tests of repeated runs as one row."""

import csv
import io
from statistics import mean, stdev

import pytest

from legalrr.report.compare import read_report
from legalrr.report.csv_tables import UNTESTED, repeats_csv
from legalrr.report.sections import shown_groups
from legalrr.report.sweep import results_md
from legalrr.report.verdict_readers import repeats
from legalrr.score.significance import holm

GOLD = "AAAAAADDDDDD"


def drawn(seed):
    return {"backbone": {"class": "x", "fields": {"seed": seed}}}


def test_runs_that_differ_only_in_the_seed_share_a_row(thrice):
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
    # A baseline draws nothing: it is compared as if every run said the same; one that never varies is not tested.
    assert majority.comparison.difference == pytest.approx(majority.scores.mean - plain.scores.mean)
    assert (majority.tested, majority.p_holm, majority.p_holm_bound) == (False, None, None)


def test_a_varying_baseline_is_a_separate_family(thrice):
    thrice.cell(98, "tfidf_lr", "AAAADDAADDDD", backbone="-")
    (found,) = repeats(read_report([thrice.folder]))
    rows = {row.first.setup.arm: row for row in found.rows}
    assert rows["tfidf_lr"].p_holm == rows["tfidf_lr"].comparison.p_permutation
    assert rows["dr"].p_holm == rows["dr"].comparison.p_permutation


def test_runs_with_equal_prompts_and_answers_are_one_difference(sweep):
    arms = {"plain": ("AAADDDDDDAAA", "p"), "r": (GOLD, "q"), "r_order": (GOLD, "q"), "d": ("AAAAADDDDDDA", "s")}
    for number in range(2):
        for job, (arm, (answers, prompt)) in enumerate(arms.items()):
            sweep.cell(10 * number + job, arm, answers, row={"prompt": prompt}, stages=drawn(number))
    (found,) = repeats(read_report([sweep.folder]))
    rows = {row.first.setup.arm: row for row in found.rows}
    expected = holm([rows[arm].comparison.p_permutation for arm in ("r", "d")])
    assert [rows[arm].p_holm for arm in ("r", "r_order", "d")] == [expected[0], expected[0], expected[1]]


def test_runs_have_the_bound_of_their_invalid_answers(thrice):
    (found,) = repeats(read_report([thrice.folder]))
    dr = found.rows[1]
    assert dr.bound.difference < dr.comparison.difference
    assert dr.p_holm_bound >= dr.p_holm
    assert "p Holm, bound" in results_md(read_report([thrice.folder]))


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
    assert (third["p_permutation"], third["p_holm"], third["note"]) == ("", "", UNTESTED)


def test_a_single_run_is_not_repeated(sweep):
    sweep.cell(0, "plain", stages=drawn(4))
    report = read_report([sweep.folder])
    assert repeats(report) == []
    assert repeats_csv(report) == ""
    assert shown_groups(report) == list(report.groups)


def test_runs_on_different_judgments_leave_a_note(sweep):
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


def test_fewer_runs_than_the_reference_leave_a_note(sweep):
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
