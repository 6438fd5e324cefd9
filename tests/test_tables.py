import csv
import io
import re
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from legalrr.errors import UserError
from legalrr.latex import latex_line
from legalrr.tables import NULL_WORDS, Table, csv_cell, markdown_line, standard_output, write_files

ROWS = Table(header=("Arm", "n"), rows=(("a|b & c", "10"), ('d,"e"', "")))


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (("1", "-0.500"), True),
        (("0.500 [0.1, 0.9]", ""), True),
        (("< 0.0001",), True),
        (("plain", "1"), False),
        (("", "plain"), False),
        (("", ""), False),
        ((), False),
    ],
)
def test_a_column_is_numeric_if_each_filled_cell_starts_like_a_number(cells, number):
    assert Table(header=("Column",), rows=tuple((cell,) for cell in cells)).is_number(0) is number


def test_an_empty_column_is_aligned_left_in_markdown():
    assert Table(header=("Arm", "n"), rows=(("plain", ""),)).markdown().splitlines()[1] == "| --- | --- |"


def test_a_column_of_numbers_is_aligned_right_in_markdown_and_marks_are_escaped():
    assert ROWS.markdown() == '| Arm | n |\n| --- | ---: |\n| a\\|b & c | 10 |\n| d,"e" |  |'


def test_explicit_alignment_overrides_the_inferred_one():
    table = Table(header=("Arm", "n"), rows=(("1", ""),), numeric=(False, True))
    assert table.markdown().splitlines()[1] == "| --- | ---: |"


def test_latex_is_a_booktabs_tabular_with_special_characters_escaped():
    lines = ROWS.latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[1] == r"\toprule"
    assert lines[4] == r"a\textbar{}b \& c & 10 \\"


def test_csv_round_trips_every_cell():
    assert list(csv.reader(io.StringIO(ROWS.csv()))) == [list(ROWS.header), *map(list, ROWS.rows)]
    assert ROWS.csv().endswith('"d,""e""",\n')


def test_records_have_empty_cells_for_none_and_missing_keys():
    table = Table.from_records([{"a": 1, "b": None}, {"b": True, "c": 0.5}], ("a", "b", "c"))
    assert table.rows == (("1", "", ""), ("", "True", "0.5"))


def test_a_record_with_an_unknown_key_raises():
    with pytest.raises(ValueError, match="no column for c, d"):
        Table.from_records([{"a": 1, "d": 2, "c": 3}], ("a", "b"))


@pytest.mark.parametrize(("grid", "lines"), [(False, False), (True, False), (True, True)])
def test_the_printed_table_has_every_cell_and_no_markup(grid, lines):
    console = Console(file=io.StringIO(), width=60)
    Table(header=("[red]Arm", "n"), rows=(("[bold]x[/bold]", "1\n2"), ("y", "3"))).show(console, grid=grid, lines=lines)
    text = console.file.getvalue()
    assert all(part in text for part in ("[red]Arm", "[bold]x[/bold]", "1", "2", "3"))
    assert ("┃" in text) == grid
    assert ("├" in text) == lines


def test_files_are_written_into_a_new_folder_or_an_error_is_raised(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert write_files(folder, {"a.txt": "one", "b.txt": "two"}) == [folder / "a.txt", folder / "b.txt"]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.txt": "one", "b.txt": "two"}
    with pytest.raises(UserError, match="cannot make this folder"):
        write_files(folder / "a.txt" / "below", {"c.txt": "three"})


def one_cell(text):
    return Table(header=("Arm", "n"), rows=((text, "1"),))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd()", "'=cmd()"),
        (" =cmd()", "' =cmd()"),
        ("'=cmd()", "''=cmd()"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\tx", "'\tx"),
        ("\r=1", "␍=1"),
        ("＝1", "'＝1"),
        ("a;=cmd()", "a;'=cmd()"),
        ("None", "'None"),
        ("'NA", "''NA"),
    ],
)
def test_a_text_that_reads_as_a_formula_or_as_missing_gets_an_apostrophe(text, cell):
    assert csv_cell(text) == cell


