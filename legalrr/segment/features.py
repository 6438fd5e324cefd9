"""Compute the features of a sentence and its neighbours, as strings for a linear-chain CRF.

The kinds by prefix. `w=` and `cue=` are also given for the sentence before (`-1:`) and after (`+1:`), `cue=` also for
the sentences two away (`-2:`, `+2:`):

    w=      each distinct word in lower case, digits as 0
    cue=    each cue in it (`WORD_CUES`, `CUES`)
    b=      each pair of adjacent words
    f1= f2= f3=   the first one, two, three words
    last=   the last word
    len=    number of words, in powers of two
    start= end=   number of sentences before and after, in powers of two
    at=     decile of the position in the document
    edge    in place of a sentence beyond the first or last
    quote=  whether a quotation is open before and after the sentence
    head=   the last heading; head: each of its words; since= its distance in sentences, in powers of two

Words and position are those of Bhattacharya et al. (JURIX 2019); the cue patterns are this project's own.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

FEATURES_VERSION = 2
"""Version of the features; increased with every change that invalidates trained models."""

WORD_CUES: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        # The speaker: the bench, a single judge, a person in the facts, counsel.
        "we": "we our us",
        "i": "i my me",
        "he": "he she his her",
        "learned": "learned ld",
        "counsel": "counsel advocate solicitor amicus",
        # "It was urged by learned counsel for the appellant that ..."
        "urged": "urged submitted submits contended contends argued contention contentions submission submissions"
        " pleaded",
        "said": "stated said deposed alleged claimed averred according",
        "held": "held observed opined ruled noticed",
        "reasoning": "therefore hence thus accordingly clearly",
        "must": "must ought should shall may can could would",
        "negation": "not no nor never neither",
        "principle": "principle principles settled proposition ratio trite",
        "act": "act code constitution rules regulation regulations ordinance",
        "quashed": "allowed dismissed quashed disposed costs",
        # "The trial Court convicted the accused; the High Court affirmed it."
        "lower_did": "convicted acquitted sentenced decreed affirmed confirmed dismissed allowed reversed",
        # How the case came here: "Aggrieved by the impugned order, he filed this appeal."
        "filed": "filed preferred instituted registered lodged issued passed appointed",
        "aggrieved": "aggrieved impugned",
        "evidence": "evidence testimony statement record prosecution complainant witness exhibit deposed",
        "month": "january february march april june july august september october november december",
        "whether": "whether",
        "supra": "supra",
    }.items()
}
"""Single-word cues by name."""

CUES: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "relied": r"\brelied (?:up)?on\b|\blaid down\b",
        "for_petitioner": r"\b(?:for|by|of) the (?:appellants?|petitioners?|applicants?)\b",
        "for_respondent": r"\b(?:for|by|of) the (?:respondents?|state|revenue|prosecution|union)\b",
        # "Ram Avtar v. State, (1987) 2 S.C.C. 1"
        "precedent": r"\bvs?\.\s"
        r"|\b(?:19|20)\d\d\)?\s{0,3}\d{0,4}\s{0,3}(?:S\.?C\.?C|S\.?C\.?R|A\.?I\.?R|I\.?T\.?R)"
        r"|\bA\.?I\.?R\.?\s{0,3}(?:19|20)\d\d",
        "case_name": r"\b(?:v|vs|versus)\.?\s+(?-i:[A-Z(])",
        "citation": r"\b(?:scc|air|scr|itr|crlj|supp)\b|\(\d{4}\)\s*\d|\[\d{4}\]",
        "this_court_held": r"\b(?:this|supreme|apex|high) court (?:has |had )?(?:held|observed|laid down|considered)\b",
        "distinguished": r"\b(?:distinguish|not applicable|no application|misplaced|of no (?:help|assistance|avail))",
        # "Section 5 of the Act provides that ..."
        "statute": r"\b(?:sections?|articles?|rules?|clause|ss?\.|art\.)\s*\d",
        "statute_reads": r"\b(?:reads? (?:as|thus)|provides? (?:that|for|as)|shall be (?:punish|deemed)|proviso)\b",
        "penal_code": r"\bi\.?p\.?c|\bpenal code|\bcr\.?p\.?c",
        "lower_court": r"\b(?:trial court|sessions? (?:court|judge)|magistrate|tribunal|courts? below|lower court"
        r"|single judge|division bench|district judge|munsif|assessing officer|commissioner|high court)\b",
        # "The appeal is accordingly allowed; no order as to costs."
        "order": r"\b(?:is|are|be|stands?) (?:hereby |accordingly |therefore )*"
        r"(?:allowed|dismissed|set aside|quashed|disposed)|\bno (?:order|costs)\b|\borders? accordingly\b"
        r"|\bwe (?:direct|order|dismiss|allow)\b",
        "result": r"\bin the result\b|\bfor (?:these|the foregoing) reasons\b|\bin view of\b|\bcircumstances\b",
        # "The question for consideration is whether ..."
        "issue": r"\bquestions?\b.{0,60}\b(?:arises?|consider|decid|determin|answer)|\?\Z|\bpoints? for\b",
        # "In our opinion the contention cannot be accepted."
        "court_view": r"\b(?:in (?:our|my) (?:opinion|view|judgment)|we (?:are|find|hold|do not|think|agree|see)"
        r"|i (?:am|find|hold)|it is clear|cannot be|we have)\b",
        "this_case": r"\b(?:present (?:case|appeal)|instant case|case (?:at|in) hand|before us)\b",
        "came_here": r"\bhence (?:this|the)\b|\bleave (?:was )?granted\b",
        # "On 3 March 1987 the complainant lodged a report."
        "date": r"\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b",
        "numbered_witness": r"\b[pdc]\.?\s?ws?[.\s-]*\d",
        "money": r"\brs\.?\s*\d",
        # "IN THE HIGH COURT OF ..., Appellant, versus ..."
        "capitals": r"(?-i:\A[^a-z]{6,}\Z)",
        "parties": r"\.\.\s{0,40}(?:appellant|petitioner|respondent)|\bversus\b|\bcoram\b|\bhon'?ble\b|\bbench\b",
        # The shape of the line
        "quotation": r"\A\W{0,4}[\"“']|[\"”']\W{0,4}\Z",
        "paragraph_number": r"\A\W*\d{1,3}[.)]",
        "item": r"\A\W*\(?(?:[a-z]|[ivx]{1,5})\)",
        "that": r"\A\W*that\b",
        "short": r"\A.{1,40}\Z",
        "colon": r":[-—]?\W*\Z",
        "semicolon": r";\W*(?:and|or)?\Z",
    }.items()
}
"""Cue patterns by name."""

CUE_NAMES = (*WORD_CUES, *CUES)
"""Names of all cues."""

HEADING_WORDS = 8
"""Maximum number of words of a heading."""

_WORD = re.compile(r"\w+(?:['’]\w+)?")
_DIGIT = re.compile(r"\d")
_CUES_BY_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(name for name, those in WORD_CUES.items() if word in those)
    for word in frozenset[str]().union(*WORD_CUES.values())
}


def features(sentences: Sequence[str]) -> list[list[str]]:
    """Compute the feature strings of each sentence of one document, in order.

    Each string occurs once per sentence, except the words of a heading, which occur as often as in the heading.
    """
    words = [words_of(sentence) for sentence in sentences]
    cued = [[f"cue={name}" for name in cues(*pair)] for pair in zip(sentences, words, strict=True)]
    common = [[*(f"w={w}" for w in dict.fromkeys(own)), *names] for own, names in zip(words, cued, strict=True)]
    quotes = list(_quote_states(sentences))
    heads = list(_heading_features(sentences, words))
    total = len(sentences)
    found = []
    for i, own in enumerate(words):
        found.append(
            [
                *common[i],
                *(f"-1:{name}" for name in (common[i - 1] if i else ["edge"])),
                *(f"+1:{name}" for name in (common[i + 1] if i + 1 < total else ["edge"])),
                *(f"-2:{name}" for name in (cued[i - 2] if i > 1 else ["edge"])),
                *(f"+2:{name}" for name in (cued[i + 2] if i + 2 < total else ["edge"])),
                *_own_features(own),
                f"start={i.bit_length()}",
                f"end={(total - 1 - i).bit_length()}",
                f"at={10 * i // total}",
                f"quote={quotes[i]}",
                *heads[i],
            ]
        )
    return found


def words_of(sentence: str) -> list[str]:
    """Split a sentence into lower-case words, digits as 0."""
    return _WORD.findall(_DIGIT.sub("0", sentence.lower()))


def cues(sentence: str, words: Iterable[str]) -> list[str]:
    """Return the names of the cues in a sentence, given its lower-case words."""
    by_words = dict.fromkeys(name for word in words if word in _CUES_BY_WORD for name in _CUES_BY_WORD[word])
    return [*by_words, *(name for name, pattern in CUES.items() if pattern.search(sentence))]


def _quote_states(sentences: Sequence[str]) -> Iterator[str]:
    """Yield whether a quotation is open before and after each sentence, as two digits."""
    inside = False
    for sentence in sentences:
        before = inside
        opened = sentence.count("“") + sentence.count("``")
        closed = sentence.count("”") + sentence.count("''")
        if opened or closed:
            inside = before + opened > closed
        elif sentence.count('"') % 2:
            inside = not inside
        yield f"{before:d}{inside:d}"


def _heading_features(sentences: Sequence[str], words: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Yield the features of the heading above each sentence; a heading counts as its own."""
    heading: list[str] = []
    distance = 0
    for sentence, own in zip(sentences, words, strict=True):
        bare = sentence.strip()
        short = 1 <= len(own) <= HEADING_WORDS and not bare[0].isdigit()
        if short and (bare.isupper() or bare.endswith(":")):
            heading, distance = [word for word in own if word.isalpha()], 0
        else:
            distance += 1
        yield [f"head={' '.join(heading)}", *(f"head:{word}" for word in heading), f"since={distance.bit_length()}"]


def _own_features(words: Sequence[str]) -> Iterator[str]:
    yield from dict.fromkeys(f"b={a}_{b}" for a, b in pairwise(words))
    for count in (1, 2, 3):
        yield f"f{count}={'_'.join(words[:count])}"
    yield f"last={words[-1] if words else ''}"
    yield f"len={len(words).bit_length()}"
