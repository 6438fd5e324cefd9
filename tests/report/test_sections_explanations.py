"""Tests of the tables of explanation scores."""

import csv
import io

import pytest

from legalrr.report.compare import read_report
from legalrr.report.csv_tables import explanations_csv
from legalrr.report.sections import explanations
from legalrr.report.sweep import results_md
from legalrr.score.explanation import score_explanations
from legalrr.score.overlap import Rouge
from legalrr.score.paired_means import compare_means
from legalrr.score.significance import holm


@pytest.fixture
def folders(sweep):
    folders = [
        sweep.explain(sweep.cell(0, "plain"), ["analysis"], 1),
        sweep.explain(sweep.cell(1, "dr"), ["analysis"], 2),
        sweep.explain(sweep.cell(2, "c"), ["analysis", "ratio"], 3),
    ]
    sweep.cell(3, "direct")
    return folders


def test_scores_come_with_lengths_and_counts_of_missing_texts(sweep, folders):
    assert explanations(read_report([sweep.folder])) == []
    list(score_explanations(folders, Rouge()))
    ((group, (analysis, ratio)),) = explanations(read_report([sweep.folder]))
    assert (analysis.turn, ratio.turn) == ("analysis", "ratio")
    assert [row.row.setup.arm for row in analysis.rows] == ["plain", "c", "dr"]
    assert [row.row.setup.arm for row in ratio.rows] == ["c"]
    plain = analysis.rows[0]
    assert (plain.n, plain.no_turn, plain.no_text, plain.unscored, plain.cut_off) == (10, 1, 1, 0, 1)
    assert (plain.court_words, plain.sources) == (9, {"gold": 10})
    assert [row.words for row in analysis.rows] == pytest.approx([plain.words, plain.words + 2, plain.words + 1])
    assert [measure.column for measure in analysis.measures] == ["rouge_1", "rouge_2", "rouge_l"]
    assert plain.means[analysis.measures[0]].n == 10
    assert plain.pairs == ratio.rows[0].pairs == {}
    assert plain.row.is_reference
    assert "direct" in [row.setup.arm for row in group.rows]


def test_arms_are_compared_with_the_reference_and_holm_corrected(sweep, folders):
    list(score_explanations(folders, Rouge()))
    ((_, (analysis, _)),) = explanations(read_report([sweep.folder]))
    measure = analysis.measures[0]
    pairs = [row.pairs[measure] for row in analysis.rows[1:]]
    assert [pair.p_holm for pair in pairs] == holm([pair.difference.p_permutation for pair in pairs])
    assert all(pair.difference.difference < 0 for pair in pairs)
    assert {pair.difference.n for pair in pairs} == {10}
    assert compare_means({"a": 1.0}, {}, scorer=analysis.rows[0].row.cell.scorer) is None


def test_scores_of_two_settings_have_two_columns(sweep, folders):
    for stemming, some in (("porter", folders), ("none", folders[:1])):
        list(score_explanations(some, Rouge(stemming=stemming)))
    report = read_report([sweep.folder])
    ((_, (analysis, _)),) = explanations(report)
    plain, *_, dr = analysis.rows
    assert len(analysis.measures) == 6
    assert len(plain.means) == 6
    # Where one of the two was not computed nothing is compared, and the judgments are counted.
    assert len(dr.means) == len(dr.pairs) == 3
    assert (plain.unscored, dr.unscored) == (0, 10)
    text = results_md(report)
    assert "ROUGE-1 (1) [95%]" in text
    assert "ROUGE-1 (2) [95%]" in text
    assert "- ROUGE-1: F1, words not stemmed" in text


def test_explanation_tables_have_all_columns(sweep, folders):
    list(score_explanations(folders, Rouge()))
    report = read_report([sweep.folder], reading="strict")
    text = results_md(report)
    assert "## specimen, roles: gold, tiny: explanations" in text
    assert "### Turn: analysis, differences to the reference arm" in text
    assert "- the court's text: gold roles" in text
    found = list(csv.DictReader(io.StringIO(explanations_csv(report))))
    assert [(row["arm"], row["turn"], row["score"]) for row in found[:4]] == [
        *(("plain", "analysis", score) for score in ("rouge_1", "rouge_2", "rouge_l")),
        ("c", "analysis", "rouge_1"),
    ]
    assert (found[0]["words"], found[0]["court_words"], found[0]["sources"]) == ("4.6", "9.0", "gold=10")
    assert float(found[3]["difference"]) < 0
    assert found[-1]["turn"] == "ratio"
    assert found[-1]["difference"] == ""
