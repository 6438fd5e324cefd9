"""The law reporter's line is found at the very end of a judgment, and nowhere else."""

import pytest

from legalrr.hiding.headnote import closing_line


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
def test_the_closing_line_is_found_with_its_initials(line):
    body = "The tenant had notice. It was good.\n\n"
    text = f"{body}{line}\n\n"
    found = closing_line(text)
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
def test_other_endings_are_no_closing_line(ending):
    assert closing_line(f"The tenant had notice. {ending}") is None


def test_a_closing_line_alone_is_one():
    assert closing_line("Appeal allowed.") == (0, 15)


@pytest.mark.parametrize("text", ["", " " * 100_000, "A. " * 50_000, "Appeal Nos. " * 20_000, "1, " * 50_000])
def test_closing_line_looks_at_the_end_alone(text):
    assert closing_line(text) is None
