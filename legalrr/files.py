"""Files of results: written whole or not at all, and never over a file of the user."""

import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from legalrr.errors import UserError, file_errors


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
    file = AtomicFile(path)
    try:
        file.write(content)
        file.finish()
    finally:
        file.discard()


def sha256(path: Path) -> str:
    """Compute the SHA-256 (64 hex digits) of a file; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encode_text(text: str) -> bytes:
    """Encode text as `write_atomically` does."""
    return text.encode("utf-8", "backslashreplace")


class AtomicFile:
    """A file that is at its path only when it is complete.

    Args:
        path: the path; a former content stays until `finish`.

    Raises:
        UserError: the file cannot be opened; its methods raise it too, if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with file_errors(path):
            self._part = part_path(path)
            self._file = self._part.open("wb")

    def write(self, content: str | bytes) -> None:
        """Write text as `write_atomically` does, or bytes."""
        with file_errors(self._path):
            self._file.write(encode_text(content) if isinstance(content, str) else content)

    def finish(self) -> None:
        """Rename the file to its path."""
        with file_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)

    def discard(self) -> None:
        """Remove the file unless it was finished."""
        # What is left in the buffer of a full disk cannot be written.
        with suppress(OSError):
            self._file.close()
        with file_errors(self._path):
            self._part.unlink(missing_ok=True)


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
