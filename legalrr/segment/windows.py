"""Windows of sentences, as a language model with a bounded context is shown a judgment."""

from collections.abc import Sequence

CUT = " ... "
"""Stands for what is left out of a sentence."""


def windows(costs: Sequence[int], *, room: int, size: int, overlap: int) -> list[range]:
    """Stretches of sentences that together hold all, in order.

    Args:
        costs: tokens of each sentence, none above `room`.
        room: tokens of a window at most.
        size: sentences of a window at most.
        overlap: sentences that a window shares with the one before: at most half of that one, and no more than leave
            room for the next sentence.
    """
    found = []
    start = end = 0
    while end < len(costs):
        start = end - min(overlap, (end - start) // 2)
        while sum(costs[start : end + 1]) > room:
            start += 1
        total = sum(costs[start:end])
        while end < min(len(costs), start + size) and total + costs[end] <= room:
            total += costs[end]
            end += 1
        found.append(range(start, end))
    return found


def context(at: int, window: range, count: int) -> float:
    """Sentences that a window shows on the poorer side of one; where the judgment itself begins or ends, no side is."""
    before = at - window.start if window.start > 0 else float("inf")
    after = window.stop - 1 - at if window.stop < count else float("inf")
    return min(before, after)


def shortened(sentence: str, longest: int) -> str:
    """A sentence on one line, the middle of a longer one left out."""
    words = " ".join(sentence.split())
    if len(words) <= longest:
        return words
    half = (longest - len(CUT)) // 2
    return words[:half] + CUT + words[-half:]
