from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.audit.hypotheses import Cases, narrowed, two_of_one_side, within
from legalrr.audit.rates import rate


def brute(n, positives, unanswered=0):
    """All matrices by going through all sums."""
    found = set()
    for one in product(range(n + 1), repeat=6):
        missing = one[4] + one[5]
        if sum(one) == n and one[0] + one[2] + one[4] in positives and unanswered in (None, missing):
            found.add(one)
    return found


def as_set(counts):
    found = [tuple(int(count) for count in matrix) for matrix in counts.T]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("unanswered", [0, 2, 4, None])
@pytest.mark.parametrize("positives", [(2,), (0, 1, 2, 3, 4), (4,), ()])
def test_all_matrices_are_enumerated(positives, unanswered):
    cases = Cases(n=4, positives=positives, unanswered=unanswered)
    found = as_set(cases.matrices())
    assert found == brute(4, positives, unanswered)
    assert cases.size() == len(found)


@pytest.mark.parametrize("positives", [(2,), (1, 3), ()])
def test_dropped_cases_leave_the_matrices_of_every_part(positives):
    cases = Cases(n=4, positives=positives, dropped=True)
    expected = {
        one
        for n in range(1, 5)
        for p in range(n + 1)
        if any(p <= whole and n - p <= 4 - whole for whole in positives)
        for one in brute(n, (p,))
    }
    assert as_set(cases.matrices()) == expected
    assert cases.size() >= len(expected)


@given(
    n=st.integers(1, 14),
    names=st.sampled_from([("fpr", "fnr"), ("tnr", "fnr"), ("fpr", "tpr"), ("fdr", "for"), ("ppv", "npv")]),
    ends=st.tuples(*[st.floats(0, 1)] * 4),
    data=st.data(),
)
def test_two_rates_give_the_matrices_of_the_exhaustive_search(n, names, ends, data):
    positives = tuple(sorted(data.draw(st.sets(st.integers(0, n), min_size=1))))
    bounds = {names[0]: tuple(sorted(ends[:2])), names[1]: tuple(sorted(ends[2:]))}
    cases = Cases(n=n, positives=positives)
    counts = cases.matrices()
    # An undefined rate is nothing to be narrowed by: of no cases there are no errors.
    inside = np.ones(counts.shape[1], dtype=bool)
    for name, (low, high) in bounds.items():
        values = rate(name, counts)
        inside &= np.isnan(values) | ((values >= low - 1e-9) & (values <= high + 1e-9))
    pair = two_of_one_side(bounds)
    assert pair is not None
    assert as_set(counts[:, inside]) <= as_set(narrowed(cases, pair))
    defined = ~np.any([np.isnan(rate(name, counts)) for name in bounds], axis=0)
    assert as_set(counts[:, inside & defined]) == {
        one for one in as_set(narrowed(cases, pair)) if not any(np.isnan(rate(name, np.array(one))) for name in bounds)
    }


def test_rates_of_two_sides_do_not_narrow():
    assert two_of_one_side({"fpr": (0, 1), "for": (0, 1)}) is None
    assert two_of_one_side({"macro_f1": (0, 1)}) is None


def test_an_undefined_rate_may_be_printed_as_0_and_as_1():
    nothing = np.array([np.nan])
    assert within(nothing, (0.0, 0.0)).all()
    assert within(nothing, (1.0, 1.0)).all()
    assert not within(nothing, (0.4, 0.6)).any()
