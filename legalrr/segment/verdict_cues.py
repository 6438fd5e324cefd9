"""Sentences that tell the outcome of the matter in hand, whatever their role.

Hiding the ruling role does not hide the verdict: annotators put "The appeal must therefore fail." under Facts or None,
and a headnote in the preamble tells the whole decision. The patterns below look for the fate of the present matter.
What a court below did is told in the past ("was dismissed", "dismissed the suit") and matches none of them; what is
asked, argued or prayed for is told by the words around it (`legalrr.segment.reported_speech`). They aim at finding
every verdict, at the price of hiding now and then a sentence that is none; `legalrr.segment.verdict_evaluation`
measures both.
"""

import re
from collections.abc import Iterator

from legalrr.segment.reported_speech import reported
from legalrr.segment.verdict_phrases import DECIDED, FOLLOWS
from legalrr.segment.verdict_words import (
    LOWER_COURT,
    MATTER,
    PARTY,
    pattern,
)

# ---------------------------------------------------------------- views that leave one outcome

# "The High Court was right in dismissing the suit." "The Tribunal erred."
_BELOW = pattern(
    rf"\b{LOWER_COURT}\b.{{0,80}}\b(?:erred|rightly|wrongly|correctly|went wrong|f[ae]ll (?:\w+ )?in(?:to)? error"
    r"|commit(?:ted)? (?:\w+ ){0,3}(?:error|illegality)|(?:was|were|is|are|has|have) (?:\w+ ){0,3}"
    r"(?:right|wrong|justified|(?:in)?correct|error|unjustified))\b",
    r"\b(?:rightly|wrongly|correctly|erroneously) (?:\w+ ){0,2}?(?:held|found|convicted|dismissed|allowed|rejected"
    r"|set aside|decided|quashed|acquitted|refused|granted|decreed|disallowed)\b",
    r"\bjustified in (?:\w+ )?(?:answering|dismissing|allowing|setting|convicting|acquitting|refusing|rejecting"
    r"|granting|interfering|quashing|holding)\b|\bwrong on the part of\b|\bwent wrong\b",
    # "The judgment cannot stand."
    r"\b(?:cannot|can not|could not) be (?:sustained|upheld|supported|faulted)\b|\bcannot stand\b"
    r"|\b(?:un)?sustainable\b",
    # "The Tribunal came to the right conclusion." "We agree with the High Court."
    r"\b(?:reached|come|came|arrived)\b.{0,20}\b(?:correct|right|wrong|erroneous|appropriate|just) "
    r"(?:conclusions?|findings?|decisions?)\b",
    r"\b(?:agree|agreement|concur|endorse|approve)\b.{0,30}\b(?:with|the)\b.{0,30}"
    rf"\b(?:{LOWER_COURT}|view|findings?|conclusions?|judge?ments?)\b",
)
_VIEW = pattern(
    # "Allowing the appeals, this Court"
    rf"\b(?:partly )?(?:allowing|dismissing|quashing)\b[^.;:]{{0,30}}\b{MATTER}\b[^.;:]{{0,30}}\W*\Z",
    # "Pronounced in the presence of the accused, acquitted."
    r"\b(?:convicted|acquitted)\W*\Z",
    # "... in favour of the assessee and against the Revenue."
    rf"\bin favou?r of the {PARTY}\b",
    # "There is no merit in the contention."
    r"\b(?:no|any|without|devoid of|lacks?|considerable|great|much) (?:merits?|substance|force)\b",
    # "The Tribunal shall pass fresh orders."
    r"\b(?:shall|will|directed to)\b.{0,40}\bpass (?:an )?(?:appropriate|fresh|necessary|final|suitable) orders?\b",
)
# "We think that the conviction was sound."
_CONCLUDES = pattern(
    r"\b(?:we|i|this court|opinion|view|accordingly|therefore|hence|thus)\b.{0,200}\b(?:conviction|guilty|acquit\w*"
    rf"|impugned|th(?:is|e|ese) (?:present |instant )?{MATTER}|bail|reliefs?|interfer\w+|quash\w*|set aside|confirm\w*"
    r"|modif\w+|reduced?)\b"
)
# "The appellant could not be convicted on this evidence."
_HEADNOTE = pattern(
    r"\b(?:appellants?|respondents?|petitioners?|assessee|accused|conviction|orders?|sentence|high court|tribunal)\b"
    r".{0,120}\b(?:should|must|entitled|justified|erred|correct(?:ly)?|right(?:ly)?|error|cannot|could not|liable"
    r"|guilty|acquitted)\b"
)
# Whoever speaks of punishment, even counsel, tells that there is a conviction: "Heard on the question of sentence."
_PUNISHED = pattern(
    r"\b(?:question|quantum|point) of (?:the )?sentence\b|\b(?:the|such|for) (?:\w+ )?convicts?\b",
    r"\b(?:lenient view|leniency|clemency)\b|\bto undergo\b.{0,60}\bimprisonment\b|\balready undergone\b",
    r"\baward(?:ing)? punishment\b|\bset[- ]off\b.{0,40}\b428\b",
)

