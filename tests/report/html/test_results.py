import csv
import io

import pytest

from legalrr.report.cli import main
from legalrr.report.compare import read_report
from legalrr.report.figures import explanation_panels
from legalrr.report.html.results import (
    SIZES,
    breakdowns_json,
    calibration_json,
    cells_json,
    effects_json,
    explanations_json,
    figures,
    groups_json,
    health_json,
    power_json,
    repeats_json,
    rounded,
    verdict,
)
from legalrr.report.sections import explanations
from legalrr.report.study import HEADINGS
from legalrr.report.verdict_readers import repeats
from legalrr.score.explanation import score_explanations
from legalrr.score.overlap import Rouge
from legalrr.score.significance import power_curve

from .conftest import enrich

GOLD = "AD" * 20
REAL = {"settings": {"confidence": 0.95, "resamples": 200, "permutations": 2000, "seed": 0}}


def wrong(right: int) -> str:
    """Return answers of which `right` are right."""
    return GOLD[:right] + "".join("D" if gold == "A" else "A" for gold in GOLD[right:])


def test_the_verdict_states_that_the_difference_is_not_significant(sweep) -> None:
    sweep.cell(0, answers=GOLD, gold=GOLD)
    sweep.cell(1, "d", wrong(39), gold=GOLD)
    text = "The one difference between an arm and the reference arm is not significant at 5% after Holm's correction."
    assert verdict(read_report([sweep.folder])) == text


def test_the_verdict_counts_differences_without_significance(sweep) -> None:
    sweep.cell(0, answers=GOLD, gold=GOLD)
    sweep.cell(1, "d", wrong(39), gold=GOLD)
    sweep.cell(2, "r", wrong(39), gold=GOLD)
    text = (
        "None of the 2 differences between an arm and the reference arm is significant at 5% after Holm's correction."
    )
    assert verdict(read_report([sweep.folder])) == text


def test_the_verdict_names_significant_differences_by_size(sweep) -> None:
    sweep.cell(0, answers=wrong(20), gold=GOLD, **REAL)
    sweep.cell(1, "d", wrong(38), gold=GOLD, **REAL)
    sweep.cell(2, "r", GOLD, gold=GOLD, **REAL)
    sweep.cell(3, "c", wrong(21), gold=GOLD, **REAL)
    text = verdict(read_report([sweep.folder]))
    assert text.startswith("2 of 3 differences between an arm and the reference arm are significant at 5% after Holm")
    assert text.index("r +0.500") < text.index("d +0.450")


def test_the_verdict_names_the_backbone_if_there_are_several(sweep) -> None:
    for number, backbone in enumerate(("small", "large")):
        sweep.cell(2 * number, answers=wrong(20), gold=GOLD, backbone=backbone, **REAL)
        sweep.cell(2 * number + 1, "d", GOLD if number else wrong(21), gold=GOLD, backbone=backbone, **REAL)
    assert verdict(read_report([sweep.folder])).endswith("after Holm's correction: d (large) +0.500.")


def test_baselines_are_not_counted_as_differences_between_arms(sweep) -> None:
    sweep.cell(0, answers=GOLD, gold=GOLD)
    sweep.cell(1, "majority", "A" * 40, gold=GOLD, backbone="-")
    assert verdict(read_report([sweep.folder])) == "No arm was compared with a reference arm."


def test_groups_point_to_their_cells(sweep) -> None:
    sweep.failed(0)
    sweep.cell(1)
    sweep.cell(2, "majority", "A" * 12, backbone="-")
    sweep.cell(3, "dr", "AAAAADDDDDAA")
    report = read_report([sweep.folder])
    (group,), cells = groups_json(report), cells_json(report)
    assert [cells[number]["arm"] for number in group["rows"]] == ["plain", "dr", "majority"]
    assert cells[group["reference"]]["arm"] == "plain"
    assert set(group["pairs"]) == {"2", "3"}
    assert group["pairs"]["3"]["reference"] == group["reference"]
    assert cells[0]["status"] == "failed"
    assert [cell["scored"] for cell in cells] == [False, True, True, True]
    assert {number: scores["n"] for number, scores in group["scores"].items()} == {"1": 12, "2": 12, "3": 12}


def test_scores_follow_the_policy_for_invalid_answers(sweep) -> None:
    sweep.cell(0, answers="AAAAAADDDD--")
    sweep.cell(1, "d", "AAAAAADDDDDD")
    (group,) = groups_json(read_report([sweep.folder], invalid="common"))
    assert [group["scores"][number]["n"] for number in ("0", "1")] == [10, 10]
    assert group["n"] == 10


