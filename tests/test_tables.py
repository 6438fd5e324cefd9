import csv
import io

import pytest
from rich.console import Console

from legalrr.errors import UserError
from legalrr.tables import Table, write_files

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
    assert lines[4] == r"a|b \& c & 10 \\"


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
