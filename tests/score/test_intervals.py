import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from legalrr.score.intervals import Sample, bca, bca_interval, bca_of_counts, wilson
from legalrr.score.metrics import accuracy_of_counts, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.scorer import PredictionScorer

OPTIONS = {"confidence": 0.9, "resamples": 500, "seed": 3}


def codes(*values):
    return np.array(values, dtype=np.int8)


def test_the_interval_includes_the_score_and_depends_on_the_seed():
    answers = codes(0, 0, 0, 1, 1, 4, 4, 4, 3, 2, 5, 0)
    one, two = (bca((answers,), macro_f1_of_codes, **OPTIONS) for _ in range(2))
    assert one == two
    assert one.note is None
    assert one.bounds[0] < float(macro_f1_of_codes(answers)) < one.bounds[1]
    assert one != bca((answers,), macro_f1_of_codes, confidence=0.9, resamples=500, seed=4)


def of_counts(*samples, statistic=macro_f1_of_counts, **changes):
    (found,) = bca_of_counts([Sample.of(one) for one in samples], statistic, **{**OPTIONS, **changes})
    return found


def mean_of_two(one, two):
    return (macro_f1_of_counts(one) + macro_f1_of_counts(two)) / 2


def test_a_sample_is_the_distinct_rows_and_their_counts():
    sample = Sample.of(np.array([[0, 1], [4, 4], [0, 1], [0, -1]], dtype=np.int8))
    assert sample.n == 4
    assert dict(zip(map(tuple, sample.patterns.tolist()), sample.sizes.tolist(), strict=True)) == {
        (0, 1): 2,
        (4, 4): 1,
        (0, -1): 1,
    }
    counts = sample.counts(sample.sizes[None])
    assert counts.shape == (6, 1, 2)
    assert counts[:, 0].T.tolist() == [[3, 0, 0, 0, 1, 0], [0, 2, 0, 0, 1, 0]]


@pytest.mark.parametrize("sizes", [(60,), (44, 30)])
def test_bounds_from_the_same_resamples_equal_those_of_scipy(sizes):
    rng = np.random.default_rng(5)
    samples = tuple(rng.choice(6, size=n, p=[0.3, 0.15, 0.05, 0.2, 0.25, 0.05]).astype(np.int8) for n in sizes)

    def statistic(*arrays, axis=-1):
        return np.mean([macro_f1_of_codes(one, axis) for one in arrays], axis=0)

    result = stats.bootstrap(samples, statistic, method="BCa", vectorized=True, n_resamples=400, rng=rng)
    left_out = [
        np.array([statistic(*samples[:j], np.delete(one, i), *samples[j + 1 :]) for i in range(len(one))])
        for j, one in enumerate(samples)
    ]
    ones = [np.ones(len(one), dtype=int) for one in samples]
    found = bca_interval(float(statistic(*samples)), result.bootstrap_distribution, left_out, ones, confidence=0.95)
    assert found.bounds == pytest.approx(tuple(result.confidence_interval), abs=1e-12)
    assert found.standard_error == pytest.approx(result.standard_error)


def test_drawing_counts_of_patterns_is_like_drawing_judgments():
    answers = codes(*[0] * 20 + [1] * 9 + [2] * 2 + [3] * 8 + [4] * 16 + [5] * 3)
    slow = bca((answers,), macro_f1_of_codes, confidence=0.95, resamples=20_000, seed=1)
    fast = of_counts(answers, confidence=0.95, resamples=20_000, seed=2)
    # A quantile q of r resamples has a standard error of sqrt(q (1 - q) / r) / density: near 0.001 here, for each.
    assert fast.bounds == pytest.approx(slow.bounds, abs=4 * 2**0.5 * 0.001)
    assert fast.standard_error == pytest.approx(slow.standard_error, rel=4 * 2**0.5 / (2 * 20_000) ** 0.5)


def test_the_standard_error_of_accuracy_is_the_binomial_one():
    answers = codes(*[0] * 60 + [1] * 30 + [3] * 10)
    found = of_counts(answers, statistic=accuracy_of_counts, resamples=20_000)
    assert found.standard_error == pytest.approx((0.6 * 0.4 / 100) ** 0.5, rel=0.02)


def test_intervals_of_counts_depend_on_the_seed_and_not_on_the_batch_size(monkeypatch):
    samples = codes(*[0, 1, 3, 4, 4, 0] * 5), codes(*[0, 4, 4, 3, 5] * 4)
    whole = of_counts(*samples, statistic=mean_of_two)
    assert whole == of_counts(*samples, statistic=mean_of_two)
    assert whole != of_counts(*samples, statistic=mean_of_two, seed=4)
    assert of_counts(samples[0]).bounds is not None
    one = of_counts(samples[0])
    monkeypatch.setattr("legalrr.score.intervals.BATCH_CELLS", 400)
    assert of_counts(samples[0]) == one


