import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.latex import (
    ESCAPES,
    SPAN_WIDTH,
    TEXT_WIDTH,
    Tabular,
    box,
    breakable,
    column_groups,
    escape_latex,
    row,
    text_width,
)

# Of the metrics of cmr10, in thousandths of 10 pt.
CMR10 = {"a": 500, "e": 444, "i": 278, "m": 833, "r": 392, "t": 389, "w": 722, "A": 750, "M": 917, "W": 1028, "0": 500}
CMR10 |= {"9": 500, ".": 278, ",": 278, "[": 278, "]": 278, "-": 333, "+": 778, "%": 833, "(": 389, " ": 333, "/": 500}
NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(st.text())
def test_escaped_text_has_no_special_characters_of_latex(text):
    known = "|".join(sorted(map(re.escape, ESCAPES.values()), key=len, reverse=True))
    assert not set(re.sub(known, "", escape_latex(text))) & set(ESCAPES)
    plain = escape_latex(text)
    for character, command in sorted(ESCAPES.items(), key=lambda item: -len(item[1])):
        assert plain.count(command) >= text.count(character)


@pytest.mark.parametrize("character", CMR10)
def test_a_character_is_at_least_as_wide_as_in_computer_modern(character):
    assert 0 <= text_width(character) - CMR10[character] / 100 < 0.8


@given(NAMES, st.floats(20, 200))
def test_breakable_text_keeps_its_characters_and_has_no_word_that_is_too_wide(text, width):
    made = breakable(text, width)
    assert made.replace(r"\allowbreak{}", "") == escape_latex(text)
    pieces = [piece for word in made.split(" ") for piece in word.split(r"\allowbreak{}")]
    for character, command in sorted(ESCAPES.items(), key=lambda item: -len(item[1])):
        pieces = [piece.replace(command, {"\\": "*"}.get(character, character)) for piece in pieces]
    assert all(text_width(piece) <= width for piece in pieces)


def test_a_long_word_breaks_after_punctuation_first():
    assert breakable("own/some-model_8b", 50) == r"own/\allowbreak{}some-\allowbreak{}model\_\allowbreak{}8b"
    assert breakable("a short one", 50) == "a short one"


def test_a_wide_cell_has_several_lines():
    assert box("narrow", 50) == "narrow"
    assert box("two words", 30) == r"\parbox[t]{3.00em}{\raggedright two words\strut}"
    assert box("two words", 30, head=True, right=True) == r"\parbox[b]{3.00em}{\raggedleft two words\strut}"


def test_a_row_that_starts_like_an_argument_is_separated():
    assert row(["[x]", "1"]) == r"{}[x] & 1 \\"
    assert row(["x", "1"]) == r"x & 1 \\"


def test_columns_are_split_into_few_groups_of_similar_width_that_repeat_the_keys():
    assert column_groups([30, 40, 40, 40], 1, 200, space=10) == [[0, 1, 2, 3]]
    assert column_groups([30, 40, 40, 40, 40], 1, 190, space=10) == [[0, 1, 2], [0, 3, 4]]
    assert column_groups([30, 20, 40, 40], 2, 120, space=10) == [[0, 1, 2], [0, 1, 3]]
    assert column_groups([30, 900], 1, 100) == [[0, 1]]
    assert column_groups([30], 1, 100) == [[0]]


@given(st.lists(st.floats(1, 90), min_size=1, max_size=12), st.integers(0, 2))
def test_each_column_is_in_a_group_that_fits(widths, keys):
    keys = min(keys, len(widths))
    groups = column_groups(widths, keys, 300, space=6)
    assert [column for group in groups for column in group[keys:]] == list(range(keys, len(widths)))
    assert all(group[:keys] == list(range(keys)) for group in groups)
    assert all(sum(widths[column] + 6 for column in group) <= 300 for group in groups)


@given(st.data())
def test_any_table_fits_the_text_of_an_article(latex_widths, data):
    columns = data.draw(st.integers(1, 6))
    cells = data.draw(st.lists(st.lists(NAMES, min_size=columns, max_size=columns), min_size=1, max_size=4))
    numeric = data.draw(st.lists(st.booleans(), min_size=columns, max_size=columns))
    made = Tabular(header=cells[0], rows=cells[1:], numeric=numeric).render()
    assert max(latex_widths(made)) <= TEXT_WIDTH
    assert TEXT_WIDTH < SPAN_WIDTH


@pytest.mark.parametrize("options", ["10pt", "11pt", "12pt"])
def test_tex_finds_no_overfull_box_in_tables_of_wide_cells(compile_latex, options):
    wide = ("M" * 40, "own/some-model_8b&more of it, with words", "<W>" * 30, "|\\~^%$#_{}|" * 9)
    header = ("Arm", "Score", "Difference [95%]", "Smallest detectable", *(f"{name}W" * 9 for name in "abc"))
    rows = [(*wide, "-0.123 [-0.456, +0.789]", "< 0.0001", "1000"), ("[x]", "*y", "1", "2", "3", "4", "5")]
    made = Tabular(header=header, rows=rows, numeric=(False, False, *[True] * 5)).render()
    assert made.count(r"\begin{tabular}") > 1
    assert compile_latex(f"\\small\\noindent\n{made}", options) == []
