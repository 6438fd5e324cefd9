"""Find the role of the party that brought the case: appellant, petitioner or, at first instance, plaintiff.

Evidence is checked in this order; the first that is found decides:

1. a label of the caption ("... Appellant", "Petitioners: 1. ...", a line PETITIONER; an applicant is a petitioner),
2. the number of the matter ("CRIMINAL APPEAL NO. 7", "Writ Petition (Civil) No. 2", "Under Article 32"),
3. the party that counsel appear for ("for the appellant"),
4. the kind of matter that the corpus states,
5. how the judgment refers to its matter ("this appeal", "the present writ petition"),
6. whether it mentions an appellant, an appeal, a petitioner or, if none of these, a plaintiff.

Old Supreme Court reports have a form that says PETITIONER: and RESPONDENT: for every matter; that label counts last.
Words of the reports may be split by a space, or cut off at the start of a text.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from legalrr.records import Party

Patterns: TypeAlias = tuple[tuple[Party, re.Pattern[str]], ...]
"""Pairs of a role and the pattern that is evidence for it."""

CAPTION_LENGTH = 3000
"""Characters at the head of the text that are searched for the caption."""
HEAD_LENGTH = 120
"""Characters that are searched for the number if the end of the caption is unknown."""
JURISDICTION = "JURISDICTION"
"""Heading of number and counsel in the form of old reports; the form and a headnote precede it."""
JURISDICTION_LENGTH = 900
"""Characters after that heading that contain number and counsel."""
MIN_CAPTION_LENGTH = 100
"""Minimum length of a caption, in characters; a "JUDGMENT" before that is a title above the caption."""

OLD_REPORT_FORM = re.compile(
    r"\A.{0,300}?^[ \t]*PETITIONERS?:.{0,900}?(?:^[ \t]*|\bVs?\. *)RESPONDENTS?:", re.MULTILINE | re.DOTALL
)
"""The form of old reports: both labels in capitals, the petitioner's at the start."""
_CAPTION_END = re.compile(
    r"\b(?:judgments?|order) of the court\b|\b(?:delivered|made|passed) the following\b"
    r"|^[ \t:]*(?:j ?u ?d ?g ?e? ?m ?e ?n ?t|o ?r ?d ?e ?r)[ \t:.-]*$|^[ \t]*(?-i:ORDER|JUDGMENT)\b",
    re.IGNORECASE | re.MULTILINE,
)
"""End of the caption and start of the judgment itself."""

# The first letter of a label is a capital; in the prose of a judgment it rarely is.
_CAPITAL = r"(?=(?-i:[A-Z]))"
_WORD = rf"{_CAPITAL}(?:appellant|petitioner|applicant|plaintiff)s?(?:[ \t]*(?:\(s\)|/[ \t]?s\b))?"
# "Accused/petitioners", "Plaintiff-Appellant": one of the joined words is the role in this court.
_WORDS = rf"(?:{_CAPITAL}(?:\w+[ \t]?[/-][ \t]?)?{_WORD}(?:[ \t]?[/-][ \t]?{_WORD})?)"
_FOR = rf"(?!.*\b(?:for|by|of|the)[ \t]+(?:\w+[ /-]+)?{_WORDS}[.,]?[ \t]*$)"
_LABEL = re.compile(
    rf"(?:\.{{2,}}|…|-{{3,}})[ \t.…]*(?:revision[ \t]+)?{_WORDS}(?!\w)"  # Kishan Lal ... Appellant
    rf"|^[ \t:)\]*.-]*{_WORDS}[ \t.,:)]*$"  # PETITIONER
    rf"|^[ \t]*{_WORDS}[ \t]*(?::|\d{{1,2}}[.) ])"  # Petitioners : 1. Kishan Lal
    r"|^[ \t]*(?:Appellant|Petitioner)[ \t]*/[ \t]?s\b"  # Appellant /s 1 Kishan Lal
    rf"|^{_FOR}\S[^\n]{{2,80}}?[, \t)]{_WORDS}[.,]?[ \t]*$",  # Kishan Lal, Petitioner
    re.IGNORECASE | re.MULTILINE,
)

