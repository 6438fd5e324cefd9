from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.audit.table import Printed, Sizes, read_table
from legalrr.errors import UserError
from legalrr.paths import root


def written(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_rows_of_the_included_tables_are_read():
    folder = root() / "data" / "published"
    sizes = {"khatri2025_prediction": 96, "khatri2025_predex": 4, "khatri2025_explanation": 56, "prediction_other": 12}
    for name, count in sizes.items():
        assert len(read_table(folder / f"{name}.csv")) == count
    first = read_table(folder / "khatri2025_prediction.csv")[0]
    assert first.block == ("khatri2025_prediction.csv", "dataset1", "Llama", "all")
    assert (first.components, first.n, first.positives, first.unanswered, first.repeated) == (
        "D+R+C",
        44,
        None,
        0,
        False,
    )


def test_a_row_per_cell_and_a_row_per_figure_are_the_same_table(tmp_path):
    wide = written(tmp_path, "system,arm,n,positives,runs,Macro-F1,fpr,fpr_sd\nx,D,44,22,5,61.36,28,1.5\n")
    long = tmp_path / "long.csv"
    long.write_text(
        "model,components,metric,value,sd,n,positives,runs\nx,D,f1_macro,61.36,,44,22,5\nx,D,FPR,28,1.5,44,22,5\n"
    )
    for path in (wide, long):
        (cell,) = read_table(path)
        assert (cell.model, cell.components, cell.n, cell.positives, cell.runs) == ("x", "D", 44, 22, 5)
        assert list(cell.figures) == ["macro_f1", "fpr"]
        assert cell.figures["fpr"].sd == Printed(value=1.5, decimals=1)
        assert cell.repeated


def test_a_figure_counts_as_rounded_to_the_decimals_of_its_column(tmp_path):
    path = written(tmp_path, "components,fpr,accuracy\nD,28,70\nC,36.84,71\n")
    cell = read_table(path)[0]
    assert cell.figures["fpr"].bounds(100) == pytest.approx((0.27995, 0.28005))
    assert cell.figures["accuracy"].bounds(100) == pytest.approx((0.695, 0.705))


def test_truncated_figures_lie_above_what_is_printed():
    assert Printed(value=61.3, decimals=1, rounding="truncated").bounds() == pytest.approx((61.3, 61.4))
    assert Printed(value=-0.3, decimals=1, rounding="truncated").bounds() == pytest.approx((-0.4, -0.3))
    assert Printed(value=61.3, decimals=1, rounding="either").bounds() == pytest.approx((61.25, 61.4))


def test_small_figures_are_fractions_by_column_or_possibly_among_percentages(tmp_path):
    path = written(tmp_path, "components,macro_f1,fpr\nD,61.36,0.3\nC,0.75,0.2\n")
    first, second = read_table(path)
    assert first.figures["macro_f1"].scales == {100.0: 0}
    assert second.figures["macro_f1"].scales == {100.0: 0, 1.0: 1}
    assert first.figures["fpr"].scales == {1.0: 0, 100.0: 0}
    (alone,) = read_table(written(tmp_path, "macro_f1\n0.75\n"))
    assert alone.figures["macro_f1"].scales == {1.0: 0}
    (said,) = read_table(written(tmp_path, "macro_f1\n0.75\n"), scale="percent")
    assert said.figures["macro_f1"].scale == 100
    (sign,) = read_table(written(tmp_path, "macro_f1\n0.75%\n"))
    assert sign.figures["macro_f1"].scale == 100


def test_options_override_the_table_except_n_of_a_subset(tmp_path):
    path = written(tmp_path, "dataset,subset,n,accuracy\na,all,9,50\na,part,5,50\nb,all,7,50\n")
    sizes = Sizes(n={"": 40, "b": 30}, positives={"a": 10}, unanswered={"": None}, runs={"b": 3})
    a, part, b = read_table(path, sizes=sizes)
    assert (a.n, a.positives, a.unanswered, a.runs) == (40, 10, None, None)
    assert (part.n, part.positives) == (5, None)
    assert (b.n, b.positives, b.runs) == (30, None, 3)


def test_unanswered_cases_are_0_unless_the_table_states_any(tmp_path):
    (plain,) = read_table(written(tmp_path, "accuracy\n50\n"))
    (rate,) = read_table(written(tmp_path, "accuracy,invalid\n50,10\n"))
    (any_number,) = read_table(written(tmp_path, "accuracy,unanswered\n50,any\n"))
    (some,) = read_table(written(tmp_path, "accuracy,n,unanswered\n50,10,2\n"))
    assert [one.unanswered for one in (plain, rate, any_number, some)] == [0, None, None, 2]


def test_empty_figures_and_ignored_metrics_are_left_out(tmp_path):
    path = written(tmp_path, "metric,value,arm\nmacro_f1,61.3,D\nfpr,-,D\nseconds,12,D\n\nF1,60,C\n")
    cells = read_table(path, names={"seconds": "ignore", "F1": "macro_f1"})
    assert [list(cell.figures) for cell in cells] == [["macro_f1"], ["macro_f1"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: no column is a rate"),
        ("a,b\n1,2\n", r":1: no column is a rate"),
        ("metric,n\nfpr,3\n", r":1: only one of the columns metric and value"),
        ("fpr,fpr\n1,2\n", r":1: two columns 'fpr'"),
        ("fpr\n", r"table\.csv: no figures"),
        ("metric,value\nf1,60\n", r":2: unknown rate 'f1' .*--as f1=RATE"),
        ("arm,fpr\nD,x\n", r":2: 'x' is not a number"),
        ("arm,fpr\nD,1e3\n", r":2: '1e3' is not a number"),
        ("arm,fpr\nD,1,2\n", r":2: 3 fields under 2 columns"),
        ("arm,fpr\nD,1\n\nD,2\n", r":4: fpr of this cell is also on line 2"),
        ("fpr,n\n1,x\n", r":2: n 'x' is not a number of cases"),
        ("fpr,n\n1,0\n", r":2: n '0' is not a number of cases"),
        ("fpr,runs\n1,0\n", r":2: runs '0' is not a number of runs"),
        ("fpr,n,positives\n1,4,5\n", r":2: 5 positives of 4 cases"),
        ("fpr,n,unanswered\n1,4,5\n", r":2: 5 unanswered of 4 cases"),
        ("metric,value,n\nfpr,1,4\nfnr,1,5\n", r":3: n, positives, unanswered, runs differ from line 2"),
        ('arm,fpr\n"D,1\n', r"table\.csv: cannot read the table"),
    ],
)
def test_bad_input_is_reported_with_file_and_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path, text))


def test_a_missing_file_and_one_that_is_not_utf8_are_reported(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: cannot read the table: No such file"):
        read_table(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes("fpr\n\xe9\n".encode("latin-1"))
    with pytest.raises(UserError, match="cannot read the table"):
        read_table(path)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("arm,fpr\n" + text, encoding="utf-8", errors="ignore")
    cells = []
    with suppress(UserError):
        cells = read_table(path)
    assert all(list(cell.figures) == ["fpr"] for cell in cells)
