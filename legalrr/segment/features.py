"""What a tagger sees of a sentence and its neighbours, as strings for a linear-chain CRF.

The kinds, by prefix; the first group is also given for the sentence before (`-1:`) and the one after (`+1:`):

    w=      each different word, in small letters, digits as 0
    cue=    each cue pattern that matches (`CUES`)
    b=      each pair of adjacent words
    f1= f2= f3=   the first one, two, three words
    last=   the last word
    len=    number of words, in powers of two
    start= end=   how many sentences stand before and after, in powers of two
    at=     tenth of the document
    edge=   first or last sentence

Words and position are those of Bhattacharya et al. (JURIX 2019); the cue patterns are this project's own.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

FEATURES = 1
"""Counts up with every change that makes models trained before useless."""

CUES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        # "It was urged by learned counsel for the appellant that ..."
        "counsel": r"\b(?:counsel|advocate|senior counsel|solicitor general|amicus)\b",
        "urged": r"\b(?:urged|submitt?ed|contend(?:s|ed)|argued|contention|submissions?|pleaded|relied (?:up)?on)\b",
        "for_petitioner": r"\b(?:for|by|of) the (?:appellants?|petitioners?|applicants?)\b",
        "for_respondent": r"\b(?:for|by|of) the (?:respondents?|state|revenue|prosecution|union)\b",
        # "Ram Avtar v. State, (1987) 2 S.C.C. 1"
        "precedent": r"\bvs?\.\s|\bsupra\b"
        r"|\b(?:19|20)\d\d\)?\s{0,3}\d{0,4}\s{0,3}(?:S\.?C\.?C|S\.?C\.?R|A\.?I\.?R|I\.?T\.?R)"
        r"|\bA\.?I\.?R\.?\s{0,3}(?:19|20)\d\d",
        "this_court_held": r"\b(?:this|supreme|apex|high) court (?:has |had )?(?:held|observed|laid down|considered)\b",
        # "Section 5 of the Act provides that ..."
        "statute": r"\b(?:section|sections|article|articles|rule|rules|clause|s\.|ss\.|art\.)\s*\d",
        "statute_reads": r"\b(?:reads? (?:as|thus)|provides? (?:that|for|as)|shall be (?:punish|deemed)|proviso)\b",
        # "The trial Court convicted the accused; the High Court affirmed it."
        "lower_court": r"\b(?:trial court|sessions? (?:court|judge)|magistrate|tribunal|courts? below|lower court"
        r"|single judge|division bench|district judge|munsif|assessing officer|commissioner|high court)\b",
        "lower_did": r"\b(?:convicted|acquitted|sentenced|decreed|affirmed|confirmed|dismissed|allowed|reversed)\b",
        # "The appeal is accordingly allowed; no order as to costs."
        "order": r"\b(?:is|are|be|stands?) (?:hereby |accordingly |therefore )*"
        r"(?:allowed|dismissed|set aside|quashed|disposed)|\bno (?:order|costs)\b|\borders? accordingly\b|\bcosts\b"
        r"|\bwe (?:direct|order|dismiss|allow)\b",
        # "The question for consideration is whether ..."
        "issue": r"\bwhether\b|\bquestions?\b.{0,60}\b(?:arises?|consider|decid|determin|answer)|\?\Z"
        r"|\bpoints? for\b",
        # "In our opinion the contention cannot be accepted."
        "court_view": r"\b(?:in (?:our|my) (?:opinion|view|judgment)|we (?:are|find|hold|do not|think|agree|see)"
        r"|i (?:am|find|hold))\b",
        "reasoning": r"\b(?:therefore|hence|thus|accordingly|it follows|clearly|it is clear|cannot be|we have)\b",
        # "On 3 March 1987 the complainant lodged a report."
        "date": r"\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b(?:january|february|march|april|june|july|august|september"
        r"|october|november|december)\b",
        "witness": r"\b(?:P\.?W|D\.?W)s?\b|\bwitness|\bdepos|\bexhibit|\bEx\.",
        # "IN THE HIGH COURT OF ..., Appellant, versus ..."
        "capitals": r"(?-i:\A[^a-z]{6,}\Z)",
        "parties": r"\.\.\s{0,40}(?:appellant|petitioner|respondent)|\bversus\b|\bcoram\b|\bhon'?ble\b|\bbench\b",
        "quotation": r"\A\W{0,4}[\"“']|[\"”']\W{0,4}\Z",
    }.items()
}
"""Cue patterns by name."""

_WORD = re.compile(r"\w+(?:['’]\w+)?")
_DIGIT = re.compile(r"\d")


def features(sentences: Sequence[str]) -> list[list[str]]:
    """Feature strings of each sentence of one document, in order."""
    words = [_words(sentence) for sentence in sentences]
    common = [_common(sentence, own) for sentence, own in zip(sentences, words, strict=True)]
    total = len(sentences)
    found = []
    for i, own in enumerate(words):
        found.append(
            [
                *common[i],
                *(f"-1:{name}" for name in (common[i - 1] if i else ["edge"])),
                *(f"+1:{name}" for name in (common[i + 1] if i + 1 < total else ["edge"])),
                *_alone(own),
                f"start={i.bit_length()}",
                f"end={(total - 1 - i).bit_length()}",
                f"at={10 * i // total}",
            ]
        )
    return found


def _words(sentence: str) -> list[str]:
    return _WORD.findall(_DIGIT.sub("0", sentence.lower()))


def _common(sentence: str, words: Sequence[str]) -> list[str]:
    cues = [f"cue={name}" for name, pattern in CUES.items() if pattern.search(sentence)]
    return [*(f"w={word}" for word in dict.fromkeys(words)), *cues]


def _alone(words: Sequence[str]) -> Iterator[str]:
    yield from dict.fromkeys(f"b={a}_{b}" for a, b in pairwise(words))
    for count in (1, 2, 3):
        yield f"f{count}={'_'.join(words[:count])}"
    yield f"last={words[-1] if words else ''}"
    yield f"len={len(words).bit_length()}"
