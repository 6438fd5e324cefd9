"""Find the party that brought the case to this court, and the court.

The court of a judgment, as the system message names it: "the Supreme Court of India", or "an Indian court".

The name of the party that came to the court, where the caption of the judgment gives it beyond doubt.

It is read from the first label of the caption alone ("Kishan Lal ... Appellant", "PETITIONER: KISHAN LAL") or, without
any label, from a line "Kishan Lal versus State of Sandpur" at its head. A further matter that is decided with the first
one may have the other side's name in the same place, and headnotes cite cases in the same form.

The party that came to this court: the one that "decided in favour of" refers to, and whose success is the label.

Not whoever is named most: in an appeal from a suit the plaintiff is often the respondent. Its role is found by
`legalrr.annotate.party_role`, its name by `legalrr.annotate.party`; anything doubtful is left out of the question.
"""

import re
from dataclasses import dataclass

from legalrr.annotate.party_role import CAPTION, FORM, find_role, first_label
from legalrr.records import Document, Judgment, Party

UNKNOWN_COURT = "an Indian court"
"""How a court is named that is not known."""
SUPREME_COURT = "the Supreme Court of India"
LONGEST_COURT = 80
"""A longer name in a corpus is no name."""

_A_COURT = re.compile(r"\b(?:court|tribunal|commission|board|forum|authority)\b", re.IGNORECASE)
_IN_THE_SUPREME_COURT = re.compile(r"^\W*(?:IN )?THE SUPREME COURT OF INDIA\b", re.MULTILINE)
# Old reports have no heading; the Supreme Court Reports and Cases, where they were printed, are of that court alone.
_REPORTED = re.compile(r"\bSC[RC]\b")
_HIGH_COURT = re.compile(r"^\W*(?:IN )?THE (?:[A-Z]+ )?HIGH COURT\b[^\n]{0,60}", re.MULTILINE)
_SEATS = (
    *("Allahabad", "Andhra Pradesh", "Bombay", "Calcutta", "Chhattisgarh", "Delhi", "Gauhati", "Gujarat"),
    *(
        "Himachal Pradesh",
        "Jharkhand",
        "Karnataka",
        "Kerala",
        "Madhya Pradesh",
        "Madras",
        "Manipur",
        "Meghalaya",
        "Orissa",
        "Patna",
    ),
    *("Punjab and Haryana", "Rajasthan", "Sikkim", "Telangana", "Tripura", "Uttarakhand"),
)
_SEAT = re.compile(rf"\b(?:{'|'.join(_SEATS)})\b", re.IGNORECASE)


def find_court(judgment: Judgment, document: Document) -> str:
    """The court with its article, as the corpus names it, else as the heading of the shown preamble does."""
    if judgment.court:
        name = " ".join(judgment.court.split())
        if len(name) > LONGEST_COURT or not _A_COURT.search(name):
            return UNKNOWN_COURT
        return name if re.match(r"(?:the|an?)\b", name) else f"the {name}"
    head = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION)[:CAPTION]
    if _IN_THE_SUPREME_COURT.search(head) or (FORM.search(head) and _REPORTED.search(head)):
        return SUPREME_COURT
    heading = _HIGH_COURT.search(head)
    seat = _SEAT.search(heading.group()) if heading else None
    if seat is None:
        return UNKNOWN_COURT
    return f"the High Court of {next(one for one in _SEATS if one.lower() == seat.group().lower())}"


LONGEST_NAME = 80
"""A longer match is no name but a mangled line."""
VERSUS_LINES = 12
"""Lines at the head among which "A versus B" is this case and not a cited one."""

_WORD = r"(?:appellant|petitioner|applicant|plaintiff)s?(?:\s*\(s\))?"
# "Kishan S/o Ramdas, .. APPELLANT": the name stands before the label, on the line that the dots end.
_BEFORE = re.compile(rf"^[ \t]*(?P<name>\S[^\n]*?)[ \t,]*(?:\.{{2,}}|…)[ \t.…]*{_WORD}", re.IGNORECASE | re.MULTILINE)
# "Petitioner: Kishan Ramdas", also over a line.
_AFTER = re.compile(rf"^[ \t]*{_WORD}[ \t]*:[ \t:]*\n?[ \t]*(?P<name>\S[^\n]*)$", re.IGNORECASE | re.MULTILINE)
# The form of old reports: all between its label and "Vs.", which may be several lines.
_IN_FORM = re.compile(
    r"^[ \t]*PETITIONERS?:(?P<name>.*?)(?:\n\s*\n|\bVs?\.|^[ \t]*RESPONDENT)", re.MULTILINE | re.DOTALL
)
# "Kishan Ramdas versus State of Rajasthan": a line of its own, and no citation.
_NAME_WORD = r"(?:[A-Z(&][^\s\d:]*|of|the|and|for|alias|etc\.?|others\)?|another|s/o|w/o)"
_VERSUS = re.compile(
    rf"^[ \t]*(?!(?:In|Thus|See|The cases?)\b)(?P<name>[A-Z][^\s\d:]*(?:[ \t]+{_NAME_WORD})*?)"
    r"[ \t]+(?:v\.|(?i:vs\.?|versus|v/s\.?))[ \t]+[A-Z][^\n\d]*$"
)
# What may stand on the line above the first line of a name; below any other line, an address may go on.
_ABOVE = re.compile(
    r"\A\W*\Z|\bbetween\b|\bcourt of\b|\bbench\b|\bnos?\b.*\d|\b(?:of|on|dated?)\b.*\b(?:19|20)\d\d\b"
    r"|\d/(?:19|20)\d\d\b",
    re.IGNORECASE,
)
# What shows that a name goes on below its label.
_COMPANY = (
    r"(?:ltd|limited|pvt|private|society|company|co\.|industries|bank|corporation|board|customs|trust|university|union)"
)
_GOES_ON = re.compile(rf"\A(?!.*\b(?:aged?|through|by)\b)[^,\n]*\b{_COMPANY}\b", re.IGNORECASE)
_UNFINISHED = re.compile(r"(?:&|\band|\bof|-)[\s,.]*\Z", re.IGNORECASE)
_NUMBER = re.compile(r"\A\(?1[.)]\s*")
_KIN = r"(?:[SDW]/o|aged?|r/o|occ|(?:son|wife|daughter|widow) of|represented by|rep\b\.? by|by its|through)"
_TRAILER = re.compile(
    r"[,(]?\s*(?:(?:\band\b|&)\s*(?:\d+\s*)?(?:others\)?|another|ors\b\.?|anr\b\.?)|\betc\b\.?|\b(?:versus|vs?\.)\Z|\band\b|&"
    rf"|\b{_KIN}\b.*)\s*\)?[\s.,]*\Z",
    re.IGNORECASE,
)
_NOT_A_NAME = re.compile(
    r"\b(?:counsel|advocate|adv|attorney|solicitor|court|judge|justice|bench|coram|hon'?ble|respondents?|appeal|petition"
    r"|no|between|versus|in person|all are|both|resid\w+|dist|district|taluk|village|see|reference|referred|cases?"
    r"|the said|was|were)\b|\A\W|\A\d|\d{3}|[\])}]\Z",
    re.IGNORECASE,
)


