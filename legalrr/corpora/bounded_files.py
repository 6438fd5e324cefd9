"""Open, decode and parse files of any origin within bounds of memory and time.

Only regular files are opened: reading a FIFO or a device need not end. The constants bound what is read; a file beyond
one of them raises UserError that names it. The bounds of PDFs are fields of `legalrr.corpora.pdf_folder.PdfFolder`.
"""

import codecs
import gzip
import io
import json
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from legalrr.errors import UserError, file_error

LONGEST_TEXT = 10_000_000
"""Most characters of a judgment; judgments of a thousand printed pages have some 3 million."""
LONGEST_LINE = 24_000_000
"""Most bytes of a line of a table, or of a row of a CSV file in characters."""
LARGEST_FILE = 200_000_000
"""Most bytes of a file that is read as a whole: a text, a Label Studio export, a PDF, a DocBin."""
INFLATION = 100
"""Largest ratio of the inflated size of a compressed file to its size; judgments have about 4."""
SMALL_INFLATED = 32_000_000
"""Inflated size, in bytes, that every compressed file may have."""

SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a .docx, .odt, .xlsx or zip file", "save it as plain text (UTF-8), as with pandoc -t plain"),
    (b"\xd0\xcf\x11\xe0", "a .doc file", "save it as plain text (UTF-8), as with soffice --convert-to txt:Text"),
    (b"{\\rtf", "RTF", "save it as plain text (UTF-8), as with pandoc -t plain"),
    (b"%PDF-", "a PDF", "name it .pdf; corpus=own_pdf reads a folder of them"),
    (b"PAR1", "a Parquet file", "name it .parquet and read it with corpus=own_table"),
    (b"\x1f\x8b", "a gzip file", "unpack it"),
)
"""First bytes of files that are not text, what they are, and the cure."""
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
_DIGITS = re.compile(r"[0-9]{4301}")


