import pytest

from legalrr.report.views import View


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
def test_a_column_is_numeric_if_it_has_filled_cells_and_all_begin_like_numbers(cells, number):
    assert View(header=("Column",), rows=tuple((cell,) for cell in cells)).is_number(0) is number


def test_an_empty_column_is_set_to_the_left_in_markdown():
    assert View(header=("Arm", "n"), rows=(("plain", ""),)).markdown().splitlines()[1] == "| --- | --- |"
