"""Append-only store of expensive results: JSON lines, one shard per writing process.

    <folder>/key.json          description of the stage that computed the records
    <folder>/<shard>.jsonl     {"key": ..., "value": ...} per line, flushed to disk per batch
    <folder>/claims            file of the locks on records that processes are computing (`legalrr.claims`)

A killed process leaves at most one incomplete last line, which is ignored. Several processes may write at once: each
has its own shard, and if two computed the same record the first shard by name counts. `claim` prevents the latter, and
`refresh` finds what the others have computed since.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from legalrr.claims import Claims
from legalrr.errors import UserError


class Store:
    """Records of one stage by key.

    Args:
        folder: folder of the shards; created by the first write.
        description: JSON value written to key.json, to document what computed the records.

    Raises:
        UserError: a line other than the last one of a shard is not JSON (the file was edited or the disk is faulty).
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder = folder
        self.description = description
        self._records: dict[str, Any] = {}
        self._shard: TextIO | None = None
        self._read: dict[str, tuple[int, int]] = {}
        """File name of a shard -> bytes and lines read."""
        self._claims = Claims(folder / "claims")
        self.refresh()

    def __contains__(self, key: str) -> bool:
        """Whether a record is stored."""
        return key in self._records

    def __len__(self) -> int:
        """Number of stored records."""
        return len(self._records)

    def __getitem__(self, key: str) -> Any:
        """Return the stored value; raises KeyError."""
        return self._records[key]

    def add(self, records: Iterable[tuple[str, Any]]) -> None:
        """Append records and flush them to disk."""
        batch = list(records)
        if not batch:
            return
        shard = self._shard or self._open()
        shard.write("".join(json.dumps({"key": k, "value": v}, ensure_ascii=False) + "\n" for k, v in batch))
        shard.flush()
        os.fsync(shard.fileno())
        for key, value in batch:
            self._records.setdefault(key, value)

    def refresh(self) -> None:
        """Read what other processes have added; raises UserError as the constructor does."""
        own = None if self._shard is None else Path(self._shard.name).name
        for path in sorted(self.folder.glob("*.jsonl")):
            # An unchanged shard, and the own one, are not read again.
            start, lines = self._read.get(path.name, (0, 0))
            if path.name == own or path.stat().st_size == start:
                continue
            records, self._read[path.name] = _read_lines(path, start, lines)
            for key, value in records:
                self._records.setdefault(key, value)

    def claim(self, keys: Iterable[str]) -> set[str]:
        """Claim records that are to be computed; return the keys that no other process has claimed.

        Afterwards `refresh`: another process may have added some of them since the last time.
        """
        wanted = list(keys)
        if wanted:
            self._create()
        return self._claims.take(wanted)

    def release(self, keys: Iterable[str]) -> None:
        """Release claims of this process."""
        self._claims.release(keys)

    def close(self) -> None:
        """Release all claims and close the shard; the store can still be read and, with a new shard, written."""
        self._claims.close()
        if self._shard is not None:
            # The records of the closed shard are known.
            self._read[Path(self._shard.name).name] = Path(self._shard.name).stat().st_size, 0
            self._shard.close()
            self._shard = None

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key_file = self.folder / "key.json"
        if not key_file.exists():
            write_atomically(key_file, json.dumps(self.description, indent=2, ensure_ascii=False) + "\n")

    def _open(self) -> TextIO:
        self._create()
        name = f"{time.time_ns():020d}-{os.getpid()}.jsonl"
        # An answer may end in half of a surrogate pair, which json.loads reads back as written here.
        self._shard = (self.folder / name).open("x", encoding="utf-8", errors="surrogatepass", newline="\n")
        return self._shard


def read_shard(path: Path) -> Iterable[tuple[str, Any]]:
    """Return the (key, value) pairs of one shard; skip an incomplete last line, raise UserError for other bad lines."""
    return _read_lines(path, 0, 0)[0]


def _read_lines(path: Path, start: int, before: int) -> tuple[list[tuple[str, Any]], tuple[int, int]]:
    """Read the complete lines of a shard from byte `start`, before which there are `before` lines.

    Returns:
        the (key, value) pairs; the byte after the last complete line, and the number of lines up to there.
    """
    with path.open("rb") as file:
        file.seek(start)
        # The text after the last newline is empty, or a line that is being written, or was when a process was killed.
        *lines, rest = file.read().split(b"\n")
        end = file.tell() - len(rest)
    pairs = []
    for number, line in enumerate(lines, start=before + 1):
        try:
            record = json.loads(line)
            pairs.append((record["key"], record["value"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                "damaged record", where=f"{path}:{number}", cure="delete that line; its record will be computed again"
            ) from error
    return pairs, (end, before + len(lines))


def make_folder(folder: Path) -> None:
    """Create a folder for results; raises UserError if it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make this folder: {error.strerror}", where=str(folder), cure="choose another"
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all: to a temporary file in the same folder, then renamed to `path`.

    Text is written as UTF-8, which cannot encode surrogates. An answer may contain them: they are written as JSON
    escapes, `\\ud800`, which JSON reads back and every other format displays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
