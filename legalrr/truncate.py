"""Fit a document into a budget of tokens, by a policy that the config names; what is dropped is counted in tokens.

Whole sentences are dropped, never a half one, unless a single sentence is longer than `LONGEST` tokens (scanned text
without stops), which is then cut between tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from legalrr.errors import UserError
from legalrr.hiding.hide import clip_blocks
from legalrr.protocols import PageTokens, Tokens
from legalrr.records import Block, Document
from legalrr.roles import scheme
from legalrr.sentences import split

OVERFLOWS = ("error", "middle", "by_role", "skip")
LONGEST = 256
"""Tokens of the longest piece that is kept or dropped as a whole."""
PAGE_LABEL_TOKENS = 16
"""Tokens allowed for what a prompt says above the image of a page."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A sentence of a block: what is kept or dropped."""

    block: int
    """Index of its block in the document."""
    start: int
    """Offset in the block's text."""
    end: int
    """Offset one past the last character."""
    tokens: int = 0
    """Its length in tokens; 0 where nothing counts them."""


def truncate(document: Document, tokens: Tokens, budget: int, policy: str) -> Document:
    """The document within `budget` tokens.

    Args:
        document: what would be shown.
        tokens: counts as the model does.
        budget: tokens that the rendered document may take; positive.
        policy: `error` raises; `middle` keeps both ends; `by_role` shares the budget equally among the roles, what one
            leaves going to the others, each keeping its beginning; `skip` leaves the judgment out.

    Raises:
        UserError: too long under `error`; a budget in which no sentence fits.
    """
    length = count_tokens(document, tokens, budget)
    if length <= budget:
        return document
    if policy == "error":
        raise UserError(
            f"judgment of {length} visible tokens, more than the budget of {budget}",
            where=document.id,
            cure="choose restructure.overflow=middle, by_role or skip, or a backbone with a longer context",
        )
    if policy == "skip":
        return replace(document, blocks=(), skipped=True, dropped_tokens=length)
    units = [unit for i, block in enumerate(document.blocks) for unit in _units(i, block, tokens)]
    allowance = budget
    while True:
        kept = _middle(units, allowance) if policy == "middle" else _by_role(units, document.blocks, allowance)
        shorter = replace(document, blocks=rebuild(document.blocks, kept))
        rest = len(tokens.token_ends(_text(shorter)))
        if not kept:
            raise UserError(
                f"not one sentence fits into a budget of {budget} tokens",
                where=document.id,
                cure="raise restructure.budget, or lower annotate.tokens",
            )
        if rest <= budget:
            return replace(shorter, dropped_tokens=length - rest)
        # Headings, line breaks and joins between sentences cost tokens that the units do not count.
        allowance -= max(rest - budget, 1)


def truncate_pages(document: Document, tokens: Tokens, budget: int, policy: str) -> Document:
    """The document, shown as images of pages, within `budget` tokens; as `truncate`, with pages for sentences.

    Raises:
        UserError: a model that reads no images; too long under `error` or `by_role`, as a page has no role; a budget in
            which no page fits.
    """
    if not isinstance(tokens, PageTokens):
        raise UserError("this backbone reads no images of pages", where=document.id, cure="set corpus.input=text")
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
    kept = _middle(units, budget)
    if not kept:
        raise UserError(
            f"not one page fits into a budget of {budget} tokens",
            where=document.id,
            cure="raise restructure.budget, or lower corpus.dpi or annotate.tokens",
        )
    pages = tuple(document.pages[unit.block] for unit in kept)
    dropped = length - sum(unit.tokens for unit in kept)
    return replace(document, blocks=clip_blocks(document.blocks, pages), pages=pages, dropped_tokens=dropped)


def count_tokens(document: Document, tokens: Tokens, budget: int) -> int:
    """Tokens of the rendered document; its bytes, an upper bound that needs no tokeniser, where these are within
    budget."""
    text = _text(document)
    upper = len(text.encode("utf-8", "surrogatepass"))
    return upper if upper <= budget else len(tokens.token_ends(text))


def _text(document: Document) -> str:
    return document.render({r.code: r.heading for r in scheme(document.scheme).roles})


def _units(index: int, block: Block, tokens: Tokens) -> list[Unit]:
    found = []
    for start, end in split(block.text):
        ends = tokens.token_ends(block.text[start:end])
        # Cuts fall after every LONGEST-th token; the last piece takes what is left, with the end of the sentence.
        cuts = [start, *(start + ends[i] for i in range(LONGEST - 1, len(ends) - 1, LONGEST)), end]
        sizes = [min(LONGEST, len(ends) - i * LONGEST) for i in range(len(cuts) - 1)]
        found += [
            Unit(block=index, start=a, end=b, tokens=n) for a, b, n in zip(cuts, cuts[1:], sizes, strict=False) if b > a
        ]
    return found


def _middle(units: Sequence[Unit], budget: int) -> list[Unit]:
    """Units from both ends inwards, the shorter end first, until the next one does not fit."""
    left, right = 0, len(units)
    head = tail = 0
    while left < right:
        from_head = head <= tail
        unit = units[left] if from_head else units[right - 1]
        if head + tail + unit.tokens > budget:
            break
        if from_head:
            head += unit.tokens
            left += 1
        else:
            tail += unit.tokens
            right -= 1
    return [*units[:left], *units[right:]]


def _by_role(units: Sequence[Unit], blocks: Sequence[Block], budget: int) -> list[Unit]:
    """The beginning of every role; shares are filled from the shortest role up, so that none is wasted."""
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[blocks[unit.block].role] = sizes.get(blocks[unit.block].role, 0) + unit.tokens
    room: dict[str, int] = {}
    left = budget
    for rank, role in enumerate(sorted(sizes, key=lambda r: (sizes[r], r))):
        room[role] = min(sizes[role], left // (len(sizes) - rank))
        left -= room[role]
    kept = []
    for unit in units:
        role = blocks[unit.block].role
        if unit.tokens <= room[role]:
            room[role] -= unit.tokens
            kept.append(unit)
        else:
            room[role] = 0
    return kept


def rebuild(blocks: Sequence[Block], kept: Sequence[Unit]) -> tuple[Block, ...]:
    """Blocks of the kept units, which are in order; units that follow one another within a block stay one block."""
    runs: list[tuple[int, int, int]] = []
    for unit in kept:
        if runs and runs[-1][0] == unit.block and not blocks[unit.block].text[runs[-1][2] : unit.start].strip():
            runs[-1] = (unit.block, runs[-1][1], unit.end)
        else:
            runs.append((unit.block, unit.start, unit.end))
    return tuple(replace(blocks[i], start=blocks[i].start + a, text=blocks[i].text[a:b]) for i, a, b in runs)
