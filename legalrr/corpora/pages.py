"""Which pages of a PDF a model may see as images.

Inside of an image nothing can be hidden, so a page that holds anything of what is hidden in the text (`legalrr.hide`)
is not shown at all. Headers, footers and page numbers, which the text is rid of, are seen on the other ones. Of a
scanned judgment, whose text nobody knows, the last pages are not shown, as many as one says.
"""

from collections.abc import Sequence
from dataclasses import replace

from legalrr.errors import UserError
from legalrr.records import Block, Hidden, Page


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
