import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from legalrr.audit.mcnemar_bounds import MAX_WAYS, bounds, least_permutation_p, mcnemar
from legalrr.records import Scored
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare

SCORER = PredictionScorer(resamples=9, permutations=5000)


def column(tp, fp, fn, tn):
    return np.array([[tp, fp, fn, tn, 0, 0]]).T


def all_ways(one, other):
    """Enumerate the ways to pair the answers of two matrices, as judged cases."""
    positives, negatives = one[0] + one[2], one[1] + one[3]
    for shared_p in range(max(0, one[0] + other[0] - positives), min(one[0], other[0]) + 1):
        for shared_n in range(max(0, one[3] + other[3] - negatives), min(one[3], other[3]) + 1):
            right = []
            for count, first, second, shared in (
                (positives, one[0], other[0], shared_p),
                (negatives, one[3], other[3], shared_n),
            ):
                rows = (
                    [(True, True)] * shared + [(True, False)] * (first - shared) + [(False, True)] * (second - shared)
                )
                right.append(rows + [(False, False)] * (count - len(rows)))
            yield right


def as_cases(right, side):
    labels = ("allowed", "dismissed")
    return [
        Scored(id=f"{gold}-{number}", gold=labels[gold], label=labels[gold] if pair[side] else labels[1 - gold])
        for gold, rows in enumerate(right)
        for number, pair in enumerate(rows)
    ]


matrix = st.tuples(st.integers(0, 4), st.integers(0, 3))


@settings(max_examples=15)
@given(one=matrix, other=matrix)
def test_bounds_are_those_of_all_ways_to_pair(one, other):
    first, second = ((tp, 3 - tn, 4 - tp, tn) for tp, tn in (one, other))
    ways = list(all_ways(first, second))
    found = bounds(column(*first), column(*second))
    discordant = [
        (sum(a and not b for rows in way for a, b in rows), sum(b and not a for rows in way for a, b in rows))
        for way in ways
    ]
    p = [stats.binomtest(b, b + c).pvalue if b + c else 1.0 for b, c in discordant]
    assert (found.p_least, found.p_most) == pytest.approx((min(p), max(p)))
    assert (found.b, found.c) in discordant
    assert mcnemar(found.b, found.c) == pytest.approx(found.p_least)
    assert found.cases == (first[0] + first[3] - second[0] - second[3],) * 2
    permuted = [compare(as_cases(way, 0), as_cases(way, 1), scorer=SCORER).p_permutation for way in ways]
    assert found.p_permutation == pytest.approx(min(permuted))


@given(difference=st.integers(0, 12), further=st.integers(0, 40))
def test_more_discordant_cases_at_the_same_difference_never_lower_mcnemars_p(difference, further):
    assert mcnemar(difference + further, further) <= mcnemar(difference + further + 1, further + 1) + 1e-12


def test_with_c_equal_to_0_mcnemars_p_is_2_to_the_1_minus_b():
    for b in range(1, 10):
        assert mcnemar(b, 0) == pytest.approx(min(1, 2 * 0.5**b))


def test_the_best_cell_of_the_study_is_three_cases_ahead_and_cannot_be_significant():
    found = bounds(column(18, 7, 4, 15), column(16, 8, 6, 14))
    assert (found.cases, found.b, found.c, found.p_least, found.p_permutation) == ((3, 3), 3, 0, 0.25, 0.25)
    assert found.p_most == pytest.approx(stats.binomtest(14, 25).pvalue)


def test_bounds_are_over_all_fitting_matrices_and_only_equal_class_counts_pair():
    first = np.concatenate([column(5, 0, 5, 10), column(9, 0, 1, 10), column(9, 0, 2, 9)], axis=1)
    found = bounds(first, column(5, 0, 5, 10))
    assert found.cases == (0, 4)
    assert (found.p_least, found.b, found.c) == (0.125, 4, 0)
    assert found.p_most == 1
    assert bounds(column(1, 0, 0, 1), column(1, 0, 1, 0)) is None


def test_permutations_are_skipped_with_too_many_pairings():
    large = column(300, 200, 200, 300)
    assert MAX_WAYS < 201**2
    assert bounds(large, column(310, 190, 190, 310)).p_permutation is None


def test_a_permutation_p_is_never_above_one():
    assert least_permutation_p(column(3, 2, 2, 3)[:, 0], column(3, 2, 2, 3)[:, 0]) == pytest.approx(1)
