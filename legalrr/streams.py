"""Standard streams and log files that survive a full disk, a closed pipe, a missing descriptor and any encoding.

`prepare_streams` is called once, before a command prints anything. Afterwards a stream that cannot be written names
itself in the error, and a character that its encoding lacks is printed as an escape.
"""

import codecs
import io
import json
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from legalrr.errors import WHOLE_DISK, file_error

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDOUT, STDERR = "standard output", "standard error"
ESCAPE = "legalrr.json_escape"
"""Name of the error handler `json_escape`."""

log = logging.getLogger(__name__)


def json_escape(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that an encoding lacks by escapes of JSON (`\u00e9`), so that printed JSON stays valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPE, json_escape)


class StandardStream(io.FileIO):
    """A standard stream whose first error has its name; what is written after an error is discarded.

    So the error is reported once, and Python has nothing left to write at its exit.

    Args:
        descriptor: 1 or 2.
        label: the name.
    """

    def __init__(self, descriptor: int, label: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._label = label
        self._failed = False

    def write(self, data: "Buffer") -> int:
        """Write as `io.FileIO` does."""
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            error.filename = self._label
            raise


def prepare_streams() -> None:
    """Open the standard streams that are closed, to the null device, and replace output and error by `StandardStream`.

    If a descriptor below 3 stayed free, the next file opened would get it, and receive what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open until the process ends
    # A program that calls the command in its own process may have replaced them.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _escaping(sys.stdout, 1, STDOUT)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _escaping(sys.stderr, 2, STDERR)


def _escaping(before: object, descriptor: int, label: str) -> io.TextIOWrapper:
    raw = StandardStream(descriptor, label)
    line_buffering, write_through = (bool(getattr(before, name, False)) for name in ("line_buffering", "write_through"))
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors=ESCAPE,
        line_buffering=line_buffering,
        write_through=write_through,
    )


def print_error(line: str) -> None:
    """Print a line on standard error; nothing if that cannot be written, as there is no other place."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def finish_streams() -> None:
    """Write what is buffered; an error here follows one that was reported."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()


class LogFile(logging.FileHandler):
    """Log file in UTF-8. If it cannot be written, the work goes on.

    This is reported once, but not if the disk is full: then the results meet the same fault, which is reported.

    Args:
        filename: the file, created with the first record.
        mode: as of `open`.
    """

    def __init__(self, filename: str, mode: str = "a") -> None:
        super().__init__(filename, mode, encoding="utf-8", delay=True, errors="backslashreplace")
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless an earlier one could not be written."""
        if self._failed:
            return
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report a fault of the file as a record of its own, for the other handlers."""
        fault = sys.exc_info()[1]
        reason = file_error(fault, self.baseFilename) if isinstance(fault, OSError) else None
        if reason is None:
            super().handleError(record)
            return
        self._failed = True
        whole = isinstance(fault, OSError) and fault.errno in WHOLE_DISK
        log.log(logging.DEBUG if whole else logging.WARNING, "no further lines in the log file: %s", reason)
