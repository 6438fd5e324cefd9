"""The name of the party that came to the court, where the caption of the judgment gives it beyond doubt.

It is read from the first label of the caption alone ("Kishan Lal ... Appellant", "PETITIONER: KISHAN LAL") or, without
any label, from a line "Kishan Lal versus State of Sandpur" at its head. A further matter that is decided with the first
one may have the other side's name in the same place, and headnotes cite cases in the same form.
"""

import re

from legalrr.party_role import CAPTION, FORM, first_label

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
