"""Finds the sentence of a document without which an answer loses most.

Leaving out one sentence at a time takes a call per sentence. Where there are more sentences than calls, halves of the
stretch under suspicion are left out first, all else staying in place, and the half whose loss costs most is searched
further, until what remains can be gone through one by one. Two sentences that tell the same hide each other: without
one, the other still tells, and neither is found.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from legalrr.fit import Unit
from legalrr.leakage.views import keep, sentences
from legalrr.records import Document


@dataclass(frozen=True, kw_only=True)
class Found:
    """The sentence without which the right answer loses most."""

    start: int
    """Offset of its first character in the judgment."""
    end: int
    """Offset one past its last."""
    text: str
    """Its words."""
    alone: float
    """Log-odds of the true outcome where it is all that is shown."""
    without: float
    """Log-odds of the true outcome where all of the view but this is shown."""


Search = Generator[list[Document], list[float], Found]
"""Yields documents, is sent the log-odds of the true outcome for each, and returns what it found."""


def search(document: Document, *, calls: int) -> Search:
    """Search one view of a judgment.

    Args:
        document: the view; it has a word at least.
        calls: how many documents are yielded at most, unless halving alone takes more: 2 log2(sentences) + 2.
    """
    units = sentences(document)
    suspects = range(len(units))
    # One call is kept for the sentence alone.
    left = calls - 1
    while len(suspects) > max(1, left):
        middle = len(suspects) // 2
        halves = suspects[:middle], suspects[middle:]
        odds = yield [_without(document, units, half) for half in halves]
        suspects = halves[_least(odds)]
        left -= 2
    odds = yield [_without(document, units, suspects[at : at + 1]) for at in range(len(suspects))]
    place = _least(odds)
    unit = units[suspects[place]]
    (alone,) = yield [keep(document, [unit])]
    block = document.blocks[unit.block]
    return Found(
        start=block.start + unit.start,
        end=block.start + unit.end,
        text=block.text[unit.start : unit.end],
        alone=alone,
        without=odds[place],
    )


def _without(document: Document, units: Sequence[Unit], gone: range) -> Document:
    return keep(document, [unit for number, unit in enumerate(units) if number not in gone])


def _least(odds: Sequence[float]) -> int:
    """Place of the least; of equals the last, as outcomes stand at the end."""
    return min(range(len(odds)), key=lambda place: (odds[place], -place))
