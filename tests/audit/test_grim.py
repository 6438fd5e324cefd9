from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.audit.grim import RunCases, fits_runs, macro_f1_reach
from legalrr.audit.rates import rate
from legalrr.audit.table import read_table


def cell_of(path, runs, n, p, captions, *, sd=True, decimals=2):
    """Means over runs of (FP, FN), and deviations, as a table prints them."""
    columns, figures = [], []
    for caption in captions:
        counts = np.array([(p - fn, fp, fn, n - p - fp, 0, 0) for fp, fn in runs]).T
        values = 100 * rate(caption, counts)
        columns.append(caption)
        figures.append(f"{values.mean():.{decimals}f}")
        if sd:
            columns.append(f"{caption}_sd")
            figures.append(f"{values.std(ddof=1):.{decimals}f}")
    path.write_text(",".join(columns) + "\n" + ",".join(figures) + "\n", encoding="utf-8")
    (cell,) = read_table(path, scale="percent")
    return cell


@given(
    n=st.integers(4, 14),
    data=st.data(),
    captions=st.sampled_from(
        [("macro_f1", "fpr", "fnr"), ("accuracy", "tnr", "tpr"), ("macro_f1", "accuracy", "fnr"), ("macro_f1",)]
    ),
    sd=st.booleans(),
)
def test_the_errors_of_real_runs_are_among_the_sums_found(tmp_path_factory, n, data, captions, sd):
    p = data.draw(st.integers(1, n - 1))
    runs = data.draw(st.lists(st.tuples(st.integers(0, n - p), st.integers(0, p)), min_size=2, max_size=4))
    cell = cell_of(tmp_path_factory.getbasetemp() / "runs.csv", runs, n, p, captions, sd=sd)
    sums = fits_runs(cell, RunCases(n=n, positives=p, runs=len(runs)))
    assert sums is not None
    assert sum(fp for fp, _ in runs) in sums.fp
    assert sum(fn for _, fn in runs) in sums.fn


def test_a_mean_that_no_whole_errors_give_is_refused(tmp_path):
    cell = cell_of(tmp_path / "t.csv", [(3, 4), (2, 5), (4, 4), (3, 3), (3, 4)], 44, 22, ("fpr", "fnr"))
    assert fits_runs(cell, RunCases(n=44, positives=22, runs=5)) is not None
    assert fits_runs(cell, RunCases(n=44, positives=22, runs=3)) is None
    assert fits_runs(cell, RunCases(n=44, positives=21, runs=5)) is None
    assert fits_runs(cell, RunCases(n=44, positives=44, runs=5)) is None


@pytest.mark.parametrize(("sd", "fits"), [("6.10", True), ("6.20", False), ("0.00", False), ("90.00", False)])
def test_a_deviation_that_no_whole_errors_give_is_refused(tmp_path, sd, fits):
    path = tmp_path / "t.csv"
    # 33 of 110 errors: the squares add up to 225 for a deviation of 6.10.
    path.write_text(f"fpr,fpr_sd,fnr,fnr_sd\n30.00,{sd},50.00,0.00\n")
    (cell,) = read_table(path)
    assert (fits_runs(cell, RunCases(n=44, positives=22, runs=5)) is not None) == fits


def test_macro_f1_out_of_reach_of_the_errors_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("fpr,fnr,macro_f1\n30.00,50.00,75.00\n")
    (cell,) = read_table(path)
    assert fits_runs(cell, RunCases(n=44, positives=22, runs=5)) is None


def test_the_reach_of_mean_macro_f1_is_that_of_all_runs():
    cases = RunCases(n=5, positives=3, runs=3)
    least, most = macro_f1_reach(cases)
    found = {}
    for runs in product(product(range(3), range(4)), repeat=3):
        counts = np.array([(3 - fn, fp, fn, 2 - fp, 0, 0) for fp, fn in runs]).T
        key = sum(fp for fp, _ in runs), sum(fn for _, fn in runs)
        found.setdefault(key, []).append(rate("macro_f1", counts).mean())
    for (fp, fn), values in found.items():
        assert (least[fp, fn], most[fp, fn]) == pytest.approx((min(values), max(values)))
    assert np.isfinite(least).sum() == len(found)
