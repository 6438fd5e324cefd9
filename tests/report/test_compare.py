from dataclasses import replace

import pytest

from legalrr.report.compare import distinct_pairs, finding, read_report
from legalrr.score.significance import compare, holm

BAD = "DDDDDDAAAAAA"
HALF = "AAADDDDDDAAA"


def arms(group):
    return [row.setup.arm for row in group.rows]


def test_arms_stand_in_a_fixed_order_with_baselines_and_probes_after_them(sweep):
    order = ("drc", "zeta", "majority", "plain", "probe_shown", "direct", "d")
    for job, arm in enumerate(order):
        family = {"majority": "baseline", "probe_shown": "probe"}.get(arm, "arm")
        sweep.cell(job, arm, backbone="tiny" if family == "arm" else "-", family=family)
    (group,) = read_report([sweep.folder]).groups
    assert arms(group) == ["direct", "plain", "d", "drc", "zeta", "majority", "probe_shown"]


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": "other"},
        {"segment": "crf"},
        {"backbone": "big"},
        {"layout": "study"},
        {"reading": "study"},
        {"overflow": "middle"},
        {"limit": 12},
        {"seed": 1},
        {"stages": {"restructure": {"fields": {"preamble": False}}}},
    ],
)
def test_cells_under_different_settings_are_not_compared(sweep, change):
    sweep.cell(0, "plain")
    sweep.cell(1, "d", HALF, **change)
    first, second = read_report([sweep.folder]).groups
    assert (arms(first), arms(second)) == (["plain"], ["d"])
    assert "no finished cell of the reference arm 'plain'" in second.pairs[0].note


@pytest.mark.parametrize("change", [{"order": "role"}, {"tokens": {"answer": 8}}])
def test_options_of_an_arm_do_not_separate_it_from_its_reference(sweep, change):
    sweep.cell(0, "plain")
    sweep.cell(1, "dr", HALF, **change)
    (group,) = read_report([sweep.folder]).groups
    assert group.pairs[0].comparison is not None


def test_a_pair_is_the_comparison_with_the_reference_arm(sweep):
    sweep.cell(0, "plain", HALF)
    sweep.cell(1, "dr")
    report = read_report([sweep.folder])
    (pair,) = report.groups[0].pairs
    reference, cell = report.cells
    assert pair.comparison == compare(cell.answers.cases, reference.answers.cases, scorer=cell.scorer)
    assert pair.reference.cell == reference


def test_holm_runs_over_arms_and_separately_over_baselines(sweep):
    sweep.cell(0, "plain")
    for job, (arm, answers) in enumerate((("d", BAD), ("r", HALF), ("c", "AAAAAADDDDDA")), start=1):
        sweep.cell(job, arm, answers)
    for job, (arm, answers) in enumerate((("tfidf_lr", "A" * 10 + "DD"), ("stratified", BAD)), start=4):
        sweep.cell(job, arm, answers, backbone="-")
    (group,) = read_report([sweep.folder]).groups
    for family in ("arm", "baseline"):
        pairs = [pair for pair in group.pairs if pair.row.setup.family == family]
        assert [pair.p_holm for pair in pairs] == pytest.approx(holm([p.comparison.p_permutation for p in pairs]))
    assert [len([p for p in group.pairs if p.row.setup.family == f]) for f in ("arm", "baseline")] == [3, 2]


def test_a_baseline_is_compared_with_the_reference_of_every_backbone(sweep):
    sweep.cell(0, "plain", backbone="small")
    sweep.cell(1, "plain", HALF, backbone="big")
    sweep.cell(2, "majority", "A" * 12, backbone="-")
    report = read_report([sweep.folder])
    assert [arms(group) for group in report.groups] == [["plain", "majority"]] * 2
    assert [group.pairs[0].reference.setup.backbone for group in report.groups] == ["small", "big"]


