import csv
from types import SimpleNamespace

import numpy as np
import pytest

from legalrr.audit.rates import rate
from legalrr.paths import root
from legalrr.report.published import COLUMNS, DIGIT, SHARES, confusion_matrices, published, remarks
from legalrr.score.intervals import wilson
from legalrr.score.metrics import accuracy_of_counts, macro_f1_of_counts
from legalrr.score.scorer import PredictionScorer

SCORER = PredictionScorer(resamples=50)
ROWS = [0, 3, 1, 4, 2, 5]
"""Codes of legalrr.score.metrics in the order of legalrr.audit: TP, FP, FN, TN, unanswered."""


@pytest.fixture(scope="module")
def prediction():
    """(title, score) -> line, and the blocks by title."""
    blocks = {block.title: (corpus, block) for corpus, block in published("prediction", SCORER)}
    lines = {(title, line.score): line for title, (_, block) in blocks.items() for line in block.lines}
    return SimpleNamespace(blocks=blocks, lines=lines)


def test_every_printed_figure_is_there_once(prediction):
    with (root() / "data" / "published" / "khatri2025_prediction.csv").open(newline="") as file:
        printed = [row for row in csv.DictReader(file) if row["dataset"] == "dataset2"]
    found = [
        (block.title, line.score, column, round(100 * figure.value, 2))
        for corpus, block in prediction.blocks.values()
        if corpus == "marro"
        for line in block.lines
        for column, figure in line.figures.items()
    ]
    assert len(found) == len(set(found)) == len(printed)
    assert sorted(value for *_, value in found) == sorted(float(row["value"]) for row in printed)
    assert {column for _, _, column, _ in found} == set(COLUMNS.values())


def test_rates_that_fit_one_matrix_have_its_intervals(prediction):
    # TP 18, FP 7, FN 4, TN 15, read as accuracy, false discovery and false omission rate (data/published/README.md)
    title = "Dataset 1 (BUILD test), Llama"
    f1, fpr, fnr = (prediction.lines[title, score].figures["D/R"] for score in ("Macro-F1", "FPR", "FNR"))
    assert f1.interval == pytest.approx(wilson(33, 44, confidence=0.95))
    assert fpr.interval == pytest.approx(wilson(7, 25, confidence=0.95))
    assert fnr.interval == pytest.approx(wilson(4, 19, confidence=0.95))
    assert f1.method == "Wilson, fitting matrices: 1"
    assert f1.n == 44


def test_figures_with_a_wrong_caption_have_a_footnote(prediction):
    llama = prediction.lines["Dataset 1 (BUILD test), Llama", "Macro-F1"]
    assert "printed as F1, is accuracy" in llama.notes[0]
    assert "3 cases of 44 above none" in llama.figures["D/R"].notes[0]
    assert llama.figures["none"].notes == ()
    for model in ("Llama", "Phi"):
        assert "false discovery rate" in prediction.lines[f"Dataset 1 (BUILD test), {model}", "FPR"].notes[0]
        assert "false omission rate" in prediction.lines[f"Dataset 1 (BUILD test), {model}", "FNR"].notes[0]
    assert prediction.lines["Dataset 2 (MARRO), Llama", "Macro-F1"].notes == ()
    _, mistral = prediction.blocks["Dataset 1 (BUILD test), Mistral, independent"]
    assert any("binary answer" in note for note in mistral.notes)
    assert any("44 scored cases" in note for note in mistral.notes)


def test_a_mean_over_runs_has_the_interval_of_the_nearest_matrices(prediction):
    figure = prediction.lines["Dataset 1 (BUILD test), o3-mini", "FPR"].figures["D/R/C"]
    assert figure.value == pytest.approx(0.30)
    # 30 % of 22 is no whole number; 7 of 22 is nearest.
    assert figure.interval == pytest.approx(wilson(7, 22, confidence=0.95))
    assert "nearest matrices" in figure.method


def test_without_a_number_of_judgments_there_is_no_interval(prediction):
    corpus, block = prediction.blocks["Dataset 3 (PredEx), model not named in the table"]
    assert corpus == "predex"
    assert all(one.interval is None and one.n is None for line in block.lines for one in line.figures.values())
    assert "n is not printed" in block.notes[0]
    assert prediction.lines[block.title, "Macro-F1"].figures["C"].value == pytest.approx(0.6732)


def test_scores_of_explanations_have_no_interval_and_name_no_encoder():
    blocks = published("explanation", SCORER)
    assert all(one.interval is None for _, b in blocks for line in b.lines for one in line.figures.values())
    _, first = blocks[0]
    assert [line.score for line in first.lines] == ["ROUGE-1", "ROUGE-2", "METEOR", "BERTScore"]
    assert first.lines[0].figures["D/R/C"].value == pytest.approx(0.403)
    assert "two encoders are never compared" in first.lines[3].notes[0]


def test_remarks_are_about_whole_columns():
    none, reorganised = remarks("prediction")
    assert none.startswith("Printed figures, none: two calls")
    assert "PRE_NOT_RELIED" in reorganised
    assert remarks("explanation") == (none,)


def test_all_matrices_of_a_size_within_the_class_counts():
    found = confusion_matrices(3, (2, 2))
    assert found.shape[1] == len({tuple(one) for one in found.T}) == 2 * 3 * 2
    assert (found.sum(axis=0) == 3).all()
    tp, fp, fn, tn, *unanswered = found[ROWS]
    assert ((tp + fn <= 2) & (fp + tn <= 2)).all()
    assert not np.any(unanswered)
    assert confusion_matrices(44, (22, 22)).shape[1] == 23 * 23


def test_audit_rates_equal_report_scores_of_the_same_matrices():
    every = confusion_matrices(6, (4, 3))
    assert np.array_equal(rate("macro_f1", every[ROWS]), macro_f1_of_counts(every))
    assert np.array_equal(rate("accuracy", every[ROWS]), accuracy_of_counts(every))
    for name, (some, whole) in SHARES.items():
        parts, wholes = (every[list(codes)].sum(axis=0) for codes in (some, whole))
        rates = rate(name, every[ROWS])
        assert np.array_equal(np.isnan(rates), wholes == 0), name
        assert np.allclose(rates[wholes > 0], (parts / np.maximum(wholes, 1))[wholes > 0]), name


def test_the_printed_f1_is_the_accuracy_of_the_matrix_of_its_rates():
    matrix = np.array([18, 4, 0, 7, 15, 0])
    assert rate("accuracy", matrix[ROWS]) == 33 / 44
    assert float(macro_f1_of_counts(matrix)) == pytest.approx(0.7488, abs=DIGIT)
