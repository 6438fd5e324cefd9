"""The law reporter's closing line is found only at the very end of a judgment."""

import pytest

from legalrr.hiding.headnote import find_closing_line


@pytest.mark.parametrize(
    "line",
    [
        "V.P.S. Appeal dismissed.",
        "R.P. Petition allowed.",
        "Appeals partly allowed.",
        "S. R.            Appeal allowed in part.",
        "N.V.K.\nPetitions dismissed",
        "Appeal Allowed.",
        "Criminal Appeal No. 534/89 allowed.",
        "Appeal allowed and case remanded.",
        "T.N.A. Appeal dis- missed.",
        "Petition disposed of.",
        "Rule discharged.",
        "G.C. Appeal dismissed.\n (1) [1965] 2 S.C.R. 94.\n 602",
    ],
)
def test_closing_line_is_found_with_the_reporters_initials(line):
    body = "The tenant had notice. It was good.\n\n"
    text = f"{body}{line}\n\n"
    found = find_closing_line(text)
    assert found is not None
    assert text[slice(*found)] == line
    assert found[0] == len(body)


@pytest.mark.parametrize(
    "ending",
    [
        "The notice was good.",
        "The appeal is dismissed.",
        "He had his first appeal dismissed by the Judge, who thought that it was late.",
        "Appeal dismissed. The tenant then came to this Court and was heard.",
        "",
    ],
)
def test_other_endings_are_not_closing_lines(ending):
    assert find_closing_line(f"The tenant had notice. {ending}") is None


def test_closing_line_without_a_judgment_is_found():
    assert find_closing_line("Appeal allowed.") == (0, 15)


@pytest.mark.parametrize("text", ["", " " * 100_000, "A. " * 50_000, "Appeal Nos. " * 20_000, "1, " * 50_000])
def test_only_the_end_is_searched_in_linear_time(text):
    assert find_closing_line(text) is None
