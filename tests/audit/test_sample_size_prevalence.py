import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.audit.sample_size import feasible_prevalence, intersect_prevalence
from legalrr.audit.table import read_table


@settings(max_examples=30)
@given(
    sizes=st.tuples(st.integers(50, 3000), st.integers(50, 3000)),
    parts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    captions=st.sampled_from(
        [("macro_f1", "fpr", "fnr"), ("accuracy", "tnr", "tpr"), ("ppv", "f1_negative", "fpr", "fnr")]
    ),
)
def test_the_prevalence_of_a_real_matrix_is_feasible(printed, table, sizes, parts, captions):
    positives, negatives = sizes
    tp, fp = round(parts[0] * positives), round(parts[1] * negatives)
    figures = printed((tp, fp, positives - tp, negatives - fp), captions, decimals=4, scale=1)
    (cell,) = read_table(table(figures))
    share = positives / (positives + negatives)
    assert any(low <= share <= high for low, high in feasible_prevalence(cell).ranges())


def test_rows_of_different_balances_have_no_common_prevalence(printed, table):
    rows = [
        {"components": name, **printed((p - fn, fp, fn, 1000 - p - fp), decimals=4, scale=1)}
        for name, p, fn, fp in (("a", 500, 50, 200), ("b", 400, 90, 150))
    ]
    shares = [feasible_prevalence(cell) for cell in read_table(table(*rows))]
    assert all(one.fit.any() for one in shares)
    assert not intersect_prevalence(shares).fit.any()
    assert intersect_prevalence([]) is None


@pytest.mark.parametrize(
    "figures", [{"macro_f1": "60.0"}, {"fpr": "20.0", "fnr": "30.0"}, {"fpr": "20.0", "macro_f1": "60.0"}]
)
def test_too_few_figures_have_no_feasible_prevalence(table, figures):
    (cell,) = read_table(table(figures))
    assert feasible_prevalence(cell) is None
