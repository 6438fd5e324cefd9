"""An append-only store of what was expensive to compute: JSON lines, one shard per writing process.

    <folder>/key.json          what the records were computed by (a stage's description)
    <folder>/<shard>.jsonl     {"key": ..., "value": ...} per line, flushed to the disk per batch

A process that is killed leaves at most a torn last line, which is a record that never happened. Several processes may
write at once: each has its own shard, and where two computed the same record the first shard by name counts.
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
        folder: where the shards lie; made on the first write.
        description: JSON value written to key.json, so that a reader of the folder sees what made it.

    Raises:
        UserError: a line other than a shard's last one is no JSON (the file was edited or the disk is bad).
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
        """How many records are stored."""
        return len(self._records)

    def __getitem__(self, key: str) -> Any:
        """The stored value; raises KeyError."""
        return self._records[key]

    def add(self, records: Iterable[tuple[str, Any]]) -> None:
        """Append records and wait until they are on the disk."""
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
        # A model can answer with half a character; json.loads takes it back as it is written here.
        self._shard = (self.folder / name).open("x", encoding="utf-8", errors="surrogatepass", newline="\n")
        return self._shard


def read_shard(path: Path) -> Iterable[tuple[str, Any]]:
    """The (key, value) pairs of one shard; a torn last line is left out, any other bad line raises UserError."""
    lines = path.read_bytes().split(b"\n")
    # What follows the last newline is either empty or a line that was being written when the process died.
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
    """Makes a folder that results go into; raises UserError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make this folder: {error.strerror}", where=str(folder), cure="choose another"
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or nothing: into a neighbour, then renamed over `path`.

    Text is written as UTF-8. That lacks half characters (surrogates), which an answer may hold: they are written as
    JSON has them, `\\ud800`, so that JSON gives them back and every other format shows them.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
