import re
import xml.etree.ElementTree as ET

import pytest

from legalrr.report.compare import read_report
from legalrr.report.figures import chance, difference_panels, effect_panels, forest_svg, macro_f1_panels, majority
from legalrr.report.pooled_effects import pools

HALF = "AAADDDDDDAAA"


def test_the_same_report_gives_the_same_bytes(sweep):
    sweep.cell(0, answers=HALF)
    sweep.cell(1, "dr")
    sweep.cell(2, "majority", "A" * 12, backbone="-")
    first, second = (forest_svg(read_report([sweep.folder])) for _ in range(2))
    assert first == second
    ET.fromstring(first)
    assert "dc:date" not in first


def test_a_panel_per_group(sweep):
    sweep.cell(0, answers=HALF)
    one = forest_svg(read_report([sweep.folder]))
    sweep.cell(1, answers=HALF, backbone="big")
    two = forest_svg(read_report([sweep.folder]))
    assert [len(set(re.findall(r'id="axes_\d+"', text))) for text in (one, two)] == [1, 2]


def test_chance_and_majority_by_hand(sweep):
    sweep.cell(0, answers="A" * 12, gold="A" * 9 + "D" * 3)
    row = read_report([sweep.folder]).groups[0].rows[0]
    # 9 of 12 allowed: the majority has F1 = 18 / 21 there and 0 elsewhere.
    assert majority(row) == pytest.approx(18 / 21 / 2)
    assert majority(row) == pytest.approx(row.scores.macro_f1)
    # a coin: recall 1/2, precision 3/4 and 1/4
    assert chance(row) == pytest.approx((2 * 0.75 * 0.5 / 1.25 + 2 * 0.25 * 0.5 / 0.75) / 2)


def test_macro_f1_has_a_line_per_row_between_chance_and_majority(sweep):
    sweep.cell(0, answers=HALF)
    sweep.cell(1, "majority", "A" * 12, backbone="-")
    report = read_report([sweep.folder])
    (panel,) = macro_f1_panels(report)
    rows = report.groups[0].rows
    assert [dot.label for dot in panel.dots] == ["none (reference)", "majority"]
    assert [dot.kind for dot in panel.dots] == ["reference", "baseline"]
    assert [(dot.value, dot.interval) for dot in panel.dots] == [(r.scores.macro_f1, r.scores.interval) for r in rows]
    assert [position for position, _ in panel.rules] == [chance(rows[0]), majority(rows[0])]
    assert f"coin {chance(rows[0]):.2f}; dashed: majority {majority(rows[0]):.2f}" in panel.axis


def test_differences_are_filled_where_they_are_significant(sweep):
    gold, settings = "AD" * 20, {"confidence": 0.95, "resamples": 200, "permutations": 2000, "seed": 0}
    half = gold[:20] + "DA" * 10
    sweep.cell(0, answers=half, gold=gold, settings=settings)
    sweep.cell(1, "d", gold, gold=gold, settings=settings)
    sweep.cell(2, "r", half[:19] + "A" + half[20:], gold=gold, settings=settings)
    report = read_report([sweep.folder])
    (panel,) = difference_panels(report)
    pairs = report.groups[0].pairs
    assert [(dot.label, dot.value) for dot in panel.dots] == [
        (p.row.setup.label, p.comparison.difference) for p in pairs
    ]
    assert [dot.interval for dot in panel.dots] == [pair.comparison.interval for pair in pairs]
    assert [dot.hollow for dot in panel.dots] == [not pair.shown for pair in pairs] == [False, True]


def test_a_group_without_comparisons_has_no_panel_of_differences(sweep):
    sweep.cell(0)
    assert difference_panels(read_report([sweep.folder])) == []


def test_effects_have_a_panel_per_measure(sweep):
    for number, arm in enumerate(("plain", "d", "r", "dr")):
        sweep.cell(number, arm, HALF if number % 2 else "A" * 12)
    (pool,) = pools(read_report([sweep.folder]))
    panels = effect_panels(pool)
    assert [panel.axis for panel in panels] == [
        f"difference of {name}" for name in ("macro-F1", "accuracy", "YES rate")
    ]
    assert len(panels) == 3
    found = {(one.measure, one.name): one for one in pool.effects}
    for measure, panel in zip(("macro_f1", "accuracy", "yes_rate"), panels, strict=True):
        assert [dot.label for dot in panel.dots] == ["D", "R", "D × R"]
        for dot in panel.dots:
            one = found[measure, dot.label.replace(" × ", ":")]
            assert (dot.value, dot.interval, dot.hollow) == (one.estimate, one.interval, not one.shown)


def test_effects_without_estimates_have_no_panel(sweep):
    sweep.cell(0, answers=HALF)
    sweep.cell(1, "dr")
    (pool,) = pools(read_report([sweep.folder]))
    assert pool.effects
    assert effect_panels(pool) == []
