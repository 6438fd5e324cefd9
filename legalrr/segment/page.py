"""A judgment as one HTML page, coloured by role: for reading, printing and sending, without anything from outside.

The text is data: it is escaped, control characters are shown as pictures, and a content security policy lets nothing
run but the page's own script. The page works without that script, too: the legend then leads to the first sentence of
each role.
"""

from collections import Counter
from dataclasses import dataclass

from legalrr.html import environment, printable, source_hash, template_source
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme

UNSURE = 0.5
"""Below this probability a sentence is marked as unsure."""


@dataclass(frozen=True, kw_only=True)
class PagePiece:
    """A stretch of the page's text: a sentence with its role, or what stands between two."""

    text: str
    """What is shown, control characters as pictures."""
    number: int = 0
    """Number of the sentence, from 1; 0 for what stands between two."""
    role: str = ""
    """Code of its role."""
    heading: str = ""
    """Name of its role."""
    score: float = 1.0
    """Probability of its role."""
    opens: bool = False
    """Whether the sentence before has another role."""


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A role in the legend."""

    role: str
    """Its code."""
    heading: str
    """Its name."""
    definition: str
    """What its sentences do."""
    count: int
    """How many sentences have it."""
    first: int
    """Number of the first of them; 0 if there is none."""


def render_judgment(judgment: Judgment, segments: Segments, *, tagger: str) -> str:
    """The judgment as an HTML document.

    Args:
        judgment: the text, and the id as title.
        segments: its roles, spans in order.
        tagger: what found them, as told in the head.

    Returns:
        The document; every string that encodes as UTF-8, whatever the text holds.
    """
    templates = environment()
    style = "\n".join(template_source(templates, f"segment/{name}") for name in ("page.css", "roles.css"))
    script = template_source(templates, "segment/page.js")
    return templates.get_template("segment/page.j2").render(
        title=printable(judgment.id),
        tagger=tagger,
        scheme=segments.scheme,
        unsure=UNSURE,
        pieces=_pieces(judgment.text, segments),
        legend=_legend(segments),
        script=script,
        script_hash=source_hash(script),
        style=style,
        style_hash=source_hash(style),
    )


def _pieces(text: str, segments: Segments) -> list[PagePiece]:
    roles = scheme(segments.scheme)
    pieces = []
    at, before = 0, ""
    for number, span in enumerate(segments.spans, start=1):
        if at < span.start:
            pieces.append(PagePiece(text=printable(text[at : span.start])))
        pieces.append(
            PagePiece(
                text=printable(text[span.start : span.end]),
                number=number,
                role=span.role,
                heading=roles.role(span.role).heading,
                score=span.score,
                opens=span.role != before,
            )
        )
        at, before = span.end, span.role
    pieces.append(PagePiece(text=printable(text[at:])))
    return pieces


def _legend(segments: Segments) -> list[LegendEntry]:
    count = Counter(span.role for span in segments.spans)
    first: dict[str, int] = {}
    for number, span in enumerate(segments.spans, start=1):
        first.setdefault(span.role, number)
    return [
        LegendEntry(
            role=role.code,
            heading=role.heading,
            definition=role.definition,
            count=count[role.code],
            first=first.get(role.code, 0),
        )
        for role in scheme(segments.scheme).roles
    ]
