"""Append-only store of expensive results: JSON lines, one shard per writing process.

    <folder>/key.json          description of the stage that computed the records
    <folder>/<shard>.jsonl     {"key": ..., "value": ...} per line, flushed to disk per batch
    <folder>/claims            file of the locks on records that processes are computing (`legalrr.claims`)
    <folder>/index/            where each record stands (`legalrr.store_index`), if there are many; safe to delete

A killed process leaves at most one incomplete last line, which is ignored. Several processes may write at once: each
has its own shard, and if two computed the same record the first shard by name counts. `claim` prevents the latter, and
`refresh` finds what the others have computed since.

The shards alone say what is stored. Values are read from them when they are asked for, and memory has the places of the
records that the index lacks, at most some thousand. A line that does not have the key that the index says makes the
store read that shard again, and a damaged index is written anew.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from legalrr.claims import Claims
from legalrr.errors import UserError, file_errors
from legalrr.files import write_atomically
from legalrr.index_file import DamagedIndexError
from legalrr.shards import Place, ShardReader, fingerprint, key_digest, parse_line, read_lines
from legalrr.store_index import Extent, StoreIndex, Unindexed

UNINDEXED = 16_384
"""Records without index from which on they are written to it: what an opening reads through."""
SPILL = 8
"""Times as many, from which on a process that cannot write the index keeps one of its own."""
ATTEMPTS = 5
"""How often a look-up starts again because a shard or the index is not what it was."""


class Store:
    """Records of one stage by key.

    Args:
        folder: folder of the shards; created by the first write.
        description: JSON value written to key.json, to document what computed the records.
        unindexed: number of records that need no index.

    Raises:
        UserError: a line other than the last one of a shard is not JSON (the file was edited or the disk is faulty).
            A look-up raises it too, as indexed lines are not read before.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any], *, unindexed: int = UNINDEXED) -> None:
        self.folder = folder
        self.description = description
        self._shard: FileIO | None = None
        self._claims = Claims(folder / "claims")
        self._reader = ShardReader(folder)
        self._index = StoreIndex(folder)
        self._unindexed = Unindexed()
        self._limit = unindexed
        self._next = unindexed
        """Number of unindexed records from which on they are written to the index."""
        self._put_off = False
        """Whether a stale index could not be written."""
        self._extents: dict[str, Extent] = {}
        """File name of a shard -> how far the index and the unindexed records together go."""
        self._found: tuple[str, Any] | None = None
        """The record that `in` found last: it is usually asked for next."""
        self._load()

    def __contains__(self, key: str) -> bool:
        """Whether a record is stored."""
        try:
            self._found = key, self._read(key)
        except KeyError:
            return False
        return True

    def __len__(self) -> int:
        """Number of stored records; reads the whole index."""
        for _ in range(ATTEMPTS):
            try:
                return self._index.count(self._unindexed)
            except DamagedIndexError:
                self._load()
        raise self._unsteady()

    def __getitem__(self, key: str) -> Any:
        """Return the stored value, as a new object; raises KeyError."""
        found, self._found = self._found, None
        return found[1] if found is not None and found[0] == key else self._read(key)

    def get(self, key: str) -> Any:
        """Return the stored value, as a new object; None if there is none."""
        try:
            return self[key]
        except KeyError:
            return None

    def add(self, records: Iterable[tuple[str, Any]]) -> None:
        """Append records and flush them to disk.

        Raises:
            UserError: they cannot be written, as on a full disk. Whole records that were written count after the next
                `refresh`, and the next ones go to a new shard.
        """
        batch = list(records)
        if not batch:
            return
        lines = [
            # An answer may end in half of a surrogate pair, which json.loads reads back as written here.
            (json.dumps({"key": k, "value": v}, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
            for k, v in batch
        ]
        data = b"".join(lines)
        with file_errors(self.folder):
            shard = self._open()
            try:
                while data:
                    data = data[shard.write(data) :]
                os.fsync(shard.fileno())
            except OSError:
                # A line that follows an incomplete one in the same shard would be taken for damage.
                self.close()
                raise
        name = Path(str(shard.name)).name
        extent = self._extents.setdefault(name, Extent())
        for (key, _), line in zip(batch, lines, strict=True):
            self._note(key, Place(name, extent.end, len(line) - 1))
        extent.size = extent.end
        self._found = None
        self._index_if_due()

    def refresh(self) -> None:
        """Read what other processes have added; raises UserError as the constructor does."""
        self._found = None
        sizes = {}
        for path in self.folder.glob("*.jsonl"):
            try:
                sizes[path.name] = path.stat().st_size
            except FileNotFoundError:
                continue
        for name in self._extents.keys() - sizes.keys():
            self._forget(name)
        for name in sorted(sizes):
            extent = self._extents.get(name, Extent(size=0))
            if sizes[name] == extent.size:
                continue
            if sizes[name] < max(extent.end, extent.size):
                self._forget(name)
            self._read_on(name, sizes[name])
        self._index_if_due()

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Claim records that are to be computed; return the keys that no other process has claimed.

        Afterwards `refresh`: another process may have added some of them since the last time.

        Raises:
            UserError: the folder of the store cannot be written.
        """
        wanted = list(keys)
        if wanted:
            with file_errors(self.folder):
                self._create()
        return self._claims.take(wanted)

    def release(self, keys: Iterable[str]) -> None:
        """Release claims of this process."""
        self._claims.release(keys)

    def require_writable(self) -> None:
        """Open a shard, before work that costs money or time; raises UserError if its results could not be stored."""
        with file_errors(self.folder):
            self._open()

    def close(self) -> None:
        """Release all claims and close the shard; the store can still be read and, with a new shard, written."""
        self._claims.close()
        self._reader.close()
        if self._shard is not None:
            path, size = Path(str(self._shard.name)), os.fstat(self._shard.fileno()).st_size
            self._shard.close()
            self._shard = None
            if size == 0:
                path.unlink(missing_ok=True)
                self._extents.pop(path.name, None)

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key_file = self.folder / "key.json"
        if not key_file.exists():
            write_atomically(key_file, json.dumps(self.description, indent=2, ensure_ascii=False) + "\n")

    def _open(self) -> FileIO:
        """Return the shard of this process; if somebody has removed it, open another."""
        if self._shard is not None:
            if os.fstat(self._shard.fileno()).st_nlink:
                return self._shard
            self._shard.close()
        self._create()
        name = f"{time.time_ns():020d}-{os.getpid()}.jsonl"
        self._shard = FileIO(self.folder / name, "x")
        return self._shard

    def _read(self, key: str) -> Any:
        """Return the value of the first line with a key; raises KeyError, or UserError as the constructor does."""
        digest = key_digest(key)
        for _ in range(ATTEMPTS):
            try:
                places = {*self._unindexed.find(digest), *self._index.find(digest)}
            except DamagedIndexError:
                self._load()
                continue
            for place in sorted(places):
                try:
                    found, value = parse_line(self._reader.read(place))
                except (FileNotFoundError, ValueError):
                    break
                if found == key:
                    return value
                if key_digest(found) != digest:
                    break
            else:
                raise KeyError(key)
            # That shard is not what it was.
            self._forget(place.shard)
            self.refresh()
        raise self._unsteady()

    def _unsteady(self) -> UserError:
        return UserError(
            "the files change while they are read", where=str(self.folder), cure="let no other program write to them"
        )

    def _load(self) -> None:
        """Start from the index in the folder."""
        self._index.load()
        self._unindexed.clear()
        self._extents = self._index.reached()
        self.refresh()

    def _forget(self, name: str) -> None:
        """Forget a shard that was removed or changed."""
        self._extents.pop(name, None)
        self._unindexed.drop(name)
        self._index.drop(name)
        self._reader.forget(name)

    def _note(self, key: str, place: Place) -> None:
        """Take account of the next line of a shard."""
        extent = self._extents[place.shard]
        self._unindexed.add(key_digest(key), place)
        extent.end, extent.lines, extent.check = place.start + place.length + 1, extent.lines + 1, ""

    def _read_on(self, name: str, size: int) -> None:
        """Read the lines of a shard that are not known yet; `size` is that of its file."""
        path = self.folder / name
        extent = self._extents.get(name)
        if extent is not None and extent.check and fingerprint(path, extent.end) != extent.check:
            self._forget(name)
        while True:
            extent = self._extents.setdefault(name, Extent())
            for line in read_lines(path, extent.end, extent.lines):
                self._note(line.key, line.place)
                if self._unindexed.count >= max(self._next, SPILL * self._limit):
                    break
            else:
                extent.size, extent.check = size, fingerprint(path, extent.end)
                return
            self._write_index()

    def _index_if_due(self) -> None:
        if self._unindexed.count >= self._next or (self._index.is_stale and not self._put_off):
            self._write_index()

    def _write_index(self) -> None:
        """Write the unindexed records to the index, if that can be done now."""
        done = self._index.extend(self._unindexed, self._extents)
        self._put_off = not done
        if not done and self._unindexed.count >= SPILL * self._limit:
            done = self._index.extend_privately(self._unindexed, self._extents)
        if not done:
            self._next = self._unindexed.count + self._limit
            return
        self._next = self._limit
        self._unindexed.clear()
        before, self._extents = self._extents, self._index.reached()
        for name, extent in before.items():
            now = self._extents.setdefault(name, Extent())
            if now.end == extent.end:
                now.size = extent.size
        # A file of the index was damaged, or somebody removed it.
        if any(self._extents[name].end < extent.end for name, extent in before.items()):
            self.refresh()
