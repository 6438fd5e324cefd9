"""Judgments shown as images of their pages instead of text: which pages are shown, and what that rules out.

The stages call these functions for every judgment; one shown as text passes through unchanged. In a message, each page
stands under its number (`legalrr.annotate`).

Nothing can be hidden inside an image, so `select_pages` drops every page that overlaps hidden text. Headers, footers
and page numbers, which are removed from the text, stay visible on the other pages. A scanned judgment has no known
text; a configured number of its last pages is dropped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from legalrr.errors import UserError
from legalrr.protocols import Engine, PageTokens, Tokens
from legalrr.records import Block, Document, Judgment, Page
from legalrr.truncate import Unit, keep_ends, truncate

PAGE_LABEL_TOKENS = 16
"""Tokens reserved for the label above a page image."""


def image_pages(pages: Sequence[Page]) -> tuple[Page, ...]:
    """Return the pages that a model sees as images unless hidden; empty for a judgment shown as text."""
    return tuple(page for page in pages if page.dpi is not None)


def overlapping_pages(pages: Sequence[Page], start: int, end: int) -> tuple[Page, ...]:
    """Return the pages that overlap the half-open span `start` to `end` of the judgment's text."""
    return tuple(page for page in pages if max(page.start, start) < min(page.end, end))


def require_text(documents: Iterable[Document], why: str) -> None:
    """Raise UserError, with the reason `why`, if a judgment is shown as page images."""
    for document in documents:
        if document.pictured:
            words = f"{why}, but this judgment is shown as page images"
            raise UserError(words, where=document.id, cure="set corpus.input=text")


def require_reader(judgments: Iterable[Judgment], engine: Engine | None, *, corpus: str, backbone: str) -> None:
    """Raise UserError if a judgment is shown as page images, which `engine` (None: a baseline) does not read."""
    pictured = next((judgment for judgment in judgments if image_pages(judgment.pages)), None)
    if pictured is not None and not (engine is not None and engine.can.images):
        reader = "this predictor" if engine is None else f"backbone {backbone}"
        other = "" if engine is None else ", or use a Qwen3-VL whose folder has its preprocessor_config.json"
        raise UserError(
            f"{reader} reads no images of pages",
            where=f"corpus {corpus}, {pictured.id}",
            cure=f"set corpus.input=text{other}",
        )


def check_options(judgment: Judgment, *, order: str, content: str, preamble: bool) -> None:
    """Raise UserError for an option of `legalrr.restructure` that drops or reorders text, if there are page images."""
    id, without_r = judgment.id, "use an arm without R, or corpus.input=text"
    for option, value, needed, cure in (
        ("order", order, "document", without_r),
        ("content", content, "all", without_r),
        ("preamble", preamble, True, "hide its pages by restructure.also_hide=[PREAMBLE]"),
    ):
        if value != needed and image_pages(judgment.pages):
            raise UserError(
                f"{option}={str(value).lower()} needs the text of a judgment, and {id} is shown as page images",
                where=f"restructure.{option}",
                cure=cure,
            )


