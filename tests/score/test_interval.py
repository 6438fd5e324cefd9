import numpy as np
import pytest
from scipy import stats

from legalrr.score.confusion import macro_f1_of_codes
from legalrr.score.interval import bca

OPTIONS = {"confidence": 0.9, "resamples": 500, "seed": 3}


def codes(*values):
    return np.array(values, dtype=np.int8)


def test_the_interval_holds_the_score_and_repeats_by_seed():
    answers = codes(0, 0, 0, 1, 1, 4, 4, 4, 3, 2, 5, 0)
    one, two = (bca((answers,), macro_f1_of_codes, **OPTIONS) for _ in range(2))
    assert one == two
    assert one.note is None
    assert one.bounds[0] < float(macro_f1_of_codes(answers)) < one.bounds[1]
    assert one != bca((answers,), macro_f1_of_codes, confidence=0.9, resamples=500, seed=4)


def test_resampling_in_batches_gives_what_resampling_at_once_gives(monkeypatch):
    answers = codes(*[0, 1, 3, 4, 4, 0] * 5)
    whole = bca((answers,), macro_f1_of_codes, **OPTIONS)
    monkeypatch.setattr("legalrr.score.interval.BATCH_CELLS", 400)
    assert bca((answers,), macro_f1_of_codes, **OPTIONS).bounds == pytest.approx(whole.bounds)


def test_the_mean_of_a_normal_sample_gets_an_interval_of_the_known_width():
    sample = np.random.default_rng(0).normal(size=400)
    found = bca((sample,), lambda x, axis=-1: x.mean(axis=axis), confidence=0.95, resamples=4000, seed=0)
    width = 2 * stats.norm.ppf(0.975) * sample.std(ddof=1) / 20
    assert found.bounds[1] - found.bounds[0] == pytest.approx(width, rel=0.05)
    assert found.standard_error == pytest.approx(sample.std(ddof=1) / 20, rel=0.05)


@pytest.mark.parametrize(
    ("answers", "note"),
    [
        (codes(), "fewer than two judgments"),
        (codes(0), "fewer than two judgments"),
        (codes(*[1] * 10), "no resample changes the score"),
        (codes(*[2] * 10), "no resample changes the score"),
        (codes(0, 4, 0, 4), "leaving out one judgment never changes the score"),
    ],
)
def test_where_there_is_no_interval_there_is_a_reason(answers, note):
    found = bca((answers,), macro_f1_of_codes, **OPTIONS)
    assert found.bounds is None
    assert note in found.note
