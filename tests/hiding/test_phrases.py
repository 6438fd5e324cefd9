"""Phrases find what one regular expression finds; an alternative is skipped only if it cannot match."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.hiding.phrases import Phrases, needed_strings
from legalrr.hiding.verdict_phrases import DECIDED, IMPLIED_OUTCOME
from legalrr.hiding.verdict_views import ARGUMENT_VIEW, CONCLUSION_VIEW, FIRST_PERSON_VIEW, LOWER_COURT_VIEW
from tests.hiding.test_verdict_cues import OTHERS, VERDICTS, VIEWS

LISTS = {
    "decided": DECIDED,
    "implied": IMPLIED_OUTCOME,
    "argument": ARGUMENT_VIEW,
    "conclusion": CONCLUSION_VIEW,
    "first person": FIRST_PERSON_VIEW,
    "lower court": LOWER_COURT_VIEW,
    "overlapping": Phrases(
        r"\bset\b.{0,9}\baside\b", r"aside (?:it|we)", r"\A\W*we\b", "(?<=we )set(?! off)", "[a-c]?de"
    ),
}
SENTENCES = [one if isinstance(one, str) else one[0] for one in (*VERDICTS, *OTHERS, *VIEWS)]
WORDS = sorted({word for sentence in SENTENCES for word in re.findall(r"\w+|[^\w\s]", sentence)})
WORDS += ["set", "aside", "ſet", "asıde", "İt"]


def spans(found):
    return [match.span() for match in found]


def one_pattern(phrases: Phrases) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in phrases.alternatives), re.IGNORECASE)


@pytest.mark.parametrize("name", LISTS)
@given(words=st.lists(st.sampled_from(WORDS), max_size=30), joined=st.booleans())
def test_matches_are_those_of_one_regular_expression(name, words, joined):
    text = ("" if joined else " ").join(words)
    assert spans(LISTS[name].finditer(text)) == spans(one_pattern(LISTS[name]).finditer(text))


@pytest.mark.parametrize("name", LISTS)
def test_sentences_about_outcomes_match_as_with_one_regular_expression(name):
    for text in (*SENTENCES, " ".join(SENTENCES)):
        assert spans(LISTS[name].finditer(text)) == spans(one_pattern(LISTS[name]).finditer(text))
        first = one_pattern(LISTS[name]).search(text)
        found = LISTS[name].search(text)
        assert (found and found.span()) == (first and first.span())


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        (r"\bthe (?:appeal|suit)s? fails?\b", {" fail"}),
        (r"\b(?:allow|dismiss)(?:ed|ing)\b", {"allow", "dismiss"}),
        (r"(?:never )?\w+", {""}),
        (r"a{0,3}|b", {""}),
        (r"(?:set aside){2}.*[xyz]", {"set aside"}),
        (r"(?<=hereby )[a-z]+(?! by)", {"hereby "}),
        (r"Held\b:", {"held:"}),
    ],
)
def test_the_needed_strings_of_a_pattern(pattern, needed):
    assert needed_strings(pattern) == needed


def test_letters_that_match_ascii_ones_are_found():
    other = "".join(map(chr, range(128, sys.maxunicode + 1)))
    alike = re.findall("[a-z]", other, re.IGNORECASE)
    assert len(alike) >= 3
    for letter in map(chr, range(ord("a"), ord("z") + 1)):
        for one in alike:
            assert bool(Phrases(letter).search(one)) == bool(re.search(letter, one, re.IGNORECASE)), (letter, one)
