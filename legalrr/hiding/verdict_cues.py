"""Detect sentences that reveal the outcome of a judgment, under any role.

Hiding the ruling role does not hide the verdict: annotators label "The appeal must therefore fail." as Facts or None,
and the court's own view ("the High Court was clearly wrong") as a precedent or argument; taggers do so more often.
Two kinds of cues are matched on a normalized copy of the sentence: decisions (`legalrr.hiding.verdict_phrases`) and
evaluations (`legalrr.hiding.verdict_views`). Statements about lower courts, questions, arguments, prayers and
quotations are excluded by their context (`legalrr.hiding.reported_speech`). `legalrr.leakage.evaluation` measures how
many verdicts are found and how much else is hidden.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from legalrr.hiding.phrases import Phrases
from legalrr.hiding.plain_text import normalize
from legalrr.hiding.reported_speech import Quotations, continues_argument, is_reported
from legalrr.hiding.verdict_phrases import (
    DECIDED,
    FATE,
    IMPLIED_OUTCOME,
    LOWER_COURT,
    MATTER,
    PARTY,
    pattern,
)
from legalrr.hiding.verdict_views import (
    ARGUMENT_VIEW,
    CONCLUSION_VIEW,
    FIRST_PERSON_VIEW,
    LOWER_COURT_VIEW,
    remove_procedure,
)

# ---------------------------------------------------------------- cues by position

# Near the end: "The High Court was right in dismissing the suit." "We agree with the High Court."
_BELOW_NEAR_END = Phrases(
    rf"\b{LOWER_COURT}\b.{{0,80}}\b(?:erred|rightly|wrongly|correctly|went wrong|f[ae]ll (?:\w+ )?in(?:to)? error"
    r"|commit(?:ted)? (?:\w+ ){0,3}(?:error|illegality)|(?:was|were|is|are|has|have) (?:\w+ ){0,3}"
    r"(?:right|wrong|justified|(?:in)?correct|error|unjustified))\b",
    r"\b(?:rightly|wrongly|correctly|erroneously) (?:\w+ ){0,2}?(?:held|found|convicted|dismissed|allowed|rejected"
    r"|set aside|decided|quashed|acquitted|refused|granted|decreed|disallowed|done)\b",
    r"\bjustified in (?:\w+ )?(?:answering|dismissing|allowing|setting|convicting|acquitting|refusing|rejecting"
    r"|granting|interfering|quashing|holding)\b|\bwrong on the part of\b|\bwent wrong\b",
    r"\b(?:cannot|can not|could not) be (?:sustained|upheld|supported|faulted)\b|\bcannot stand\b"
    r"|\b(?:un)?sustainable\b",
    r"\b(?:reached|come|came|arrived)\b.{0,20}\b(?:correct|right|wrong|erroneous|appropriate|just) "
    r"(?:conclusions?|findings?|decisions?)\b",
    r"\b(?:agree|agreement|concur|endorse|approve)\b.{0,30}\b(?:with|the)\b.{0,30}"
    rf"\b(?:{LOWER_COURT}|view|findings?|conclusions?|judge?ments?)\b",
)
# In reasoning: "The accused be acquitted." "He can be held guilty only of the lesser offence."
_REASONED_FATE = Phrases(
    r"\b(?:evidence|materials?)\b.{0,90}\b(?:not sufficient|insufficient|not enough)\b",
    rf"\bbe {FATE}\b|\b(?:be|are|is|stands?) (?:acquitted|convicted|released|remitted|remanded)\b"
    r"|\b(?:held|found) (?:not )?guilty\b|\b(?:granted|grant)\b.{0,20}\bbail\b|\breleased on bail\b",
    r"\b(?:will|to) run concurrently\b|\bcannot (?:possibly )?be (?:sustained|accepted)\b|\bbeing remitted\b"
    r"|\bcannot succeed\b|\bon remand\b|\bwarrant(?:ing)? interference\b|\bentitled to (?:the )?(?:acquittal|relief)\b"
    r"|\bfailed to (?:prove|bring)\b|\bto permit conviction\b|\bsustain the charge\b",
)
_VIEW = Phrases(
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
_CONCLUDES = Phrases(
    r"\b(?:we|i|this court|(?:my|our|considered) (?:opinion|view)|accordingly|therefore|hence"
    r"|thus)\b.{0,200}\b(?:conviction|guilty|acquit\w*"
    rf"|impugned|th(?:is|e|ese) (?:present |instant )?{MATTER}|bail|reliefs?|interfer\w+|quash\w*|set aside|confirm\w*"
    r"|modif\w+|reduced?)\b"
)
# Any mention of punishment, even by counsel, implies a conviction: "Heard on the question of sentence."
_PUNISHED = pattern(
    r"\b(?:question|quantum|point) of (?:the )?sentence\b|\b(?:the|such|for) (?:\w+ )?convicts?\b",
    r"\b(?:lenient view|leniency|clemency)\b|\bto undergo\b.{0,60}\bimprisonment\b|\balready undergone\b",
    r"\baward(?:ing)? punishment\b|\bset[- ]off\b.{0,40}\b428\b",
)

# A sentence without any of these words states no procedure.
_MAY_PROCEED = pattern(r"\b(?:we|i|opinion|view|judgment|necessary|unnecessary|registered|not|un\w*)\b")
_CITED = pattern(r"\b(?:cited|reported (?:in|at)|decisions? (?:in|of)|in the case of)\b")

# ---------------------------------------------------------------- cues by role and speaker

# Where conclusions start, and where a trial court discusses the sentence, as fractions of the judgment's length.
_NEAR_END = 0.85
_SENTENCING = 0.8
# Roles under which the court reasons.
_REASONING_ROLES = frozenset({"ANALYSIS", "RATIO"})

# Under these roles "the appeal is dismissed" refers to another decision, unless it says "this" or "we".
_OTHER_DECISION_ROLES = frozenset({"RLC", "PRE", "PRE_RELIED", "PRE_NOT_RELIED"})
_PRESENT = pattern(
    rf"\b(?:this|these|the present|the instant|both)(?: \w+){{0,2}} {MATTER}\b",
    r"\b(?:we|our|us)\b",
    rf"\b(?:following|applying|in view of|in the light of|for) (?:that|this|these|the)\b.*\b{MATTER}\b",
    r"\A\W*held\b",
    r"\bquestions? (?:is|are) (?:required|liable) to be answered\b|\bhereby\b",
)
# Only the court evaluates the High Court, except in reported speech.
_HIGH_COURT = pattern(r"\bhigh court\b|\bdivision bench\b")
# First person under a precedent is a quotation that lost its marks, unless it concerns this matter.
_ABOUT_THIS = Phrases(
    rf"\b(?:reasoning|appellants?|respondents?|petitioners?|assessees?|plaintiffs?|defendants?|accused|contentions?"
    rf"|arguments?|submissions?"
    rf"|counsel|mr|shri|sri|attorney[- ]general|solicitor[- ]general|impugned|applying|{LOWER_COURT})\b",
    r"\b(?:mistaken|wrong|erroneous|correct|right)\b.{0,10}\bview\b",
    r"\b(?:this|the present|the instant|our) (?:case|appeal|petition|matter|point|question|view|conclusion|decision"
    r"|judgment)\b|\bbefore us\b",
    r"\b(?:decisions?|cases?|rulings?|authorit\w+|observations?|principles?|ratio)\b.{0,60}\b(?:helps?|assist\w*"
    r"|appl\w+|supports?|governs?"
    r"|distinguish\w*|relevan\w+|avail|bearing|assistance)\b",
)
_EMPHATIC = pattern(r"\b(?:rightly|wrongly|obviously|clearly|manifestly?|plainly|grave|gross|grossly|palpabl[ey])\b")
# "We" under a lower court's ruling is that court, unless the sentence mentions a court below or the arguments here.
_BELOW_THIS = pattern(
    rf"\b(?:{LOWER_COURT}|division bench|designated court|labour court|sessions|appellate (?:\w+ )?court"
    rf"|learned counsel|mr|shri|attorney[- ]general|solicitor[- ]general|before us|this court|this appeal"
    rf"|these appeals|impugned)\b"
)
_THIS_CASE = pattern(
    r"\b(?:this|the present|the instant|our) (?:case|appeal|petition|matter)\b|\b(?:we|us|our)\b|\bhere\b"
)
# How the court refers to itself.
_WE = re.compile(r"\b(?:[Ww]e|[Oo]ur|us)\b")
_I = re.compile(
    r"\bI,? (?:am|have|had|was|do|did|find|hold|think|would|will|shall|may|must|should|cannot|see|agree|feel"
    r"|consider|accept|reject"
    r"|direct|order|allow|dismiss|hereby|therefore|accordingly|also|further|confirm)\b|\b[Mm]y\b"
)
_SPEAKER_RATIO = 2
_AND_RIGHTLY = r"\band,? (?:in our \w+,? )?(?:quite |very )?rightly\b"
_OWN_VOICE = {
    "we": pattern(r"\b(?:we|us|our)\b", _AND_RIGHTLY),
    "I": pattern(r"\b(?:we|us|our|i|me|my)\b", _AND_RIGHTLY),
    "": pattern(r"\b(?:we|us|our|i|me|my)\b", _AND_RIGHTLY),
}
# An answer to an argument that counsel would rarely give.
_ANSWERED = Phrases(
    r"\A\W*(?:\d+\W+)?(?:this|the|that|these|such|both|his|hence,? the|therefore,? the"
    r"|as such,? the)\b.{0,30}\b(?:contentions?|arguments?|submissions?|pleas?|objections?"
    r"|points?)\b",
    r"\b(?:as|has been|have been|it was|is) (?:has been |was )?(?:rightly|correctly) (?:pointed out|contended"
    r"|submitted|argued|urged)\b|\bwould be erroneous\b",
    r"\b(?:cannot be|can not be|must be|has to be|have to be|should be|must),? (?:\w+,? )?(?:accepted|rejected"
    r"|upheld|sustained|overruled"
    r"|repelled|negatived|fail|prevail|succeed)\b",
    r"\bholds? no water\b|\bis not without substance\b|\b(?:is|are) (?:\w+ )?devoid of\b|\b(?:is"
    r"|are) (?:not (?:justified|tenable|acceptable|sustainable)|untenable|unsustainable|misconceived)\b",
    r"\b(?:has|have|carr\w+|bears?)\b.{0,20}\b(?:no|much|considerable|great)\b.{0,10}\b(?:force|substance|merit)\b",
    r"\b(?:force|substance|merit)s? in (?:this|these|the (?:above|aforesaid|said|first|second|third|last))\b",
)
# Counsel do not evaluate their own side's case.
_ARGUMENT = r"\b(?:contentions?|arguments?|submissions?|pleas?|objections?|case)\b"
_OWN_SIDE = {
    "ARG": pattern(rf"\b(?:mr|shri|sri|dr|smt)\b.{{0,25}}{_ARGUMENT}.{{0,3}}\b(?:is|are|has|have|must|cannot)\b"),
    "ARG_PETITIONER": pattern(
        rf"{_ARGUMENT}.{{0,60}}\b(?:appellants?|petitioners?)\b",
        rf"\b(?:appellants?|petitioners?)\b.{{0,8}}{_ARGUMENT}",
    ),
    "ARG_RESPONDENT": pattern(
        rf"{_ARGUMENT}.{{0,60}}\b(?:respondents?|state|revenue)\b",
        rf"\b(?:respondents?|mr|shri|sri|dr)\b.{{0,25}}{_ARGUMENT}",
    ),
}
# A party objects; the court agrees, or states the outcome.
_COURT_AGREES = Phrases(
    r"\b(?:the|this|these|both)(?: \w+)? (?:appeals?|petitions?)\b.{0,60}\b(?:must|deserves?|fails?|succeeds?|has to"
    r"|have to|is|are|cannot)\b",
    r"\b(?:rightly|correctly|(?:was|were|is|are) (?:\w+ )?(?:right|correct|justified|well[- ]founded)"
    r"|no (?:infirmity|error|substance|merit|force|fault)|this (?:appeal|petition))\b",
    r"\b(?:was|were|is|are|has|have|had),? (?:also|clearly|obviously|manifestly|therefore|thus|plainly|quite"
    r"|patently)\b|\A\W*(?:therefore|thus|hence|in this view)\b",
)
# Under a precedent, what this Court held is an earlier decision.
_THIS_COURT_HELD = pattern(
    r"\bthis court\b[^;.]{0,60}\b(?:held|observed|said|pointed out|ruled|laid down|took the view)\b"
)
# A list item in the middle of a judgment is a ground or a contested point.
_LIST_ITEM = re.compile(r"\(?(?:\d{1,2}|[a-h])\) ")
_ORDERED = pattern(r"\b(?:hereby|accordingly)\b")
_VIEWS = (ARGUMENT_VIEW, LOWER_COURT_VIEW, FIRST_PERSON_VIEW, CONCLUSION_VIEW)
_ARGUMENT_ROLES = frozenset({"ARG", "ARG_PETITIONER", "ARG_RESPONDENT"})
# The "I" of "(i) ..." and "Class I" is not a pronoun.
_ENUMERATED = re.compile(
    r"\(?\bi\)|(?<=\bclass )I\b|(?<=\bpart )I\b|(?<=\blist )I\b|(?<=\barticle )I\b|(?<=\bschedule )I\b"
    r"|(?<=\bchapter )I\b"
    r"|(?<=\border )I\b|(?<=\bentry )I\b|(?<=\bdivision )I\b|(?<=\bno\. )I\b|(?<=\bannexure )I\b|(?<=\bvolume )I\b",
    re.IGNORECASE,
)
# Longer sentences are cut off.
_MAX_CHARACTERS = 3000


class VerdictDetector:
    """A detector of the sentences of one judgment that reveal its outcome."""

    def __init__(self, text: str) -> None:
        """Store the full text: quotations and the speaker depend on it."""
        self._text = text

    @cached_property
    def _quotations(self) -> Quotations:
        return Quotations.of(self._text)

    @cached_property
    def _speaker(self) -> str:
        we, i = len(_WE.findall(self._text)), len(_I.findall(self._text))
        return "we" if we > _SPEAKER_RATIO * i else "I" if i > _SPEAKER_RATIO * we else ""

    def detects(self, start: int, end: int, role: str) -> bool:
        """Return whether the sentence at these offsets is a verdict under its role (see `is_verdict`)."""
        return is_verdict(
            self._text[start:end],
            role=role,
            position=start / len(self._text),
            quoted=self._quotations.inside((start + end) // 2),
            speaker=self._speaker,
            argued=continues_argument(self._text, start),
        )


def is_verdict(
    sentence: str,
    *,
    role: str = "",
    position: float = 1.0,
    quoted: bool = False,
    speaker: str = "",
    argued: bool = False,
) -> bool:
    """Return whether a sentence reveals the outcome of the present matter, or the court's view of a contested point.

    Args:
        sentence: one sentence; only its first 3,000 characters are checked.
        role: its rhetorical role, "" if unknown. Under a lower court's ruling or a precedent, a sentence counts only if
            it concerns this matter or is in the first person; under an argument, only if the court decides or answers
            it.
        position: its start as a fraction of the judgment's length (0 = start, 1 = end). More cues apply in the last
            15 %; any mention of punishment counts in the last 20 %.
        quoted: whether it is inside a quotation, which is someone else's view.
        speaker: how the court refers to itself in this judgment: "we" or "I"; "" if unknown. In a judgment of "we", an
            "I" is someone else.
        argued: whether the preceding sentences state a party's argument, which this one continues unless the court
            speaks again.

    Returns:
        True for "The appeal must be allowed.", "We dismiss this petition with costs.", "The contention has no force.";
        False for "The High Court dismissed the first appeal.", "It is prayed that the appeal be allowed.", "Should the
        appeal be allowed?".
    """
    words = normalize(sentence[:_MAX_CHARACTERS]).text.strip()
    words = _ENUMERATED.sub("(1)", words)
    if speaker == "we" and _I.search(words) and not _WE.search(words):
        quoted = True
    quoted = quoted or Quotations.closes(words)
    words = words.strip(' "“”')
    elsewhere = role not in _REASONING_ROLES and (role in _OTHER_DECISION_ROLES or _CITED.search(words))
    if position >= _SENTENCING and not elsewhere and _PUNISHED.search(words):
        return True
    near_end = position >= _NEAR_END
    if quoted and not near_end and role not in _REASONING_ROLES:
        return False
    return any(
        not is_reported(
            words, match, own_subject=kind in _VIEWS, argument=kind is ARGUMENT_VIEW, reasoned=role in _REASONING_ROLES
        )
        for kind in _cue_patterns(words, role, near_end, speaker, argued)
        for match in kind.finditer(words)
    )


def _cue_patterns(words: str, role: str, near_end: bool, speaker: str, argued: bool = False) -> Iterator[Phrases]:
    """Yield the cue patterns that apply to a sentence of this role, position and speaker."""
    if role in _REASONING_ROLES:
        yield from (
            DECIDED,
            IMPLIED_OUTCOME,
            LOWER_COURT_VIEW,
            _BELOW_NEAR_END,
            _REASONED_FATE,
            *((_VIEW, _CONCLUDES) if near_end else ()),
        )
        return
    own = _OWN_VOICE[speaker].search(words) is not None
    of_others = role in _OTHER_DECISION_ROLES
    argument = role in _ARGUMENT_ROLES
    if (_LIST_ITEM.match(words) and not (own or near_end)) or (of_others and _THIS_COURT_HELD.search(words)):
        return
    present = not of_others or _PRESENT.search(words) is not None
    if role == "RLC" and own and not (near_end or _BELOW_THIS.search(words)):
        present = False
    rest = remove_procedure(words) if _MAY_PROCEED.search(words) else words
    ordered = own or near_end or _ORDERED.search(words) is not None
    if present and (ordered or not argument) and (rest == words or DECIDED.search(rest)):
        yield DECIDED
    about = not of_others or (_BELOW_THIS if role == "RLC" else _ABOUT_THIS).search(words) is not None
    if own and about and FIRST_PERSON_VIEW.search(rest):
        yield FIRST_PERSON_VIEW
    if rest == words and (own or not argument or _ANSWERED.search(words) or _OWN_SIDE[role].search(words)):
        yield ARGUMENT_VIEW
    if argument or (argued and not (own or near_end or _COURT_AGREES.search(words))):
        return
    if present and (rest == words or IMPLIED_OUTCOME.search(rest)):
        yield IMPLIED_OUTCOME
    this_case = not of_others or _THIS_CASE.search(words) is not None
    if this_case or _HIGH_COURT.search(words) or (role == "RLC" and _EMPHATIC.search(words)):
        yield LOWER_COURT_VIEW
    if role != "RLC" and (this_case or _ABOUT_THIS.search(words)):
        yield CONCLUSION_VIEW
    if near_end and present:
        yield _BELOW_NEAR_END
        if rest == words:
            yield _VIEW
            yield _CONCLUDES