def test_a_pair_without_comparison_has_a_note(sweep) -> None:
    sweep.cell(0, "dr")
    (group,) = groups_json(read_report([sweep.folder]))
    assert group["pairs"]["0"] == {"note": "no finished cell of the reference arm 'plain'", "reference": None}
    assert group["reference"] is None


@pytest.mark.parametrize(
    ("value", "found"),
    [(1 / 3, 0.333333), ((0.1234567, None), [0.123457, None]), ({"a": [1, 2.00000049]}, {"a": [1, 2.0]}), ("x", "x")],
)
def test_nested_numbers_have_six_decimals(value, found) -> None:
    assert rounded(value) == found


SWITCHED = "AD" * 12
ANSWERS = {"plain": 12, "d": 16, "r": 14, "dr": 20, "c": 12, "dc": 18, "rc": 13, "drc": 22}


def right_on(right: int) -> str:
    return SWITCHED[:right] + "".join("D" if gold == "A" else "A" for gold in SWITCHED[right:])


def factorial(sweep, start=0, **changes) -> None:
    for number, (arm, right) in enumerate(ANSWERS.items()):
        sweep.cell(start + number, arm, right_on(right), gold=SWITCHED, **changes)


def test_a_group_of_one_backbone_has_its_own_effects(sweep) -> None:
    factorial(sweep)
    (one,) = effects_json(read_report([sweep.folder]))
    assert one["groups"] == [0]
    found = {effect["name"]: effect for effect in one["effects"] if effect["measure"] == "accuracy"}
    with_d = sum(ANSWERS[arm] for arm in ("d", "dr", "dc", "drc")) / 4 / 24
    without = sum(ANSWERS[arm] for arm in ("plain", "r", "c", "rc")) / 4 / 24
    assert abs(found["D"]["estimate"] - (with_d - without)) < 1e-6
    assert found["D:R:C"]["interval"] is None or len(found["D:R:C"]["interval"]) == 2


def test_backbones_and_corpora_are_also_pooled(sweep, another) -> None:
    factorial(sweep, backbone="small")
    factorial(sweep, 8, backbone="large")
    factorial(another, corpus="other")
    found = effects_json(read_report([sweep.folder, another.folder]))
    assert [one["groups"] for one in found] == [[0], [1], [2], [0, 1], [0, 1, 2]]
    assert [one["title"] for one in found[3:]] == [
        "specimen, pooled over small, large",
        "pooled over specimen, other",
    ]
    assert found[4]["n"] == 48


def test_the_page_and_the_table_of_effects_show_the_same(sweep, another, capsys) -> None:
    factorial(sweep, backbone="small")
    factorial(sweep, 8, backbone="large")
    factorial(another, corpus="other", layout="study")
    folders = [sweep.folder, another.folder]
    found = effects_json(read_report(folders))
    main([*map(str, folders), "--table", "effects", "--format", "csv"])
    printed = {
        (row["block"], row["score"], row["column"]): tuple(
            None if row[name] == "" else float(row[name]) for name in ("value", "low", "high", "n")
        )
        for row in csv.DictReader(io.StringIO(capsys.readouterr().out))
    }
    shown = {
        (f"{pool['title']}, n = {pool['n']}", one["name"], HEADINGS[one["measure"]]): (
            one["estimate"],
            *(one["interval"] or (None, None)),
            one["n"],
        )
        for pool in found
        for one in pool["effects"]
    }
    assert len(found) == 4
    assert shown == printed


def test_groups_that_cannot_be_pooled_leave_a_note(sweep, another) -> None:
    factorial(sweep)
    for number, arm in enumerate(("plain", "d")):
        another.cell(number, arm, "AADD", gold="AADD", backbone="large")
    found = effects_json(read_report([sweep.folder, another.folder]))
    assert "two gold outcomes" in found[2]["note"]
    assert found[2]["effects"] == []


def test_arms_that_differ_in_no_switch_have_no_effects(sweep) -> None:
    sweep.cell(0)
    sweep.cell(1, "direct")
    assert effects_json(read_report([sweep.folder])) == []


