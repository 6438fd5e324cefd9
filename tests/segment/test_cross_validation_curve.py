"""The learning curve: points from evaluations, as CSV and figure."""

import csv
import io

import pytest

from legalrr.errors import UserError
from legalrr.segment.cross_validation import (
    AVERAGES,
    CurvePoint,
    Evaluation,
    curve_csv,
    curve_point,
    curve_svg,
    parse_shares,
)

POINTS = [
    CurvePoint(
        share=share,
        judgments=share * 20,
        mean=dict.fromkeys(AVERAGES, 0.5 + share / 4),
        sd=dict.fromkeys(AVERAGES, 0.01),
    )
    for share in (0.5, 1.0)
]


def test_an_evaluation_is_converted_to_a_point():
    scores = {average: {"mean": 0.1 * n, "sd": 0.01 * n} for n, average in enumerate(AVERAGES, start=1)}
    found = Evaluation(scores=scores, temperature=1.0, gold=("FAC",), predicted=("FAC",), trained_on=9.5)
    assert curve_point(0.25, found) == CurvePoint(
        share=0.25,
        judgments=9.5,
        mean={average: scores[average]["mean"] for average in AVERAGES},
        sd={average: scores[average]["sd"] for average in AVERAGES},
    )


def test_the_csv_has_a_row_per_share():
    first, second = csv.DictReader(io.StringIO(curve_csv(POINTS)))
    assert (first["share"], first["judgments"], first["macro_mean"]) == ("0.5", "10.0", "0.6250")
    assert (second["share"], second["micro_mean"], second["weighted_sd"]) == ("1", "0.7500", "0.0100")


def test_the_figure_is_labelled_and_reproducible():
    svg = curve_svg(POINTS, title="a tagger")
    assert svg == curve_svg(POINTS, title="a tagger")
    for text in ("a tagger", "micro-F1", "macro-F1", "10", "20", "judgments trained on"):
        assert f"<!-- {text} -->" in svg


def test_shares_are_sorted_and_deduplicated():
    assert parse_shares("1,0.25,1") == (0.25, 1.0)


@pytest.mark.parametrize("text", ["", "half", "0,1", "0.5,1.5"])
def test_invalid_shares_are_rejected(text):
    with pytest.raises(UserError, match="--shares"):
        parse_shares(text)
