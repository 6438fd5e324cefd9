"""Near-duplicate detection: texts about the same matter, found by shared word shingles."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np

    from legalrr.records import Judgment

NEAR_DUPLICATE = 0.1
"""Minimum proportion of shared shingles, of the text with fewer, for near-duplicates. In BUILD, lawai50 and marro 21
pairs share more than 0.1; most others share next to nothing, except quotations of the same statute."""
SHINGLE_WORDS = 8
"""Words per shingle; unrelated judgments share shorter ones ("learned counsel for the appellant")."""
HASH_MULTIPLIER = 0x9E3779B97F4A7C15
"""Multiplier of the 64-bit rolling hash of a shingle: a polynomial in it of the hashes of the words."""


def near_duplicates(texts: Sequence[str], *, sampled: int = 1) -> list[int]:
    """Return a group number per text, the same for near-duplicates.

    Args:
        texts: the texts.
        sampled: compare one in this many shingles, the same ones in every text; reduces work for large corpora.
    """
    shingles = [_shingles(text, sampled) for text in texts]
    holders = defaultdict(list)
    for number, keys in enumerate(shingles):
        for key in keys.tolist():
            holders[key].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        for i, a in enumerate(numbers):
            for b in numbers[i + 1 :]:
                shared[a, b] += 1
    group = list(range(len(texts)))
    for (a, b), count in sorted(shared.items()):
        if count >= NEAR_DUPLICATE * min(len(shingles[a]), len(shingles[b])):
            kept, merged = sorted((group[a], group[b]))
            group = [kept if g == merged else g for g in group]
    return group


def group_related(judgments: Sequence["Judgment"], *, sampled: int = 1) -> list[int]:
    """Return a group number per judgment, the same for near-duplicates and for judgments that the corpus groups.

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


def _shingles(text: str, sampled: int) -> "np.ndarray":
    """Return the hashes of the distinct shingles of a text, ascending."""
    import numpy as np

    words = np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in text.lower().split()], dtype=np.uint64)
    count = max(0, len(words) - SHINGLE_WORDS + 1)
    total = np.zeros(count, dtype=np.uint64)
    for place in range(SHINGLE_WORDS):
        total = total * np.uint64(HASH_MULTIPLIER) + words[place : place + count]
    found = np.unique(total)
    # The upper bits depend equally on all words.
    return found[(found >> np.uint64(32)) % np.uint64(sampled) == 0]
