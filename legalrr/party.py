"""The party that came to this court: the one that "decided in favour of" refers to, and whose success is the label.

Not whoever is named most: in an appeal from a suit the plaintiff is often the respondent. Its role is found by
`legalrr.party_role`, its name by `legalrr.party_name`; anything doubtful is left out of the question.
"""

from dataclasses import dataclass

from legalrr.party_name import LONGEST_NAME, find_name
from legalrr.party_role import CAPTION, find_role
from legalrr.records import Document, Judgment, Party

UNKNOWN = "the party that brought the case to this court"
"""How a question names the party whose role nothing tells."""
MATTERS: dict[Party | None, str] = {
    "appellant": "appeal",
    "petitioner": "petition",
    "plaintiff": "suit",
    None: "appeal or petition",
}
"""Role of the party -> what it brought to the court."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """The party that came to the court."""

    role: Party | None
    """Its role in this court; None where that cannot be told."""
    name: str | None = None
    """Its name, where it is known."""

    def __str__(self) -> str:
        """As the question names it: "the appellant, Mohan Lal Saini" or "the appellant"."""
        role = f"the {self.role}" if self.role else UNKNOWN
        return f"{role}, {self.name}" if self.name else role

    @property
    def matter(self) -> str:
        """What it brought to the court: appeal, petition, suit, or "appeal or petition"."""
        return MATTERS[self.role]


def find_party(judgment: Judgment, document: Document, *, named: bool) -> Side:
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
        return Side(role=role)
    if judgment.petitioner:
        # A longer one would not fit what `Annotate.reserve` keeps free.
        return Side(role=role, name=judgment.petitioner if len(judgment.petitioner) <= LONGEST_NAME else None)
    if judgment.party and found not in (None, judgment.party):
        # The caption's first name is that of the party that came, which here the corpus calls otherwise.
        return Side(role=role)
    # What a tagger takes for preamble further down is none.
    preamble = "\n".join(b.text for b in document.blocks if b.role == "PREAMBLE" and b.start < CAPTION)
    return Side(role=role, name=find_name(preamble))


def unhidden(judgment: Judgment, document: Document) -> str:
    """The judgment's text without what the document hides."""
    text, hidden = judgment.text, document.hidden
    starts, ends = [0, *(h.end for h in hidden)], [*(h.start for h in hidden), len(text)]
    return "\n".join(text[a:b] for a, b in zip(starts, ends, strict=True))
