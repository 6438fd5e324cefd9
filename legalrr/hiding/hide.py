"""Hide what gives the outcome away, in text and in page images.

Which pages of a PDF a model may see as images.

Inside of an image nothing can be hidden, so a page that holds anything of what is hidden in the text
(`legalrr.hiding.hide`) is not shown at all. Headers, footers and page numbers, which the text is rid of, are seen on
the other ones. Of a scanned judgment, whose text nobody knows, the last pages are not shown, as many as one says.

What a model that predicts the outcome must not see, and why.

Hiding the decisive roles does not hide the verdict: of 277 BUILD judgments 79 have verdict-like sentences under other
roles, the law reporter's headnote opens 79 of BUILD's judgments and his closing line ends most of the Supreme Court. So
these are hidden as well, with precedents that the court rejects, the text at the end that no span covers, and whatever
repeats a hidden sentence word for word.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

from legalrr.errors import UserError
from legalrr.hiding.headnote import closing_line, headnote
from legalrr.hiding.verdict_cues import VerdictDetector
from legalrr.records import Block, Hidden, HideReason, Judgment, Page, Segments
from legalrr.roles import scheme
from legalrr.sentences import split


def images(pages: Sequence[Page]) -> tuple[Page, ...]:
    """The pages that are shown to a model as images, unless they are hidden; none of a judgment shown as text."""
    return tuple(page for page in pages if page.dpi is not None)


def pages_with(pages: Sequence[Page], start: int, end: int) -> tuple[Page, ...]:
    """The pages that hold any character of the stretch from `start` to `end`, half-open, of the judgment's text."""
    return tuple(page for page in pages if max(page.start, start) < min(page.end, end))


def shown_pages(
    pages: Sequence[Page], hidden: Sequence[Hidden], *, last_pages_hidden: int | None = None, allow_none: bool = False
) -> tuple[Page, ...]:
    """The pages to show as images, in order; none where the judgment is shown as text.

    Args:
        pages: all pages of the judgment.
        hidden: what must not be seen of its text.
        last_pages_hidden: how many pages at the end of a scanned judgment are not shown, at least 0; there is no
            default, as only the reader of such judgments knows how long their verdicts are. Pages with text take no
            notice of it.
        allow_none: return nothing where no page is left; for a caller who leaves such judgments out, and counts them.

    Raises:
        UserError: a scanned judgment, and `last_pages_hidden` is not given; or no page is left, without `allow_none`.
    """
    drawn = images(pages)
    if not drawn:
        return ()
    if any(page.end > page.start for page in drawn):
        gone = {page.number for span in hidden for page in pages_with(drawn, span.start, span.end)}
        shown = [page for page in drawn if page.end > page.start and page.number not in gone]
    elif last_pages_hidden is None:
        raise UserError(
            "scanned: the verdict cannot be found, so as to hide its pages",
            where=drawn[0].path,
            cure="set restructure.last_pages_hidden to the number of pages at the end that may tell the outcome",
        )
    else:
        shown = list(drawn[: max(0, len(drawn) - last_pages_hidden)])
    if not shown and not allow_none:
        raise UserError(
            f"all {len(drawn)} pages would be hidden",
            where=drawn[0].path,
            cure="leave out such judgments by restructure.overflow=skip, show their text instead (corpus.input=text), "
            "or lower restructure.last_pages_hidden for scanned ones",
        )
    return tuple(shown)


def clipped(blocks: Sequence[Block], pages: Sequence[Page]) -> tuple[Block, ...]:
    """What of some blocks of a judgment stands on these pages, given in order; a block between two of them that follow
    each other stays whole."""
    stretches: list[tuple[int, int]] = []
    for page in pages:
        if stretches and stretches[-1][1] == page.start:
            stretches[-1] = (stretches[-1][0], page.end)
        else:
            stretches.append((page.start, page.end))
    kept = []
    for block in blocks:
        for start, end in stretches:
            raw = block.text[max(start - block.start, 0) : max(end - block.start, 0)]
            if text := raw.strip():
                begin = max(start, block.start) + len(raw) - len(raw.lstrip())
                kept.append(replace(block, start=begin, text=text))
    return tuple(kept)


Piece: TypeAlias = tuple[int, int, str]
"""Start, end and role of a stretch of the judgment."""

MIN_REPEATED_WORDS = 4
"""A hidden sentence of fewer words ("We disagree.") gives nothing away where it stands again."""


