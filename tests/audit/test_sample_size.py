import pytest

from legalrr.audit.sample_size import common_denominators, least_denominator, sample_size
from legalrr.audit.table import read_table
from legalrr.errors import UserError

MATRICES = [(18, 7, 4, 15), (16, 8, 6, 14), (12, 7, 10, 15), (10, 4, 12, 18)]


def rows_of(printed, matrices=MATRICES, captions=("macro_f1", "fpr", "fnr"), **more):
    return [{"components": str(i), **more, **printed(one, captions)} for i, one in enumerate(matrices)]


def test_n_and_balance_are_found_from_the_figures_alone(printed, table):
    found = sample_size(read_table(table(*rows_of(printed))), max_n=60)
    # 22 negatives and 22 positives show in halves of shares: 44 is the smallest n.
    assert (found.n, found.positives, found.found, found.settled, found.bound) == (44, (22,), True, True, 60)


def test_n_is_found_under_another_hypothesis_where_the_captions_never_hold(printed, table):
    rows = rows_of(printed, captions=("accuracy", "fdr", "for"))
    rows = [dict(zip(("components", "macro_f1", "fpr", "fnr"), row.values(), strict=True)) for row in rows]
    found = sample_size(read_table(table(*rows)), max_n=60)
    assert (found.n, found.positives) == (44, (22,))


def test_a_stated_number_of_positives_starts_the_search(printed, table):
    found = sample_size(read_table(table(*rows_of(printed, positives=22))), max_n=60)
    assert (found.n, found.positives) == (44, (22,))


def test_no_n_up_to_the_bound_is_reported(printed, table):
    found = sample_size(read_table(table(*rows_of(printed))), max_n=40)
    assert (found.n, found.settled, found.bound) == (None, False, 40)


def test_one_figure_a_cell_or_runs_alone_are_not_searched(printed, table):
    assert sample_size(read_table(table(*rows_of(printed, captions=("accuracy",)))), max_n=40).n is None
    runs = sample_size(read_table(table(*rows_of(printed, runs=5))), max_n=40)
    assert (runs.n, runs.bound) == (None, None)


def test_the_balance_of_means_over_runs_is_found_from_their_sums(table):
    row = {"n": "44", "fpr": "30.00", "fpr_sd": "6.10", "fnr": "52.73", "fnr_sd": "6.89"}
    other = {**row, "components": "b", "fpr": "24.55", "fpr_sd": "7.61"}
    found = sample_size(read_table(table(row, other)), max_n=60)
    assert (found.positives, found.settled) == ((22,), True)


def test_a_balance_that_hardly_any_cell_fits_is_left_open(table):
    rows = [{"components": str(i), "n": "10", "fpr": text, "fnr": "51.00"} for i, text in enumerate(("33.00", "41.00"))]
    found = sample_size(read_table(table(*rows)), max_n=60)
    assert (found.positives, found.settled) == (tuple(range(11)), False)
    runs = [{**row, "runs": "2"} for row in rows]
    assert not sample_size(read_table(table(*runs)), max_n=60).settled


def test_contradicting_numbers_of_positives_are_refused_with_their_lines(printed, table):
    rows = rows_of(printed, n=44, positives=22)
    rows[2]["positives"] = 21
    with pytest.raises(UserError, match=r"table\.csv:4: 21 positives, but 22 on line 2"):
        sample_size(read_table(table(*rows)), max_n=60)


def test_a_search_that_grows_too_large_is_refused(printed, table, monkeypatch):
    monkeypatch.setattr("legalrr.audit.sample_size.MAX_MATRICES", 1000)
    rows = rows_of(printed, unanswered="any")
    with pytest.raises(
        UserError, match=r"table\.csv:2: too many matrices of 8 cases to search n \(give n, or unanswered\)"
    ):
        sample_size(read_table(table(*rows)), max_n=80)


def test_denominators_of_the_study_leave_no_number_of_negatives():
    figures = [(value - 0.00005, value + 0.00005) for value in (0.28, 0.3684)]
    assert [least_denominator(one, 44) for one in figures] == [25, 19]
    assert common_denominators(figures, 44) == []
    assert common_denominators(figures, 475) == [475]
    assert least_denominator(figures[0], 24) is None
