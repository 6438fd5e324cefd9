"""Append-only store of expensive results: JSON lines, one shard per writing process.

    <folder>/key.json          description of the stage that computed the records
    <folder>/<shard>.jsonl     {"key": ..., "value": ...} per line, flushed to disk per batch

A killed process leaves at most one incomplete last line, which is ignored. Several processes may write at once: each
has its own shard, and if two computed the same record the first shard by name counts.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

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
        for path in sorted(folder.glob("*.jsonl")):
            for key, value in read_shard(path):
                self._records.setdefault(key, value)

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

    def close(self) -> None:
        """Close the shard; the store can still be read and, with a new shard, written."""
        if self._shard is not None:
            self._shard.close()
            self._shard = None

    def _open(self) -> TextIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        key_file = self.folder / "key.json"
        if not key_file.exists():
            write_atomically(key_file, json.dumps(self.description, indent=2, ensure_ascii=False) + "\n")
        name = f"{time.time_ns():020d}-{os.getpid()}.jsonl"
        # An answer may end in half of a surrogate pair, which json.loads reads back as written here.
        self._shard = (self.folder / name).open("x", encoding="utf-8", errors="surrogatepass", newline="\n")
        return self._shard


def read_shard(path: Path) -> Iterable[tuple[str, Any]]:
    """Yield the (key, value) pairs of one shard; skip an incomplete last line, raise UserError for other bad lines."""
    lines = path.read_bytes().split(b"\n")
    # The text after the last newline is empty, or a line that a killed process was writing.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            pair = record["key"], record["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                "damaged record", where=f"{path}:{number}", cure="delete that line; its record will be computed again"
            ) from error
        yield pair


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
