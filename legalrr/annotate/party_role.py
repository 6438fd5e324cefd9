"""In what role the party that came to a court stands in it: appellant, petitioner or, at first instance, plaintiff.

Evidence is taken in this order, and the first that is found decides:

1. a label of the caption ("... Appellant", "Petitioners: 1. ...", a line PETITIONER; an applicant is a petitioner),
2. the number of the matter ("CRIMINAL APPEAL NO. 7", "Writ Petition (Civil) No. 2", "Under Article 32"),
3. for whom counsel appear ("for the appellant"),
4. the kind of matter that the corpus states,
5. how the judgment speaks of its matter ("this appeal", "the present writ petition"),
6. whether it names an appellant, an appeal, a petitioner or, where none of these, a plaintiff.

Old reports of the Supreme Court have a form that says PETITIONER: and RESPONDENT: whatever the matter is; that label
counts last of all. Words of the reports may be torn by a space, or cut off at the head of a text.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from legalrr.records import Party

Patterns: TypeAlias = tuple[tuple[Party, re.Pattern[str]], ...]

CAPTION = 3000
"""Characters at the head of the shown text in which the caption is looked for."""
FIRST_LINES = 120
"""Characters in which the number stands where nothing shows the end of a caption."""
JURISDICTION = "JURISDICTION"
"""What number and counsel follow in the form of old reports; the form and a headnote precede it."""
AFTER_JURISDICTION = 900
"""Characters after it that hold number and counsel."""
SHORTEST_CAPTION = 100
"""Characters; a "JUDGMENT" before them is a title above the caption."""

FORM = re.compile(
    r"\A.{0,300}?^[ \t]*PETITIONERS?:.{0,900}?(?:^[ \t]*|\bVs?\. *)RESPONDENTS?:", re.MULTILINE | re.DOTALL
)
"""The form of old reports: both labels in capitals, the petitioner's at the very head."""
_BODY = re.compile(
    r"\b(?:judgments?|order) of the court\b|\b(?:delivered|made|passed) the following\b"
    r"|^[ \t:]*(?:j ?u ?d ?g ?e? ?m ?e ?n ?t|o ?r ?d ?e ?r)[ \t:.-]*$|^[ \t]*(?-i:ORDER|JUDGMENT)\b",
    re.IGNORECASE | re.MULTILINE,
)
"""Where the caption ends and the judgment itself begins."""

# Labels are capitalised, whatever follows their first letter; the prose of a judgment seldom is.
_CAPITAL = r"(?=(?-i:[A-Z]))"
_WORD = rf"{_CAPITAL}(?:appellant|petitioner|applicant|plaintiff)s?(?:[ \t]*(?:\(s\)|/[ \t]?s\b))?"
# "Accused/petitioners", "Plaintiff-Appellant": the role in this court is one of the words joined.
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
"""The words of a caption before the matter's name ("IN THE CIVIL"); no sentence ("A suit was filed in Suit No. 3")."""
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
"""A sentence of death that awaits the High Court's confirmation: the appeal beside it is the convict's."""
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


def find_role(shown: str, *, kind: str | None = None) -> Party | None:
    """The role of the party that came to this court; None where nothing tells.

    Args:
        shown: the judgment without what is hidden.
        kind: kind of matter, as the corpus has it ("appeal", "writ petition"); others ("tax") say nothing.
    """
    form = FORM.search(shown[:CAPTION])
    body = _BODY.search(shown, SHORTEST_CAPTION, CAPTION)
    caption = shown[: body.start() if body else CAPTION]
    if form:
        at = shown.find(JURISDICTION)
        caption = shown[at + len(JURISDICTION) : at + AFTER_JURISDICTION].lstrip(" :\n") if at >= 0 else ""
    captioned = bool(form or body)
    return (
        (None if form else _labelled(caption))
        or _numbered(caption if captioned else caption[:FIRST_LINES], captioned=captioned)
        or _first(_KINDS, kind or "")
        or (_told(shown[form.end() :], otherwise="petitioner") if form else _told(shown))
    )


def first_label(caption: str) -> tuple[int, int] | None:
    """Where the first label of a caption stands that names the role of the party that came, as [start, end)."""
    label = _LABEL.search(caption)
    return label.span() if label else None


def _labelled(caption: str) -> Party | None:
    """The role that the first label names; of words joined, the one that is held in this court."""
    if _CONFIRMATION.search(caption) and _MATTERS[0][1].search(caption):
        return "appellant"
    span = first_label(caption)
    if span is None:
        return None
    words = caption[span[0] : span[1]].lower()
    if "appellant" in words:
        return "appellant"
    return "petitioner" if "petitioner" in words or "applicant" in words else "plaintiff"


def _numbered(caption: str, *, captioned: bool) -> Party | None:
    """The role by the number of the matter or, where there is none, by counsel; a petition within an appeal, whose
    counsel appear for the appellant, is the appellant's."""
    number, counsel = _first(_MATTERS, caption), _first(_COUNSEL, caption) if captioned else None
    return counsel if number is None or (number, counsel) == ("petitioner", "appellant") else number


def _told(shown: str, *, otherwise: Party | None = None) -> Party | None:
    """How a judgment without a caption speaks of its matter and of the party; `otherwise` where it names neither here.

    "This petition" may be the one below, told by the judgment in its own words; then there is an appellant as well.
    """
    text = " ".join(shown.split())
    said = _first(_PHRASES, text)
    appellant, appeal, petitioner, plaintiff = (
        len(re.findall(rf"\b{word}s?\b", text, re.IGNORECASE))
        for word in ("appellant", "appeal", "petitioner", "plaintiff")
    )
    if said == "petitioner" and petitioner >= appellant:
        return "petitioner"
    if said or appellant or appeal:
        return "appellant"
    return "petitioner" if petitioner else otherwise or ("plaintiff" if plaintiff else None)


def _first(patterns: Iterable[tuple[Party, re.Pattern[str]]], text: str) -> Party | None:
    """The role whose pattern matches first in the text."""
    found = [(match.start(), role) for role, pattern in patterns if (match := pattern.search(text))]
    return min(found)[1] if found else None
