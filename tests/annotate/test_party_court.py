from typing import Any

import pytest

from legalrr.annotate.party import MAX_COURT_LENGTH, find_court
from legalrr.annotate.party_role import CAPTION_LENGTH
from legalrr.records import Block, Document, Hidden, Judgment

REPORT = "PETITIONER:\nKISHAN LAL\n\nVs.\n\nRESPONDENT:\nSTATE\n\nCITATION:\n1952 SCR 202"


def court(preamble: str, *, role: str = "PREAMBLE", start: int = 0, **fields: Any) -> str:
    text = " " * start + preamble
    blocks = (Block(role=role, start=start, text=preamble),)
    document = Document(id="j", scheme="build", headings=False, blocks=blocks)
    return find_court(Judgment(id="j", text=text, **fields), document)


@pytest.mark.parametrize(
    ("preamble", "name"),
    [
        ("REPORTABLE\n\n   IN THE SUPREME COURT OF INDIA\nCRIMINAL APPEAL NO. 7", "the Supreme Court of India"),
        (REPORT, "the Supreme Court of India"),
        ("* IN THE HIGH COURT OF DELHI AT NEW DELHI", "the High Court of Delhi"),
        ("IN THE HIGH COURT OF JUDICATURE AT BOMBAY\nNAGPUR BENCH", "the High Court of Bombay"),
        ("IN THE HIGH COURT OF KARNATAKA, DHARWAD BENCH", "the High Court of Karnataka"),
        ("IN THE GAUHATI HIGH COURT", "the High Court of Gauhati"),
        ("IN THE HIGH COURT OF JUDICATURE AT BOMBY", "an Indian court"),
        ("IN THE COURT OF THE III ADDITIONAL SESSIONS JUDGE AT MYSORE", "an Indian court"),
        ("The judgment of the Supreme Court of India was cited.", "an Indian court"),
        ("", "an Indian court"),
    ],
)
def test_court_is_read_from_a_clean_heading(preamble: str, name: str) -> None:
    assert court(preamble) == name


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("Supreme Court of India", "the Supreme Court of India"),
        ("the High Court of Gujarat", "the High Court of Gujarat"),
        ("Income Tax  Appellate\nTribunal", "the Income Tax Appellate Tribunal"),
        ("Delhi", "an Indian court"),
        ("Court " + "n" * MAX_COURT_LENGTH, "an Indian court"),
    ],
)
def test_court_of_the_corpus_takes_precedence(stated: str, name: str) -> None:
    assert court("IN THE HIGH COURT OF DELHI", court=stated) == name


def test_only_the_visible_preamble_at_the_head_is_searched() -> None:
    heading = "IN THE SUPREME COURT OF INDIA"
    assert court(heading, role="FAC") == "an Indian court"
    assert court(heading, start=CAPTION_LENGTH) == "an Indian court"
    document = Document(
        id="j", scheme="build", headings=False, blocks=(), hidden=(Hidden(start=0, end=9, role="RPC", reason="role"),)
    )
    assert find_court(Judgment(id="j", text=heading), document) == "an Indian court"
