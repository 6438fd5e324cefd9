"""Append-only store of expensive results: JSON lines, one shard per writing process.

    <folder>/key.json          description of the stage that computed the records
    <folder>/<shard>.jsonl     {"key": ..., "value": ...} per line, flushed to disk per batch
    <folder>/claims            file of the locks on records that processes are computing (`legalrr.claims`)

A killed process leaves at most one incomplete last line, which is ignored. Several processes may write at once: each
has its own shard, and if two computed the same record the first shard by name counts. `claim` prevents the latter, and
`refresh` finds what the others have computed since.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from legalrr.claims import Claims
from legalrr.errors import UserError, file_errors


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
        self._shard: FileIO | None = None
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
        """Append records and flush them to disk.

        Raises:
            UserError: they cannot be written, as on a full disk. Whole records that were written count, and the next
                ones go to a new shard.
        """
        batch = list(records)
        if not batch:
            return
        text = "".join(json.dumps({"key": k, "value": v}, ensure_ascii=False) + "\n" for k, v in batch)
        # An answer may end in half of a surrogate pair, which json.loads reads back as written here.
        data = text.encode("utf-8", "surrogatepass")
        with file_errors(self.folder):
            shard = self._shard or self._open()
            try:
                while data:
                    data = data[shard.write(data) :]
                os.fsync(shard.fileno())
            except OSError:
                # A line that follows an incomplete one in the same shard would be taken for damage.
                self.close()
                raise
        for key, value in batch:
            self._records.setdefault(key, value)

    def refresh(self) -> None:
        """Read what other processes have added; raises UserError as the constructor does."""
        own = None if self._shard is None else Path(str(self._shard.name)).name
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
            self._shard = self._shard or self._open()

    def close(self) -> None:
        """Release all claims and close the shard; the store can still be read and, with a new shard, written."""
        self._claims.close()
        if self._shard is not None:
            path, size = Path(str(self._shard.name)), os.fstat(self._shard.fileno()).st_size
            self._shard.close()
            self._shard = None
            # The records of the closed shard are known.
            self._read[path.name] = size, 0
            if size == 0:
                path.unlink(missing_ok=True)

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        key_file = self.folder / "key.json"
        if not key_file.exists():
            write_atomically(key_file, json.dumps(self.description, indent=2, ensure_ascii=False) + "\n")

    def _open(self) -> FileIO:
        self._create()
        name = f"{time.time_ns():020d}-{os.getpid()}.jsonl"
        self._shard = FileIO(self.folder / name, "x")
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
    with file_errors(folder, doing="cannot make this folder"):
        folder.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all: to a temporary file in the same folder, then renamed to `path`.

    Text is written as UTF-8, which cannot encode surrogates. An answer may contain them: they are written as JSON
    escapes, `\\ud800`, which JSON reads back and every other format displays.

    Raises:
        UserError: the file cannot be written, as on a full disk; a former content of `path` stays.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with file_errors(path):
        part = part_path(path)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def require_writable(path: Path) -> None:
    """Raise UserError before long work if the file `path` could not be written then."""
    with file_errors(path):
        part = part_path(path)
        part.touch()
        part.unlink()


def require_own(mark: Path, start: str, others: Iterable[Path] = ()) -> None:
    """Raise UserError if a command would overwrite a file that it did not write itself. Empty files do not count.

    Args:
        mark: the file of its output that shows whether an earlier output is of the same command.
        start: how such a file begins.
        others: the further files that it will write.
    """
    content = start.encode()
    with file_errors():
        found = [
            path for path in (mark, *others) if os.path.lexists(path) and (not path.is_file() or path.stat().st_size)
        ]
        if not found:
            return
        if mark.is_file():
            with mark.open("rb") as file:
                if file.read(len(content)) == content:
                    return
    raise not_own(found[0])


def not_own(path: Path) -> UserError:
    """Return the UserError for a file that a command does not overwrite."""
    return UserError(
        "exists, and was not written by this command",
        where=str(path),
        cure="give another --out, or move this file",
    )


PART = re.compile(r"\..+\.(?:(?P<host>[0-9a-f]{8})-)?(?P<process>[0-9]+)\.part")
"""Name of a temporary file or folder: `.NAME.HOST-PROCESS.part`, formerly without the host."""
OLD_SECONDS = 24 * 3600
"""Age from which a temporary file that names no host is taken for one of this host."""


def part_path(path: Path) -> Path:
    """Return the temporary path beside `path` to write to before a rename; named after this host and process.

    Temporary files and folders that processes of this host left there when they were killed are removed.
    """
    host = hashlib.blake2s(platform.node().encode(), digest_size=4).hexdigest()
    for other in path.parent.glob(".*.part"):
        found = PART.fullmatch(other.name)
        if found and not _runs(int(found["process"])) and (found["host"] == host or _is_old(other, found["host"])):
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{host}-{os.getpid()}.part")


def _runs(process: int) -> bool:
    """Whether a process of this host runs; true if that cannot be found out."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_old(part: Path, host: str | None) -> bool:
    """Whether a temporary file names no host and was last written long ago."""
    try:
        return host is None and time.time() - part.stat().st_mtime > OLD_SECONDS
    except FileNotFoundError:
        return False
