import pytest

from legalrr.report.explanations import explanations
from legalrr.report.groups import read_report
from legalrr.report.page.explanations import explanations_json
from legalrr.score.explanation import score_explanations
from legalrr.score.overlap import Rouge


@pytest.fixture
def folders(sweep):
    """Cells of which one is the reference, one writes two turns and one none."""
    folders = [
        sweep.explain(sweep.cell(0), ["analysis"], 1),
        sweep.explain(sweep.cell(1, "c"), ["analysis", "ratio"], 3),
    ]
    sweep.cell(2, "direct")
    return folders


def test_a_table_per_turn_has_the_scores_of_the_report_beside_both_lengths(sweep, folders) -> None:
    list(score_explanations(folders, Rouge()))
    report = read_report([sweep.folder])
    (found,) = explanations_json(report)
    ((_, (analysis, _)),) = explanations(report)
    measure = analysis.measures[0]
    assert found["group"] == 0
    assert [turn["turn"] for turn in found["turns"]] == ["analysis", "ratio"]
    assert [[row["cell"] for row in turn["rows"]] for turn in found["turns"]] == [[0, 1], [1]]
    plain, c = found["turns"][0]["rows"]
    assert (plain["n"], plain["no_turn"], plain["no_text"], plain["cut_off"]) == (10, 1, 1, 1)
    assert (plain["words"], c["words"], c["court_words"], c["sources"]) == (4.6, 6.6, 9, {"gold": 10})
    assert c["means"][0]["mean"] == pytest.approx(analysis.rows[1].means[measure].mean, abs=1e-6)
    assert c["means"][0]["interval"] == pytest.approx(analysis.rows[1].means[measure].interval, abs=1e-6)
    pair = analysis.rows[1].pairs[measure]
    assert c["pairs"][0]["difference"] == pytest.approx(pair.difference.difference, abs=1e-6)
    assert c["pairs"][0]["p_holm"] == pytest.approx(pair.p_holm, abs=1e-6)


def test_the_reference_and_turns_that_it_does_not_write_have_no_pairs(sweep, folders) -> None:
    list(score_explanations(folders, Rouge()))
    (found,) = explanations_json(read_report([sweep.folder]))
    analysis, ratio = found["turns"]
    assert analysis["rows"][0]["pairs"] == ratio["rows"][0]["pairs"] == [None] * 3


def test_scores_computed_in_two_ways_are_named_apart_and_say_how(sweep, folders) -> None:
    list(score_explanations(folders, Rouge()))
    list(score_explanations(folders[:1], Rouge(stemming="none")))
    (found,) = explanations_json(read_report([sweep.folder]))
    measures = {one["heading"]: one["detail"] for one in found["turns"][0]["measures"]}
    assert {"ROUGE-1 (1)", "ROUGE-1 (2)"} < set(measures)
    assert measures["ROUGE-1 (1)"] != measures["ROUGE-1 (2)"]
    assert [mean is None for mean in found["turns"][0]["rows"][1]["means"]].count(True) == 3


def test_groups_are_found_by_their_place_and_those_without_scores_are_left_out(sweep, folders) -> None:
    sweep.cell(3, backbone="other")
    assert explanations_json(read_report([sweep.folder])) == []
    sweep.explain(sweep.cell(4, backbone="last"), ["analysis"], 1)
    list(score_explanations([sweep.folder / "4"], Rouge()))
    report = read_report([sweep.folder])
    (found,) = explanations_json(report)
    assert report.groups[found["group"]].setup.backbone == "last"
