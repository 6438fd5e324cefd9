import csv
import io

import pytest

from legalrr.report.paper_table import (
    Line,
    PaperTable,
    TableBlock,
    TableNumber,
    as_csv,
    latex,
    markdown,
)


@pytest.fixture
def table():
    own = TableBlock(
        title="build, a_model & co",
        lines=(
            Line(
                score="Macro-F1",
                figures={
                    "D/R": TableNumber(value=0.75, interval=(0.61234567, 0.85), method="BCa", n=44, p_holm=0.04),
                    "none": TableNumber(value=0.5, n=44, p_holm=0.2, notes=("no interval: too few",)),
                },
            ),
            Line(score="FPR", figures={"none": TableNumber(value=None, notes=("none|dismissed",))}),
        ),
    )
    printed = TableBlock(
        title="Dataset 1",
        lines=(Line(score="Macro-F1", figures={"D/R": TableNumber(value=0.6818, n=44)}, notes=("is accuracy",)),),
        source="printed elsewhere",
        notes=("44 cases", "no interval: too few"),
    )
    return PaperTable(caption="In 100 %", columns=("D/R", "none"), blocks=(own, printed), notes=("* differs",))


MARKDOWN = """\
In 100 %

|  | D/R | none |
| --- | ---: | ---: |
| **build, a_model & co** |  |  |
| Macro-F1 | 75.00* [61.2, 85.0] | 50.00[1] |
| FPR |  | -[2] |
| **Dataset 1; printed elsewhere**[1,3] |  |  |
| Macro-F1[4] | 68.18 |  |

- * differs
- [1] no interval: too few
- [2] none|dismissed
- [3] 44 cases
- [4] is accuracy
"""

LATEX = r"""% needs \usepackage{booktabs}
\begin{table*}
\centering\small\setlength{\tabcolsep}{3pt}
\caption{In 100 \%}
\begin{tabular}{lrr}
\toprule
 & D/R & none \\
\midrule
\multicolumn{3}{l}{\textbf{build, a\_model \& co}} \\
Macro-F1 & 75.00* & 50.00\textsuperscript{1} \\
 & {\scriptsize [61.2, 85.0]} &  \\
FPR &  & -\textsuperscript{2} \\
\midrule
\multicolumn{3}{l}{\textbf{Dataset 1; printed elsewhere}\textsuperscript{1,3}} \\
Macro-F1\textsuperscript{4} & 68.18 &  \\
\bottomrule
\end{tabular}
\par\medskip
\begin{minipage}{\linewidth}\footnotesize\raggedright
* differs\par
\textsuperscript{1} no interval: too few\par
\textsuperscript{2} none\textbar{}dismissed\par
\textsuperscript{3} 44 cases\par
\textsuperscript{4} is accuracy\par
\end{minipage}
\end{table*}
"""


def test_markdown_has_intervals_stars_and_numbered_footnotes(table):
    assert markdown(table) == MARKDOWN


def test_latex_is_booktabs_with_the_intervals_below(table):
    assert latex(table) == LATEX


def test_csv_has_a_row_per_number_with_all_digits_and_footnotes(table):
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(row["score"], row["column"], row["value"]) for row in rows] == [
        ("Macro-F1", "D/R", "0.750000"),
        ("Macro-F1", "none", "0.500000"),
        ("FPR", "none", ""),
        ("Macro-F1", "D/R", "0.681800"),
    ]
    first, *_, last = rows
    assert (first["low"], first["high"], first["n"], first["interval"], first["p_holm"]) == (
        *("0.612346", "0.850000"),
        *("44", "BCa", "0.040000"),
    )
    assert (last["source"], last["notes"]) == ("printed elsewhere", "44 cases; no interval: too few; is accuracy")


