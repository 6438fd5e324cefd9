"""In what role the party that came to the court stands: the appellant, the petitioner or, at first instance, the plaintiff.

Evidence is taken in this order, the first that is found decides:

1. a label of the caption ("... Appellant", "Petitioners: 1. ...", a line "PETITIONER"),
2. the number of the matter ("CRIMINAL APPEAL NO. 7", "Writ Petition (Civil) No. 2", "Under Article 32"),
3. for whom counsel appear ("for the appellant"),
4. the kind of matter that the corpus states,
5. how the judgment speaks of its matter ("this appeal", "the present writ petition", "this suit"),
6. whether it speaks of an appellant, of an appeal, of a petitioner; of a plaintiff where of none of these.

Old reports of the Supreme Court have a form that says PETITIONER: and RESPONDENT: whatever the matter is; its label
counts last of all.
"""

import re
from collections.abc import Iterable

from legalrr.records import Party

CAPTION = 3000
"""Characters at the head of the shown text in which the caption is looked for."""
AFTER_JURISDICTION = 900
"""Characters after the word JURISDICTION that hold number and counsel in an old report of the Supreme Court."""

JURISDICTION = "JURISDICTION"
FIRST_LINES = 120
"""Characters in which the number stands where nothing shows the end of a caption."""

FORM = re.compile(r"\A.{0,300}?^[ \t]*PETITIONERS?:.{0,900}?^[ \t]*RESPONDENTS?:", re.MULTILINE | re.DOTALL)
"""The form of old reports: both labels, in capitals, the petitioner's at the very head."""
_BODY = re.compile(
    r"\bjudgments? of the court\b|\border of the court\b|^[ \t:]*(?:j ?u ?d ?g ?e? ?m ?e ?n ?t|o ?r ?d ?e ?r)[ \t:.-]*$"
    r"|^[ \t]*(?-i:ORDER|JUDGMENT)\b|\b(?:delivered|made|passed) the following\b",
    re.IGNORECASE | re.MULTILINE,
)
"""Where the caption ends and the judgment itself begins."""
_SHORTEST_CAPTION = 100
"""Characters; an earlier "JUDGMENT" is a title above the caption."""
# Labels are capitalised, whatever follows their first letter; the prose of a judgment seldom is.
_CAPITAL = r"(?=(?-i:[A-Z]))"
_WORD = rf"{_CAPITAL}(?:appellant|petitioner|applicant|plaintiff)s?(?:[ \t]*(?:\(s\)|/[ \t]?s\b))?"
# "Accused/petitioners", "Plaintiff-Appellant": the role in this court is one of the words joined.
_WORDS = rf"(?:{_CAPITAL}(?:\w+[ \t]?[/-][ \t]?)?{_WORD}(?:[ \t]?[/-][ \t]?{_WORD})?)"
_LABEL = re.compile(
    rf"(?:\.{{2,}}|…|-{{3,}})[ \t.…]*(?:revision[ \t]+)?{_WORDS}(?!\w)"  # Kishan Lal ... Appellant
    rf"|^[ \t:)\]*.-]*{_WORDS}[ \t.,:)]*$"  # PETITIONER
    rf"|^[ \t]*{_WORDS}[ \t]*(?::|\d{{1,2}}[.) ])"  # Petitioners : 1. Kishan Lal
    r"|^[ \t]*(?:Appellant|Petitioner)[ \t]*/[ \t]?s\b"  # Appellant /s 1 Kishan Lal
    rf"|^(?!.*\b(?:for|by|of|the)\b[^\n]{{0,24}}$)\S[^\n]{{2,80}}?[, \t)]{_WORDS}[.,]?[ \t]*$",  # Kishan Lal, Petitioner
    re.IGNORECASE | re.MULTILINE,
)  # fmt: skip
# "CIVIL APPEAL NO.", "Writ Petition (Civil) Nos."; no "A suit was filed in Suit No. 3".
_LINE = r"^[^\w\n]*(?:(?!(?:an?|the|this|was|were|in|to|by|of|from|with|under|against|filed|see)\b)[\w.()&/:+-]+[ \t]+){0,5}?"
_NO = r"[^\n.]{0,40}?[ \t(.]?(?:nos?\b|\d+[ \t]*(?:/|of)[ \t]*\d{2,4})"
_SHORT = r" ?(?:\([^)\n]*\) ?)?(?:nos?\b|\d+[ \t]*(?:/|of)[ \t]*\d{2,4})"
_MATTERS: tuple[tuple[Party, re.Pattern[str]], ...] = (
    (
        "appellant",
        re.compile(
            rf"{_LINE}(?:\w*appeals?\b(?:{_NO}|[ ,]+(?:from|by special leave|by certificate)\b)"
            rf"|(?-i:(?:R\.?F?|R\.?S|M\.?F|I\.?T|CRL\.?|Crl\.?|C\.?|W\.?) ?A)\.?s?{_SHORT})",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
    (
        "petitioner",
        re.compile(
            rf"{_LINE}(?:\w*(?:petitions?|revisions?|applications?|references?|(?<=\A)ition)\b{_NO}"
            rf"|petitions?[. ]+under art|(?-i:W\.?P|S\.?L\.?P|O\.?P|C(?:RL|rl)\.? ?(?:P|R\.?P|M\.?C|L\.?P|MISC?|Misc?|R\.?C)|R\.?P\.?F\.?C)\.?s?{_SHORT})"
            r"|^[ \t]*\(?under article[ \t]+(?:32|226|227)\b",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
    (
        "plaintiff",
        re.compile(
            rf"{_LINE}(?:suits?\b{_NO}|(?-i:O\.? ?S|C\.? ?S)\.?{_SHORT})",
            re.IGNORECASE | re.MULTILINE,
        ),
    ),
)  # fmt: skip
_CONFIRMATION = re.compile(r"\bconfirmation case\b|\breference case\b|\b(?:criminal|crl\.?) ?R\.? ?C\b", re.IGNORECASE)
"""A sentence of death that awaits the High Court's confirmation: the appeal beside it is the convict's."""
_COUNSEL: tuple[tuple[Party, re.Pattern[str]], ...] = (
    # Words of old reports are torn by a space where a line ended.
    ("appellant", re.compile(r"\bfor,? (?:the,? )?(?:appearing )?appel ?lan ?ts?\b", re.IGNORECASE)),
    (
        "petitioner",
        re.compile(r"\bfor,? (?:the,? )?(?:appearing )?(?:pe ?ti ?tion ?ers?|applicants?)\b", re.IGNORECASE),
    ),
    ("plaintiff", re.compile(r"\bfor (?:the )?plaintiffs?\b", re.IGNORECASE)),
)
_THIS = (
    r"\b(?:this|these|the present|present|the instant|instant|both (?:the|these)|all (?:the|these)|the above)"
    r"(?: (?:above|two|three|four|five|six|seven|batch of|group of|set of|cross|connected|civil|criminal|writ|tax|bail|revision"
    r"|statutory|miscellaneous|misc\.?|special leave|review|transfer|contempt|election|original|regular|first|second|intra-court"
    r"|letters patent|anticipatory)){0,3} "
)  # fmt: skip
_PHRASES: tuple[tuple[Party, re.Pattern[str]], ...] = (
    (
        "appellant",
        re.compile(
            rf"{_THIS}appeals?\b|\bappeals?,? (?:is |are )?(?:by|with|on) (?:special leave|(?:a )?certificate)\b"
            r"|\bhence,? (?:the|this|these)(?: present)? appeals?\b"
            r"|\bpresent appellants?\b|\bappellants? (?:herein|before us|in this court)\b"
            r"|\bappeals? (?:has|have) been (?:preferred|filed|brought) (?:before|to|in) this court\b",
            re.IGNORECASE,
        ),
    ),
    (
        "petitioner",
        re.compile(
            rf"{_THIS}(?:petitions?|revisions?)\b|\b(?:petitions?|applications?)[. ] ?under (?:article|art\.?) ?32\b"
            r"|\bpetitioners? (?:herein|before us|in this court)\b",
            re.IGNORECASE,
        ),
    ),
)  # fmt: skip
_KINDS: tuple[tuple[Party, re.Pattern[str]], ...] = (
    ("appellant", re.compile(r"\A(?:\w+ )*appeal\Z", re.IGNORECASE)),
    ("petitioner", re.compile(r"\A(?:\w+ )*(?:petition|revision)\Z", re.IGNORECASE)),
    ("plaintiff", re.compile(r"\A(?:\w+ )*suit\Z", re.IGNORECASE)),
)


def find_role(shown: str, *, kind: str | None = None) -> Party | None:
    """The role of the party that came to this court; None where nothing tells.

    Args:
        shown: the judgment without what is hidden.
        kind: kind of matter, as the corpus has it ("appeal", "petition"); other words ("tax") say nothing.
    """
    form = FORM.search(shown[:CAPTION])
    body = _BODY.search(shown, _SHORTEST_CAPTION, CAPTION)
    caption = shown[: body.start() if body else CAPTION]
    if form:
        # What precedes the word is the form and the reporter's headnote.
        at = shown.find(JURISDICTION)
        caption = shown[at + len(JURISDICTION) : at + AFTER_JURISDICTION].lstrip(" :\n") if at >= 0 else ""
    return (
        (None if form else _label(caption))
        or _number(caption if form or body else caption[:FIRST_LINES], captioned=bool(form or body))
        or next((role for role, pattern in _KINDS if kind and pattern.search(kind)), None)
        or _by_words(shown if form is None else shown[form.end() :])
        or ("petitioner" if form else None)
    )


def first_label(caption: str) -> tuple[int, int] | None:
    """Where the first label of a caption stands that names the role of the party that came, as [start, end)."""
    label = _LABEL.search(caption)
    return label.span() if label else None


def _label(caption: str) -> Party | None:
    """The role that the first label names."""
    span = first_label(caption)
    if span is None:
        return None
    if _CONFIRMATION.search(caption) and _MATTERS[0][1].search(caption):
        return "appellant"
    words = caption[span[0] : span[1]].lower()
    # Of words joined, the one that is held in this court.
    if "appellant" in words:
        return "appellant"
    return "petitioner" if "petitioner" in words or "applicant" in words else "plaintiff"


def _number(caption: str, *, captioned: bool) -> Party | None:
    """The role by the number of the matter or, where there is none, by counsel; a petition within an appeal, whose
    counsel appear for the appellant, is the appeal's."""
    number, counsel = _first(_MATTERS, caption), _first(_COUNSEL, caption) if captioned else None
    return counsel if number is None or (number, counsel) == ("petitioner", "appellant") else number


def _first(patterns: Iterable[tuple[Party, re.Pattern[str]]], text: str) -> Party | None:
    """The role whose pattern matches first in the text."""
    found = [(match.start(), role) for role, pattern in patterns if (match := pattern.search(text))]
    return min(found)[1] if found else None


def _by_words(shown: str) -> Party | None:
    """How a judgment without a caption speaks of its matter and of the party.

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
    return "petitioner" if petitioner else "plaintiff" if plaintiff else None
