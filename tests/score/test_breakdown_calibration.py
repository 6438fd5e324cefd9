import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from legalrr.records import Scored
from legalrr.score.breakdown import calibration
from legalrr.score.intervals import wilson


def scored(p, allowed):
    return [
        Scored(id=str(i), gold="allowed" if y else "dismissed", label="allowed", p_allowed=one)
        for i, (one, y) in enumerate(zip(p, allowed, strict=True))
    ]


def test_calibration_by_hand():
    found = calibration(scored([0.1, 0.1, 0.4, 0.9, 0.9, 0.9], [0, 1, 0, 1, 1, 0]), bins=2)
    low, high = found.bins
    assert (low.low, low.high, low.n, low.mean_p, low.share_allowed) == (0, 0.5, 3, pytest.approx(0.2), 1 / 3)
    assert (high.low, high.high, high.n, high.mean_p, high.share_allowed) == (0.5, 1, 3, pytest.approx(0.9), 2 / 3)
    assert low.interval == wilson(1, 3, confidence=0.95)
    assert found.ece == pytest.approx((1 / 3 - 0.2) / 2 + (0.9 - 2 / 3) / 2)
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.16 + 0.01 + 0.01 + 0.81) / 6)
    assert found.brier_of_share == 0.25
    assert (found.n, found.without, found.binning) == (6, 0, "equal-width")


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_bins_equal_those_of_scikit_learn(binning):
    rng = np.random.default_rng(0)
    p = rng.beta(0.6, 0.4, 1000)
    allowed = rng.random(1000) < 0.2 + 0.6 * p
    found = calibration(scored(p, allowed), binning=binning)
    strategy = {"equal-width": "uniform", "equal-mass": "quantile"}[binning]
    true, predicted = calibration_curve(allowed, p, n_bins=10, strategy=strategy)
    tolerance = {"equal-width": 1e-12, "equal-mass": 0.02}[binning]
    # Quantile definitions differ: theirs interpolates between two values, ours is one of them.
    assert [one.share_allowed for one in found.bins] == pytest.approx(true.tolist(), abs=tolerance)
    assert [one.mean_p for one in found.bins] == pytest.approx(predicted.tolist(), abs=tolerance)
    assert found.brier == pytest.approx(brier_score_loss(allowed, p))


def test_equal_mass_bins_hold_equally_many_and_equal_p_share_one():
    found = calibration(scored(np.arange(100) / 100, [1] * 100), bins=4, binning="equal-mass")
    assert [one.n for one in found.bins] == [25] * 4
    found = calibration(scored([0.2] * 5 + [0.8] * 5, [0, 1] * 5), bins=4, binning="equal-mass")
    assert [(one.low, one.high, one.n) for one in found.bins] == [(0.2, 0.2, 5), (0.2, 0.8, 5)]


def test_cases_without_p_are_counted_and_without_any_p_there_is_no_calibration():
    found = calibration([*scored([0.0, 1.0], [0, 1]), Scored(id="x", gold="allowed", label="invalid")])
    assert (found.n, found.without, found.ece, found.brier) == (2, 1, 0, 0)
    assert calibration([Scored(id="x", gold="allowed", label="invalid")]) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 12))
def test_every_judgment_lies_in_exactly_one_bin(pairs, bins):
    for binning in ("equal-width", "equal-mass"):
        found = calibration(scored(*zip(*pairs, strict=True)), bins=bins, binning=binning)
        assert sum(one.n for one in found.bins) == len(pairs)
        assert len(found.bins) <= bins
        assert all(one.low - 1e-12 <= one.mean_p <= one.high + 1e-12 for one in found.bins)
        assert 0 <= found.ece <= 1
