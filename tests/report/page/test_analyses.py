import csv
import io

import pytest

from legalrr.report.__main__ import main
from legalrr.report.groups import read_report
from legalrr.report.page.analyses import SIZES, breakdowns_json, calibration_json, effects_json, power_json
from legalrr.report.study import HEADINGS
from legalrr.score.power import power_curve

from .conftest import enrich

GOLD = "AD" * 12
ANSWERS = {"plain": 12, "d": 16, "r": 14, "dr": 20, "c": 12, "dc": 18, "rc": 13, "drc": 22}


def said(right: int) -> str:
    return GOLD[:right] + "".join("D" if gold == "A" else "A" for gold in GOLD[right:])


def factorial(sweep, start=0, **changes) -> None:
    for number, (arm, right) in enumerate(ANSWERS.items()):
        sweep.cell(start + number, arm, said(right), gold=GOLD, **changes)


def test_a_group_of_one_backbone_has_its_own_effects(sweep) -> None:
    factorial(sweep)
    (one,) = effects_json(read_report([sweep.folder]))
    assert one["groups"] == [0]
    found = {effect["name"]: effect for effect in one["effects"] if effect["measure"] == "accuracy"}
    with_d = sum(ANSWERS[arm] for arm in ("d", "dr", "dc", "drc")) / 4 / 24
    without = sum(ANSWERS[arm] for arm in ("plain", "r", "c", "rc")) / 4 / 24
    assert abs(found["D"]["estimate"] - (with_d - without)) < 1e-6
    assert found["D:R:C"]["interval"] is None or len(found["D:R:C"]["interval"]) == 2


def test_several_backbones_and_corpora_are_pooled_beside(sweep, another) -> None:
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
    assert main([*map(str, folders), "--table", "effects", "--format", "csv"]) == 0
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


def test_what_cannot_be_pooled_says_why(sweep, another) -> None:
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
    sweep.cell(0, answers=said(12), gold=GOLD)
    sweep.cell(1, "d", said(18), gold=GOLD)
    sweep.cell(2, "majority", "A" * 24, gold=GOLD, backbone="-")
    (curves,) = power_json(read_report([sweep.folder]))
    assert set(curves) == {"1"}
    assert len(curves["1"]["power"]) == len(SIZES)
    assert curves["1"]["difference"] == 0.25
    assert curves["1"]["needed"] > 24


def test_calibration_of_the_cells_that_give_probabilities(report) -> None:
    found = calibration_json(report)
    assert set(found) == {"2"}
    assert found["2"]["bins"][0]["mean_p"] == 0.75


def test_parts_by_what_is_known_of_the_judgments(sweep) -> None:
    enrich(sweep.cell(0))
    enrich(sweep.cell(1, "direct"))
    found = breakdowns_json(read_report([sweep.folder]))
    assert set(found) == {"length", "year", "court", "kind", "confidence", "roles"}
    assert set(found["year"]) == {"0", "1"}
    assert [part["name"] for part in found["kind"]["0"]] == ["land"]
    assert sum(part["n"] for part in found["year"]["0"]) == 12


def test_what_no_corpus_tells_has_no_parts(sweep) -> None:
    sweep.cell(0)
    assert breakdowns_json(read_report([sweep.folder])) == {}


def test_far_beyond_the_judgments_needed_power_is_one(sweep) -> None:
    sweep.cell(0, answers=said(12), gold=GOLD)
    sweep.cell(1, "d", said(20), gold=GOLD)
    sweep.cell(2, "r", said(12), gold=GOLD)
    report = read_report([sweep.folder])
    (curves,) = power_json(report)
    pair = next(pair for pair in report.groups[0].pairs if pair.row.setup.arm == "d")
    exact = power_curve(pair.comparison, sizes=SIZES).power
    assert curves["1"]["power"] == pytest.approx(exact, abs=1e-6)
    assert curves["1"]["power"][-1] == 1.0
    assert curves["2"]["power"] == []
