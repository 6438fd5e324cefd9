"""One file of the index of a store: entries sorted by the digest of the key, never changed after it was written.

    pages        of PER_PAGE entries each, the last one padded, each with a checksum
    first        digest of the first entry of each page
    header       JSON: number of entries, the parts of shards that they cover, a checksum of `first`
    trailer      length and checksum of the header, and MARK

A look-up finds the page in `first` (0.5 MB for 10,000,000 entries, held in memory) and reads it from the file. Damage
to any byte is found when that byte is read. The file is read without locks and not mapped into memory, so that it may
lie on a network file system.
"""

import json
import os
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

    Entries = np.ndarray[Any, Any]

ENTRY = [("digest", "<u8"), ("start", "<u8"), ("part", "<u4"), ("length", "<u4")]
"""Digest of a key, and where its line stands: part of a shard, first byte in the shard, bytes without the newline."""
ENTRY_BYTES = struct.Struct("<QQII")
PER_PAGE = 170
"""Entries of a page, which then has just less than 4096 bytes."""
PAGE = [("entries", ENTRY, PER_PAGE), ("check", "<u4")]
PAGE_BYTES = PER_PAGE * ENTRY_BYTES.size + 4
TRAILER = struct.Struct("<QI8s")
MARK = b"legalrr1"
CHUNK = 1 << 18
"""About how many entries are merged at a time."""
KEYS = 1 << 64


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of a shard that entries cover: all complete lines from `start` to `end`."""

    shard: str
    """File name."""
    start: int
    end: int
    lines: int
    """Lines of the shard before `end`."""
    check: str
    """`legalrr.shards.fingerprint` of the bytes before `end`."""
    modified: int
    """When the shard was last written, as of then, in ns."""


class DamagedIndexError(Exception):
    """A file of an index that is not as it was written.

    Args:
        file: the file.
    """

    def __init__(self, file: "IndexFile") -> None:
        super().__init__(file.name)
        self.file = file


class IndexFile:
    """An index file, opened for reading.

    Args:
        file: the open file, without a buffer, which would hide later damage; closed with this object.
        name: name of the file; "" for one without a name, which only this process sees.

    Raises:
        DamagedIndexError: it is not a whole index file.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        import numpy as np

        self.name = name
        self._file = file
        weakref.finalize(self, file.close)
        try:
            size = file.seek(0, os.SEEK_END)
            length, check, mark = TRAILER.unpack(self._read(size - TRAILER.size, TRAILER.size))
            header = self._read(size - TRAILER.size - length, length)
            if mark != MARK or zlib.crc32(header) != check:
                raise DamagedIndexError(self)
            described = json.loads(header)
            self.entries: int = described["entries"]
            """Number of entries."""
            self.parts = tuple(Part(**part) for part in described["parts"])
            pages = -(-self.entries // PER_PAGE)
            first = self._read(pages * PAGE_BYTES, pages * 8)
            if zlib.crc32(first) != described["first"] or size != pages * (PAGE_BYTES + 8) + length + TRAILER.size:
                raise DamagedIndexError(self)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise DamagedIndexError(self) from error
        self._first = np.frombuffer(first, "<u8")
        self.dropped: set[int] = set()
        """Numbers of the parts that are not true any more."""

    def find(self, digest: int) -> list[tuple[Part, int, int]]:
        """Return part, first byte and length of the lines with a digest; raises DamagedIndexError."""
        import numpy as np

        key, found = np.uint64(digest), []
        last = int(self._first.searchsorted(key, "right"))
        page = last - 1
        while page > 0 and self._first[page] == key:
            page -= 1
        for number in range(max(page, 0), last):
            data = self._read(number * PAGE_BYTES, PAGE_BYTES)
            if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
                raise DamagedIndexError(self)
            count = min(self.entries - number * PER_PAGE, PER_PAGE)
            # Records of numpy would take most of the time.
            digests = np.frombuffer(data, "<u8", 3 * count)[::3]
            for at in range(int(digests.searchsorted(key)), count):
                entry, start, part, length = ENTRY_BYTES.unpack_from(data, at * ENTRY_BYTES.size)
                if entry != digest:
                    break
                if part not in self.dropped:
                    found.append((self.parts[part], start, length))
        return found

    def between(self, low: int, high: int) -> "Entries":
        """Return the entries with `low` <= digest < `high`; raises DamagedIndexError."""
        import numpy as np

        first = max(int(self._first.searchsorted(np.uint64(low), "left")) - 1, 0)
        last = len(self._first) if high >= KEYS else int(self._first.searchsorted(np.uint64(high), "left"))
        return between(self._pages(first, last), low, high)

    def _pages(self, first: int, last: int) -> "Entries":
        import numpy as np

        data = self._read(first * PAGE_BYTES, max(last - first, 0) * PAGE_BYTES)
        pages = np.frombuffer(data, PAGE)
        for number, check in enumerate(pages["check"].tolist()):
            if zlib.crc32(data[number * PAGE_BYTES : (number + 1) * PAGE_BYTES - 4]) != check:
                raise DamagedIndexError(self)
        return pages["entries"].reshape(-1)[: self.entries - first * PER_PAGE]

    def _read(self, start: int, length: int) -> bytes:
        try:
            self._file.seek(start)
            data = b""
            while len(data) < length and (more := self._file.read(length - len(data))):
                data += more
        except (OSError, OverflowError, ValueError) as error:
            # A network file system may forget a file that another machine has removed.
            raise DamagedIndexError(self) from error
        if len(data) != length:
            raise DamagedIndexError(self)
        return data


def between(entries: "Entries", low: int, high: int) -> "Entries":
    """Return those of sorted entries with `low` <= digest < `high`."""
    import numpy as np

    digests = entries["digest"]
    last = len(digests) if high >= KEYS else digests.searchsorted(np.uint64(high), "left")
    return entries[digests.searchsorted(np.uint64(low), "left") : last]


def merge(
    files: Sequence[tuple[IndexFile, Sequence[int]]], more: Iterable[tuple["Entries", Sequence[int]]] = ()
) -> Iterator["Entries"]:
    """Yield the entries of several sources in order of their digests, without repetition, in chunks.

    Digests are spread evenly, so that a fixed range of them has about as many entries as any other. Equal digests are
    in the same chunk.

    Args:
        files: index files, each with the new number of each of its parts, or -1 to leave out its entries.
        more: the same for sorted entries in memory.

    Raises:
        DamagedIndexError: of one of the files.
    """
    import numpy as np

    more = list(more)
    total = sum(file.entries for file, _ in files) + sum(len(entries) for entries, _ in more)
    chunks = max(-(-total // CHUNK), 1)
    for number in range(chunks):
        low, high = KEYS * number // chunks, KEYS * (number + 1) // chunks
        found = [(file.between(low, high), numbers) for file, numbers in files]
        found += [(between(entries, low, high), numbers) for entries, numbers in more]
        chunk = np.concatenate([_renumber(entries, numbers) for entries, numbers in found])
        chunk = chunk[np.argsort(chunk["digest"], kind="stable")]
        yield chunk[np.concatenate([[True], chunk[1:] != chunk[:-1]])] if len(chunk) else chunk


def _renumber(entries: "Entries", numbers: Sequence[int]) -> "Entries":
    import numpy as np

    new = np.asarray(numbers, dtype=np.int64)[entries["part"]]
    kept = entries[new >= 0].copy()
    kept["part"] = new[new >= 0]
    return kept


def write(file: BinaryIO, chunks: Iterable["Entries"], parts: Sequence[Part]) -> None:
    """Write an index file to an open file.

    Args:
        file: the file, empty.
        chunks: the entries, sorted by digest.
        parts: the parts of shards that the entries name by number.

    Raises:
        OSError: the file cannot be written.
    """
    import numpy as np

    first: list[Any] = []
    rest, count = np.empty(0, ENTRY), 0
    for chunk in chunks:
        rest = np.concatenate([rest, chunk])
        whole = len(rest) - len(rest) % PER_PAGE
        first.append(_write_pages(file, rest[:whole]))
        rest, count = rest[whole:], count + len(chunk)
    first.append(_write_pages(file, rest))
    digests = np.concatenate(first).tobytes()
    described = {"entries": count, "parts": [asdict(part) for part in parts], "first": zlib.crc32(digests)}
    header = json.dumps(described).encode()
    file.write(digests + header + TRAILER.pack(len(header), zlib.crc32(header), MARK))
    file.flush()


def _write_pages(file: BinaryIO, entries: "Entries") -> "Entries":
    """Write entries as pages; return the digest of the first one of each."""
    import numpy as np

    pages = np.zeros(-(-len(entries) // PER_PAGE), PAGE)
    flat = np.zeros(len(pages) * PER_PAGE, ENTRY)
    flat[: len(entries)] = entries
    pages["entries"] = flat.reshape(-1, PER_PAGE)
    data = pages["entries"].tobytes()
    step = PAGE_BYTES - 4
    pages["check"] = [zlib.crc32(data[n * step : (n + 1) * step]) for n in range(len(pages))]
    file.write(pages.tobytes())
    # A view would keep all entries in memory until the file is written.
    return flat["digest"][::PER_PAGE].copy()
