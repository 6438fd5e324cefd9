from typing import Any

import pytest

from legalrr.party import HEAD, LONGEST_NAME, Side, find_party
from legalrr.records import Block, Document, Judgment, Segments, Span
from legalrr.restructure import Restructure


def side(preamble: str, rest: str = "", *, named: bool = True, **fields: Any) -> Side:
    """The party of a judgment of a preamble and facts, all visible."""
    text = f"{preamble}\n{rest}"
    blocks = [Block(role="PREAMBLE", start=0, text=preamble)] if preamble else []
    blocks += [Block(role="FAC", start=len(preamble) + 1, text=rest)] if rest else []
    document = Document(id="j", scheme="build", headings=False, blocks=tuple(blocks))
    return find_party(Judgment(id="j", text=text, **fields), document, named=named)


@pytest.mark.parametrize(
    ("preamble", "name", "role"),
    [
        ("Kishan Lal S/o Ram, .. APPELLANT", "Kishan Lal", "appellant"),
        ("HIGH COURT\nCRIMINAL APPEAL NO. 7 OF 2003\n\n  Kishan Lal   ...Appellant", "Kishan Lal", "appellant"),
        ("W.P.(C) 12/2011\nSmt. Meera Bai & Ors. ..... Petitioners", "Smt. Meera Bai", "petitioner"),
        ("BETWEEN:\n\n1. Kishan Lal, aged about 40 years, … Plaintiff", "Kishan Lal", "plaintiff"),
        ("PETITIONER:\nKISHAN LAL\n\n\tVs.\n\nRESPONDENT:\nSTATE OF SANDPUR", "KISHAN LAL", "petitioner"),
        ("PETITIONER:\nKISHAN LAL AND OTHERS\n\nRESPONDENT:\nSTATE", "KISHAN LAL", "petitioner"),
        ("PETITIONER:\nKishan Lal Vs. RESPONDENT:\nState", "Kishan Lal", "petitioner"),
        ("Appellant: The Sandpur Mills Ltd. and Anr.", "The Sandpur Mills Ltd", "appellant"),
        ("Plaintiff(s): Kishan Lal", "Kishan Lal", "plaintiff"),
        ("Kishan Lal v. State of Sandpur", "Kishan Lal", "appellant"),
        ("Kishan Lal versus Meera Bai", "Kishan Lal", "appellant"),
        ("KISHAN LAL VS STATE OF SANDPUR", "KISHAN LAL", "appellant"),
        ("Kishan Lal (and others) v. State of Sandpur", "Kishan Lal", "appellant"),
        ("Kishan   Lal etc. etc. v. State of Sandpur", "Kishan Lal", "appellant"),
    ],
)  # fmt: skip
def test_name_and_role_are_read_from_the_usual_heads(preamble: str, name: str, role: str) -> None:
    assert side(preamble) == Side(role=role, name=name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "preamble",
    [
        "",
        "Judgment of the bench, delivered in the monsoon session.",
        "Petitioner: by counsel",
        "Appellant: in person",
        f"{'Kishan Lal ' * 9}... Appellant",
        "Kishan Lal\nS/o Ram\nPlot number four\nSandpur ... Appellant",
        "1. Kishan Lal,\nSandpur.\n2. Meera Bai ... Petitioners",
        "BETWEEN:\nAll are residing at Sandpur ... Petitioners",
        "BETWEEN: ... Petitioners",
        "Kishan Lal v. State of Sandpur (1987) 2 XYZ 14",
        "12 / 45 ... Appellant",
        "... Appellant",
        "PETITIONER:\n\nRESPONDENT:\nState",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_doubtful_falls_back_to_the_role(preamble: str) -> None:
    assert side(preamble).name is None


def test_name_beyond_the_head_of_the_preamble_is_not_looked_for() -> None:
    assert side("x\n" * HEAD + "Kishan Lal v. State of Sandpur").name is None


def test_longest_name_is_taken_and_one_letter_more_is_not() -> None:
    name = "K" * LONGEST_NAME
    assert side(f"Appellant: {name}").name == name
    assert side(f"Appellant: {name}K").name is None


def test_name_is_left_out_on_request_but_not_the_role() -> None:
    assert side("PETITIONER:\nKISHAN LAL", named=False) == Side(role="petitioner", name=None)


def test_what_the_corpus_says_counts_first() -> None:
    preamble = "PETITIONER:\nKISHAN LAL"
    assert side(preamble, party="plaintiff") == Side(role="plaintiff", name="KISHAN LAL")
    assert side(preamble, petitioner="Meera Bai") == Side(role="petitioner", name="Meera Bai")
    assert side(preamble, party="appellant", petitioner="Meera Bai") == Side(role="appellant", name="Meera Bai")
    assert side(preamble, petitioner="Meera Bai", named=False) == Side(role="petitioner", name=None)


def test_without_a_stated_role_the_word_used_most_counts() -> None:
    assert side("", "The plaintiff sued. The Plaintiffs won. The appellant came here.").role == "plaintiff"


def test_without_any_word_for_it_the_party_is_the_appellant() -> None:
    assert side("", "Nobody is named.") == Side(role="appellant", name=None)


def test_party_reads_as_in_a_question() -> None:
    assert str(Side(role="petitioner")) == "the petitioner"
    assert str(Side(role="petitioner", name="Meera Bai")) == "the petitioner, Meera Bai"


def judgment(*parts: tuple[str, str]) -> tuple[Judgment, Segments]:
    text, spans = "", []
    for role, words in parts:
        text += "\n" if text else ""
        spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words
    return Judgment(id="j", text=text), Segments(id="j", scheme="build", spans=tuple(spans))


def test_nothing_hidden_enters_neither_name_nor_role() -> None:
    case, segments = judgment(
        ("PREAMBLE", "The bench of Sandpur."),
        ("FAC", "The appellant owns a well."),
        ("RPC", "Kishan Lal v. State of Sandpur. The petitioner, the petitioners, the petitioner."),
        ("RPC", "Meera Bai ... Petitioner"),
    )
    document = Restructure().restructure(case, segments, None, 0)
    assert find_party(case, document, named=True) == Side(role="appellant", name=None)


def test_arms_that_show_more_or_less_name_the_same_party() -> None:
    case, segments = judgment(
        ("FAC", "The appellant owns a well."), ("NONE", "The petitioner, that is, the petitioner, was heard at noon.")
    )
    arms = [Restructure(), Restructure(order="role"), Restructure(order="role", content="main")]
    sides = {find_party(case, arm.restructure(case, segments, None, 0), named=True) for arm in arms}
    assert sides == {Side(role="petitioner", name=None)}