def test_star_and_interval_follow_the_bound_of_invalid_answers():
    figures = {
        "D/R": TableNumber(value=0.2, interval=(0.1, 0.3), p=0.001, p_holm=0.003, p_holm_bound=0.02),
        "none": TableNumber(value=0.2, interval=(0.1, 0.3), p=0.001, p_holm=0.003, p_holm_bound=0.3),
    }
    blocks = (TableBlock(title="b", lines=(Line(score="D", figures=figures),)),)
    one = PaperTable(caption="c", columns=("D/R", "none"), blocks=blocks)
    p_values = "p 0.0010, Holm 0.0030, bound"
    assert f"| 20.00* [10.0, 30.0]; {p_values} 0.0200 | 20.00 [10.0, 30.0]; {p_values} 0.3000 |" in markdown(one)
    assert [row["p_holm_bound"] for row in csv.DictReader(io.StringIO(as_csv(one)))] == ["0.020000", "0.300000"]


def test_differences_have_a_sign():
    figure = TableNumber(value=-0.01, interval=(-0.02, 0.0))
    line = Line(score="D", figures={"Accuracy": figure, "YES rate": TableNumber(value=0.0)})
    columns = ("Accuracy", "YES rate")
    one = PaperTable(caption="c", columns=columns, blocks=(TableBlock(title="b", lines=(line,)),), signed=True)
    assert "| D | -1.00 [-2.0, +0.0] | +0.00 |" in markdown(one)
    assert latex(one).endswith("\\end{tabular}\n\\end{table*}\n")


def test_wide_latex_is_split_into_groups_of_columns_that_fit_two_columns_of_a4(latex_widths):
    names = ("D/R/C", "D/R", "D/C", "D", "R/C", "R", "C", "none")
    one = wide_table(names, TableNumber(value=1.0, interval=(0.801, 1.0), p_holm=0.01, notes=("a", "b")))
    made = latex(one)
    assert made.count(r"\begin{tabular}{lrrrr}") == 2
    assert max(latex_widths(made)) <= 452
    assert made.count("Macro-F1") == 2


def test_the_table_of_the_study_is_not_split(latex_widths):
    names = ("D/R/C", "D/R", "D/C", "D", "R/C", "R", "C", "none")
    made = latex(wide_table(names, TableNumber(value=0.7512, interval=(0.612, 0.853), p_holm=0.01)))
    assert made.count(r"\begin{tabular}{lrrrrrrrr}") == 1
    assert max(latex_widths(made)) <= 452


def test_p_is_on_a_line_of_its_own_in_latex(latex_widths):
    figure = TableNumber(value=-0.2, interval=(-0.31, -0.1), p=0.001, p_holm=0.003, p_holm_bound=0.02)
    figures = {"Macro-F1": figure, "Accuracy": TableNumber(value=-0.2, interval=(-0.31, -0.1))}
    block = TableBlock(title="build", lines=(Line(score="D", figures=figures),))
    made = latex(PaperTable(caption="Effects.", columns=("Macro-F1", "Accuracy"), blocks=(block,)))
    interval = r"{\scriptsize [-31.0, -10.0]}"
    assert rf" & {interval} & {interval} \\" in made
    assert " & {\\scriptsize p 0.0010, Holm 0.0030, bound 0.0200} &  \\\\" in made
    assert made.count(r"\begin{tabular}") == 1
    assert max(latex_widths(made)) <= 452


@pytest.mark.parametrize("options", ["10pt,a4paper,twocolumn", "10pt,twocolumn", "11pt,twocolumn"])
def test_tex_finds_no_overfull_box_in_a_table_for_papers(compile_latex, options):
    figure = TableNumber(value=1.0, interval=(0.801, 1.0), p=0.1, p_holm=0.2, notes=("an_unbroken/" * 30, "b"))
    columns = ("D/R/C", "D/R", "another_heading_" * 5, "none")
    made = latex(wide_table(columns, figure, "BERTScore of a/model-with_a_name" * 4))
    assert compile_latex(made, options) == []


def wide_table(columns, figure, score="FPR"):
    """Return a table with a long title and the same number everywhere."""
    lines = tuple(Line(score=name, figures=dict.fromkeys(columns, figure)) for name in ("Macro-F1", score))
    block = TableBlock(title="build (test), roles: gold, " + "a_long/name-of_a.model" * 9, lines=lines, notes=("c",))
    return PaperTable(caption="Shares in percent.", columns=columns, blocks=(block,), notes=("* differs",))