def test_baselines_and_probes_alone_make_one_group(sweep):
    sweep.cell(0, "probe_shown", HALF, backbone="-", family="probe", reference="probe_shown")
    sweep.cell(1, "probe_hidden", backbone="-", family="probe", reference="probe_shown")
    sweep.cell(2, "majority", "A" * 12, backbone="-", reference="probe_shown")
    (group,) = read_report([sweep.folder]).groups
    assert arms(group) == ["majority", "probe_hidden", "probe_shown"]
    assert all(pair.comparison is not None for pair in group.pairs)


def test_baselines_on_different_judgments_are_separate(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "majority", "A" * 12, backbone="-", limit=12)
    assert len(read_report([sweep.folder]).groups) == 2


def test_several_different_references_are_named_in_a_note(sweep):
    sweep.cell(0, "plain")
    sweep.cell(4, "plain", HALF)
    sweep.cell(5, "d", BAD)
    (pair,) = read_report([sweep.folder]).groups[0].pairs
    assert pair.comparison is None
    assert pair.note == "several cells of the reference arm 'plain': job 0, job 4"


def test_the_reference_of_the_same_folder_is_preferred(sweep, another):
    sweep.cell(0, "plain")
    another.cell(0, "plain", HALF)
    another.cell(1, "d", BAD)
    sweep.cell(1, "r", BAD)
    (group,) = read_report([sweep.folder, another.folder]).groups
    assert {pair.row.setup.arm: pair.reference.cell.sweep for pair in group.pairs} == {"r": 1, "d": 2}


def test_another_folder_provides_a_missing_reference(sweep, another):
    sweep.cell(0, "plain")
    another.cell(0, "d", HALF)
    (group,) = read_report([sweep.folder, another.folder]).groups
    assert group.pairs[0].reference.cell.sweep == 1


def test_different_judgments_leave_a_note(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "d", "AAAAAADDDDD", gold="AAAAAADDDDD")
    (pair,) = read_report([sweep.folder]).groups[0].pairs
    assert pair.note == "judgments that not all of the 2 arms have: case-11"


def test_cells_without_labelled_judgments_are_in_no_group(sweep):
    sweep.cell(0, "plain", "AD", gold="??")
    report = read_report([sweep.folder])
    assert report.groups == ()
    assert report.cells[0].answers.unlabelled == 2


def test_the_finding_counts_and_states_the_smallest_difference(sweep):
    sweep.cell(0, "plain", BAD)
    sweep.cell(1, "d", "AAAAAADDDDDA")
    sweep.cell(2, "r", BAD)
    sweep.cell(3, "tfidf_lr", "AAAAADDDDDDD", backbone="-")
    (group,) = read_report([sweep.folder]).groups
    arms = [pair for pair in group.pairs if pair.row.setup.family == "arm"]
    least = min(pair.comparison.smallest_detectable for pair in arms)
    assert finding(group) == (
        "Holm over the 2 distinct differences of arms from none: 1 is significant at 5%; "
        f"12 judgments would have shown no true difference below {least:.3f} with power 0.8."
    )
    assert finding(replace(group, pairs=())) == ""


def test_the_finding_states_too_few_judgments(sweep):
    sweep.cell(0, "plain", "AADD", gold="AADD")
    sweep.cell(1, "d", "AADA", gold="AADD")
    (group,) = read_report([sweep.folder]).groups
    assert finding(group) == (
        "Holm over the one difference of arms from none: 0 are significant at 5%; "
        "4 judgments are too few to show any difference with power 0.8."
    )


def test_arms_with_the_same_prompts_and_answers_count_once(sweep):
    for job, (arm, answers, prompt) in enumerate(
        [("plain", BAD, "p"), ("r", HALF, "q"), ("r_order", HALF, "q"), ("d", "AAAAAADDDDDA", "s"), ("c", BAD, "p")]
    ):
        sweep.cell(job, arm, answers, row={"prompt": prompt})
    (group,) = read_report([sweep.folder]).groups
    found = {pair.row.setup.arm: pair for pair in group.pairs}
    assert [pair.row.setup.arm for pair in distinct_pairs(group)] == ["r_order", "d"]
    expected = holm([found[arm].comparison.p_permutation for arm in ("r", "d")])
    assert [found[arm].p_holm for arm in ("r", "r_order", "d", "c")] == [expected[0], expected[0], expected[1], 1]