def test_a_power_curve_per_compared_arm(sweep) -> None:
    sweep.cell(0, answers=right_on(12), gold=SWITCHED)
    sweep.cell(1, "d", right_on(18), gold=SWITCHED)
    sweep.cell(2, "majority", "A" * 24, gold=SWITCHED, backbone="-")
    (curves,) = power_json(read_report([sweep.folder]))
    assert set(curves) == {"1"}
    assert len(curves["1"]["power"]) == len(SIZES)
    assert curves["1"]["difference"] == 0.25
    assert curves["1"]["needed"] > 24


def test_calibration_of_the_cells_that_give_probabilities(report) -> None:
    found = calibration_json(report)
    assert set(found) == {"2"}
    assert found["2"]["bins"][0]["mean_p"] == 0.75


def test_breakdowns_by_known_properties_of_the_judgments(sweep) -> None:
    enrich(sweep.cell(0))
    enrich(sweep.cell(1, "direct"))
    found = breakdowns_json(read_report([sweep.folder]))
    assert set(found) == {"length", "year", "court", "kind", "confidence", "roles"}
    assert set(found["year"]) == {"0", "1"}
    assert [part["name"] for part in found["kind"]["0"]] == ["land"]
    assert sum(part["n"] for part in found["year"]["0"]) == 12


def test_unknown_properties_have_no_breakdown(sweep) -> None:
    sweep.cell(0)
    assert breakdowns_json(read_report([sweep.folder])) == {}


def test_far_beyond_the_judgments_needed_power_is_one(sweep) -> None:
    sweep.cell(0, answers=right_on(12), gold=SWITCHED)
    sweep.cell(1, "d", right_on(20), gold=SWITCHED)
    sweep.cell(2, "r", right_on(12), gold=SWITCHED)
    report = read_report([sweep.folder])
    (curves,) = power_json(report)
    pair = next(pair for pair in report.groups[0].pairs if pair.row.setup.arm == "d")
    exact = power_curve(pair.comparison, sizes=SIZES).power
    assert curves["1"]["power"] == pytest.approx(exact, abs=1e-6)
    assert curves["1"]["power"][-1] == 1.0
    assert curves["2"]["power"] == []


@pytest.fixture
def explained(sweep):
    """Three cells: the reference, one that writes two turns, and one that writes none."""
    folders = [
        sweep.explain(sweep.cell(0), ["analysis"], 1),
        sweep.explain(sweep.cell(1, "c"), ["analysis", "ratio"], 3),
    ]
    sweep.cell(2, "direct")
    return folders


def test_each_turn_has_a_table_of_scores_and_both_lengths(sweep, explained) -> None:
    list(score_explanations(explained, Rouge()))
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


def test_the_reference_and_turns_that_it_lacks_have_no_pairs(sweep, explained) -> None:
    list(score_explanations(explained, Rouge()))
    (found,) = explanations_json(read_report([sweep.folder]))
    analysis, ratio = found["turns"]
    assert analysis["rows"][0]["pairs"] == ratio["rows"][0]["pairs"] == [None] * 3


def test_scores_of_two_settings_have_distinct_names_and_details(sweep, explained) -> None:
    list(score_explanations(explained, Rouge()))
    list(score_explanations(explained[:1], Rouge(stemming="none")))
    (found,) = explanations_json(read_report([sweep.folder]))
    measures = {one["heading"]: one["detail"] for one in found["turns"][0]["measures"]}
    assert {"ROUGE-1 (1)", "ROUGE-1 (2)"} < set(measures)
    assert measures["ROUGE-1 (1)"] != measures["ROUGE-1 (2)"]
    assert [mean is None for mean in found["turns"][0]["rows"][1]["means"]].count(True) == 3


def test_groups_without_explanation_scores_are_left_out(sweep, explained) -> None:
    sweep.cell(3, backbone="other")
    assert explanations_json(read_report([sweep.folder])) == []
    sweep.explain(sweep.cell(4, backbone="last"), ["analysis"], 1)
    list(score_explanations([sweep.folder / "4"], Rouge()))
    report = read_report([sweep.folder])
    (found,) = explanations_json(report)
    assert report.groups[found["group"]].setup.backbone == "last"


def drawn(seed):
    return {"backbone": {"class": "x", "fields": {"seed": seed}}}