_OF_A_SENTENCE = r"(?:an?|the|this|was|were|in|to|by|of|from|with|under|against|filed|see)\b"
_LINE = rf"^[^\w\n]*(?:(?!{_OF_A_SENTENCE})[\w.()&/:+-]+[ \t]+){{0,5}}?"
"""Caption words before the name of the matter ("IN THE CIVIL"); not a sentence ("A suit was filed in Suit No. 3")."""
_DIGITS = r"(?:nos?\b|\d+[ \t]*(?:/|of)[ \t]*\d{2,4})"
_NUMBER = rf"[^\n.]{{0,40}}?[ \t(.]?{_DIGITS}"
_SHORT_NUMBER = rf"\.?s?(?: ?\([^)\n]*\))? ?{_DIGITS}"
_APPEALS = r"(?-i:(?:R\.?F?|R\.?S|M\.?F|I\.?T|CRL\.?|Crl\.?|C\.?|W\.?) ?A)"
_PETITIONS = r"(?-i:W\.?P|S\.?L\.?P|O\.?P|R\.?P\.?F\.?C|C(?:RL|rl)\.? ?(?:P|R\.?P|M\.?C|L\.?P|MISC?|Misc?|R\.?C))"
_SUITS = r"(?-i:O\.? ?S|C\.? ?S)"


def _matter(names: str) -> re.Pattern[str]:
    return re.compile(f"{_LINE}(?:{names})", re.IGNORECASE | re.MULTILINE)


def _counsel(words: str) -> re.Pattern[str]:
    return re.compile(rf"\bfor,? (?:the,? )?(?:appearing )?(?:{words})\b", re.IGNORECASE)


def _kind(words: str) -> re.Pattern[str]:
    return re.compile(rf"\A(?:\w+ )*(?:{words})\Z", re.IGNORECASE)


_MATTERS: Patterns = (
    (
        "appellant",
        _matter(
            rf"\w*appeals?\b(?:{_NUMBER}|[ ,]+(?:from|by special leave|by certificate)\b)|{_APPEALS}{_SHORT_NUMBER}"
        ),
    ),
    (
        "petitioner",
        _matter(
            rf"\w*(?:petitions?|revisions?|applications?|references?|(?<=\A)ition)\b{_NUMBER}|{_PETITIONS}{_SHORT_NUMBER}"
            r"|petitions?[. ]+under art|\(?(?-i:U)nder article[ \t]+(?:32|226|227)\b"
        ),
    ),
    ("plaintiff", _matter(rf"suits?\b{_NUMBER}|{_SUITS}{_SHORT_NUMBER}")),
)
_CONFIRMATION = re.compile(r"\bconfirmation case\b|\breference case\b|\b(?:criminal|crl\.?) ?R\.? ?C\b", re.IGNORECASE)
"""A death sentence that awaits confirmation by the High Court; the appeal decided with it is the convict's."""
_COUNSEL: Patterns = (
    ("appellant", _counsel("appel ?lan ?ts?")),
    ("petitioner", _counsel("pe ?ti ?tion ?ers?|applicants?")),
    ("plaintiff", _counsel("plaintiffs?")),
)
_KINDS: Patterns = (
    ("appellant", _kind("appeal")),
    ("petitioner", _kind("petition|revision")),
    ("plaintiff", _kind("suit")),
)
_ADJECTIVES = (
    r"(?:above|two|three|four|five|six|seven|batch of|group of|set of|cross|connected|civil|criminal|writ|tax|bail"
    r"|review|revision|statutory|miscellaneous|misc\.?|special leave|transfer|contempt|election|original|regular|first"
    r"|second|intra-court|letters patent|anticipatory)"
)
_THIS = rf"\b(?:this|these|(?:the )?(?:present|instant)|(?:both|all) (?:the|these)|the above)(?: {_ADJECTIVES}){{0,3}} "
_HERE = r"(?:herein|before us|in this court)\b"
_PHRASES: Patterns = (
    (
        "appellant",
        re.compile(
            rf"{_THIS}appeals?\b|\bhence,? (?:the|this|these)(?: present)? appeals?\b"
            r"|\bappeals?,? (?:is |are )?(?:by|with|on) (?:special leave|(?:a )?certificate)\b"
            r"|\bappeals? (?:has|have) been (?:preferred|filed|brought) (?:before|to|in) this court\b"
            rf"|\bpresent appellants?\b|\bappellants? {_HERE}",
            re.IGNORECASE,
        ),
    ),
    (
        "petitioner",
        re.compile(
            rf"{_THIS}(?:petitions?|revisions?)\b|\bpetitioners? {_HERE}"
            r"|\b(?:petitions?|applications?)[. ] ?under (?:article|art\.?) ?32\b",
            re.IGNORECASE,
        ),
    ),
)


