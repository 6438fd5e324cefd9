"""The court's own text of the roles that a model is asked to write: what explanations are compared with."""

from collections.abc import Sequence
from typing import Any

from legalrr.annotate.annotate import HEADING_OF
from legalrr.records import Judgment, PromptTurn, Segments, Span


def court_text(
    judgment: Judgment, segments: Segments, turns: Sequence[PromptTurn], *, segmenter: str
) -> dict[str, Any]:
    """A line of references.jsonl: for every turn that writes a role, the court's text of that role.

    The roles are the corpus's own where it has any in the scheme that the turns are of, else the segmenter's.

    Args:
        judgment: with its gold roles.
        segments: the roles that the segmenter found.
        turns: what the model is asked; those that write no role are passed over.
        segmenter: name of the segmenter.

    Returns:
        id, scheme, source (`gold` or the segmenter's name), and name, role and text of each turn; the text is "" where
        the judgment has none of the role.
    """
    spans, source = segments.spans, segmenter
    if judgment.spans is not None and judgment.scheme == segments.scheme:
        spans, source = judgment.spans, "gold"
    written = [(turn.name, HEADING_OF[turn.name]) for turn in turns if turn.name in HEADING_OF]
    return {
        "id": judgment.id,
        "scheme": segments.scheme,
        "source": source,
        "turns": [{"name": name, "role": role, "text": _text(judgment.text, spans, role)} for name, role in written],
    }


def _text(text: str, spans: Sequence[Span], role: str) -> str:
    return "\n".join(text[span.start : span.end].strip() for span in spans if span.role == role)
