import re
import xml.etree.ElementTree as ET

import pytest

from legalrr.report.forest import chance, forest_svg, majority
from legalrr.report.groups import read_report

HALF = "AAADDDDDDAAA"


def test_the_bytes_are_the_same_on_two_calls(sweep):
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
