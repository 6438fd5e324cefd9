"""Find the party that brought the case to this court, and the court.

`find_party` returns the party whose success counts as "allowed". It is not the party named most often: in an appeal
from a suit, the plaintiff is often the respondent. `legalrr.annotate.party_role` finds its role. Doubtful names are
left out of the question.

`find_name` reads the name from the first label of the caption only ("Kishan Lal ... Appellant", "PETITIONER: KISHAN
LAL") or, without any label, from a line "Kishan Lal versus State of Sandpur" at its head. Another matter decided with
the first may have the other party's name in the same place, and headnotes cite cases in the same form.

`find_court` returns the court as the system message names it: "the Supreme Court of India", or "an Indian court".
"""

import re
from dataclasses import dataclass

from legalrr.annotate.party_role import CAPTION_LENGTH, OLD_REPORT_FORM, find_role, first_label
from legalrr.records import Document, Judgment, Party

UNKNOWN_COURT = "an Indian court"
"""Name of an unknown court."""
SUPREME_COURT = "the Supreme Court of India"
MAX_COURT_LENGTH = 80
"""Maximum length of a court name in a corpus, in characters; longer ones are ignored."""

MAX_NAME_LENGTH = 80
"""Maximum length of a name, in characters; a longer match is a corrupted line."""
VERSUS_LINES = 12
"""Lines at the head in which "A versus B" is this case and not a cited one."""
UNKNOWN_PARTY = "the party that brought the case to this court"
"""How the question names a party of unknown role."""
MATTERS: dict[Party | None, str] = {
    "appellant": "appeal",
    "petitioner": "petition",
    "plaintiff": "suit",
    None: "appeal or petition",
}
"""Role of the party -> the matter that it brought to the court."""

_A_COURT = re.compile(r"\b(?:court|tribunal|commission|board|forum|authority)\b", re.IGNORECASE)
_IN_THE_SUPREME_COURT = re.compile(r"^\W*(?:IN )?THE SUPREME COURT OF INDIA\b", re.MULTILINE)
# Old reports have no heading; the Supreme Court Reports and Cases, which printed them, report that court only.
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

_WORD = r"(?:appellant|petitioner|applicant|plaintiff)s?(?:\s*\(s\))?"
# "Kishan S/o Ramdas, .. APPELLANT": the name precedes the label on a line that ends in dots.
_BEFORE = re.compile(rf"^[ \t]*(?P<name>\S[^\n]*?)[ \t,]*(?:\.{{2,}}|…)[ \t.…]*{_WORD}", re.IGNORECASE | re.MULTILINE)
# "Petitioner: Kishan Ramdas", also on the next line.
_AFTER = re.compile(rf"^[ \t]*{_WORD}[ \t]*:[ \t:]*\n?[ \t]*(?P<name>\S[^\n]*)$", re.IGNORECASE | re.MULTILINE)
# The form of old reports: everything between the label and "Vs.", possibly several lines.
_IN_FORM = re.compile(
    r"^[ \t]*PETITIONERS?:(?P<name>.*?)(?:\n\s*\n|\bVs?\.|^[ \t]*RESPONDENT)", re.MULTILINE | re.DOTALL
)
# "Kishan Ramdas versus State of Rajasthan": on its own line, and not a citation.
_NAME_WORD = r"(?:[A-Z(&][^\s\d:]*|of|the|and|for|alias|etc\.?|others\)?|another|s/o|w/o)"
_VERSUS = re.compile(
    rf"^[ \t]*(?!(?:In|Thus|See|The cases?)\b)(?P<name>[A-Z][^\s\d:]*(?:[ \t]+{_NAME_WORD})*?)"
    r"[ \t]+(?:v\.|(?i:vs\.?|versus|v/s\.?))[ \t]+[A-Z][^\n\d]*$"
)
# A line that may precede the first line of a name; after any other line, the text may continue an address.
_ABOVE = re.compile(
    r"\A\W*\Z|\bbetween\b|\bcourt of\b|\bbench\b|\bnos?\b.*\d|\b(?:of|on|dated?)\b.*\b(?:19|20)\d\d\b"
    r"|\d/(?:19|20)\d\d\b",
    re.IGNORECASE,
)
# Evidence that a name continues below its label.
_COMPANY = (
    r"(?:ltd|limited|pvt|private|society|company|co\.|industries|bank|corporation|board|customs|trust|university|union)"
)
_CONTINUATION = re.compile(rf"\A(?!.*\b(?:aged?|through|by)\b)[^,\n]*\b{_COMPANY}\b", re.IGNORECASE)
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


