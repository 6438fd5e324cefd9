"""Near-duplicate detection: texts about the same matter, found by shared word shingles.

Of a text only the hashes of its shingles are kept, from some number on in temporary files, each with a part of all
hashes. Memory grows with the number of pairs of texts that share a shingle, by 12 bytes each.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zlib import crc32

from legalrr.errors import file_errors

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
IN_MEMORY = 4_000_000
"""Shingles of all texts that are kept in memory, 12 bytes each."""
PARTS = 64
"""Number of temporary files for more."""
PAIRS = 4_000_000
"""Number of pairs of texts, one for each shared shingle, from which on equal ones are counted."""


def near_duplicates(texts: Iterable[str], *, sampled: int = 1, in_memory: int = IN_MEMORY) -> list[int]:
    """Return a group number per text, the same for near-duplicates: the place of the first text of the group.

    Args:
        texts: the texts, read once.
        sampled: compare one in this many shingles, the same ones in every text; reduces work for large corpora.
        in_memory: number of shingles that are kept in memory.

    Raises:
        UserError: the temporary files cannot be written.
    """
    sizes, pairs = _near_pairs(texts, sampled, in_memory)
    groups = _Groups(len(sizes))
    for a, b in pairs:
        groups.join(a, b)
    return groups.first()


def group_related(judgments: Iterable["Judgment"], *, sampled: int = 1, folder: Path | None = None) -> list[int]:
    """Return a group number per judgment, the same for near-duplicates and for judgments that the corpus groups.

    Args:
        judgments: the judgments, read once.
        sampled: as for `near_duplicates`.
        folder: of the temporary files; None: the folder for temporary files.

    Raises:
        UserError: the temporary files cannot be written.
    """
    named: dict[str, list[int]] = {}

    def texts() -> Iterator[str]:
        for place, judgment in enumerate(judgments):
            if judgment.group is not None:
                named.setdefault(judgment.group, []).append(place)
            yield judgment.text

    sizes, pairs = _near_pairs(texts(), sampled, IN_MEMORY, folder)
    groups = _Groups(len(sizes))
    for a, b in pairs:
        groups.join(a, b)
    for places in named.values():
        for place in places[1:]:
            groups.join(places[0], place)
    return groups.first()


class _Groups:
    """Groups of numbers that are joined."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def _root(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, a: int, b: int) -> None:
        """Join the groups of two numbers."""
        first, second = sorted((self._root(a), self._root(b)))
        self._parent[second] = first

    def first(self) -> list[int]:
        """Return the least number of the group of each."""
        return [self._root(number) for number in range(len(self._parent))]


def _near_pairs(
    texts: Iterable[str], sampled: int, in_memory: int, folder: Path | None = None
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the number of shingles of each text, and the pairs of places of near-duplicates."""
    import numpy as np

    sizes: list[int] = []
    holders = _Holders(in_memory, folder)
    for place, text in enumerate(texts):
        found = _shingles(text, sampled)
        sizes.append(len(found))
        holders.add(found, place)
    count = np.array(sizes, dtype=np.int64)
    pairs, shared = _count_pairs(holders.shared(), len(sizes))
    a, b = pairs // max(len(sizes), 1), pairs % max(len(sizes), 1)
    near = shared >= NEAR_DUPLICATE * np.minimum(count[a], count[b])
    return sizes, list(zip(a[near].tolist(), b[near].tolist(), strict=True))


class _Holders:
    """Which texts have which shingles."""

    def __init__(self, in_memory: int, folder: Path | None) -> None:
        self._limit = in_memory
        self._folder = folder
        self._count = 0
        self._kept: list[tuple[np.ndarray, int]] = []
        self._files: list[IO[bytes]] = []

    def add(self, hashes: "np.ndarray", text: int) -> None:
        """Add the shingles of the next text."""
        self._kept.append((hashes, text))
        self._count += len(hashes)
        if self._count > self._limit:
            with file_errors(self._folder):
                self._write()

    def shared(self) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
        """Yield hashes and texts of some shingles, all that are equal at once."""
        import numpy as np

        if not self._files:
            yield self._join()
            return
        with file_errors(self._folder):
            self._write()
            for file in self._files:
                file.seek(0)
                entries = np.frombuffer(file.read(), dtype=_entry())
                file.close()
                yield entries["hash"], entries["text"]

    def _join(self) -> tuple["np.ndarray", "np.ndarray"]:
        import numpy as np

        hashes = np.concatenate([np.empty(0, dtype=np.uint64), *(found for found, _ in self._kept)])
        texts = np.repeat(
            np.array([text for _, text in self._kept], dtype=np.uint32), [len(found) for found, _ in self._kept]
        )
        self._kept.clear()
        self._count = 0
        return hashes, texts

    def _write(self) -> None:
        import numpy as np

        if not self._files:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._files = [tempfile.TemporaryFile(dir=self._folder) for _ in range(PARTS)]  # noqa: SIM115
        hashes, texts = self._join()
        entries = np.empty(len(hashes), dtype=_entry())
        entries["hash"], entries["text"] = hashes, texts
        part = (hashes >> np.uint64(32)) % np.uint64(PARTS)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(PARTS + 1, dtype=np.uint64))
        entries = entries[order]
        for file, start, end in zip(self._files, ends[:-1], ends[1:], strict=True):
            file.write(entries[start:end].tobytes())


def _entry() -> "np.dtype":
    import numpy as np

    return np.dtype([("hash", "<u8"), ("text", "<u4")])


def _count_pairs(
    shingles: Iterable[tuple["np.ndarray", "np.ndarray"]], texts: int
) -> tuple["np.ndarray", "np.ndarray"]:
    """Count the shingles that two texts share.

    Args:
        shingles: hashes and texts; equal hashes come together.
        texts: number of texts.

    Returns:
        pairs as a * texts + b with a < b, ascending, and their counts.
    """
    import numpy as np

    total = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    fresh: list[np.ndarray] = []
    waiting = 0
    for found, holders in shingles:
        order = np.lexsort((holders, found))
        hashes, places = found[order], holders[order].astype(np.int64)
        at = np.arange(len(hashes))
        distance = 0
        # Of a shingle in k texts, k - d pairs are d apart.
        while len(at):
            distance += 1
            at = at[: np.searchsorted(at, len(hashes) - distance)]
            at = at[hashes[at] == hashes[at + distance]]
            fresh.append(places[at] * texts + places[at + distance])
            waiting += len(at)
            if waiting > PAIRS:
                total, fresh, waiting = _add_pairs(total, fresh), [], 0
    return _add_pairs(total, fresh)


def _add_pairs(
    total: tuple["np.ndarray", "np.ndarray"], fresh: list["np.ndarray"]
) -> tuple["np.ndarray", "np.ndarray"]:
    """Add one to the count of each pair, once for each time that it comes."""
    import numpy as np

    more, counts = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *fresh]), return_counts=True)
    pairs, place = np.unique(np.concatenate([total[0], more]), return_inverse=True)
    return pairs, np.bincount(place, np.concatenate([total[1], counts]), minlength=len(pairs)).astype(np.int64)


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