@lru_cache(maxsize=4096)
def hide(judgment: Judgment, segments: Segments, *, also: frozenset[str], verdicts: bool) -> tuple[Hidden, ...]:
    """Everything to hide in one judgment, ordered and disjoint.

    Args:
        judgment: the judgment.
        segments: its rhetorical roles; the decisive ones of their scheme are hidden.
        also: further roles to hide.
        verdicts: whether to look beyond the decisive roles: headnote, rejected precedents, verdict-like sentences,
            closing line, uncovered end, repeats. The study did not.

    The result is remembered, as the cells of a sweep hide the same things of the same judgments.
    """
    text = judgment.text
    roles = scheme(segments.scheme, where=judgment.id)
    decisive = roles.decisive | also | (roles.rejected if verdicts else frozenset())
    reporters = headnote(text) if verdicts else None
    hidden: list[Hidden] = []
    shown: list[Piece] = []
    for start, end, role in _cut(pieces(text, segments), reporters or (0, 0)):
        if not text[start:end].strip():
            continue
        if role in decisive:
            hidden.append(Hidden(start=start, end=end, role=role, reason="role"))
        elif reporters and reporters[0] <= start < reporters[1]:
            hidden.append(Hidden(start=start, end=end, role=role, reason="headnote"))
        else:
            shown += [(start + a, start + b, role) for a, b in split(text[start:end])]
    if not verdicts:
        return tuple(hidden)
    hidden, shown = _hide_verdicts(
        text, hidden, shown, last_covered=segments.spans[-1].end if segments.spans else len(text)
    )
    hidden += _repeats(text, hidden, shown)
    return tuple(sorted(hidden, key=lambda h: h.start))


def pieces(text: str, segments: Segments) -> Iterable[Piece]:
    """The whole text as (start, end, role) in order; role "" where no span covers it; gaps of whitespace are left
    out."""
    at = 0
    for span in segments.spans:
        if text[at : span.start].strip():
            yield at, span.start, ""
        yield span.start, span.end, span.role
        at = span.end
    if text[at:].strip():
        yield at, len(text), ""


def _cut(parts: Iterable[Piece], stretch: tuple[int, int]) -> Iterable[Piece]:
    """The pieces, cut where the stretch begins and ends."""
    for start, end, role in parts:
        at = [start, *(cut for cut in stretch if start < cut < end), end]
        yield from ((a, b, role) for a, b in pairwise(at))


def _hide_verdicts(
    text: str, hidden: list[Hidden], shown: list[Piece], *, last_covered: int
) -> tuple[list[Hidden], list[Piece]]:
    closing = closing_line(text)
    detector = VerdictDetector(text)
    kept: list[Piece] = []
    for start, end, role in shown:
        reason: HideReason | None = None
        if closing and start < closing[1] and end > closing[0]:
            reason = "closing"
        elif start >= last_covered:
            reason = "uncovered"
        elif detector.tells(start, end, role):
            reason = "verdict"
        if reason is None:
            kept.append((start, end, role))
        else:
            hidden.append(Hidden(start=start, end=end, role=role, reason=reason))
    return hidden, kept


def _repeats(text: str, hidden: list[Hidden], shown: list[Piece]) -> list[Hidden]:
    """Shown sentences that hold a hidden one, in either order of the document.

    All that is hidden is looked for until nothing is found: what is hidden as a repeat may be repeated in turn, and
    taking a sentence out brings its neighbours together.
    """
    found: list[Hidden] = []
    wanted = {s for h in hidden for s in sentences_of(text[h.start : h.end])}
    while True:
        again = _holding(text, shown, wanted) | _holding(text, sorted(shown, key=lambda piece: piece[2]), wanted)
        if not again:
            return found
        found += [Hidden(start=a, end=b, role=role, reason="repeat") for a, b, role in again]
        wanted |= {s for a, b, _ in again for s in sentences_of(text[a:b])}
        shown = [piece for piece in shown if piece not in again]


def _holding(text: str, shown: list[Piece], wanted: set[str]) -> set[Piece]:
    """The pieces that hold a wanted sentence, shown in this order."""
    starts: list[int] = []
    words: list[str] = []
    length = 0
    last: tuple[int, str] | None = None
    for start, end, role in shown:
        # Pieces that touch in the judgment touch in a block as well; others stand on lines of their own.
        words.append(("" if last == (start, role) else " ") + normal(text[start:end]))
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


def sentences_of(hidden: str) -> set[str]:
    """The sentences of a hidden stretch that must occur in no prompt, in normal form."""
    found = (normal(hidden[a:b]) for a, b in split(hidden))
    return {s for s in found if len(s.split()) >= MIN_REPEATED_WORDS}


def normal(text: str) -> str:
    """Text with every run of whitespace as one space: the form in which repeats are compared."""
    return " ".join(text.split())