def find_court(judgment: Judgment, document: Document) -> str:
    """Return the court with its article, from the corpus or else the heading of the visible preamble."""
    if judgment.court:
        name = " ".join(judgment.court.split())
        if len(name) > MAX_COURT_LENGTH or not _A_COURT.search(name):
            return UNKNOWN_COURT
        return name if re.match(r"(?:the|an?)\b", name) else f"the {name}"
    head = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION_LENGTH)[
        :CAPTION_LENGTH
    ]
    if _IN_THE_SUPREME_COURT.search(head) or (OLD_REPORT_FORM.search(head) and _REPORTED.search(head)):
        return SUPREME_COURT
    heading = _HIGH_COURT.search(head)
    seat = _SEAT.search(heading.group()) if heading else None
    if seat is None:
        return UNKNOWN_COURT
    return f"the High Court of {next(name for name in _SEATS if name.lower() == seat.group().lower())}"


def find_name(preamble: str) -> str | None:
    """Return the party's own name, without "and others", parentage or address; None if missing or doubtful.

    Args:
        preamble: the visible part of the judgment's preamble.
    """
    head = preamble[:CAPTION_LENGTH]
    if OLD_REPORT_FORM.search(head):
        found = _IN_FORM.search(head)
        return _clean_name(found["name"]) if found else None
    label = first_label(head)
    if label is None:
        lines = [line for line in head.splitlines() if line.strip()][:VERSUS_LINES]
        return next((_clean_name(match["name"]) for line in lines if (match := _VERSUS.search(line.rstrip()))), None)
    for pattern in (_BEFORE, _AFTER):
        match = pattern.search(head)
        # Only the first label: a later one may belong to another matter decided with this one.
        if match and match.start() < label[1] and match.end() >= label[1] - 1:
            complete = pattern is _AFTER or (
                _ABOVE.search(_line_above(head, match.start()))
                and not _continues_below(match["name"], head[match.end() :])
            )
            return _clean_name(match["name"]) if complete else None
    return None


def _line_above(text: str, at: int) -> str:
    """Return the last non-blank line before `at`, or ""."""
    return text[:at].rstrip().rpartition("\n")[2]


def _continues_below(name: str, rest: str) -> bool:
    """Return whether a name continues below the label that follows it."""
    below = next((line for line in rest.split("\n")[1:3] if line.strip()), "")
    return bool(_UNFINISHED.search(name) or _CONTINUATION.search(below))


def _clean_name(name: str) -> str | None:
    """Remove numbers and trailers from a name; return None if the rest is not a name."""
    name, last = " ".join(name.split()), None
    while name != last:
        last, name = name, _TRAILER.sub("", name.strip(" \t.,;:-"))
    name = _NUMBER.sub("", name).strip()
    return name if 2 < len(name) <= MAX_NAME_LENGTH and not _NOT_A_NAME.search(name) else None


@dataclass(frozen=True, kw_only=True)
class MovingParty:
    """The party that brought the case to the court."""

    role: Party | None
    """Its role in this court; None if unknown."""
    name: str | None = None
    """Its name, if known."""

    def __str__(self) -> str:
        """Return it as in the question: "the appellant, Mohan Lal Saini" or "the appellant"."""
        role = f"the {self.role}" if self.role else UNKNOWN_PARTY
        return f"{role}, {self.name}" if self.name else role

    @property
    def matter(self) -> str:
        """The matter that it brought: appeal, petition, suit, or "appeal or petition"."""
        return MATTERS[self.role]


def find_party(judgment: Judgment, document: Document, *, named: bool) -> MovingParty:
    """Return the party that brought the case, from the corpus or else the text that is not hidden.

    Args:
        judgment: its `party` and `petitioner` take precedence.
        document: its `hidden` spans are not searched, so hidden text cannot enter a question; the role is searched in
            all other text, so that arms that show more or less of it name the same party.
        named: whether to use a name.
    """
    found = find_role(visible_text(judgment, document), kind=judgment.kind)
    role = judgment.party or found
    if not named:
        return MovingParty(role=role)
    if judgment.petitioner:
        # A longer name would exceed the tokens that `Annotate.reserve` reserves.
        return MovingParty(role=role, name=judgment.petitioner if len(judgment.petitioner) <= MAX_NAME_LENGTH else None)
    if judgment.party and found not in (None, judgment.party):
        # The caption names the party that came to court first, but the corpus gives it another role.
        return MovingParty(role=role)
    # A PREAMBLE further down is a tagger error.
    preamble = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION_LENGTH)
    return MovingParty(role=role, name=find_name(preamble))


def visible_text(judgment: Judgment, document: Document) -> str:
    """Return the judgment's text without the hidden spans."""
    text, hidden = judgment.text, document.hidden
    starts, ends = [0, *(h.end for h in hidden)], [*(h.start for h in hidden), len(text)]
    return "\n".join(text[a:b] for a, b in zip(starts, ends, strict=True))
