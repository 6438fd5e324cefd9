"""What the tagger sees of a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.segment.features import CUES, features


def test_a_sentence_sees_itself_and_its_neighbours():
    first, second, third = features(["Counsel urged delay.", "Section 5 applies.", "Dismissed."])
    assert {"w=counsel", "w=urged", "b=urged_delay", "f1=counsel", "f3=counsel_urged_delay", "last=delay"} <= set(first)
    assert {"cue=counsel", "cue=urged", "-1:edge", "+1:w=section", "+1:cue=statute"} <= set(first)
    assert {"w=0", "-1:cue=urged", "+1:w=dismissed"} <= set(second)
    assert {"+1:edge", "start=2", "end=0", "at=6", "len=1"} <= set(third)


def test_a_document_without_sentences_has_no_features():
    assert features([]) == []


@given(st.lists(st.text(max_size=30), max_size=8))
def test_every_sentence_of_any_text_has_features_without_repeats(sentences):
    found = features(sentences)
    assert len(found) == len(sentences)
    assert all(len(names) == len(set(names)) for names in found)


@pytest.mark.parametrize("unit", [" ", ".", "\"'", "1950 ", "a ", "?"])
def test_a_long_sentence_takes_no_quadratic_time(unit):
    (found,) = features(["In 1950" + unit * 200_000 + "x"])
    assert "at=0" in found


CUED = {
    "for_petitioner": "Mr. Sen for the appellant.",
    "for_respondent": "Mr. Das for the State.",
    "precedent": "See Ram v. Shyam.",
    "this_court_held": "This Court held otherwise.",
    "statute_reads": "The section reads thus.",
    "lower_court": "The Tribunal agreed.",
    "lower_did": "He was convicted.",
    "order": "No order as to costs.",
    "issue": "Whether he was served?",
    "court_view": "In our opinion it is so.",
    "reasoning": "Therefore it follows.",
    "date": "He came on 3.4.1970.",
    "witness": "P.W. 3 deposed.",
    "capitals": "IN THE HIGH COURT OF MADRAS",
    "parties": "Ram Lal ... Appellant",
    "quotation": '"It was so."',
}


@pytest.mark.parametrize("cue", CUED)
def test_each_cue_fires_on_its_sentence_and_not_on_a_plain_one(cue):
    assert CUES[cue].search(CUED[cue])
    assert not CUES[cue].search("The shop was let to him.")