def find_name(preamble: str) -> str | None:
    """The party's own name, without "and others", parentage or address; None where it is not given or doubtful.

    Args:
        preamble: what is shown of the judgment's preamble.
    """
    head = preamble[:CAPTION]
    if FORM.search(head):
        found = _IN_FORM.search(head)
        return _cleaned(found["name"]) if found else None
    label = first_label(head)
    if label is None:
        lines = [line for line in head.splitlines() if line.strip()][:VERSUS_LINES]
        return next((_cleaned(match["name"]) for line in lines if (match := _VERSUS.search(line.rstrip()))), None)
    for pattern in (_BEFORE, _AFTER):
        match = pattern.search(head)
        # Only the first label: a later one may be of another matter that is decided with this one.
        if match and match.start() < label[1] and match.end() >= label[1] - 1:
            whole = pattern is _AFTER or (
                _ABOVE.search(_line_above(head, match.start())) and not _goes_on(match["name"], head[match.end() :])
            )
            return _cleaned(match["name"]) if whole else None
    return None


def _line_above(text: str, at: int) -> str:
    """The last line before `at` that is not blank; "" where there is none."""
    return text[:at].rstrip().rpartition("\n")[2]


def _goes_on(name: str, rest: str) -> bool:
    """Whether a name goes on below the label that it stands before."""
    below = next((line for line in rest.split("\n")[1:3] if line.strip()), "")
    return bool(_UNFINISHED.search(name) or _GOES_ON.search(below))


def _cleaned(name: str) -> str | None:
    """The name alone; None where what is left is none."""
    name, last = " ".join(name.split()), None
    while name != last:
        last, name = name, _TRAILER.sub("", name.strip(" \t.,;:-"))
    name = _NUMBER.sub("", name).strip()
    return name if 2 < len(name) <= LONGEST_NAME and not _NOT_A_NAME.search(name) else None


UNKNOWN_PARTY = "the party that brought the case to this court"
"""How a question names the party whose role nothing tells."""
MATTERS: dict[Party | None, str] = {
    "appellant": "appeal",
    "petitioner": "petition",
    "plaintiff": "suit",
    None: "appeal or petition",
}
"""Role of the party -> what it brought to the court."""


@dataclass(frozen=True, kw_only=True)
class MovingParty:
    """The party that came to the court."""

    role: Party | None
    """Its role in this court; None where that cannot be told."""
    name: str | None = None
    """Its name, where it is known."""

    def __str__(self) -> str:
        """As the question names it: "the appellant, Mohan Lal Saini" or "the appellant"."""
        role = f"the {self.role}" if self.role else UNKNOWN_PARTY
        return f"{role}, {self.name}" if self.name else role

    @property
    def matter(self) -> str:
        """What it brought to the court: appeal, petition, suit, or "appeal or petition"."""
        return MATTERS[self.role]


def find_party(judgment: Judgment, document: Document, *, named: bool) -> MovingParty:
    """The party of a judgment: as the corpus states it, else as the text that is not hidden does.

    Args:
        judgment: its `party` and `petitioner` count first.
        document: nothing in its `hidden` is searched, so nothing of it can enter a question; the role is looked for in
            all the rest, so that arms that show more or less of it name the same party.
        named: whether to use a name.
    """
    found = find_role(unhidden(judgment, document), kind=judgment.kind)
    role = judgment.party or found
    if not named:
        return MovingParty(role=role)
    if judgment.petitioner:
        # A longer one would not fit what `Annotate.reserve` keeps free.
        return MovingParty(role=role, name=judgment.petitioner if len(judgment.petitioner) <= LONGEST_NAME else None)
    if judgment.party and found not in (None, judgment.party):
        # The caption's first name is that of the party that came, which here the corpus calls otherwise.
        return MovingParty(role=role)
    # What a tagger takes for preamble further down is none.
    preamble = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION)
    return MovingParty(role=role, name=find_name(preamble))


def unhidden(judgment: Judgment, document: Document) -> str:
    """The judgment's text without what the document hides."""
    text, hidden = judgment.text, document.hidden
    starts, ends = [0, *(h.end for h in hidden)], [*(h.start for h in hidden), len(text)]
    return "\n".join(text[a:b] for a, b in zip(starts, ends, strict=True))
