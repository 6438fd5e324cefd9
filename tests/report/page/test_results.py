import pytest

from legalrr.report.groups import read_report
from legalrr.report.page.results import cells_json, groups_json, rounded, verdict

GOLD = "AD" * 20
REAL = {"settings": {"confidence": 0.95, "resamples": 200, "permutations": 2000, "seed": 0}}


def wrong(right: int) -> str:
    """Answers of which so many are right."""
    return GOLD[:right] + "".join("D" if gold == "A" else "A" for gold in GOLD[right:])


def test_the_sentence_says_that_no_difference_is_real(sweep) -> None:
    sweep.cell(0, answers=GOLD, gold=GOLD)
    sweep.cell(1, "d", wrong(39), gold=GOLD)
    told = "The one difference between an arm and the reference arm is not significant at 5% after Holm's correction."
    assert verdict(read_report([sweep.folder])) == told


def test_the_sentence_counts_differences_of_which_none_is_real(sweep) -> None:
    sweep.cell(0, answers=GOLD, gold=GOLD)
    sweep.cell(1, "d", wrong(39), gold=GOLD)
    sweep.cell(2, "r", wrong(39), gold=GOLD)
    told = (
        "None of the 2 differences between an arm and the reference arm is significant at 5% after Holm's correction."
    )
    assert verdict(read_report([sweep.folder])) == told


def test_the_sentence_names_what_is_real_by_size(sweep) -> None:
    sweep.cell(0, answers=wrong(20), gold=GOLD, **REAL)
    sweep.cell(1, "d", wrong(38), gold=GOLD, **REAL)
    sweep.cell(2, "r", GOLD, gold=GOLD, **REAL)
    sweep.cell(3, "c", wrong(21), gold=GOLD, **REAL)
    told = verdict(read_report([sweep.folder]))
    assert told.startswith("2 of 3 differences between an arm and the reference arm are significant at 5% after Holm")
    assert told.index("r +0.500") < told.index("d +0.450")


def test_the_sentence_names_the_backbone_where_there_are_several(sweep) -> None:
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


def test_scores_are_those_of_the_treatment_of_invalid_answers(sweep) -> None:
    sweep.cell(0, answers="AAAAAADDDD--")
    sweep.cell(1, "d", "AAAAAADDDDDD")
    (group,) = groups_json(read_report([sweep.folder], invalid="common"))
    assert [group["scores"][number]["n"] for number in ("0", "1")] == [10, 10]
    assert group["n"] == 10


def test_a_pair_without_comparison_says_why(sweep) -> None:
    sweep.cell(0, "dr")
    (group,) = groups_json(read_report([sweep.folder]))
    assert group["pairs"]["0"] == {"note": "no finished cell of the reference arm 'plain'", "reference": None}
    assert group["reference"] is None


@pytest.mark.parametrize(
    ("value", "found"),
    [(1 / 3, 0.333333), ((0.1234567, None), [0.123457, None]), ({"a": [1, 2.00000049]}, {"a": [1, 2.0]}), ("x", "x")],
)
def test_numbers_have_six_decimals_however_deep(value, found) -> None:
    assert rounded(value) == found
