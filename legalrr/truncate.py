"""Truncate a document to a budget of tokens, by a configured policy; the dropped tokens are counted.

Sentences are kept or dropped as a whole. A sentence longer than `MAX_UNIT_TOKENS` (scanned text without full stops) is
first cut between tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from legalrr.errors import UserError
from legalrr.protocols import Tokens
from legalrr.records import Block, Document
from legalrr.roles import scheme
from legalrr.sentences import split

OVERFLOWS = ("error", "middle", "by_role", "skip")
MAX_UNIT_TOKENS = 256
"""Maximum tokens of a unit that is kept or dropped as a whole."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A sentence of a block, or a part of a long one: the unit that is kept or dropped."""

    block: int
    """Index of its block in the document."""
    start: int
    """Offset in the block's text."""
    end: int
    """Offset one past the last character."""
    tokens: int = 0
    """Length in tokens; 0 if not counted."""


def truncate(document: Document, tokens: Tokens, budget: int, policy: str) -> Document:
    """Truncate a document to `budget` tokens.

    Args:
        document: the full document.
        tokens: counts tokens as the model does.
        budget: maximum tokens of the rendered document; positive.
        policy: `error` raises; `middle` drops the middle; `by_role` divides the budget equally among the roles, with
            unused tokens going to the others, and keeps the start of each; `skip` excludes the judgment.

    Raises:
        UserError: over the budget under `error`; a budget too small for any sentence.
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
        kept = (
            keep_ends(units, allowance) if policy == "middle" else _keep_role_starts(units, document.blocks, allowance)
        )
        shorter = replace(document, blocks=rebuild_blocks(document.blocks, kept))
        rest = len(tokens.token_ends(render_text(shorter)))
        if not kept:
            raise UserError(
                f"no sentence fits into a budget of {budget} tokens",
                where=document.id,
                cure="raise restructure.budget, or lower annotate.tokens",
            )
        if rest <= budget:
            return replace(shorter, dropped_tokens=length - rest)
        # Units do not count the tokens of headings, line breaks and joins between sentences.
        allowance -= max(rest - budget, 1)


def count_tokens(document: Document, tokens: Tokens, budget: int) -> int:
    """Return the tokens of the rendered document, or its bytes, an upper bound, if they already fit the budget."""
    text = render_text(document)
    upper = len(text.encode("utf-8", "surrogatepass"))
    return upper if upper <= budget else len(tokens.token_ends(text))


def render_text(document: Document) -> str:
    """Return the visible text, under R with the headings of its scheme."""
    return document.render({r.code: r.heading for r in scheme(document.scheme).roles})


def _units(index: int, block: Block, tokens: Tokens) -> list[Unit]:
    found = []
    for start, end in split(block.text):
        ends = tokens.token_ends(block.text[start:end])
        # Cut after every MAX_UNIT_TOKENS tokens; the last unit takes the rest of the sentence.
        cuts = [start, *(start + ends[i] for i in range(MAX_UNIT_TOKENS - 1, len(ends) - 1, MAX_UNIT_TOKENS)), end]
        sizes = [min(MAX_UNIT_TOKENS, len(ends) - i * MAX_UNIT_TOKENS) for i in range(len(cuts) - 1)]
        found += [
            Unit(block=index, start=a, end=b, tokens=n) for a, b, n in zip(cuts, cuts[1:], sizes, strict=False) if b > a
        ]
    return found


def keep_ends(units: Sequence[Unit], budget: int) -> list[Unit]:
    """Keep units from both ends, always extending the shorter end, until the next unit does not fit."""
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


def _keep_role_starts(units: Sequence[Unit], blocks: Sequence[Block], budget: int) -> list[Unit]:
    """Keep the start of every role; the budget is assigned from the shortest role up, so that no share is wasted."""
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


def rebuild_blocks(blocks: Sequence[Block], kept: Sequence[Unit]) -> tuple[Block, ...]:
    """Build blocks from the kept units, in order; adjacent units of a block stay one block."""
    runs: list[tuple[int, int, int]] = []
    for unit in kept:
        if runs and runs[-1][0] == unit.block and not blocks[unit.block].text[runs[-1][2] : unit.start].strip():
            runs[-1] = (unit.block, runs[-1][1], unit.end)
        else:
            runs.append((unit.block, unit.start, unit.end))
    return tuple(replace(blocks[i], start=blocks[i].start + a, text=blocks[i].text[a:b]) for i, a, b in runs)
