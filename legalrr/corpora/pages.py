"""Which pages of a PDF a model may see as images.

Inside of an image nothing can be hidden, so a page that holds anything of what is hidden in the text (`legalrr.hide`)
is not shown at all. Headers and footers, which the text is rid of, are seen on the other ones. Of a scanned judgment,
whose text nobody knows, the last pages are not shown, as many as one says.
"""

from collections.abc import Sequence

from legalrr.errors import UserError
from legalrr.records import Hidden, Page


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
    if last_pages_hidden is not None and last_pages_hidden < 0:
        raise UserError(f"{last_pages_hidden} pages", where="last_pages_hidden", cure="give 0 or more")
    images = [page for page in pages if page.dpi is not None]
    if not images:
        return ()
    if any(page.end > page.start for page in images):
        gone = {page.number for span in hidden for page in pages_with(images, span.start, span.end)}
        shown = [page for page in images if page.end > page.start and page.number not in gone]
    elif last_pages_hidden is None:
        raise UserError(
            "scanned: the verdict cannot be found, so as to hide its pages",
            where=images[0].path,
            cure="set last_pages_hidden to the number of pages at the end that may tell the outcome",
        )
    else:
        shown = images[: max(0, len(images) - last_pages_hidden)]
    if not shown and not allow_none:
        raise UserError(
            f"all {len(images)} pages would be hidden",
            where=images[0].path,
            cure="leave the judgment out, show its text instead (input: text), or lower last_pages_hidden",
        )
    return tuple(shown)
