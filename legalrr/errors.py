"""Define `UserError`, the exception meant for users, and make text of any origin safe to display.

`file_errors` is the one place that converts faults of files, folders and disks to `UserError`.

Names and texts come from files of others. A newline in a name starts a line of its own in a log or a LaTeX file, an
escape character starts a command to the terminal, and XML does not allow either: `printable` and `one_line` make
control characters visible.
"""

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

# Unicode has pictures of control characters. C1 characters, which some terminals obey, have none. UTF-8 cannot encode
# surrogates, and XML allows neither them nor the last two characters of the plane.
_REPLACEMENTS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}
_REPLACEMENTS |= {0x7F: 0x2421} | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], 0xFFFD)

_BREAKS = {ord(character): 0x2400 + ord(character) for character in "\t\n\r"}
_LINE_SEPARATORS = dict.fromkeys([0x85, 0x2028, 0x2029], 0x2424)
# They reorder what follows, also beyond the end of the name.
_BIDIRECTIONAL = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
_ONE_LINE = _REPLACEMENTS | _BREAKS | _LINE_SEPARATORS | _BIDIRECTIONAL


LONGEST = 450
"""Most characters of the error, of the place and of the cure in a message."""


def printable(text: str) -> str:
    """Replace control characters by their Unicode pictures and surrogates by U+FFFD, one for one; keep line breaks."""
    return text.translate(_REPLACEMENTS)


def one_line(text: str) -> str:
    """Replace as `printable` does, and also tabs, line breaks and controls of the text direction, one for one."""
    return text.translate(_ONE_LINE)


def printable_lines(text: str) -> str:
    """Apply `one_line` to each line of a text whose lines end in a newline."""
    return "\n".join(map(one_line, text.split("\n")))


class OneLineFormatter(logging.Formatter):
    """Formats a message as one line, so that no name in it looks like another line of the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line of a record; a traceback follows in lines of its own."""
        record.message = one_line(record.message)
        return super().formatMessage(record)


class UserError(Exception):
    """Bad input or an invalid choice; printed as one line without control characters, with exit status 2.

    Args:
        what: the error ("unknown role 'FACTS'").
        where: file, line, id or option concerned; "" for none.
        cure: how to fix it.
    """

    def __init__(self, what: str, *, where: str = "", cure: str = "") -> None:
        self.what, self.where, self.cure = _shorten(what), _shorten(where), _shorten(cure)
        what, where, cure = self.what, self.where, self.cure
        place = f"{where}: " if where else ""
        advice = f" ({cure})" if cure else ""
        super().__init__(one_line(" ".join(f"{place}{what}{advice}".split())))

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Pickle for the return from a worker process."""
        return (_rebuild, (self.what, self.where, self.cure))


def _shorten(text: str) -> str:
    """Leave out the middle of a text that quotes a long value."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 100]} ... {text[-90:]}"


def _rebuild(what: str, where: str, cure: str) -> UserError:
    return UserError(what, where=where, cure=cure)


FILE_CURES: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: "free space on its disk, or name a folder on another; then run the same command again",
        errno.EDQUOT: "free space within your quota, or name a folder on another disk; then run the same command again",
        errno.EFBIG: "raise the limit of file sizes, as with ulimit -f, or name a folder on another disk",
        errno.EROFS: "this disk is mounted read-only: name a folder on another",
        errno.EACCES: "allow access to it, as with chmod or chown, or name another",
        errno.EPERM: "allow access to it, as with chmod or chown, or name another",
        errno.ENOENT: "create it, or correct the path",
        errno.EEXIST: "a file has this name: name another folder",
        errno.ENOTDIR: "a part of this path is a file: name another folder",
        errno.EISDIR: "it is a folder: name a file",
        errno.ENOTEMPTY: "name another folder, or empty this one",
        errno.ENAMETOOLONG: "use shorter names",
        errno.ELOOP: "remove the loop of symbolic links",
        errno.EMFILE: "raise the limit of open files, as with ulimit -n",
        errno.ENFILE: "close other programs: the system has too many open files",
        errno.EIO: "check the disk, then run the same command again",
        errno.ENXIO: "check the device",
        errno.ENODEV: "check the device",
        errno.ESTALE: "mount the network folder anew, then run the same command again",
        errno.EBUSY: "another program uses it: close that one, or name another",
        errno.EBADF: "it is closed: open it for the command",
    }
)
"""Number of a fault of a file, folder or disk -> its cure. Others, as those of connections, are not converted."""

WHOLE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults that every file of a disk meets: the first one is reported."""


def file_error(error: OSError, path: Path | str | None = None, *, doing: str = "") -> UserError | None:
    """Return the UserError for a fault of a file, folder or disk; None for any other fault.

    Args:
        error: the fault.
        path: file or folder concerned; None: as the fault names it.
        doing: what failed ("cannot make this folder"); "" for the reason alone.
    """
    number = error.errno
    if number is None or number not in FILE_CURES:
        return None
    named = error.filename if path is None else path
    where = os.fsdecode(named) if isinstance(named, str | bytes | os.PathLike) else ""
    reason = os.strerror(number)
    return UserError(f"{doing}: {reason}" if doing else reason, where=where, cure=FILE_CURES[number])


@contextmanager
def file_errors(path: Path | str | None = None, *, doing: str = "") -> Iterator[None]:
    """Convert faults of files, folders and disks to UserError as `file_error` does; other exceptions pass unchanged."""
    try:
        yield
    except OSError as error:
        fault = file_error(error, path, doing=doing)
        if fault is None:
            raise
        raise fault from error
