"""Locate, decode and parse the files that corpus readers read, and refuse files that are not plain text.

Invalid input raises UserError with file and line, row or byte offset.

Roles, verdicts and parties are found in English text. Tags and entities, or the rows of a table, would reach the tagger
and the prompt; in another script nothing would be hidden.
"""

import codecs
import csv
import fnmatch
import gzip
import io
import json
import logging
import re
import string
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from legalrr import paths
from legalrr.errors import UserError

SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a .docx, .odt, .xlsx or zip file", "save it as plain text (UTF-8), as with pandoc -t plain"),
    (b"\xd0\xcf\x11\xe0", "a .doc file", "save it as plain text (UTF-8), as with soffice --convert-to txt:Text"),
    (b"{\\rtf", "RTF", "save it as plain text (UTF-8), as with pandoc -t plain"),
    (b"%PDF-", "a PDF", "name it .pdf; corpus=own_pdf reads a folder of them"),
    (b"PAR1", "a Parquet file", "name it .parquet and read it with corpus=own_table"),
    (b"\x1f\x8b", "a gzip file", "unpack it"),
)
"""First bytes of files that are not text, what they are, and the cure."""

LEAST_LATIN = 0.9
"""Share of Latin letters below which a text is doubtful; no judgment of the corpora in English is below 0.99."""
LEAST_ENGLISH = 0.15
"""Share of frequent English words below which a text is doubtful; judgments in English have 0.25 or more."""
_FREQUENT = frozenset(b"the of and to in a is that by was for it on as".split())
# All bytes but the small letters become spaces: several times as fast as a regular expression for words.
_LETTERS_ONLY = bytes(code if chr(code) in string.ascii_lowercase else ord(" ") for code in range(256))
_FEW_LETTERS = 20
_FEW_WORDS = 100
_ASCII_LETTERS = string.ascii_letters.encode()
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# Tags that lay out a page: two of them make HTML. A single one, or a script, may be quoted in a judgment.
_LAYOUT_TAG = re.compile(
    r"</?(?:html|head|body|div|span|p|br|hr|h[1-6]|center|font|pre|blockquote|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|td|th|"
    r"section|article|header|footer|main|w:[a-z]+|o:p)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(r"</?(?:a|b|i|u|em|strong|sup|sub|small|big)(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_ESCAPED_TAG = re.compile(r"&lt;/?(?:html|body|div|span|p|br|h[1-6]|a|b|i|pre|blockquote|table|tr|td)\b", re.IGNORECASE)
_COLUMN = re.compile(
    r"id|doc_?id|case_?id|text|labels?|judge?ment|outcome|decision|title|input|output|split|name|court|date|sentences?|"
    r"roles?|index|document|content",
    re.IGNORECASE,
)


def check_signature(content: bytes, *, where: str) -> None:
    """Raise UserError for the first bytes of a file that is not plain text in UTF-8."""
    start = content[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, kind, cure in SIGNATURES:
        if start.startswith(signature):
            raise UserError(f"not plain text but {kind}", where=where, cure=cure)


def check_plain_text(text: str, *, where: str) -> None:
    """Raise UserError for the text of a judgment that is HTML, XML, RTF, JSON or CSV.

    Args:
        text: the text.
        where: file and line, or judgment, for messages.
    """
    if is_html(text):
        cure = "convert it to plain text, as with pandoc -f html -t plain"
        raise UserError("not plain text but HTML or XML", where=where, cure=cure)
    if text[:200].lstrip().startswith("{\\rtf"):
        cure = "convert it to plain text, as with pandoc -f rtf -t plain"
        raise UserError("not plain text but RTF", where=where, cure=cure)
    if kind := _table_kind(text):
        cure = "read it with corpus=own_table, or in `legalrr data check` with --layout table"
        raise UserError(f"not plain text but {kind}", where=where, cure=cure)


def describe_doubt(text: str) -> str | None:
    """Describe why a text may not be English; None if it seems to be."""
    if (share := latin_share(text)) < LEAST_LATIN:
        return f"{1 - share:.0%} of its letters are not Latin ({_script(text)})"
    words = text.lower().encode("ascii", "replace").translate(_LETTERS_ONLY).split()
    if len(words) >= _FEW_WORDS and sum(map(_FREQUENT.__contains__, words)) < LEAST_ENGLISH * len(words):
        return "it does not read like English"
    return None


def is_html(text: str) -> bool:
    """Whether a text is HTML or XML: it begins as such, or has several tags, also as entities."""
    start = text[:200].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<?xml")):
        return True
    layout, inline = (sum(1 for _ in tag.finditer(text)) if "<" in text else 0 for tag in (_LAYOUT_TAG, _INLINE_TAG))
    escaped = sum(1 for _ in _ESCAPED_TAG.finditer(text)) if "&" in text else 0
    return layout >= 2 or escaped >= 2 or layout + inline >= 4


def count_entities(text: str) -> int:
    """Return the number of HTML entities, such as &nbsp;."""
    return sum(1 for _ in _ENTITY.finditer(text))


def latin_share(text: str) -> float:
    """Return the share of Latin letters among the letters (and signs of vowels) of a text; 1 with fewer than 20."""
    if text.isascii():
        return 1.0
    plain = text.encode("ascii", "ignore")
    latin, other = len(plain) - len(plain.translate(None, _ASCII_LETTERS)), 0
    for character in _NOT_ASCII.findall(text):
        if unicodedata.category(character)[0] in "LM":
            if _is_latin(character):
                latin += 1
            else:
                other += 1
    return latin / (latin + other) if other and latin + other >= _FEW_LETTERS else 1.0


def _is_latin(character: str) -> bool:
    name = unicodedata.name(character, "")
    return "LATIN" in name or name.startswith(("COMBINING", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"))


def _script(text: str) -> str:
    """Return the name of the first script that is not Latin, as Devanagari."""
    for character in text:
        if not character.isascii() and unicodedata.category(character)[0] == "L" and not _is_latin(character):
            return unicodedata.name(character, "unknown script").split()[0].capitalize()
    return "unknown script"


def _table_kind(text: str) -> str | None:
    """Return JSON, JSON lines or CSV if the text is one of these."""
    lines = text.lstrip().split("\n", 2)
    first = lines[0].strip()
    if first.startswith(("{", "[")):
        keyed = re.match(r'\s*(?:\[\s*)?\{\s*"[^"\n]{1,80}"\s*:', text)
        return "JSON" if keyed else None
    for delimiter in ",\t;":
        header = [field.strip('"\ufeff').lower() for field in first.split(delimiter)]
        names = all(re.fullmatch(r"(?:[a-z_]\w{0,30})?", field) for field in header)
        if len(header) < 2 or len(lines) < 2 or not names or not any(map(_COLUMN.fullmatch, header)):
            continue
        try:
            row = next(csv.reader(lines[1:2], delimiter=delimiter), [])
        except csv.Error:
            continue
        if len(row) >= 2:
            return "CSV"
    return None


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
