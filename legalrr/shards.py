"""Shards, the JSON-lines files of a store: their lines in order, or one line by its place."""

import json
import weakref
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from legalrr.errors import UserError

OPEN = 16
"""Most shards of a store that are open for reading at a time."""
CHECKED = 4096
"""Bytes before an offset that `fingerprint` covers."""


class Place(NamedTuple):
    """Where a record stands. Of several with the same key the least counts."""

    shard: str
    """File name of the shard."""
    start: int
    """First byte of its line."""
    length: int
    """Bytes of its line, without the newline."""


class Line(NamedTuple):
    """A complete line of a shard."""

    key: str
    value: Any
    place: Place


def read_lines(path: Path, start: int = 0, before: int = 0) -> Iterator[Line]:
    """Yield the complete lines of a shard; what follows the last newline is still being written, or never was.

    Args:
        path: the shard.
        start: byte to start from, the first one of a line.
        before: number of lines before it.

    Raises:
        UserError: a line is not a record.
    """
    with path.open("rb") as file:
        file.seek(start)
        for number, line in enumerate(file, start=before + 1):
            if not line.endswith(b"\n"):
                return
            try:
                key, value = parse_line(line)
            except ValueError as error:
                raise UserError(
                    "damaged record",
                    where=f"{path}:{number}",
                    cure="delete that line; its record will be computed again",
                ) from error
            yield Line(key, value, Place(path.name, start, len(line) - 1))
            start += len(line)


def parse_line(line: bytes) -> tuple[str, Any]:
    """Return key and value of a line; raises ValueError if it is not a record."""
    try:
        record = json.loads(line)
        key, value = record["key"], record["value"]
    except (KeyError, TypeError) as error:
        raise ValueError("not a record") from error
    if not isinstance(key, str):
        raise ValueError("the key is not a string")
    return key, value


def key_digest(key: str) -> int:
    """Return the 64 bits that stand for a key in an index; two of 10,000,000 keys share them with probability 3e-6."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def fingerprint(path: Path, end: int) -> str:
    """Return a digest of the last bytes of a shard before `end`: a line deleted or inserted before them changes it."""
    first = max(end - CHECKED, 0)
    with path.open("rb") as file:
        file.seek(first)
        return blake2b(file.read(end - first), digest_size=8).hexdigest()


class ShardReader:
    """Reads lines by their place; keeps the last few shards open.

    Args:
        folder: folder of the shards.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, FileIO] = {}
        """File name -> open shard; the one used last is the last."""
        weakref.finalize(self, _close, self._open)

    def read(self, place: Place) -> bytes:
        """Return a line without its newline, or less if the shard is shorter.

        Raises:
            OSError: the shard cannot be read.
        """
        file = self._open.pop(place.shard, None)
        if file is None:
            file = FileIO(self._folder / place.shard)
            if len(self._open) >= OPEN:
                self.forget(next(iter(self._open)))
        self._open[place.shard] = file
        file.seek(place.start)
        data = b""
        while len(data) < place.length and (more := file.read(place.length - len(data))):
            data += more
        return data

    def forget(self, shard: str) -> None:
        """Close a shard, as it may be another file now."""
        file = self._open.pop(shard, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        """Close all shards; they are opened again when they are needed."""
        _close(self._open)


def _close(files: dict[str, FileIO]) -> None:
    while files:
        with suppress(OSError):
            files.popitem()[1].close()
