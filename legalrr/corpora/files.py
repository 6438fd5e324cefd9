"""Locate files that corpus readers read, read tables row by row, and refuse text that is not plain text in English.

Invalid input raises UserError with file and line, row or byte offset.

Roles, verdicts and parties are found in English text. Tags and entities, or the rows of a table, would reach the tagger
and the prompt; in another script nothing would be hidden.
"""

import csv
import difflib
import fnmatch
import io
import logging
import re
import shlex
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from legalrr import paths
from legalrr.corpora.bounded_files import (
    LONGEST_LINE,
    LONGEST_TEXT,
    line_error,
    open_binary,
    parse_json,
    read_lines,
    require_regular,
    translate_read_errors,
)
from legalrr.errors import UserError

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
TABLE_SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
_SYNONYMS = (
    ("text", "judgment", "judgement", "body", "content", "document", "full_text", "input", "case_text", "sentence"),
    ("label", "labels", "outcome", "decision", "verdict", "result", "output", "won", "target", "class"),
    (
        "id",
        "doc_id",
        "docid",
        "case_id",
        "name",
        "filename",
        "file_name",
        "file",
        "index",
        "uid",
        "case_name",
        "case name",
    ),
    ("spans", "roles", "role", "labels", "annotations", "label", "rhetorical_role"),
)
"""Words by which published tables name the same column, the usual one first."""
Row = Mapping[str, Any]


def require_path(path: str) -> Path:
    """Resolve a config path; raise UserError if nothing exists there."""
    found = paths.resolve(path)
    with translate_read_errors(found):
        exists = found.exists()
    if not exists:
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


def read_csv_rows(
    path: Path, wanted: Sequence[str], *, options: Mapping[str, str] | None = None, delimiter: str = ","
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file (or .csv.gz) with a header as (file:line, values by column).

    Args:
        path: the file.
        wanted: columns that it must have.
        options: as for `require_columns`.
        delimiter: character between two fields.

    Raises:
        UserError: a column of `wanted` is missing, a row has too few or too many fields, a quotation is not closed, a
            row or field is too long, or the file is not UTF-8.
    """
    # A judgment may exceed the module's default limit of 131,072 characters.
    csv.field_size_limit(LONGEST_TEXT)
    with translate_read_errors(path), open_binary(path) as raw:
        lines = _text_lines(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), path)
        rows = csv.reader(lines, strict=True, delimiter=delimiter)
        try:
            header = next(rows, [])
            require_columns(header, wanted, where=f"{path}:1", options=options)
            start = rows.line_num + 1
            for row in rows:
                where, start = f"{path}:{start}", rows.line_num + 1
                if not row:
                    continue
                if len(row) != len(header):
                    raise UserError(f"{len(row)} fields under {len(header)} columns", where=where, cure="quote commas")
                yield where, dict(zip(header, row, strict=True))
        except csv.Error as error:
            cure = "close the quotation"
            if "field limit" in str(error):
                cure += "; the bound is legalrr.corpora.bounded_files.LONGEST_TEXT"
            raise UserError(f"broken CSV: {error}", where=f"{path}:{rows.line_num}", cure=cure) from error


def _text_lines(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise line_error(f"{path}:{number}")
        yield line


def require_columns(
    found: Iterable[str], wanted: Sequence[str], *, where: str, options: Mapping[str, str] | None = None
) -> None:
    """Raise UserError if a column of `wanted` is missing.

    Args:
        found: the columns of the table.
        wanted: the required ones.
        where: file, for the message.
        options: option that names each required column, as {"text": "corpus.text_column"}; None: the names are fixed.
    """
    found = list(found)
    missing = [column for column in wanted if column not in found]
    if not missing:
        return
    what = f"no column {', '.join(map(repr, missing))}; found {', '.join(found) or 'none'}"
    near = _nearest(missing[0], [column for column in found if column not in wanted])
    if len(found) == 1 and (delimiter := re.search(r"[;|\t]", found[0])):
        cure = f"separate the columns by commas, not by {delimiter.group()!r}"
    elif options is not None and near is not None:
        cure = f"set {shlex.quote(f'{options[missing[0]]}={near}')}"
    elif options is not None:
        cure = f"set {options[missing[0]]} to one of these"
    elif near is not None:
        cure = f"rename {near!r} to {missing[0]!r}, or check that this is the right file"
    else:
        cure = f"this file needs the columns {', '.join(wanted)}: check that this is the right file"
    raise UserError(what, where=where, cure=cure)


def _nearest(name: str, columns: Sequence[str]) -> str | None:
    """Return the column with the most similar name, or with a word that is usual for it; None if there is none."""
    by_letters = {column.strip().casefold(): column for column in reversed(columns)}
    if close := difflib.get_close_matches(name.casefold(), list(by_letters), n=1):
        return by_letters[close[0]]
    words = next((words for words in _SYNONYMS if name.casefold() in words), ())
    return next((by_letters[word] for word in words if word in by_letters), None)


def read_table_rows(
    path: Path, columns: list[str], *, options: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str, Row]]:
    """Yield the rows of a table as (number from 1, file and line for messages, values by column).

    `options` is as for `require_columns`.

    Raises:
        UserError: a column is missing, the file is damaged or its format is not supported.
    """
    name = path.name
    if name.endswith((".jsonl", ".jsonl.gz")):
        rows: Iterator[tuple[str, Row]] = _read_json_lines(path, columns, options)
    elif name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        rows = read_csv_rows(path, columns, options=options, delimiter="\t" if ".tsv" in name[-7:] else ",")
    elif name.endswith(".parquet"):
        rows = _read_parquet_rows(path, columns, options)
    else:
        raise UserError("unsupported table format", where=str(path), cure=f"use {', '.join(TABLE_SUFFIXES)}")
    for number, (where, row) in enumerate(rows, start=1):
        yield number, where, row


def _read_json_lines(path: Path, columns: list[str], options: Mapping[str, str] | None) -> Iterator[tuple[str, Row]]:
    for where, line in read_lines(path):
        with translate_read_errors(path):
            text = line.decode("utf-8")
        row = parse_json(text, where=where)
        if not isinstance(row, dict):
            raise UserError("not a JSON object", where=where, cure="write one {...} per line")
        require_columns(row, columns, where=where, options=options)
        yield where, row


def _read_parquet_rows(path: Path, columns: list[str], options: Mapping[str, str] | None) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_regular(path)
    try:
        file = pq.ParquetFile(path)
        require_columns(file.schema_arrow.names, columns, where=str(path), options=options)
        number = 0
        for batch in file.iter_batches(batch_size=64, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", row
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, SystemError) as error:
        raise UserError(
            f"truncated or damaged Parquet: {error}", where=str(path), cure="download the file again"
        ) from error
