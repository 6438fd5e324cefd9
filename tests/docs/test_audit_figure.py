"""benchmarks/audit_figure.py: the README's statements on its figure, and its intervals against an enumeration."""

import csv
import math
from itertools import product

from audit_figure import DOCS, draw, exact_interval, read_differences


def test_no_difference_of_the_study_is_significant():
    found = read_differences(DOCS / "audit_pairs.csv")
    assert len(found) == 42
    assert all(one.interval[0] < 0 < one.interval[1] for one in found)
    assert min(one.least_p for one in found) == 0.125


def test_every_other_pairing_of_the_answers_has_a_wider_interval():
    for one in read_differences(DOCS / "audit_pairs.csv"):
        low, high = one.interval
        for further in range(1, (one.n - one.b - one.c) // 2 + 1):
            wider = exact_interval(one.b + further, one.c + further, one.n)
            assert wider[0] <= low
            assert wider[1] >= high


def test_intervals_cover_the_true_difference_in_95_of_100_samples():
    n, gained, lost = 13, 0.3, 0.1
    covered = 0.0
    for b, c in product(range(n + 1), repeat=2):
        if b + c <= n:
            low, high = exact_interval(b, c, n)
            ways = math.comb(n, b) * math.comb(n - b, c)
            chance = ways * gained**b * lost**c * (1 - gained - lost) ** (n - b - c)
            covered += chance * (low <= 100 * (gained - lost) <= high)
    assert covered >= 0.95


def test_the_figure_has_a_panel_per_data_set_and_model(tmp_path):
    draw(read_differences(DOCS / "audit_pairs.csv"), tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert text.count('<g id="axes_') == 6


def test_captions_fail_in_28_of_the_100_cells_of_the_prediction_tables():
    with (DOCS / "audit.csv").open(encoding="utf-8", newline="") as lines:
        cells = [row for row in csv.DictReader(lines) if "explanation" not in row["table"]]
    assert (sum(row["kind"] != "" for row in cells), len(cells)) == (28, 100)
