"""The court of a judgment, as the system message names it: "the Supreme Court of India", or "an Indian court"."""

import re

from legalrr.party_role import CAPTION, FORM
from legalrr.records import Document, Judgment

UNKNOWN = "an Indian court"
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
            return UNKNOWN
        return name if re.match(r"(?:the|an?)\b", name) else f"the {name}"
    head = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION)[:CAPTION]
    if _IN_THE_SUPREME_COURT.search(head) or (FORM.search(head) and _REPORTED.search(head)):
        return SUPREME_COURT
    heading = _HIGH_COURT.search(head)
    seat = _SEAT.search(heading.group()) if heading else None
    if seat is None:
        return UNKNOWN
    return f"the High Court of {next(one for one in _SEATS if one.lower() == seat.group().lower())}"
