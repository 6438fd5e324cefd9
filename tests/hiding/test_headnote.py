"""The reporter's headnote is found from its heading or page marks to the start of the judgment."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.hiding.headnote import find_headnote

PARTIES = "PETITIONER:\nMOHAN LAL\n\n\tVs.\n\nRESPONDENT:\nSTATE OF SANDPUR\n\nDATE OF JUDGMENT:\n01/02/1961\n\n"
HELD = "The tenant took the well on lease.\nHeld, that the right of way was lost. [520A-D]\n\n"
COURT = "The tenant came to this Court by special leave. The well lies beyond the lower road.\n" * 8


def found(text: str) -> str:
    stretch = find_headnote(text)
    return text[slice(*stretch)] if stretch else ""


@pytest.mark.parametrize(
    "heading", ["HEADNOTE:\n", "HEAD NOTE\n", "Headnote:\n", "H E A D N O T E\n", "Head-notes\u2020\n", "CASE NOTE:\n"]
)
@pytest.mark.parametrize(
    "judgment",
    [
        "JUDGMENT:\n",
        "J U D G M E N T\n",
        "Judgment\n",
        "COMMON JUDGMENT AND ORDER\n",
        "O R D E R\n",
        "CIVIL APPELLATE JURISDICTION: Civil Appeal No. 7 of 1961.\n",
        "The Judgment of the Court was delivered by\nRAO, J.",
    ],
)
def test_headnote_extends_from_its_heading_to_the_judgment(heading, judgment):
    assert found(PARTIES + heading + HELD + judgment + COURT) == heading + HELD


def test_catchwords_above_the_heading_belong_to_the_headnote():
    reporters = "ACT:\nWells--Right of way--Whether lost by lapse of time.\n\nHEADNOTE:\n" + HELD
    assert found(PARTIES + reporters + "JUDGMENT:\n" + COURT) == reporters


def test_invisible_characters_make_no_difference():
    reporters = "HEAD\u00adNOTE:\n" + HELD
    assert found(PARTIES + reporters + "JUDG\u200bMENT:\n" + COURT) == reporters


def test_without_a_heading_a_held_or_marked_paragraph_starts_the_headnote():
    assert found(PARTIES + HELD + "JUDGMENT:\n" + COURT) == HELD
    assert found(PARTIES + HELD.replace(" [520A-D]", "") + "JUDGMENT:\n" + COURT).startswith("The tenant took")
    marked = HELD.replace("Held, that the", "The")
    assert found(PARTIES + marked + "JUDGMENT:\n" + COURT) == marked


def test_remains_of_a_headnote_at_the_start_of_a_text_are_found():
    text = "was lost by lapse of time.\r\n[414A B] & CIVIL APPELLATE JURISDICTION: Civil Appeal No. 7.\r\n" + COURT
    assert found(text) == "was lost by lapse of time.\r\n[414A B] & "


def test_without_a_judgment_heading_it_ends_with_the_held_or_marked_paragraph():
    text = PARTIES + "HEADNOTE:\n" + HELD + COURT
    assert found(text) == ("HEADNOTE:\n" + HELD).rstrip()
    short = "HEADNOTE:\nThe right of way was lost."
    assert found(f"{PARTIES}{short}\n\n{COURT}") == short
    assert found(PARTIES + HELD + COURT).startswith("The tenant took the well")


@pytest.mark.parametrize(
    "text",
    [
        "",
        COURT,
        PARTIES + "JUDGMENT:\n" + COURT,
        COURT + "The headnote of that report gives the facts.\nHEADNOTES are no part of a judgment.\n" + COURT,
        PARTIES + "JUDGMENT:\n" + COURT + "Held, that no notice was due. [12A-B]\n" + COURT,
        COURT + "In [1961] 2 S.C.R. 12 the Court held so.\nHeld up by rain he came late.\n" + COURT,
    ],
    ids=["empty", "no head", "parties only", "mentions one", "marks in the judgment", "citations"],
)
def test_other_texts_have_no_headnote(text):
    assert find_headnote(text) is None


@given(st.text(st.sampled_from("HEADNOTE:JUDGMENT held[12A-B]\n .")), st.booleans())
def test_offsets_lie_within_any_text(text, marked):
    stretch = find_headnote("HEADNOTE:\n" + text if marked else text)
    assert stretch is None or 0 <= stretch[0] <= stretch[1] <= len(text) + 10


@pytest.mark.data
def test_every_headnote_of_build_is_found_without_the_parties():
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    from legalrr.corpora.catalogue import card

    reader = card("build").reader()
    judgments = [j for j in reader.read(reader.split) if "\nHEADNOTE:" in j.text]
    assert len(judgments) > 70
    for judgment in judgments:
        start, end = find_headnote(judgment.text)
        assert judgment.text.index("PETITIONER:") < judgment.text.index("RESPONDENT:") < start
        assert judgment.text[start:].startswith(("ACT:", "HEADNOTE:")), judgment.id
        assert judgment.text[end:].startswith("JUDGMENT:"), judgment.id
