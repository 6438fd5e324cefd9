"""Render a judgment, coloured by role, as a self-contained HTML page for reading, printing and sending.

The text is escaped, control characters are replaced by control pictures, and a content security policy permits only the
page's own script. Without the script, the legend links to the first sentence of each role.
"""

from collections import Counter
from dataclasses import dataclass

from legalrr.errors import printable
from legalrr.html import environment, source_hash, template_source
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme

UNSURE = 0.5
"""Probability below which a sentence is marked as unsure."""


@dataclass(frozen=True, kw_only=True)
class PagePiece:
    """A piece of the page's text: a sentence with its role, or text between two sentences."""

    text: str
    """Text with control characters replaced."""
    number: int = 0
    """Number of the sentence, from 1; 0 for text between sentences."""
    role: str = ""
    """Code of the role."""
    heading: str = ""
    """Name of the role."""
    score: float = 1.0
    """Probability of the role."""
    opens: bool = False
    """Whether the previous sentence has another role."""


@dataclass(frozen=True, kw_only=True)
class LegendEntry:
    """A role in the legend."""

    role: str
    """Code of the role."""
    heading: str
    """Name of the role."""
    definition: str
    """Function of its sentences."""
    count: int
    """Number of sentences with the role."""
    first: int
    """Number of the first of them; 0 if there is none."""


def render_judgment(judgment: Judgment, segments: Segments, *, tagger: str) -> str:
    """Render a judgment as an HTML document.

    Args:
        judgment: the judgment; its id is the title.
        segments: its roles, spans in order.
        tagger: name of the tagger, shown in the header.

    Returns:
        The document; it can be encoded as UTF-8 for any text.
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
