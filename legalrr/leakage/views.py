"""Parts of what is shown of a judgment: views of a document, its sentences, and the document without some of them."""

import re
from collections.abc import Sequence
from dataclasses import replace

from legalrr.fit import Unit, rebuild
from legalrr.records import Block, Document
from legalrr.segment.sentences import split

QUESTION = "question"
PREAMBLE = "preamble"
TAIL = "tail"
WHOLE = "whole"
VIEWS = (QUESTION, PREAMBLE, TAIL, WHOLE)
"""question: no text at all, the question alone; preamble: the blocks of role PREAMBLE; tail: the last words; whole: all
that is shown."""

_WORD = re.compile(r"\S+")


def view(document: Document, name: str, *, words: int) -> Document | None:
    """The part of a document that a view shows.

    Args:
        document: what is shown.
        name: one of `VIEWS`.
        words: length of the tail, more than 0.

    Returns:
        The document with fewer blocks; None where it has no PREAMBLE.
    """
    if name == PREAMBLE:
        blocks = tuple(block for block in document.blocks if block.role == "PREAMBLE")
        return replace(document, blocks=blocks) if blocks else None
    if name == TAIL:
        return replace(document, blocks=_last(document.blocks, words))
    return document if name == WHOLE else replace(document, blocks=())


def sentences(document: Document) -> list[Unit]:
    """The sentences of all blocks, in order."""
    return [
        Unit(block=number, start=start, end=end)
        for number, block in enumerate(document.blocks)
        for start, end in split(block.text)
    ]


def keep(document: Document, kept: Sequence[Unit]) -> Document:
    """The document with these of its sentences alone, given in order."""
    return replace(document, blocks=rebuild(document.blocks, kept))


def words_of(document: Document) -> int:
    """How many words are shown."""
    return sum(len(block.text.split()) for block in document.blocks)


def _last(blocks: Sequence[Block], words: int) -> tuple[Block, ...]:
    """The last words of all blocks together."""
    kept: list[Block] = []
    left = words
    for block in reversed(blocks):
        starts = [match.start() for match in _WORD.finditer(block.text)]
        at = starts[-left] if left < len(starts) else 0
        kept.append(replace(block, start=block.start + at, text=block.text[at:]))
        left -= len(starts)
        if left <= 0:
            break
    return tuple(reversed(kept))
