"""Claims on keys: processes that share a folder tell each other which records they are computing.

A claim is a lock on one byte of a file, at an offset that follows from the key. The kernel releases the locks of a
process that ends in any way, so none is left behind. Within a process, claims do not exclude each other, and closing
one `Claims` releases those of another on the same file.
"""

import errno
import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

TAKEN = (errno.EACCES, errno.EAGAIN)
"""Errors of a lock that another process holds."""


class Claims:
    """Claims of this process. Where files cannot be locked, every claim is granted, and a line of the log says so.

    Args:
        path: the file, in an existing folder; created by the first claim.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._locks = True

    def take(self, keys: Iterable[str]) -> set[str]:
        """Claim keys; return those that no other process has claimed."""
        wanted = list(keys)
        return {key for key in wanted if self._lock(key)}

    def release(self, keys: Iterable[str]) -> None:
        """Release the claims of this process on keys; others are left as they are."""
        if self._file is None or not self._locks:
            return
        import fcntl

        for key in keys:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(key))

    def close(self) -> None:
        """Release all claims of this process on this file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, key: str) -> bool:
        if not self._locks:
            return True
        try:
            import fcntl

            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except (ImportError, OSError) as error:
            return self._give_up(error)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
        except OSError as error:
            return error.errno not in TAKEN and self._give_up(error)
        return True

    def _give_up(self, error: Exception) -> bool:
        self._locks = False
        log.info("%s cannot be locked (%s): another process may make the same calls", self._path, error)
        return True


def _offset(key: str) -> int:
    """Return the byte that stands for a key; two keys have the same with probability 2**-62."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 2