def select_pages(
    document: Document, pages: Sequence[Page], *, last_pages_hidden: int | None = None, allow_none: bool = False
) -> Document:
    """Select the pages to show as images, in order, and clip the blocks to them.

    Args:
        document: all visible text, and the hidden spans.
        pages: all pages of the judgment.
        last_pages_hidden: number of pages dropped from the end of a scanned judgment, at least 0. There is no default,
            because only the user knows how long the verdicts are. Ignored for pages with text.
        allow_none: return a skipped document if no page is left.

    Raises:
        UserError: a scanned judgment without `last_pages_hidden`; or no page left and not `allow_none`.
    """
    candidates = image_pages(pages)
    if not candidates:
        return document
    if any(page.end > page.start for page in candidates):
        overlapping = {p.number for h in document.hidden for p in overlapping_pages(candidates, h.start, h.end)}
        shown = tuple(page for page in candidates if page.end > page.start and page.number not in overlapping)
    elif last_pages_hidden is None:
        raise UserError(
            "scanned: the pages of the verdict cannot be located",
            where=candidates[0].path,
            cure="set restructure.last_pages_hidden to the number of final pages that may reveal the outcome",
        )
    else:
        shown = candidates[: max(0, len(candidates) - last_pages_hidden)]
    if not shown and not allow_none:
        raise UserError(
            f"all {len(candidates)} pages would be hidden",
            where=candidates[0].path,
            cure="skip such judgments (restructure.overflow=skip), show their text (corpus.input=text), "
            "or lower restructure.last_pages_hidden for scans",
        )
    return replace(
        document,
        blocks=clip_blocks(document.blocks, shown),
        pages=shown,
        hidden_pages=tuple(page for page in candidates if page not in shown),
        skipped=not shown,
    )


def fit(document: Document, tokens: Tokens, budget: int, policy: str) -> Document:
    """Truncate a document to `budget` tokens; as `legalrr.truncate.truncate`, but page images with pages as units.

    Raises:
        UserError: a model without image input; pages over the budget under `error` or `by_role`, as a page has no role;
            a budget too small for any page; or as `truncate`.
    """
    if not document.pictured:
        return truncate(document, tokens, budget, policy)
    if not isinstance(tokens, PageTokens):
        raise UserError("this backbone does not accept images", where=document.id, cure="set corpus.input=text")
    units = [
        Unit(block=i, start=0, end=0, tokens=tokens.page_tokens(page) + PAGE_LABEL_TOKENS)
        for i, page in enumerate(document.pages)
    ]
    length = sum(unit.tokens for unit in units)
    if length <= budget:
        return document
    if policy == "skip":
        return replace(document, blocks=(), pages=(), skipped=True, dropped_tokens=length)
    if policy != "middle":
        raise UserError(
            f"{len(units)} pages of {length} tokens as images, more than the budget of {budget}",
            where=document.id,
            cure="choose restructure.overflow=middle or skip, a lower corpus.dpi, or a backbone with a longer context",
        )
    kept = keep_ends(units, budget)
    if not kept:
        raise UserError(
            f"no page fits into a budget of {budget} tokens",
            where=document.id,
            cure="raise restructure.budget, or lower corpus.dpi or annotate.tokens",
        )
    pages = tuple(document.pages[unit.block] for unit in kept)
    dropped = length - sum(unit.tokens for unit in kept)
    return replace(document, blocks=clip_blocks(document.blocks, pages), pages=pages, dropped_tokens=dropped)


def page_status(judgment: Judgment, document: Document) -> dict[str, list[dict[str, Any]]]:
    """List the pages shown, hidden and dropped; empty for a judgment shown as text."""
    drawn = image_pages(judgment.pages)
    dropped = [page for page in drawn if page not in document.pages and page not in document.hidden_pages]
    status = {"shown": document.pages, "hidden": document.hidden_pages, "dropped": dropped}
    return {name: [page.seen() for page in pages] for name, pages in status.items()} if drawn else {}


def clip_blocks(blocks: Sequence[Block], pages: Sequence[Page]) -> tuple[Block, ...]:
    """Clip blocks to the text on `pages`, which are in order; a block across two adjacent pages stays whole."""
    ranges: list[tuple[int, int]] = []
    for page in pages:
        if ranges and ranges[-1][1] == page.start:
            ranges[-1] = (ranges[-1][0], page.end)
        else:
            ranges.append((page.start, page.end))
    kept = []
    for block in blocks:
        for start, end in ranges:
            raw = block.text[max(start - block.start, 0) : max(end - block.start, 0)]
            if text := raw.strip():
                begin = max(start, block.start) + len(raw) - len(raw.lstrip())
                kept.append(replace(block, start=begin, text=text))
    return tuple(kept)