@pytest.mark.parametrize("n", [44, 300])
def test_95_of_100_intervals_contain_the_true_macro_f1(n):
    """Recalls 0.75 and 0.6 and 5 % invalid answers, as of a zero-shot model on the study's sets."""
    shares = np.array([0.35625, 0.11875, 0.025, 0.19, 0.285, 0.025])
    truth = float(macro_f1_of_counts(shares))
    rng = np.random.default_rng(0)
    covered = 0
    for draw in range(2000):
        sizes = rng.multinomial(n, shares)
        answers = np.repeat(np.arange(6, dtype=np.int8), sizes)
        low, high = of_counts(answers, confidence=0.95, resamples=1000, seed=draw).bounds
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("sizes", [(9, 4, 0, 5, 6, 0), (8, 4, 1, 5, 6, 0), (6, 5, 1, 4, 7, 1)])
def test_at_24_judgments_the_seed_hardly_changes_a_bound(sizes):
    answers, usual = np.repeat(np.arange(6, dtype=np.int8), sizes), PredictionScorer().resamples
    found = [of_counts(answers, confidence=0.95, resamples=usual, seed=seed).bounds for seed in range(12)]
    assert np.ptp(found, axis=0).max() <= 0.01


def test_enumerated_resamples_agree_with_drawn_ones():
    answers = np.repeat(np.arange(5, dtype=np.int8), [5, 3, 1, 4, 5])
    every = of_counts(answers, confidence=0.95, resamples=10_000)
    assert every == of_counts(answers, confidence=0.95, resamples=10_000, seed=8)
    drawn = of_counts(answers, confidence=0.95, resamples=1500, seed=8)
    assert every.bounds == pytest.approx(drawn.bounds, abs=0.04)
    assert every.standard_error == pytest.approx(drawn.standard_error, rel=0.08)


def test_a_cluster_is_resampled_as_one_unit():
    answers = np.array([(0, 1), (0, 0), (4, 3), (4, 4), (1, 1), (3, 4), (0, 0)], dtype=np.int8)
    twice = Sample.of(np.repeat(answers, 2, axis=0), np.repeat(np.arange(7), 2))
    once = Sample.of(answers)
    assert (twice.n, once.n) == (7, 7)
    assert sorted(twice.sizes) == sorted(once.sizes)
    assert np.array_equal(twice.counts(twice.sizes[None]), 2 * once.counts(once.sizes[None]))
    (one,), (two,) = (
        bca_of_counts([sample], lambda counts: macro_f1_of_counts(counts)[:, :1], **OPTIONS) for sample in (once, twice)
    )
    assert one.bounds == pytest.approx(two.bounds)


def test_clusters_with_the_same_rows_in_another_order_are_one_pattern():
    rows = np.array([(0, 1), (4, 4), (4, 4), (0, 1), (3, 3)], dtype=np.int8)
    sample = Sample.of(rows, np.array([0, 0, 1, 1, 2]))
    assert sample.sizes.tolist() == [1, 2]
    assert sample.indicators.sum(axis=0)[:, 0].tolist() == [1, 2]


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.99))
def test_wilsons_interval_equals_that_of_scipy(counts, confidence):
    successes, n = counts
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence=confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilsons_interval_by_hand():
    # Wilson 1927 with z = 1.959964: centre (x + z^2 / 2) / (n + z^2), half z sqrt(x (n - x) / n + z^2 / 4) / (n + z^2)
    z = stats.norm.ppf(0.975)
    centre, half = (18 + z**2 / 2) / (22 + z**2), z * (18 * 4 / 22 + z**2 / 4) ** 0.5 / (22 + z**2)
    assert wilson(18, 22, confidence=0.95) == pytest.approx((centre - half, centre + half))
    assert wilson(0, 5, confidence=0.95)[0] == 0


def test_resampling_in_batches_equals_resampling_at_once(monkeypatch):
    answers = codes(*[0, 1, 3, 4, 4, 0] * 5)
    whole = bca((answers,), macro_f1_of_codes, **OPTIONS)
    monkeypatch.setattr("legalrr.score.intervals.BATCH_CELLS", 400)
    assert bca((answers,), macro_f1_of_codes, **OPTIONS).bounds == pytest.approx(whole.bounds)


def test_the_interval_of_a_normal_mean_has_the_known_width():
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
def test_a_missing_interval_has_a_reason(answers, note):
    for found in (bca((answers,), macro_f1_of_codes, **OPTIONS), of_counts(answers)):
        assert found.bounds is None
        assert note in found.note


def test_one_resample_has_no_standard_error():
    assert of_counts(codes(0, 1, 3, 4), resamples=1).standard_error is None
