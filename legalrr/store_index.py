"""Index of a store: which line of which shard has a key, in files beside the shards that can be deleted at any time.

    <folder>/index/<time>-<process>.index    files of entries (`legalrr.index_file`), never changed
    <folder>/index/lock                      locked by the process that writes one

A process that has many unindexed records writes them to a new file, together with the files that are not more than
twice as large: so there are few files, of growing size, and each entry is written a few times in all. A file is
renamed to its name when it is whole, and the files that it replaces are removed afterwards; files that cover the same
lines do no harm. Where no index can be written, a process keeps its own in a temporary file without a name.

Also measured, with 10,000,000 entries and 10,000 look-ups on two cores: SQLite, opened as immutable (look-ups 0.05 s, a
merge 6.4 s, 252 MB; these files 0.1 s, 1.1 s and 240 MB), lmdb (0.02 s, 343 MB; its memory map is not safe on network
file systems) and DuckDB (4.8 s). SQLite has no checksums, so that damage may hide a record without an error.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from legalrr import index_file
from legalrr.claims import Claims
from legalrr.files import part_path
from legalrr.index_file import DamagedIndexError, IndexFile, Part
from legalrr.shards import Place, fingerprint

log = logging.getLogger(__name__)

LARGER = 2
"""A file of at most this many times the entries to be written is merged with them."""
ATTEMPTS = 5
"""How often a folder is listed anew when a listed file has been removed."""


@dataclass
class Extent:
    """How far a shard is known."""

    end: int = 0
    """Byte after the last known line."""
    lines: int = 0
    """Lines before it."""
    size: int = -1
    """Size of the file when it was read last; it may end in an incomplete line."""
    check: str = ""
    """`legalrr.shards.fingerprint` of the bytes before `end`; "" if not known."""


class Unindexed:
    """Places of records that the index lacks, in memory."""

    def __init__(self) -> None:
        self.count = 0
        """Number of places."""
        self._places: dict[int, tuple[Place, ...]] = {}

    def __len__(self) -> int:
        """Number of different digests."""
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[int, Place]]:
        """Yield digests and places."""
        return ((digest, place) for digest, places in self._places.items() for place in places)

    def add(self, digest: int, place: Place) -> None:
        """Add the place of a record."""
        self._places[digest] = (*self._places.get(digest, ()), place)
        self.count += 1

    def find(self, digest: int) -> tuple[Place, ...]:
        """Return the places of records with a digest."""
        return self._places.get(digest, ())

    def drop(self, shard: str) -> None:
        """Remove the places in a shard."""
        kept = [(digest, place) for digest, place in self if place.shard != shard]
        self.clear()
        for digest, place in kept:
            self.add(digest, place)

    def clear(self) -> None:
        """Remove all."""
        self._places, self.count = {}, 0


class StoreIndex:
    """Index of the shards in a folder.

    Args:
        shards: folder of the shards.
    """

    def __init__(self, shards: Path) -> None:
        self._shards = shards
        self._folder = shards / "index"
        self._files: list[IndexFile] = []
        self._damaged: set[str] = set()
        self._said: set[str] = set()

    @property
    def is_stale(self) -> bool:
        """Whether a file of it has entries that are not true any more, or is damaged."""
        return bool(self._damaged) or any(file.dropped for file in self._files)

    def load(self) -> None:
        """Open the files that other processes have written since the last time, and close those that are replaced."""
        for _ in range(ATTEMPTS):
            names = {path.name for path in self._folder.glob("*.index")}
            self._files = [file for file in self._files if not file.name or file.name in names]
            try:
                for name in sorted(names - {file.name for file in self._files} - self._damaged):
                    self._open(name)
            except FileNotFoundError:
                continue
            return

    def reached(self) -> dict[str, Extent]:
        """Return how far each shard is covered from its start; parts behind a gap do not count any more."""
        found: dict[str, Extent] = {}
        parts = [
            (part, file, number)
            for file in self._files
            for number, part in enumerate(file.parts)
            if number not in file.dropped
        ]
        for part, file, number in sorted(parts, key=lambda one: (one[0].shard, one[0].start)):
            extent = found.setdefault(part.shard, Extent())
            if part.start > extent.end:
                file.dropped.add(number)
            elif part.end > extent.end:
                extent.end, extent.lines, extent.size, extent.check = part.end, part.lines, part.end, part.check
        return found

    def find(self, digest: int) -> list[Place]:
        """Return the places of records with a digest.

        Raises:
            DamagedIndexError: of a file, which does not count any more; `reached` has changed.
        """
        places = []
        for file in self._files:
            try:
                places += [Place(part.shard, start, length) for part, start, length in file.find(digest)]
            except DamagedIndexError as error:
                self._remove(error.file)
                raise
        return places

    def drop(self, shard: str) -> None:
        """Remove a shard, as it has changed."""
        for file in self._files:
            file.dropped.update(number for number, part in enumerate(file.parts) if part.shard == shard)

    def count(self, unindexed: Unindexed) -> int:
        """Return the number of different digests, also of unindexed records; reads all files.

        Raises:
            DamagedIndexError: as `find` does.
        """
        if not self._files:
            return len(unindexed)
        import numpy as np

        more = _sorted_entries([(digest, 0, 0, 0) for digest, _ in unindexed])
        try:
            chunks = index_file.merge([(file, _same_numbers(file)) for file in self._files], [(more, [0])])
            return sum(len(np.unique(chunk["digest"])) for chunk in chunks)
        except DamagedIndexError as error:
            self._remove(error.file)
            raise

    def extend(self, unindexed: Unindexed, extents: Mapping[str, Extent]) -> bool:
        """Write unindexed records to the index in the folder.

        Args:
            unindexed: the records; those that other processes have indexed meanwhile are left out.
            extents: how far each shard is covered by the index and `unindexed` together.

        Returns:
            false if it cannot be written, or another process writes to it now.
        """
        if not os.access(self._shards, os.W_OK):
            return False
        lock, former = Claims(self._folder / "lock"), self._files
        before = self.reached()
        try:
            self._folder.mkdir(exist_ok=True)
            if not lock.take(["index"]):
                return False
            self.load()
            while not self._write(unindexed, before, extents, shared=True):
                pass
            for name in self._damaged:
                (self._folder / name).unlink(missing_ok=True)
            self._damaged.clear()
        except OSError as error:
            self._say("%s: the index cannot be written (%s)", self._folder, error)
            # What the process knows beside them goes with these.
            self._files = former
            return False
        finally:
            lock.close()
        return True

    def extend_privately(self, unindexed: Unindexed, extents: Mapping[str, Extent]) -> bool:
        """Write unindexed records to a temporary file of this process; arguments and result as those of `extend`."""
        before = self.reached()
        try:
            while not self._write(unindexed, before, extents, shared=False):
                pass
        except OSError as error:
            self._say("no temporary file for the index of %s (%s): it is kept in memory", self._shards, error)
            return False
        return True

    def _say(self, message: str, path: Path, error: OSError) -> None:
        """Log a message once."""
        if message not in self._said:
            self._said.add(message)
            log.info(message, path, error)

    def _open(self, name: str) -> None:
        try:
            file = IndexFile((self._folder / name).open("rb", buffering=0), name)
        except DamagedIndexError:
            self._damaged.add(name)
            return
        file.dropped.update(number for number, part in enumerate(file.parts) if not self._is_true(part))
        self._files.append(file)

    def _is_true(self, part: Part) -> bool:
        """Whether the shard still has what stood there when the part was indexed."""
        path = self._shards / part.shard
        try:
            found = path.stat()
            if found.st_size == part.end and found.st_mtime_ns == part.modified:
                return True
            return found.st_size >= part.end and fingerprint(path, part.end) == part.check
        except FileNotFoundError:
            return False

    def _remove(self, file: IndexFile) -> None:
        self._files.remove(file)
        if file.name:
            self._damaged.add(file.name)

    def _write(
        self, unindexed: Unindexed, before: Mapping[str, Extent], extents: Mapping[str, Extent], *, shared: bool
    ) -> bool:
        """Write an index file, and remove those that it replaces; return false if one of these is damaged.

        Then it does not count any more, and the method is to be called again.

        The unindexed records are those from `before` to `extents`. What files reach now may be less, if one was removed
        or damaged since, or more.
        """
        now, none = self.reached(), Extent()
        start = {shard: max(before.get(shard, none).end, now.get(shard, none).end) for shard in extents}
        made = [self._part(shard, start[shard], one) for shard, one in extents.items() if one.end > start[shard]]
        fresh = [part for part in made if part is not None]
        numbers = {part.shard: number for number, part in enumerate(fresh)}
        rows = [
            (digest, place.start, numbers[place.shard], place.length)
            for digest, place in unindexed
            if place.shard in numbers and place.start >= start[place.shard]
        ]
        entries = _sorted_entries(rows)
        merged = self._to_be_merged(len(entries), shared=shared)
        if not rows and not any(file.dropped or not file.name for file in merged):
            return True
        sources: list[list[Part | None]] = [
            [None if number in file.dropped else part for number, part in enumerate(file.parts)] for file in merged
        ]
        parts, (own, *others) = _join_parts([list(fresh), *sources])
        chunks = index_file.merge(list(zip(merged, others, strict=True)), [(entries, own)])
        try:
            written = self._write_shared(chunks, parts) if shared else _write_privately(chunks, parts)
        except DamagedIndexError as error:
            self._remove(error.file)
            return False
        self._files = [*(file for file in self._files if file not in merged), written]
        for file in merged:
            if file.name:
                # Another process may have removed it; Windows removes no open file.
                with suppress(OSError):
                    (self._folder / file.name).unlink()
        return True

    def _to_be_merged(self, count: int, *, shared: bool) -> list[IndexFile]:
        """Return the files to be merged with a number of new entries."""
        merged = []
        for file in sorted(self._files, key=lambda file: file.entries):
            if not shared and file.name:
                continue
            if not file.name or file.dropped or file.entries <= LARGER * count:
                merged.append(file)
                count += file.entries
        return merged

    def _part(self, shard: str, start: int, extent: Extent) -> Part | None:
        """Describe a part of a shard; None if the shard has been removed."""
        path = self._shards / shard
        try:
            return Part(
                shard=shard,
                start=start,
                end=extent.end,
                lines=extent.lines,
                check=extent.check or fingerprint(path, extent.end),
                modified=path.stat().st_mtime_ns,
            )
        except FileNotFoundError:
            return None

    def _write_shared(self, chunks: Iterator["index_file.Entries"], parts: Sequence[Part]) -> IndexFile:
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}.index"
        part = part_path(path)
        try:
            with part.open("wb") as file:
                index_file.write(file, chunks, parts)
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return IndexFile(path.open("rb", buffering=0), path.name)


def _write_privately(chunks: Iterator["index_file.Entries"], parts: Sequence[Part]) -> IndexFile:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    with os.fdopen(os.dup(file.fileno()), "wb") as buffered:
        index_file.write(buffered, chunks, parts)
    return IndexFile(file, "")


def _sorted_entries(rows: Sequence[tuple[int, int, int, int]]) -> "index_file.Entries":
    import numpy as np

    entries = np.array(rows, index_file.ENTRY)
    return entries[np.argsort(entries["digest"], kind="stable")]


def _same_numbers(file: IndexFile) -> list[int]:
    return [-1 if number in file.dropped else number for number in range(len(file.parts))]


def _join_parts(sources: Sequence[Sequence[Part | None]]) -> tuple[list[Part], list[list[int]]]:
    """Join the parts of several sources that adjoin or overlap.

    Args:
        sources: parts of each source; None: left out.

    Returns:
        the joined parts; for each source, the number of the joined part of each of its parts, or -1.
    """
    numbers = [[-1] * len(parts) for parts in sources]
    given = [
        (part.shard, part.start, source, number, part)
        for source, parts in enumerate(sources)
        for number, part in enumerate(parts)
        if part is not None
    ]
    joined: list[Part] = []
    for shard, start, source, number, part in sorted(given, key=lambda one: one[:4]):
        if not joined or joined[-1].shard != shard or start > joined[-1].end:
            joined.append(part)
        elif part.end > joined[-1].end:
            first = joined[-1].start
            joined[-1] = Part(
                shard=shard, start=first, end=part.end, lines=part.lines, check=part.check, modified=part.modified
            )
        numbers[source][number] = len(joined) - 1
    return joined, numbers
