"""Find what reveals the outcome and must be hidden.

Hiding the decisive roles does not hide the verdict: of 277 BUILD judgments, 79 have verdict-like sentences under other
roles; a law reporter's headnote opens 79 BUILD judgments, and a closing line ends most Supreme Court judgments. `hide`
therefore also hides these, precedents that the court rejects, text at the end that no span covers, and sentences that
repeat a hidden sentence word for word. A judgment shown as page images loses the whole page (`legalrr.page_images`).
"""

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from legalrr.hiding.headnote import find_closing_line, find_headnote
from legalrr.hiding.verdict_cues import VerdictDetector
from legalrr.records import Hidden, HideReason, Judgment, Segments
from legalrr.roles import scheme
from legalrr.sentences import split

Piece: TypeAlias = tuple[int, int, str]
"""Start, end and role of a text span."""
MIN_REPEATED_WORDS = 4
"""Repetitions of shorter hidden sentences ("We disagree.") reveal nothing and stay visible."""


@lru_cache(maxsize=512)
def hide(judgment: Judgment, segments: Segments, *, also: frozenset[str], verdicts: bool) -> tuple[Hidden, ...]:
    """Return the spans to hide in a judgment, ordered and disjoint.

    The result is cached, because the cells of a sweep hide the same spans of the same judgments.

    Args:
        judgment: the judgment.
        segments: its rhetorical roles; the decisive roles of their scheme are hidden.
        also: additional roles to hide.
        verdicts: also hide the headnote, rejected precedents, verdict-like sentences, the closing line, the uncovered
            end, and repeats. The study hid the decisive roles only.
    """
    text = judgment.text
    roles = scheme(segments.scheme, where=judgment.id)
    decisive = roles.decisive | also | (roles.rejected if verdicts else frozenset())
    note = find_headnote(text) if verdicts else None
    hidden: list[Hidden] = []
    shown: list[Piece] = []
    for start, end, role in _split_at(pieces(text, segments), note or (0, 0)):
        if not text[start:end].strip():
            continue
        if role in decisive:
            hidden.append(Hidden(start=start, end=end, role=role, reason="role"))
        elif note and note[0] <= start < note[1]:
            hidden.append(Hidden(start=start, end=end, role=role, reason="headnote"))
        else:
            shown += [(start + a, start + b, role) for a, b in split(text[start:end])]
    if not verdicts:
        return tuple(hidden)
    hidden, shown = _hide_verdicts(
        text, hidden, shown, last_covered=segments.spans[-1].end if segments.spans else len(text)
    )
    hidden += _find_repeats(text, hidden, shown)
    return tuple(sorted(hidden, key=lambda h: h.start))


def pieces(text: str, segments: Segments) -> Iterable[Piece]:
    """Split the text into (start, end, role), in order; role "" where no span covers it. Omit whitespace gaps."""
    at = 0
    for span in segments.spans:
        if text[at : span.start].strip():
            yield at, span.start, ""
        yield span.start, span.end, span.role
        at = span.end
    if text[at:].strip():
        yield at, len(text), ""


def _split_at(parts: Iterable[Piece], offsets: tuple[int, int]) -> Iterable[Piece]:
    """Split the pieces at these offsets."""
    for start, end, role in parts:
        at = [start, *(cut for cut in offsets if start < cut < end), end]
        yield from ((a, b, role) for a, b in pairwise(at))


def _hide_verdicts(
    text: str, hidden: list[Hidden], shown: list[Piece], *, last_covered: int
) -> tuple[list[Hidden], list[Piece]]:
    """Add closing line, uncovered end and verdict sentences to `hidden`; return it and the sentences still visible."""
    closing = find_closing_line(text)
    detector = VerdictDetector(text)
    kept: list[Piece] = []
    for start, end, role in shown:
        reason: HideReason | None = None
        if closing and start < closing[1] and end > closing[0]:
            reason = "closing"
        elif start >= last_covered:
            reason = "uncovered"
        elif detector.detects(start, end, role):
            reason = "verdict"
        if reason is None:
            kept.append((start, end, role))
        else:
            hidden.append(Hidden(start=start, end=end, role=role, reason=reason))
    return hidden, kept


def _find_repeats(text: str, hidden: list[Hidden], shown: list[Piece]) -> list[Hidden]:
    """Find visible sentences that contain a hidden one, in either order of the document.

    The search repeats until it finds nothing: a sentence hidden as a repeat may itself be repeated, and removing a
    sentence joins its neighbours.
    """
    found: list[Hidden] = []
    wanted = {s for h in hidden for s in protected_sentences(text[h.start : h.end])}
    while True:
        again = _pieces_containing(text, shown, wanted) | _pieces_containing(
            text, sorted(shown, key=lambda piece: piece[2]), wanted
        )
        if not again:
            return found
        found += [Hidden(start=a, end=b, role=role, reason="repeat") for a, b, role in again]
        wanted |= {s for a, b, _ in again for s in protected_sentences(text[a:b])}
        shown = [piece for piece in shown if piece not in again]


def _pieces_containing(text: str, shown: list[Piece], wanted: set[str]) -> set[Piece]:
    """Return the pieces that contain a wanted sentence when concatenated in this order."""
    starts: list[int] = []
    words: list[str] = []
    length = 0
    last: tuple[int, str] | None = None
    for start, end, role in shown:
        # Adjacent pieces of one role are adjacent in a block too; other pieces start a new line.
        words.append(("" if last == (start, role) else " ") + collapse_whitespace(text[start:end]))
        starts.append(length)
        length += len(words[-1])
        last = (end, role)
    joined = "".join(words)
    hits: set[int] = set()
    for sentence in wanted:
        at = joined.find(sentence)
        while at >= 0:
            hits.update(range(bisect_right(starts, at) - 1, bisect_right(starts, at + len(sentence) - 1)))
            at = joined.find(sentence, at + 1)
    return {shown[i] for i in hits}


def protected_sentences(hidden: str) -> set[str]:
    """Return the sentences of a hidden span that must not occur in any prompt, with whitespace collapsed."""
    found = (collapse_whitespace(hidden[a:b]) for a, b in split(hidden))
    return {s for s in found if len(s.split()) >= MIN_REPEATED_WORDS}


def collapse_whitespace(text: str) -> str:
    """Replace every run of whitespace by one space, for comparing repeats."""
    return " ".join(text.split())
