import json

import pytest

from legalrr.errors import UserError
from legalrr.report.compare import read_report
from legalrr.report.paper_table import markdown
from legalrr.report.study import ARMS, TABLES, effects, explanation, prediction
from legalrr.score.explanation import score_explanations
from legalrr.score.intervals import wilson
from legalrr.score.overlap import Meteor, Rouge

GOLD = "AAAAAADDDDDD"
COURT = "The contract was void because the notice was never served on the tenant"


def writes(folder, texts):
    """Write the turns of a cell, and the court's text."""
    path = folder / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, text in zip(rows, texts, strict=True):
        row["turns"] = [{**row["turns"][0], "name": "analysis", "text": text}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    turn = {"name": "analysis", "role": "ANALYSIS", "text": COURT}
    references = [{"id": row["id"], "scheme": "build", "source": "gold", "turns": [turn]} for row in rows]
    (folder / "references.jsonl").write_text("".join(json.dumps(one) + "\n" for one in references))
    return folder


def build_table(sweep, table=prediction, **options):
    return table(read_report([sweep.folder]), **options)


def test_prediction_has_the_eight_arms_in_the_studys_order_and_three_scores(sweep):
    sweep.cell(0, "plain", "AAADDD" + "DDDAAA", gold=GOLD)
    sweep.cell(1, "drc", "AAAAA-" + "DDDD-A", gold=GOLD)
    sweep.cell(2, "direct", gold=GOLD)
    sweep.cell(3, "majority", "A" * 12, gold=GOLD, backbone="-")
    found = build_table(sweep)
    assert found.columns == ("D/R/C", "D/R", "D/C", "D", "R/C", "R", "C", "none")
    (block,) = found.blocks
    assert block.title == "specimen, roles: gold, tiny, conversation, strict, n = 12"
    f1, fpr, fnr = block.lines
    assert set(f1.figures) == {"D/R/C", "none"}
    assert f1.figures["none"].value == pytest.approx(0.5)
    assert f1.figures["none"].interval[0] < 0.5 < f1.figures["none"].interval[1]
    # An invalid answer is a miss where the gold outcome is allowed, and no false positive where it is dismissed.
    assert (fpr.figures["D/R/C"].value, fnr.figures["D/R/C"].value) == (1 / 6, 1 / 6)
    assert fpr.figures["D/R/C"].interval == wilson(1, 6, confidence=0.95)
    assert f1.figures["D/R/C"].p_holm is not None
    assert f1.figures["none"].p_holm is None


def test_numbers_without_interval_or_denominator_have_a_note(sweep):
    sweep.cell(0, "plain", "A", gold="A")
    (block,) = build_table(sweep).blocks
    f1, fpr, _ = (line.figures["none"] for line in block.lines)
    assert f1.notes == ("no interval: fewer than two judgments",)
    assert (fpr.value, fpr.notes) == (None, ("no judgment whose gold outcome is dismissed",))


def test_of_several_cells_of_an_arm_the_first_is_shown_with_a_note(sweep):
    sweep.cell(0, "plain", gold=GOLD)
    sweep.cell(4, "plain", "A" * 12, gold=GOLD)
    (block,) = build_table(sweep).blocks
    figure = block.lines[1].figures["none"]
    assert figure.value == 0
    assert figure.notes == ("several cells of this arm (job 0, job 4): the first is shown",)


def test_printed_figures_follow_their_corpus(sweep):
    for job, corpus in enumerate(("build", "specimen")):
        sweep.cell(job, "plain", "AAADDD" + "DDDAAA", gold=GOLD, corpus=corpus)
    found = build_table(sweep, against=True)
    titles = [block.title for block in found.blocks]
    assert titles[0].startswith("build, ")
    assert titles[1] == "Dataset 1 (BUILD test), Llama"
    assert titles[-1].startswith("specimen, ")
    assert not any("MARRO" in title or "PredEx" in title for title in titles)
    assert any("union of the intervals" in note for note in found.notes)
    assert any(note.startswith("Printed figures, R: ") for note in found.notes)


def test_without_a_corpus_of_the_study_printed_figures_come_last(sweep):
    sweep.cell(0, "plain", gold=GOLD)
    titles = [block.title for block in build_table(sweep, against=True).blocks]
    assert titles[0].startswith("specimen, ")
    assert {title.split(" (")[0] for title in titles[1:]} == {"Dataset 1", "Dataset 2", "Dataset 3"}


def test_without_any_of_the_eight_arms_there_is_no_table(sweep):
    sweep.cell(0, "direct", gold=GOLD)
    with pytest.raises(UserError, match="none of the eight arms"):
        build_table(sweep)


def test_explanations_are_means_over_judgments_compared_with_the_reference(sweep):
    words = COURT.split()
    plain = writes(sweep.cell(0, "plain", gold=GOLD), [" ".join(words[: 2 + n % 3]) for n in range(12)])
    d = writes(sweep.cell(1, "d", gold=GOLD), [" ".join(words[: 8 + n % 4]) for n in range(12)])
    sweep.cell(2, "c", gold=GOLD)
    for metric in (Meteor(), Rouge()):
        assert sum(score_explanations([plain, d], metric)) > 0
    (block,) = build_table(sweep, explanation).blocks
    assert block.title.endswith(", analysis")
    assert [line.score for line in block.lines] == [
        *("ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR without synonyms"),
        *("Words", "Words of the court"),
    ]
    rouge = block.lines[0]
    assert set(rouge.figures) == {"none", "D"}
    # Recall k of 13, precision 1: F1 = 2 k / (13 + k)
    assert rouge.figures["D"].value == pytest.approx(sum(2 * k / (13 + k) for k in (8, 9, 10, 11)) / 4)
    assert rouge.figures["D"].interval[0] < rouge.figures["D"].value < rouge.figures["D"].interval[1]
    assert rouge.figures["D"].p_holm < 0.05
    assert rouge.figures["none"].p_holm is None
    assert rouge.notes[0].startswith("ROUGE-1: F1")
    written, court = (line.figures["D"].value for line in block.lines[-2:])
    assert (written, court) == (9.5, 13)
    assert "| Words |" in markdown(build_table(sweep, explanation))
    both = build_table(sweep, explanation, against=True)
    assert [block.source for block in both.blocks[:2]] == ["", "printed in arXiv 2511.20669"]


def test_an_explanation_scored_without_its_reference_is_not_compared(sweep):
    d = writes(sweep.cell(0, "d", gold=GOLD), [COURT] * 12)
    list(score_explanations([d], Meteor()))
    (block,) = build_table(sweep, explanation).blocks
    assert block.lines[0].figures["D"].p_holm is None


def test_explanations_without_scores_name_the_command(sweep):
    sweep.cell(0, "plain", gold=GOLD)
    with pytest.raises(UserError, match=r"no scores of explanations.*legalrr explain"):
        build_table(sweep, explanation)


def test_effects_have_lines_and_a_footnote_on_missing_arms(sweep):
    for job, (arm, answers) in enumerate(
        {"plain": "AAADDDDDDAAA", "d": "AAAADDDDDDAA", "c": "AAADDDDDDDAA", "dc": "AAAAADDDDAAA"}.items()
    ):
        sweep.cell(job, arm, answers, gold=GOLD)
    found = build_table(sweep, effects)
    assert found.signed
    assert found.columns == ("Macro-F1", "Accuracy", "YES rate")
    (block,) = found.blocks
    assert block.title.endswith("n = 12")
    lines = {line.score: line for line in block.lines}
    assert list(lines) == ["D", "R", "C", "D:R", "D:C", "R:C", "D:R:C"]
    assert lines["D"].figures["Accuracy"].value == pytest.approx((8 + 8 - 6 - 7) / 24)
    assert "none, C; missing arms: r, dr, rc, drc" in lines["D"].notes[0]
    assert (lines["R"].figures["Macro-F1"].value, lines["R"].notes[0][:19]) == (None, "not to be estimated")


@pytest.mark.parametrize("invalid", [True, False])
def test_the_bound_of_invalid_answers_is_shown_if_there_are_any(sweep, invalid):
    sweep.cell(0, "plain", "AAADDDDDDAAA", gold=GOLD)
    sweep.cell(1, "d", "AAAAA-DDDDDD" if invalid else GOLD, gold=GOLD)
    found, rates = build_table(sweep, effects), build_table(sweep)
    (block,) = found.blocks
    effect = {line.score: line.figures["Macro-F1"] for line in block.lines}["D"]
    figure = {line.score: line.figures["D"] for line in rates.blocks[0].lines if "D" in line.figures}["Macro-F1"]
    assert effect.p_holm is not None
    for one in (effect, figure):
        assert (one.p_holm_bound is not None) is invalid
    assert any(note.startswith("bound: Holm") for note in found.notes) is invalid
    assert any(note.startswith("* also significant") for note in rates.notes) is invalid
    assert (", bound " in markdown(found)) is invalid


def test_effects_that_cannot_be_computed_leave_a_note(sweep):
    sweep.cell(0, "plain", gold=GOLD)
    sweep.cell(1, "d", "AD", gold="AD")
    (block,) = build_table(sweep, effects).blocks
    assert block.lines == ()
    assert block.notes[0].startswith("judgments that not all")


def test_the_study_printed_no_effects(sweep):
    sweep.cell(0, "plain", gold=GOLD)
    with pytest.raises(UserError, match="the study printed no effects"):
        build_table(sweep, effects, against=True)


def test_a_report_without_a_score_has_no_effects(sweep):
    sweep.failed(0)
    assert build_table(sweep, effects).blocks == ()


def test_arms_and_tables_have_the_names_of_the_command_options():
    assert list(ARMS) == ["drc", "dr", "dc", "d", "rc", "r", "c", "plain"]
    assert list(TABLES) == ["prediction", "explanation", "effects"]
