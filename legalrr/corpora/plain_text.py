"""Tell text from what only looks like it: markup, tables and word processor files, and text in another script.

Roles, verdicts and parties are found in English text. Tags and entities, or the rows of a table, would reach the tagger
and the prompt; in another script nothing would be hidden.
"""

import csv
import re
import string
import unicodedata

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
_FREQUENT = frozenset(("the", "of", "and", "to", "in", "a", "is", "that", "by", "was", "for", "it", "on", "as"))
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
    words = re.findall(r"[a-z]+", text.lower())
    if len(words) >= _FEW_WORDS and sum(word in _FREQUENT for word in words) < LEAST_ENGLISH * len(words):
        return "it does not read like English"
    return None


def is_html(text: str) -> bool:
    """Whether a text is HTML or XML: it begins as such, or has several tags, also as entities."""
    start = text[:200].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<?xml")):
        return True
    found = {pattern: sum(1 for _ in pattern.finditer(text)) for pattern in (_LAYOUT_TAG, _INLINE_TAG, _ESCAPED_TAG)}
    return found[_LAYOUT_TAG] >= 2 or found[_ESCAPED_TAG] >= 2 or found[_LAYOUT_TAG] + found[_INLINE_TAG] >= 4


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
