"""Features of sentences."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legalrr.segment.features import CUE_NAMES, CUES, WORD_CUES, cues, features, words_of


def test_a_sentence_has_features_of_itself_and_its_neighbours():
    first, second, third = features(["Counsel urged delay.", "Section 5 applies.", "Dismissed."])
    assert {"w=counsel", "w=urged", "b=urged_delay", "f1=counsel", "f3=counsel_urged_delay", "last=delay"} <= set(first)
    assert {"cue=counsel", "cue=urged", "-1:edge", "+1:w=section", "+1:cue=statute"} <= set(first)
    assert {"w=0", "-1:cue=urged", "+1:w=dismissed"} <= set(second)
    assert {"+1:edge", "start=2", "end=0", "at=6", "len=1", "-2:cue=urged", "+2:edge"} <= set(third)


def test_a_quotation_over_several_sentences_is_a_feature_of_each():
    found = features(["He said: “One.", "Two.", "Three.” So it was.", "Four."])
    assert [next(f for f in own if f.startswith("quote=")) for own in found] == [
        "quote=01",
        "quote=11",
        "quote=10",
        "quote=00",
    ]


def test_a_sentence_has_its_heading_and_the_distance_to_it():
    found = features(["He came.", "ARGUMENTS OF COUNSEL", "One.", "Two.", "Facts:", "Three."])
    assert {"head=", "since=1"} <= set(found[0])
    assert {"head=arguments of counsel", "head:counsel", "since=2"} <= set(found[3])
    assert {"head=facts", "since=1"} <= set(found[5])


def test_a_document_without_sentences_has_no_features():
    assert features([]) == []


def test_a_repeated_word_of_a_heading_is_a_repeated_feature():
    (found,) = features(["STATE VERSUS STATE:"])
    assert [name for name in found if name.startswith("head:")] == ["head:state", "head:versus", "head:state"]


@given(st.lists(st.text(max_size=30), max_size=8))
@example(["A:A", "B"])
@example(["A A:", "B"])
def test_features_are_distinct_except_words_of_headings(sentences):
    found = features(sentences)
    assert len(found) == len(sentences)
    for names in found:
        once = [name for name in names if not name.startswith("head:")]
        assert len(once) == len(set(once))


@pytest.mark.parametrize("unit", [" ", ".", "\"'", "1950 ", "a ", "?"])
def test_a_long_sentence_does_not_take_quadratic_time(unit):
    (found,) = features(["In 1950" + unit * 200_000 + "x"])
    assert "at=0" in found


CUED = {
    "relied": "He relied on the will.",
    "for_petitioner": "Mr. Sen for the appellant.",
    "for_respondent": "Mr. Das for the State.",
    "precedent": "See Ram v. Shyam.",
    "case_name": "See Ram vs Shyam.",
    "citation": "So in (1987) 2 SCC.",
    "this_court_held": "This Court held otherwise.",
    "distinguished": "The reliance is misplaced.",
    "statute": "Under section 5 he may.",
    "statute_reads": "The section reads thus.",
    "penal_code": "An offence under the I.P.C.",
    "lower_court": "The Tribunal agreed.",
    "order": "No order as to costs.",
    "result": "In the result he fails.",
    "issue": "Was he served?",
    "court_view": "In our opinion it is so.",
    "this_case": "In the instant case he did.",
    "came_here": "Hence this appeal.",
    "date": "He came on 3.4.1970.",
    "numbered_witness": "P.W. 3 came.",
    "money": "He paid Rs. 500.",
    "capitals": "IN THE HIGH COURT OF MADRAS",
    "parties": "Ram Lal ... Appellant",
    "quotation": '"It was so."',
    "paragraph_number": "12. He came.",
    "item": "(a) the land;",
    "that": "That he came.",
    "short": "He came.",
    "colon": "He said:",
    "semicolon": "the land; and",
}
PLAIN = "The shop that stands beside the river had been let to him for a year."


def test_every_pattern_has_an_example():
    assert set(CUED) == set(CUES)


@pytest.mark.parametrize("cue", CUED)
def test_each_pattern_matches_its_example_and_not_a_plain_sentence(cue):
    assert cue in cues(CUED[cue], words_of(CUED[cue]))
    assert cue not in cues(PLAIN, words_of(PLAIN))


@pytest.mark.parametrize("cue", WORD_CUES)
def test_each_word_of_a_cue_triggers_it(cue):
    assert all(cue in cues(word, [word]) for word in WORD_CUES[cue])
    assert cue not in cues(PLAIN, [word for word in words_of(PLAIN) if word not in WORD_CUES[cue]])


def test_cue_names_are_unique():
    assert len(CUE_NAMES) == len(set(CUE_NAMES))
