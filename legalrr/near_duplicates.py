"""Texts that tell of the same matter, told by the runs of words that they share."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np

    from legalrr.records import Judgment

NEAR_DUPLICATE = 0.1
"""Two judgments that share this part of the runs of words of the shorter one tell of the same matter. In BUILD, lawai50
and marro 21 pairs share more than 0.1 and most of the others, quotations of the same statute apart, next to nothing."""
RUN = 8
"""Words of a run; shorter ones ("learned counsel for the appellant") are shared by unrelated judgments."""
ODD = 0x9E3779B97F4A7C15
"""Multiplier of the digest of a run, 64 bits: the sum of the digests of its words times powers of it."""


def near_duplicates(texts: Sequence[str], *, sampled: int = 1) -> list[int]:
    """A group number per text; near-duplicates have the same.

    Args:
        texts: the texts.
        sampled: one of so many runs is looked at, the same ones in every text: as much less work, for large corpora.
    """
    runs = [_runs(text, sampled) for text in texts]
    holders = defaultdict(list)
    for number, keys in enumerate(runs):
        for key in keys.tolist():
            holders[key].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        for i, a in enumerate(numbers):
            for b in numbers[i + 1 :]:
                shared[a, b] += 1
    group = list(range(len(texts)))
    for (a, b), count in sorted(shared.items()):
        if count >= NEAR_DUPLICATE * min(len(runs[a]), len(runs[b])):
            kept, merged = sorted((group[a], group[b]))
            group = [kept if g == merged else g for g in group]
    return group


def related(judgments: Sequence["Judgment"], *, sampled: int = 1) -> list[int]:
    """A group number per judgment: the same for near-duplicates, and for what the corpus says belongs together.

    Args:
        judgments: the judgments.
        sampled: as for `near_duplicates`.
    """
    numbers = near_duplicates([j.text for j in judgments], sampled=sampled)
    first: dict[str, int] = {}
    for place, judgment in enumerate(judgments):
        if judgment.group is not None:
            kept, merged = sorted((first.setdefault(judgment.group, numbers[place]), numbers[place]))
            numbers = [kept if number == merged else number for number in numbers]
            first = {name: kept if number == merged else number for name, number in first.items()}
    return numbers


def _runs(text: str, sampled: int) -> "np.ndarray":
    """Digests of the distinct runs of words of a text, ascending."""
    import numpy as np

    words = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in text.lower().split()], dtype=np.uint64)
    count = max(0, len(words) - RUN + 1)
    total = np.zeros(count, dtype=np.uint64)
    for place in range(RUN):
        total = total * np.uint64(ODD) + words[place : place + count]
    found = np.unique(total)
    # The upper bits depend on all words alike.
    return found[(found >> np.uint64(32)) % np.uint64(sampled) == 0]