def test_arms_without_recorded_prompts_count_separately(sweep):
    for job, (arm, answers) in enumerate([("plain", BAD), ("r", HALF), ("r_order", HALF)]):
        sweep.cell(job, arm, answers)
    (group,) = read_report([sweep.folder]).groups
    assert len(distinct_pairs(group)) == 2


def test_a_constant_baseline_is_compared_but_not_tested(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "majority", "D" * 12, backbone="-")
    sweep.cell(2, "tfidf_lr", HALF, backbone="-")
    (group,) = read_report([sweep.folder]).groups
    majority, tfidf = group.pairs
    assert (majority.tested, majority.p_holm, tfidf.tested) == (False, None, True)
    assert majority.comparison.difference < 0
    assert tfidf.p_holm == tfidf.comparison.p_permutation


def test_near_duplicates_are_one_unit(sweep):
    for job, (arm, answers) in enumerate([("plain", BAD), ("d", HALF)]):
        sweep.cell(job, arm, answers, row={"cluster": "one"})
    sweep.cell(2, "r", HALF)
    (group,) = read_report([sweep.folder]).groups
    found = {pair.row.setup.arm: pair.comparison for pair in group.pairs}
    assert (found["d"].n, found["d"].clusters) == (12, 1)
    assert found["d"].interval_note == "fewer than two judgments"


def test_a_shown_difference_holds_with_invalid_answers_against_it(sweep):
    gold = "A" * 30 + "D" * 30
    sweep.cell(0, "plain", "A" * 14 + "D" * 16 + "A" * 16 + "D" * 14, gold=gold)
    sweep.cell(1, "d", "A" * 16 + "-" * 14 + "D" * 16 + "-" * 14, gold=gold)
    sweep.cell(2, "dr", gold, gold=gold)
    (group,) = read_report([sweep.folder]).groups
    unread, read = group.pairs
    assert unread.p_holm < 0.05 < unread.p_holm_bound
    assert (unread.shown, unread.bound.difference < unread.comparison.difference) == (False, True)
    assert (read.shown, read.bound) == (True, None)
    sentence = finding(group)
    assert sentence.startswith(
        "Holm over the 2 distinct differences of arms from none: 1 is significant at 5% "
        "(1 more only if the invalid answers do not count against the better arm)"
    )


def test_the_bound_is_adjusted_over_the_same_distinct_differences(sweep):
    gold = "A" * 12 + "D" * 12
    plain, half = "A" * 6 + "D" * 6 + "A" * 6 + "D" * 6, "A" * 11 + "-" + "D" * 11 + "-"
    for job, (arm, answers, prompt) in enumerate(
        [("plain", plain, "p"), ("r", half, "q"), ("r_order", half, "q"), ("d", gold, "s"), ("c", plain, "p")]
    ):
        sweep.cell(job, arm, answers, gold=gold, row={"prompt": prompt})
    (group,) = read_report([sweep.folder]).groups
    found = {pair.row.setup.arm: pair for pair in group.pairs}
    expected = holm([found["r"].bound.p_permutation, found["d"].comparison.p_permutation])
    assert [found[arm].p_holm_bound for arm in ("r", "r_order", "d", "c")] == [*expected[:1] * 2, expected[1], 1]


def test_an_untested_baseline_has_no_p_under_the_bound(sweep):
    sweep.cell(0, "plain", "AAAA-DDDDDDA")
    sweep.cell(1, "majority", "D" * 12, backbone="-")
    (group,) = read_report([sweep.folder]).groups
    (pair,) = group.pairs
    assert pair.bound is not None
    assert (pair.p_holm, pair.p_holm_bound, pair.shown) == (None, None, False)


def test_without_invalid_answers_the_bound_changes_nothing(sweep):
    sweep.cell(0, "plain", HALF)
    sweep.cell(1, "dr")
    sweep.cell(2, "d", BAD)
    (group,) = read_report([sweep.folder]).groups
    assert all(pair.bound is None and pair.p_holm_bound == pair.p_holm for pair in group.pairs)