def test_a_row_per_arm_has_all_runs_sd_and_interval(thrice) -> None:
    report = read_report([thrice.folder])
    (found,), (data,) = repeats(report), repeats_json(report)
    assert data["groups"] == [0, 1, 2]
    assert [row["cells"] for row in data["rows"]] == [[0, 2, 4], [1, 3, 5], [6]]
    plain, dr, majority = data["rows"]
    assert [row["reference"] for row in data["rows"]] == [True, False, False]
    for name in ("runs", "mean", "sd", "interval"):
        assert dr["scores"][name] == pytest.approx(getattr(found.rows[1].scores, name), abs=1e-6), name
    assert dr["pair"]["difference"] == pytest.approx(found.rows[1].comparison.difference, abs=1e-6)
    assert dr["pair"]["p_holm"] == pytest.approx(found.rows[1].p_holm, abs=1e-6)
    assert plain["pair"] is None
    assert (len(majority["scores"]["runs"]), majority["scores"]["sd"]) == (1, None)


def test_groups_know_which_run_they_are(thrice, another) -> None:
    assert [group["run"] for group in groups_json(read_report([thrice.folder]))] == [1, 2, 3]
    another.cell(0)
    assert [group["run"] for group in groups_json(read_report([another.folder]))] == [None]


def test_a_single_run_has_no_repeats(sweep) -> None:
    sweep.cell(0)
    assert repeats_json(read_report([sweep.folder])) == []


def test_runs_that_cannot_be_joined_or_compared_leave_a_note(sweep) -> None:
    for number in (0, 1):
        sweep.cell(number, "plain", stages=drawn(number))
    sweep.cell(2, "dr", stages=drawn(0))
    sweep.cell(3, "dr", "AAA", gold="AAD", stages=drawn(1))
    sweep.cell(4, "d", stages=drawn(0))
    (data,) = repeats_json(read_report([sweep.folder]))
    d, dr = data["rows"][1:]
    assert d["pair"] == {"note": "1 runs against 2 of the reference"}
    assert dr["scores"] is None
    assert "not all of the 2 arms have" in dr["pair"]["note"]


def test_hidden_spans_are_counted_by_reason(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (found,) = health_json(read_report([sweep.folder]))
    assert found["hidden"] == {"role": 12}
    assert 0 < found["hidden_share"] < 1
    assert found["made"] == 12
    assert found["prompt_tokens"] == 12 * 2 * 50
    assert found["model_seconds"] == pytest.approx(12 * 2 * 0.1)


def test_problems_are_counted_in_judgments(sweep) -> None:
    sweep.cell(0, answers="AAAAAADDDD--", row={"dropped_tokens": 7})
    found = health_json(read_report([sweep.folder]))[0]
    assert found["invalid"] == {"unparsed": 2}
    assert (found["shortened"], found["dropped_tokens"], found["skipped"]) == (12, 84, 0)


def test_a_skipped_judgment_is_not_a_shortened_one(sweep) -> None:
    sweep.cell(0, row={"skipped": True, "dropped_tokens": 900})
    found = health_json(read_report([sweep.folder]))[0]
    assert (found["shortened"], found["skipped"]) == (0, 12)


def test_a_cell_without_answers_has_none(sweep) -> None:
    sweep.failed(0)
    sweep.cell(1, gold="?" * 12)
    assert health_json(read_report([sweep.folder])) == [None, None]


def test_a_report_has_figures_of_macro_f1_differences_and_effects(sweep) -> None:
    factorial(sweep)
    found = figures(read_report([sweep.folder]))
    assert [one.name for one in found] == ["macro-f1", "differences", "effects-0"]
    assert found[2].title.startswith("Effects: specimen")
    assert all("<text" in one.svg and f'aria-label="{one.title}"' in one.svg for one in found)


def test_figures_of_explanations_show_means_and_differences(sweep, explained) -> None:
    list(score_explanations(explained, Rouge()))
    report = read_report([sweep.folder])
    found = {one.name: one for one in figures(report) if one.name.startswith("explanations")}
    assert list(found) == ["explanations-0-0", "explanations-0-1"]
    ((_, turns),) = explanations(report)
    for turn, one in zip(turns, found.values(), strict=True):
        panels = explanation_panels(turn)
        # The reference arm writes no ratio: that turn has no differences.
        differences = 3 if turn.turn == "analysis" else 0
        assert [panel.axis for panel in panels][3:] == [f"difference of {h}" for h in turn.headings.values()][
            :differences
        ]
        measure = turn.measures[0]
        assert [dot.value for dot in panels[0].dots] == [row.means[measure].mean for row in turn.rows]
        assert one.svg.count("<use") == sum(dot.value is not None for panel in panels for dot in panel.dots)
        assert turn.turn in one.title


def test_without_scores_there_is_no_figure(sweep) -> None:
    sweep.failed(0)
    assert figures(read_report([sweep.folder])) == []
