"""Locate, decode and parse the files that corpus readers read.

Invalid input raises UserError with file and line, row or byte offset.
"""

import codecs
import csv
import fnmatch
import gzip
import io
import json
import logging
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from legalrr import paths
from legalrr.corpora.plain_text import check_signature
from legalrr.errors import UserError

LOG = logging.getLogger(__name__)
DOCUMENT_SUFFIXES = (".doc", ".docx", ".odt", ".rtf", ".htm", ".html")
"""Suffixes of files that may be judgments and that no reader of text files reads."""
TABLE_SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
Row = Mapping[str, Any]


def require_path(path: str) -> Path:
    """Resolve a config path; raise UserError if nothing exists there."""
    found = paths.resolve(path)
    if not found.exists():
        cure = "correct the path, or see `legalrr data list` for how to get the corpus"
        if path.startswith("$LEGALRR_DATA/"):
            cure = (
                "set LEGALRR_DATA to the folder with your corpora, or see `legalrr data list` for how to get this one"
            )
        raise UserError("no such file or folder", where=str(found), cure=cure)
    return found


def list_text_files(folder: Path, pattern: str = "*.txt") -> list[Path]:
    """List the matching files of a folder in natural order (d2 before d10); the case of letters does not matter.

    Files that are left out, of its sub-folders or of word processors and browsers, are counted in a warning.

    Raises:
        UserError: no folder, or no matching file in it.
    """
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), cure="name the folder that holds the *.txt files")
    matches = re.compile(fnmatch.translate(pattern), re.IGNORECASE).match
    with translate_read_errors(folder):
        files = [path for path in folder.iterdir() if not path.is_dir()]
    found = sorted(filter(lambda path: matches(path.name), files), key=lambda p: (natural_sort_key(p.name), p.name))
    below = sorted(path for path in folder.rglob("*") if path.parent != folder and matches(path.name))
    if not found:
        cure = f"name a sub-folder, as {below[0].parent}" if below else "one judgment per .txt file"
        raise UserError(f"no {pattern} file in this folder", where=str(folder), cure=cure)
    if below:
        LOG.warning(
            "%s: %d files in sub-folders are not read, the first is %s: name the sub-folder, or move the files",
            folder,
            len(below),
            below[0].relative_to(folder),
        )
    if others := sorted(path.name for path in files if path.suffix.lower() in DOCUMENT_SUFFIXES and path not in found):
        LOG.warning(
            "%s: %d files are not read, the first is %s: convert them to plain text (UTF-8)",
            folder,
            len(others),
            others[0],
        )
    return found


def natural_sort_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares runs of digits as numbers."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)
    ]


def read_text(path: Path) -> str:
    r"""Read a UTF-8 file; unpack it if its name ends in .gz.

    Line ends become "\n", so that a judgment is the same on every system. A BOM is removed.

    Raises:
        UserError: not a text file, or not UTF-8; the message gives the byte offset.
    """
    with translate_read_errors(path), open_binary(path) as file:
        return decode_utf8(file.read(), where=str(path))


def decode_utf8(content: bytes, *, where: str) -> str:
    """Decode UTF-8 as `read_text` does.

    Raises:
        UserError: the content is that of a PDF, RTF, word processor or other binary file, or not UTF-8; the message
            gives `where` and the byte offset.
    """
    check_signature(content, where=where)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _encoding_error(error, error.start, where) from error
    if "\0" in text:
        what = f"binary: a zero byte at character {text.index(chr(0))}"
        raise UserError(what, where=where, cure="give a text file in UTF-8")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, unpacking it if its name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


@contextmanager
def translate_read_errors(path: Path) -> Iterator[None]:
    """Convert errors that occur while reading and decoding `path` to UserError."""
    try:
        yield
    except UnicodeDecodeError:
        _raise_at_bad_byte(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError("truncated or damaged gzip file", where=str(path), cure="download the file again") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _encoding_error(error: UnicodeDecodeError, offset: int, where: str) -> UserError:
    byte = error.object[error.start]
    return UserError(
        f"not UTF-8: byte 0x{byte:02x} at offset {offset}", where=where, cure="convert it to UTF-8, as with iconv"
    )


def _raise_at_bad_byte(path: Path) -> NoReturn:
    """Raise UserError with the offset of the first invalid byte, which a row reader cannot give."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    with open_binary(path) as file:
        while True:
            chunk = file.read(1 << 20)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise _encoding_error(error, done - pending + error.start, str(path)) from error
            done += len(chunk)


def read_csv_rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file (or .csv.gz) with a header as (file:line, values by column).

    Raises:
        UserError: a column of `wanted` is missing, a row has too few or too many fields, a quotation is not closed, or
            the file is not UTF-8.
    """
    # A judgment may exceed the module's default limit of 131,072 characters; 2**31 - 1 fits a C long.
    csv.field_size_limit(2**31 - 1)
    with translate_read_errors(path), open_binary(path) as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
        try:
            header = next(rows, [])
            require_columns(header, wanted, where=str(path))
            start = rows.line_num + 1
            for row in rows:
                where, start = f"{path}:{start}", rows.line_num + 1
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(f"{len(row)} fields under {len(header)} columns", where=where, cure="quote commas")
                yield where, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise UserError(
                f"broken CSV: {error}", where=f"{path}:{rows.line_num}", cure="close the quotation"
            ) from error


def require_columns(found: Iterable[str], wanted: Sequence[str], *, where: str) -> None:
    """Raise UserError if a column of `wanted` is missing."""
    found = list(found)
    if missing := [column for column in wanted if column not in found]:
        raise UserError(
            f"no column {', '.join(map(repr, missing))}; found {', '.join(found) or 'none'}",
            where=where,
            cure=f"this corpus has the columns {', '.join(wanted)}: check that this is the right file",
        )


def read_table_rows(path: Path, columns: list[str]) -> Iterator[tuple[int, str, Row]]:
    """Yield the rows of a table as (number from 1, file and line for messages, values by column).

    Raises:
        UserError: a column is missing, the file is damaged or its format is not supported.
    """
    name = path.name
    if name.endswith((".jsonl", ".jsonl.gz")):
        rows: Iterator[tuple[str, Row]] = _read_json_lines(path, columns)
    elif name.endswith((".csv", ".csv.gz")):
        rows = read_csv_rows(path, columns)
    elif name.endswith(".parquet"):
        rows = _read_parquet_rows(path, columns)
    else:
        raise UserError("unsupported table format", where=str(path), cure=f"use {', '.join(TABLE_SUFFIXES)}")
    for number, (where, row) in enumerate(rows, start=1):
        yield number, where, row


def _read_json_lines(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    with translate_read_errors(path), open_binary(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            if not line.removeprefix(codecs.BOM_UTF8).strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except json.JSONDecodeError as error:
                raise UserError(
                    f"truncated or damaged JSON: {error.msg} at character {error.pos}",
                    where=where,
                    cure="correct the line, or download the file again",
                ) from error
            if not isinstance(row, dict):
                raise UserError("not a JSON object", where=where, cure="write one {...} per line")
            require_columns(row, columns, where=where)
            yield where, row


def _read_parquet_rows(path: Path, columns: list[str]) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        require_columns(file.schema_arrow.names, columns, where=str(path))
        number = 0
        for batch in file.iter_batches(batch_size=64, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"truncated or damaged Parquet: {error}", where=str(path), cure="download the file again"
        ) from error