@pytest.mark.parametrize(
    "text",
    ["", "-", "-0.5", "+3", "-1.5e-05", "none", "D/R/C", "it's", "a = b", "[-0.1, 0.2]", "p; -0.5", "-.5", "-inf"],
)
def test_numbers_and_ordinary_names_stay_in_csv(text):
    assert csv_cell(text) == text


def test_no_null_word_is_missing_in_pandas_and_every_cell_comes_back():
    words = sorted(NULL_WORDS)
    read = pd.read_csv(io.StringIO(Table(header=("Arm",), rows=tuple((word,) for word in words)).csv()))
    assert [cell.removeprefix("'") for cell in read.Arm] == words


def test_the_null_words_are_those_of_pandas():
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES - {""} == NULL_WORDS


@given(st.lists(st.text(), min_size=1))
def test_any_cells_are_the_same_to_csv_and_pandas_and_no_formula(texts):
    table = Table(header=("Arm", "n"), rows=tuple((text, "1") for text in texts))
    rows = list(csv.reader(io.StringIO(table.csv(), newline="")))
    assert [row[0] for row in rows[1:]] == [csv_cell(text) for text in texts]
    read = pd.read_csv(io.StringIO(table.csv()), dtype=str, keep_default_na=False)
    assert list(read.Arm) == [csv_cell(text) for text in texts]
    for row in rows:
        assert row[0][:1] not in tuple("=@\t\r\n＝＠")
        assert "\x1b" not in row[0]


@given(st.text())
def test_any_text_is_one_row_of_markdown_without_markup(text):
    from markdown_it import MarkdownIt

    made = one_cell(f"a{text}b").markdown()
    assert len(made.splitlines()) == 3
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(made)
    kinds = {token.type for outer in tokens for token in (outer, *(outer.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert sum(token.type == "td_open" for token in tokens) == 2


@given(st.text())
def test_any_text_is_one_row_of_latex_without_commands(text):
    lines = one_cell(text).latex().split("\n")
    assert len(lines) == len(one_cell("a").latex().splitlines()) + 1
    (row,) = lines[4:5]
    assert row.endswith(r" & 1 \\")
    # A wide cell is a box with several lines.
    row = re.sub(r"^\\parbox\[t\]{[0-9.]+em}{\\raggedright (.*)\\strut} & 1", r"\1 & 1", row)
    row = row.replace(r"\allowbreak{}", "")
    known = ("backslash", "asciitilde", "asciicircum", "less", "greater", "bar")
    for name in (*(f"text{one}{{}}" for one in known), *"&%$#_{}"):
        row = row.replace("\\" + name, "")
    assert row.removeprefix("{}").count("\\") == 2
    assert "%" not in row


@pytest.mark.parametrize("text", ["[0pt]", "*x", " [x"])
def test_a_row_of_latex_that_starts_like_an_argument_is_separated(text):
    assert one_cell(text).latex().splitlines()[4] == rf"{{}}{text} & 1 \\"


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_no_line_break_leaves_a_comment_or_a_row(line_break):
    text = f"x{line_break}\\input{{y}}"
    assert len(latex_line(text).splitlines()) == 1
    assert len(markdown_line(text).splitlines()) == 1
    assert len(one_cell(text).latex().splitlines()) == len(one_cell("x").latex().splitlines())


def test_ordinary_lines_stay_in_markdown():
    text = "p < 0.05, own_table*; R&D (`x`), [0.1, 0.2]: n = 3 > 2 ✓ अपील"
    assert markdown_line(text) == text


HOSTILE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\rb\nc\u202e"


@pytest.mark.parametrize("grid", [False, True])
def test_no_cell_controls_the_terminal(grid):
    console = Console(file=io.StringIO(), width=90, force_terminal=True, color_system=None)
    Table(header=(HOSTILE, "n"), rows=((HOSTILE, "1"),)).show(console, grid=grid)
    text = console.file.getvalue()
    assert not set("\x1b\x07\x9b\r\u202e") & set(text)
    assert "␛[31mred␛]0;title␇" in text


def test_no_string_controls_standard_output(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    standard_output(90).print(HOSTILE + " [bold] :smile:", style="bold")
    assert out.getvalue() == "a␛[31mred␛]0;title␇\ufffd2J␍b\nc\ufffd [bold] :smile:\n"