# ---------------------------------------------------------------- where they count

# Where conclusions begin, and where a trial court comes to the sentence, as shares of the judgment's length.
_NEAR_END = 0.85
_SENTENCING = 0.8
_PREAMBLE = "PREAMBLE"
# Where the court reasons; a preamble may hold the reporter's headnote.
_REASONED = frozenset({"ANALYSIS", "RATIO", _PREAMBLE})

# Under these roles "the appeal is dismissed" tells of another decision unless it says "this" or "we".
_OF_OTHERS = frozenset({"RLC", "PRE", "PRE_RELIED", "PRE_NOT_RELIED"})
_PRESENT = pattern(
    rf"\b(?:this|these|the present|the instant|both)(?: \w+){{0,2}} {MATTER}\b",
    r"\b(?:we|our|us)\b",
    rf"\b(?:following|applying|in view of|in the light of|for) (?:that|this|these|the)\b.*\b{MATTER}\b",
    r"\bquestions? (?:is|are) (?:required|liable) to be answered\b|\bhereby\b",
)
_ARGUED = frozenset({"ARG", "ARG_PETITIONER", "ARG_RESPONDENT"})
# No more of a sentence is looked at.
_LONGEST = 3000
# "dis- missed", as a line break left it.
_HYPHENATED = re.compile(r"([a-z])- ([a-z])")


def is_verdict(sentence: str, *, role: str = "", position: float = 1.0) -> bool:
    """Whether a sentence tells the fate of the present matter.

    Args:
        sentence: one sentence; its first 3,000 characters are looked at.
        role: its rhetorical role, "" where unknown. What stands under a lower court's ruling or a precedent is a
            verdict only where it speaks of this matter, what stands under an argument only where the court decides.
        position: where it starts, as a share of the judgment's length (0 = beginning, 1 = end). In the last 15 %, in
            a preamble, which may hold a headnote, and where the court reasons, a view of the decision below ("The High
            Court erred.") counts; in the last fifth whatever is said of punishment.

    Returns:
        True for "The appeal must be allowed.", "We dismiss this petition with costs."; False for "The High Court
        dismissed the first appeal.", "It is prayed that the appeal be allowed.", "Should the appeal be allowed?".
    """
    words = _HYPHENATED.sub(r"\1\2", " ".join(sentence[:_LONGEST].split()))
    if role in _OF_OTHERS and not _PRESENT.search(words):
        return False
    if position >= _SENTENCING and _PUNISHED.search(words):
        return True
    kinds = _kinds(role, near_end=position >= _NEAR_END)
    return any(not reported(words, match) for kind in kinds for match in kind.finditer(words))


def _kinds(role: str, *, near_end: bool) -> Iterator[re.Pattern[str]]:
    """What counts as a cue under this role and in this place."""
    yield DECIDED
    if role in _ARGUED:
        return
    yield FOLLOWS
    if near_end or role in _REASONED:
        yield _BELOW
    if near_end or role == _PREAMBLE:
        yield _VIEW
    if near_end:
        yield _CONCLUDES
    if role == _PREAMBLE:
        yield _HEADNOTE