@lru_cache(maxsize=128)
def find_role(text: str, *, kind: str | None = None) -> Party | None:
    """Return the role of the party that brought the case to this court; None if unknown.

    The result is cached, because the arms of a sweep hide the same spans of the same judgments.

    Args:
        text: the judgment without hidden spans.
        kind: kind of matter in the corpus ("appeal", "writ petition"); other kinds ("tax") are ignored.
    """
    form = OLD_REPORT_FORM.search(text[:CAPTION_LENGTH])
    body = _CAPTION_END.search(text, MIN_CAPTION_LENGTH, CAPTION_LENGTH)
    caption = text[: body.start() if body else CAPTION_LENGTH]
    if form:
        at = text.find(JURISDICTION)
        caption = text[at + len(JURISDICTION) : at + JURISDICTION_LENGTH].lstrip(" :\n") if at >= 0 else ""
    captioned = bool(form or body)
    return (
        (None if form else _role_from_label(caption))
        or _role_from_number(caption if captioned else caption[:HEAD_LENGTH], captioned=captioned)
        or _first_match(_KINDS, kind or "")
        or (_role_from_text(text[form.end() :], default="petitioner") if form else _role_from_text(text))
    )


def first_label(caption: str) -> tuple[int, int] | None:
    """Return the half-open offsets of the first label in a caption that names a moving party's role, or None."""
    label = _LABEL.search(caption)
    return label.span() if label else None


def _role_from_label(caption: str) -> Party | None:
    """Return the role of the first label; of joined words, the role in this court."""
    if _CONFIRMATION.search(caption) and _MATTERS[0][1].search(caption):
        return "appellant"
    span = first_label(caption)
    if span is None:
        return None
    words = caption[span[0] : span[1]].lower()
    if "appellant" in words:
        return "appellant"
    return "petitioner" if "petitioner" in words or "applicant" in words else "plaintiff"


def _role_from_number(caption: str, *, captioned: bool) -> Party | None:
    """Return the role by the number of the matter or else by counsel.

    A petition within an appeal, whose counsel appear for the appellant, is the appellant's.
    """
    number, counsel = _first_match(_MATTERS, caption), _first_match(_COUNSEL, caption) if captioned else None
    return counsel if number is None or (number, counsel) == ("petitioner", "appellant") else number


def _role_from_text(text: str, *, default: Party | None = None) -> Party | None:
    """Return the role by how a judgment without a caption refers to its matter and party, or `default`.

    "This petition" may be the petition below, retold by the judgment; then there is an appellant as well.
    """
    text = " ".join(text.split())
    phrase_role = _first_match(_PHRASES, text)
    appellant, appeal, petitioner, plaintiff = (
        len(re.findall(rf"\b{word}s?\b", text, re.IGNORECASE))
        for word in ("appellant", "appeal", "petitioner", "plaintiff")
    )
    if phrase_role == "petitioner" and petitioner >= appellant:
        return "petitioner"
    if phrase_role or appellant or appeal:
        return "appellant"
    return "petitioner" if petitioner else default or ("plaintiff" if plaintiff else None)


def _first_match(patterns: Iterable[tuple[Party, re.Pattern[str]]], text: str) -> Party | None:
    """Return the role whose pattern matches first in the text."""
    found = [(match.start(), role) for role, pattern in patterns if (match := pattern.search(text))]
    return min(found)[1] if found else None