def require_regular(path: Path) -> int:
    """Return the size of a file in bytes; raise UserError unless it is a regular file or a link to one."""
    with translate_read_errors(path):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a special file")
        raise UserError(f"not a file but {kind}", where=str(path), cure="copy its content to a file")
    return found.st_size


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, unpacking it if its name ends in .gz.

    Raises:
        UserError: not a regular file; in reading, a file that inflates beyond the bounds.
    """
    size = require_regular(path)
    if path.suffix != ".gz":
        return path.open("rb")
    return cast(IO[bytes], io.BufferedReader(_Inflated(path, size)))


class _Inflated(io.RawIOBase):
    """Content of a gzip file up to its bound."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._most, self._read = path, inflated_bound(size), 0
        self._file = gzip.GzipFile(path, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        self._read += len(data)
        if self._read > self._most:
            raise inflation_error(self._path, self._most)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def inflated_bound(size: int) -> int:
    """Return the most bytes to which a compressed file of `size` bytes may inflate."""
    return max(SMALL_INFLATED, INFLATION * size)


def inflation_error(path: Path, most: int) -> UserError:
    """Return the error for a compressed file beyond its bound."""
    cure = "unpack it, and check its content; the bound is legalrr.corpora.bounded_files.INFLATION"
    return UserError(f"inflates to more than {most} bytes", where=str(path), cure=cure)


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked if its name ends in .gz; raise UserError for one beyond `LARGEST_FILE`."""
    with translate_read_errors(path), open_binary(path) as file:
        # The size of a compressed file bounds its content from below, nearly.
        content = b"" if path.stat().st_size > LARGEST_FILE else file.read(LARGEST_FILE + 1)
        size = max(len(content), path.stat().st_size)
    if size > LARGEST_FILE:
        raise UserError(
            f"more than {LARGEST_FILE} bytes",
            where=str(path),
            cure="divide the file; the bound is legalrr.corpora.bounded_files.LARGEST_FILE",
        )
    return content


def read_text(path: Path) -> str:
    r"""Read a UTF-8 file; unpack it if its name ends in .gz.

    Line ends become "\n", so that a judgment is the same on every system. A BOM is removed.

    Raises:
        UserError: not a regular file, not a text file, too large, or not UTF-8; the message gives the byte offset.
    """
    return decode_utf8(read_bytes(path), where=str(path))


def decode_utf8(content: bytes, *, where: str) -> str:
    """Decode UTF-8 as `read_text` does.

    Raises:
        UserError: the content is that of a PDF, RTF, word processor or other binary file, or not UTF-8; the message
            gives `where`, the line and the byte offset.
    """
    check_signature(content, where=where)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _encoding_error(error, error.start, line, where) from error
    if "\0" in text:
        at = text.index("\0")
        raise UserError(
            f"binary: a zero byte at character {at}, in line {text.count(chr(10), 0, at) + 1}",
            where=where,
            cure="give a text file in UTF-8",
        )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def check_signature(content: bytes, *, where: str) -> None:
    """Raise UserError for the first bytes of a file that is not plain text in UTF-8."""
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, kind, cure in SIGNATURES:
        if start.startswith(signature):
            raise UserError(f"not plain text but {kind}", where=where, cure=cure)


def read_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the lines of a file that are not blank as (file:line, bytes), unpacked if its name ends in .gz.

    Raises:
        UserError: not a regular file, a line beyond `LONGEST_LINE`, or a damaged gzip file.
    """
    number = 0
    with translate_read_errors(path), open_binary(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > LONGEST_LINE:
                raise line_error(where)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield where, line


def line_error(where: str) -> UserError:
    """Return the error for a line beyond its bound."""
    cure = "a line is one judgment; the bound is legalrr.corpora.bounded_files.LONGEST_LINE"
    return UserError(f"a line of more than {LONGEST_LINE} bytes", where=where, cure=cure)


def parse_json(content: str, *, where: str, cure: str = "correct it, or download the file again") -> Any:
    """Parse JSON.

    Args:
        content: the text.
        where: file, and line unless the text is the whole file, for messages.
        cure: for text that is not JSON.

    Raises:
        UserError: not JSON, nested too deeply, or a number with too many digits.
    """
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in content.strip() else ""
        raise UserError(
            f"truncated or damaged JSON: {error.msg} at character {error.colno - 1}", where=f"{where}{line}", cure=cure
        ) from error
    except RecursionError as error:
        raise UserError("JSON nested too deeply", where=where, cure=cure) from error
    except ValueError as error:
        long = _DIGITS.search(content)
        line = f":{content.count(chr(10), 0, long.start()) + 1}" if long and "\n" in content.strip() else ""
        raise UserError("a number with too many digits", where=f"{where}{line}", cure=cure) from error


@contextmanager
def translate_read_errors(path: Path) -> Iterator[None]:
    """Convert errors that occur while reading and decoding `path` to UserError."""
    try:
        yield
    except UnicodeDecodeError:
        # Reading again may come to another fault, of a compressed file, before the byte.
        with translate_read_errors(path):
            _raise_at_bad_byte(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError("truncated or damaged gzip file", where=str(path), cure="download the file again") from error
    except OSError as error:
        raise file_error(error, path, doing="cannot be read") or UserError(
            f"cannot be read: {error.strerror or error}", where=str(path), cure="check the file"
        ) from error


def _encoding_error(error: UnicodeDecodeError, offset: int, line: int, where: str) -> UserError:
    byte = error.object[error.start]
    return UserError(
        f"not UTF-8: byte 0x{byte:02x} at offset {offset}, in line {line}",
        where=where,
        cure="convert it to UTF-8, as with iconv",
    )


def _raise_at_bad_byte(path: Path) -> NoReturn:
    """Raise UserError with line and offset of the first invalid byte, which a row reader cannot give."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done, lines = 0, 0
    with open_binary(path) as file:
        while True:
            chunk = file.read(1 << 20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = lines + error.object.count(b"\n", 0, error.start) + 1
                raise _encoding_error(error, done - pending + error.start, line, str(path)) from error
            if not chunk:
                raise UserError("not UTF-8, but changed since", where=str(path), cure="read it again")
            done += len(chunk)
            lines += chunk.count(b"\n")
