"""Whom "decided in favour of" refers to: the party that came to the court, by name where the preamble gives it.

The study asks about the petitioner, appellant or plaintiff by name. A name is taken only where the head of the judgment
states it in one of the usual forms; anything doubtful falls back to the party's role ("the appellant").
"""

import re
from dataclasses import dataclass

from legalrr.records import PARTIES, Document, Judgment, Party

HEAD = 3000
"""Characters of the preamble that are searched."""

LONGEST_NAME = 80
"""A longer match is no name but a mangled line."""

_LABEL = r"(?P<role>appellant|petitioner|plaintiff)s?(?:\s*\(s\))?"
# "Kishan S/o Ramdas, .. APPELLANT": the name stands before the label, on the line that the dots end.
_BEFORE = re.compile(rf"^[ \t]*(?P<name>\S[^\n]*?)[ \t,]*(?:\.{{2,}}|…)[ \t]*{_LABEL}\b", re.IGNORECASE | re.MULTILINE)
# "PETITIONER:\nKISHAN RAMDAS": the label stands before, as in older Supreme Court reports.
_AFTER = re.compile(rf"^[ \t]*{_LABEL}[ \t]*:[ \t]*\n?[ \t]*(?P<name>\S[^\n]*)$", re.IGNORECASE | re.MULTILINE)
# "Kishan Ramdas versus State of Rajasthan": a line of its own, and no citation.
_VERSUS = re.compile(
    r"^[ \t]*(?P<name>[A-Z][^\n\d]{2,80}?)[ \t]+(?i:v\.|vs\.?|versus)[ \t]+[A-Z][^\n\d]*$", re.MULTILINE
)
# What may stand on the line above the first line of a name; below any other line, an address may go on.
_ABOVE = re.compile(
    r"\A\W*\Z|\bbetween\b|\bcourt of\b|\bbench\b|\bnos?\b.*\d|\b(?:of|on|dated?)\b.*\b(?:19|20)\d\d\b"
    r"|\d/(?:19|20)\d\d\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\A\(?1[.)]\s*")
_TRAILER = re.compile(
    r"[,(]?\s*(?:(?:\band\b|&)\s*(?:others|another|ors\b\.?|anr\b\.?)|\betc\b\.?|\bversus\b|\band\b|&"
    r"|\b(?:[SDW]/o|aged?|r/o|occ)\b.*)\s*\)?[\s.,]*\Z",
    re.IGNORECASE,
)
_NOT_A_NAME = re.compile(
    r"\b(?:counsel|advocate|adv|court|judge|justice|bench|respondents?|appeal|petition|no|between|versus|in person"
    r"|through|all are|both|resid\w+|dist|district|taluk|village)\b|\A\W|\A\d|\d{3}|[\])}]\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Side:
    """The party that came to the court."""

    role: Party
    """Its role."""
    name: str | None = None
    """Its name, where it is known."""

    def __str__(self) -> str:
        """As the question names it: "the appellant, Mohan Lal Saini" or "the appellant"."""
        return f"the {self.role}, {self.name}" if self.name else f"the {self.role}"


def find_party(judgment: Judgment, document: Document, *, named: bool) -> Side:
    """The party of a judgment: as the corpus states it, else as the visible text does.

    Args:
        judgment: its `party` and `petitioner` count first.
        document: only what is visible is searched, so nothing hidden can enter a question.
        named: whether to use a name.
    """
    preamble = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE")[:HEAD]
    name, stated = (judgment.petitioner, None) if judgment.petitioner else _name(preamble)
    role = judgment.party or stated or _role(judgment.text, document)
    return Side(role=role, name=name if named else None)


def _name(preamble: str) -> tuple[str | None, Party | None]:
    for pattern in (_BEFORE, _AFTER, _VERSUS):
        for match in pattern.finditer(preamble):
            if pattern is _BEFORE and not _ABOVE.search(_line_above(preamble, match.start())):
                continue
            name = _cleaned(match["name"])
            if 2 < len(name) <= LONGEST_NAME and not _NOT_A_NAME.search(name):
                return name, _party(match.groupdict().get("role"))
    return None, None


def _line_above(text: str, at: int) -> str:
    """The last line before `at` that is not blank; "" where there is none."""
    return text[:at].rstrip().rpartition("\n")[2]


def _cleaned(name: str) -> str:
    """A name without number, "and others", parentage and the like."""
    last = None
    while name != last:
        last, name = name, _TRAILER.sub("", name.strip(" \t.,;:-"))
    return " ".join(_NUMBER.sub("", name).split())


def _role(text: str, document: Document) -> Party:
    """The word used most outside of what is hidden; "appellant" where none is.

    All of that counts, not the blocks alone: arms that show more or less of it name the same party.
    """
    starts, ends = [0, *(h.end for h in document.hidden)], [*(h.start for h in document.hidden), len(text)]
    lowered = " ".join(text[a:b] for a, b in zip(starts, ends, strict=True)).lower()
    counts = {party: len(re.findall(rf"\b{party}s?\b", lowered)) for party in PARTIES}
    return max(PARTIES, key=lambda p: counts[p])


def _party(word: str | None) -> Party | None:
    return next((p for p in PARTIES if word and word.lower() == p), None)
